"""A copy of a set of pictures under another lamp, for `edgevision evaluate`: what does a network lose by it?

    python benchmarks/relight.py DATA OUT --gain 0.5 --ramp 0.3
    edgevision evaluate surface OUT --weights W

Every picture is multiplied by `gain` and by light that falls by `ramp` from its left edge to its right one; masks and labels are copied.
What exceeds 255 is saturated, as in a camera. `--gain 0.5` makes a set whose pictures have room for twice the light, as the scene of the
change map's sweep has (`evaluate ... --lights` on it loses nothing to white). Pictures are written as PNG under their own names, so that
nothing is compressed twice.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np

KEPT = ("masks", "annotations")


def relit(image: np.ndarray, gain: float, ramp: float) -> np.ndarray:
    light = gain * (1 + ramp * np.linspace(-0.5, 0.5, image.shape[1], dtype=np.float32))
    light = light[None, :, None] if image.ndim == 3 else light[None]
    return np.clip(np.rint(image * light), 0, 255).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--gain", type=float, default=1.0)
    parser.add_argument("--ramp", type=float, default=0.0)
    asked = parser.parse_args()
    for path in sorted(p for p in asked.data.rglob("*") if p.is_file()):
        target = asked.out / path.relative_to(asked.data)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() != ".jpg" or path.parent.name in KEPT:
            shutil.copy(path, target)
            continue
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        done, coded = cv2.imencode(".png", relit(image, asked.gain, asked.ramp))
        if not done:
            raise SystemExit(f"{path}: cannot be written")
        target.write_bytes(coded.tobytes())  # a PNG under the name that the set gives it: readers look at the bytes


if __name__ == "__main__":
    main()
