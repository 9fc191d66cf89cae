"""Milliseconds of the change map on 1080p colour frames, one thread, beside OpenCV's MOG2 in turn.

    python benchmarks/change_time.py [--frames 90] [--set '{"hold_frames": 2}'] [--size 1080x1920] [--gray] [--json]

The scene has noise on every frame, a lamp that dims, and a part that moves.
"""

from __future__ import annotations

import argparse
import json
import time

import cv2
import numpy as np

import edgevision as ev
from edgevision.study.sweep import SIGMA, scene_of

KEPT = 12
WARM_UP = 30


def frames(height: int, width: int, colour: bool) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    scene = scene_of(height, width, colour, 0)
    made = []
    for k in range(KEPT):
        light = scene * (1 - 0.002 * k)
        light[height // 5 + 5 * k : height // 5 + 5 * k + height // 8, width // 6 : width // 4] += 40
        made.append((light + random.normal(0, SIGMA, scene.shape)).clip(0, 255).astype(np.uint8))
    return made


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--frames", type=int, default=90)
    arguments.add_argument("--size", default="1080x1920")
    arguments.add_argument("--set", type=json.loads, default={})
    arguments.add_argument("--gray", action="store_true")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    cv2.setNumThreads(1)
    height, width = (int(side) for side in options.size.split("x"))
    made = frames(height, width, not options.gray)
    order = [*range(KEPT), *range(KEPT - 2, 0, -1)]
    detector, model = ev.ChangeDetector(ev.ChangeSettings(**options.set)), cv2.createBackgroundSubtractorMOG2()
    ours, theirs = [], []
    for k in range(options.frames):
        image = made[order[k % len(order)]]
        start = time.perf_counter()
        detector.update(image)
        between = time.perf_counter()
        ours.append((between - start) * 1e3)
        if k % 4 == 0:
            start = time.perf_counter()
            model.apply(image)
            theirs.append((time.perf_counter() - start) * 1e3)
    ours = ours[WARM_UP:]
    row = {
        "p50": float(np.median(ours)),
        "mean": float(np.mean(ours)),
        "p99": float(np.percentile(ours, 99)),
        "mog2_p50": float(np.median(theirs)),
    }
    row["times_faster"] = row["mog2_p50"] / row["p50"]
    print(json.dumps(row) if options.json else "   ".join(f"{name} {value:.2f}" for name, value in row.items()))


if __name__ == "__main__":
    main()
