"""Pictures of generated surfaces with drawn defects, as the magnetic tiles lie: what a TurboViT may learn from before it sees a tile.

python benchmarks/generated_tiles.py --out made --count 1800
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edgevision.study.parts.surface import good_surface, photographed, random_style
from edgevision.study.parts.surface_defects import SHAPES
from edgevision.study.sets.magnetic_tile import CLASSES, SAME_TILE
from edgevision.study.train.surfaces import SHAPE_OF

GROUND_SHARE = 0.8  # of the pictures: ground metal, as tiles are; the rest is any surface


def picture(name, rng):
    """A gray picture of one surface, and where its defect shows."""
    style = random_style(rng)
    if rng.random() < GROUND_SHARE:
        style = replace(style, ground="ground", tint=(1.0, 1.0, 1.0))
    size = (int(rng.integers(200, 400)), int(rng.integers(150, 300)))
    surface, part = good_surface(rng, style, size)
    shown = np.zeros(size, np.bool_)
    if name in SHAPE_OF:
        bench = surface[~part]
        shown = SHAPES[SHAPE_OF[name]](surface, part, rng, style.is_upright) & part
        surface[~part] = bench
    return cv2.cvtColor(photographed(surface, style, rng), cv2.COLOR_BGR2GRAY), shown


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1800)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    for number in range(arguments.count):
        name = CLASSES[number % len(CLASSES)]
        image, shown = picture(name, rng)
        if name in SHAPE_OF and not shown.any():
            continue
        path = arguments.out / f"MT_{name}" / f"exp1_num_{number * SAME_TILE}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
        cv2.imwrite(str(path.with_suffix(".png")), shown.astype(np.uint8) * 255)


if __name__ == "__main__":
    main()
