"""Pictures of surfaces that nobody photographed: ground, brushed, cast or granular, whole or with a defect. In: a random generator.
Out: the picture and, pixel by pixel, what is wrong with it. Keeps nothing: the same generator state gives the same picture.

What a good surface shows, too, is drawn unmarked: streaks, dark chips in a granular part, light that falls from a side, and what
`surface_marks` draws. A defect is drawn by `surface_defects`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image
from edgevision.study.parts.surface_defects import LABELS, draw_defect
from edgevision.study.parts.surface_marks import mark_harmlessly

__all__ = ["GROUNDS", "LABELS", "Sample", "SurfaceStyle", "good_surface", "grain", "make", "photographed", "pictures", "sequence"]

Ground = Literal["ground", "brushed", "cast", "granular"]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
GROUNDS: tuple[Ground, ...] = ("ground", "brushed", "cast", "granular")
STANDING = 6  # pictures of a sequence between two changes
BAD_SHARE = 0.8  # of the pictures that `make` gives
DOUGH = (0.45, 0.68, 0.95)  # blue, green, red of a granular part, as shares of its lightness


@dataclass(frozen=True, slots=True)
class Sample:
    """`image` (H, W, 3) uint8 BGR; `marks` (H, W) uint8: 0 where nothing is wrong, else 1 + the place of the defect's name in LABELS."""

    image: NDArray[np.uint8]
    marks: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class SurfaceStyle:
    """What one surface is like: all its pictures share it."""

    ground: Ground
    lightness: float
    contrast: float
    fills: bool  # the picture; else the part lies on a dark bench
    is_upright: bool  # streaks run down the picture, not across
    tint: tuple[float, ...]  # of blue, green and red


def random_style(rng: np.random.Generator) -> SurfaceStyle:
    """Any surface."""
    ground = GROUNDS[int(rng.integers(len(GROUNDS)))]
    plain = (1.0, 1.0, 1.0) if rng.random() < 0.7 else tuple(float(v) for v in rng.uniform(0.85, 1.0, 3))
    dough = tuple(float(np.clip(v + rng.normal(0, 0.06), 0.2, 1.0)) for v in DOUGH)
    return SurfaceStyle(
        ground=ground,
        lightness=float(rng.uniform(45, 200)),
        contrast=float(rng.uniform(0.02, 0.16)),
        fills=bool(rng.random() < (0.25 if ground == "granular" else 0.6)),
        is_upright=bool(rng.random() < 0.8),
        tint=dough if ground == "granular" and rng.random() < 0.7 else plain,
    )


def make(rng: np.random.Generator, size_px: tuple[int, int] = (224, 224), *, is_bad: bool | None = None) -> Sample:
    """One picture of (height, width), of any surface; `is_bad` left out: mostly with one to three defects."""
    style = random_style(rng)
    surface, part = good_surface(rng, style, size_px)
    marks = np.zeros(size_px, np.uint8)
    if rng.random() < BAD_SHARE if is_bad is None else is_bad:
        for _ in range(1 + int(rng.integers(3))):
            draw_defect(surface, part, marks, rng, is_upright=style.is_upright)
    return Sample(photographed(surface, style, rng), marks)


def pictures(rng: np.random.Generator) -> Iterator[tuple[str, Image]]:
    """For `edgevision init`: the sequence, with the files' paths."""
    for number, sample in enumerate(sequence(rng)):
        yield f"sample/surface-{number:02d}.png", sample.image


def good_surface(
    rng: np.random.Generator, style: SurfaceStyle, size_px: tuple[int, int], *, has_marks: bool = True
) -> tuple[Floats, Bools]:
    """The lightness (H, W) of a good surface in even light, perhaps with harmless marks, and where the part lies."""
    texture = _texture(rng, style, size_px)
    surface = np.asarray(style.lightness * (1 + style.contrast * texture), np.float32)
    part = np.ones(size_px, np.bool_) if style.fills else _outline(rng, style, size_px)
    if has_marks:
        mark_harmlessly(surface, rng, is_upright=style.is_upright)
    if style.ground == "granular":
        _chips(surface, part, rng)
    if not part.all():
        _bench(surface, part, style, rng)
    return surface, part


def photographed(
    surface: Floats, style: SurfaceStyle, rng: np.random.Generator, camera: np.random.Generator | None = None
) -> NDArray[np.uint8]:
    """The surface under a lamp, through a lens and a sensor: (H, W, 3) uint8 BGR.

    `camera` draws the lamp, the lens and how strong noise is, `rng` the noise itself; left out, `rng` draws all of it.
    """
    camera = camera or rng
    height, width = surface.shape
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    slope, bend = camera.uniform(-0.3, 0.3, 2), camera.uniform(-0.35, 0.1, 2)
    light = 1 + slope[0] * rows + slope[1] * columns + bend[0] * rows**2 + bend[1] * columns**2
    lit = surface * np.maximum(light, 0.2).astype(np.float32)
    if (blur := camera.uniform(0, 1.2)) > 0.35:
        lit = cv2.GaussianBlur(lit, (0, 0), blur)
    strength = np.float32(camera.uniform(0.5, 3.0))
    colours = lit[..., None] * np.array(style.tint, np.float32)
    noise = rng.standard_normal(surface.shape, np.float32)[..., None] * strength
    return np.asarray(np.clip(np.rint(colours + noise), 0, 255), np.uint8)


def sequence(rng: np.random.Generator, size_px: tuple[int, int] = (360, 480)) -> Iterator[Sample]:
    """What a fixed camera sees of a standing surface: it is good, gets a pit, then a crack, and is at last exchanged for a good one."""
    style = SurfaceStyle(ground="ground", lightness=115.0, contrast=0.1, fills=True, is_upright=True, tint=(1.0, 1.0, 1.0))
    lamp = int(rng.integers(2**32))
    first, part = good_surface(rng, style, size_px, has_marks=False)
    pitted, cracked, marks = first.copy(), first.copy(), [np.zeros(size_px, np.uint8) for _ in range(3)]
    for surface, seen, labels in ((pitted, marks[1], ("pit",)), (cracked, marks[2], ("pit", "crack"))):
        again = np.random.default_rng(lamp + 1)
        for label in labels:
            draw_defect(surface, part, seen, again, label)
    last = good_surface(rng, style, size_px, has_marks=False)[0]
    for surface, seen in ((first, marks[0]), (pitted, marks[1]), (cracked, marks[2]), (last, marks[0])):
        for _ in range(STANDING):
            yield Sample(photographed(surface, style, rng, np.random.default_rng(lamp)), seen)


def grain(rng: np.random.Generator, size_px: tuple[int, int], along: float, across: float) -> Floats:
    """Random values of mean 0 and deviation about 1, (H, W), alike over `along` rows and `across` columns."""
    small = (max(2, round(size_px[0] / along)), max(2, round(size_px[1] / across)))
    values = rng.standard_normal(small, np.float32)
    return np.asarray(cv2.resize(values, size_px[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def _texture(rng: np.random.Generator, style: SurfaceStyle, size_px: tuple[int, int]) -> Floats:
    """The grain of a surface, of deviation about 1."""
    if style.ground in ("ground", "brushed"):
        size = size_px if style.is_upright else size_px[::-1]
        fine, length = (1.5, 40) if style.ground == "ground" else (1.0, 90)
        layers = [(length * rng.uniform(0.5, 2), fine * rng.uniform(1, 2)), (3 * length, 6 * fine), (1, 1), (8, 60)]
        weights = (1.0, rng.uniform(0.3, 1), rng.uniform(0.2, 0.7), rng.uniform(0, 0.5))
        total = sum(weight * grain(rng, size, *layer) for weight, layer in zip(weights, layers, strict=True))
        total = total + 1.5 * np.maximum(grain(rng, size, length, 2) - 1.8, 0) * rng.uniform(0, 2)
        return np.asarray(total if style.is_upright else np.ascontiguousarray(total.T), np.float32)
    steps = (1, 2.5, 6, 18, 60)
    total = np.zeros(size_px, np.float32)
    for step in steps:
        total += np.float32(rng.uniform(0.1, 1.0)) * grain(rng, size_px, step, step * rng.uniform(0.7, 1.4))
    if style.ground == "granular":  # a crust: bumps, and shallow folds between them
        folds = np.abs(grain(rng, size_px, 22, 22))
        total += np.float32(rng.uniform(0.5, 2)) * np.minimum(folds * 4, 1) - 1
    return total


def _outline(rng: np.random.Generator, style: SurfaceStyle, size_px: tuple[int, int]) -> Bools:
    """Where the part lies: a slightly bent rectangle, or a round piece."""
    height, width = size_px
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    is_round = style.ground == "granular"
    power = rng.uniform(2, 3.5) if is_round else rng.uniform(14, 40)
    radius = (np.abs(np.cos(angles)) ** power + np.abs(np.sin(angles)) ** power) ** (-1 / power)
    for wave in range(2, 9):
        radius *= 1 + rng.normal(0, 0.025 if is_round else 0.004) * np.cos(wave * angles + rng.uniform(0, 6.3))
    reach = rng.uniform(0.55, 0.9, 2) if is_round else rng.uniform(0.75, 1.15, 2)
    turn = rng.uniform(0, np.pi) if is_round else rng.normal(0, 0.02)
    x, y = radius * np.cos(angles) * reach[0] * width / 2, radius * np.sin(angles) * reach[1] * height / 2
    shift = rng.normal(0, 0.06, 2)
    points = np.stack([
        width * (0.5 + shift[0]) + x * np.cos(turn) - y * np.sin(turn),
        height * (0.5 + shift[1]) + x * np.sin(turn) + y * np.cos(turn),
    ], axis=1)  # fmt: skip
    mask = np.zeros(size_px, np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return mask.astype(np.bool_)


def _bench(surface: Floats, part: Bools, style: SurfaceStyle, rng: np.random.Generator) -> None:
    """Draw what the part lies on, the part's rim bright or dark, and its shadow."""
    inside = cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, 3)
    width = rng.uniform(2, 8)
    surface *= 1 + np.float32(rng.uniform(-0.4, 0.4)) * np.exp(-inside / np.float32(width))
    bench = style.lightness * rng.uniform(0.02, 0.45) * (1 + rng.uniform(0, 0.2) * grain(rng, part.shape, 1.2, 1.2))
    surface[~part] = bench[~part]


def _chips(surface: Floats, part: Bools, rng: np.random.Generator) -> None:
    """Dark chips in a granular part, some with a glint: no defect."""
    height, width = surface.shape
    chips = np.zeros(surface.shape, np.uint8)
    for _ in range(int(rng.integers(0, 12))):
        middle = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(rng.integers(2, max(3, width // 26))), int(rng.integers(2, max(3, width // 26))))
        cv2.ellipse(chips, middle, axes, rng.uniform(0, 180), 0, 360, 1, -1)
        if rng.random() < 0.4:
            cv2.circle(chips, (middle[0] + axes[0] // 3, middle[1] - axes[1] // 3), 1, 2, -1)
    surface[(chips == 1) & part] *= np.float32(rng.uniform(0.25, 0.5))
    surface[(chips == 2) & part] *= np.float32(1.2)
