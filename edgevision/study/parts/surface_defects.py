"""What may be wrong with a surface. In: its lightness (H, W), where the part lies, a random generator. Out: the same, drawn on in place,
and marked in `marks` (H, W). Keeps nothing.

Marked is what stands out: a defect's soft rim, which nobody can place to the pixel, is marked where at least half of it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
LABELS = ("pit", "crack", "scratch", "stain", "fray", "patch")
HALF = 0.5


def draw_defect(
    surface: Floats, part: Bools, marks: NDArray[np.uint8], rng: np.random.Generator, label: str | None = None, *, is_upright: bool = True
) -> str:
    """Draw a defect somewhere on the part and mark it; gives its name. `label` left out: any."""
    label = label or LABELS[int(rng.integers(len(LABELS)))]
    bench = surface[~part]
    shown = _DRAW[label](surface, part, rng, is_upright) & part
    surface[~part] = bench
    marks[shown] = 1 + LABELS.index(label)
    return label


def _place(part: Bools, rng: np.random.Generator) -> tuple[int, int]:
    """A random pixel of the part, (row, column)."""
    places = np.flatnonzero(part)
    row, column = divmod(int(places[int(rng.integers(places.size))]), part.shape[1])
    return row, column


def _rim(part: Bools) -> Bools:
    """The part's outermost pixels; where it fills the picture, the picture's own edge is its rim."""
    return np.asarray(part & (cv2.erode(part.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0) == 0))


def _scale(part: Bools) -> float:
    """How large defects are drawn: 1 in a picture of 224 x 224."""
    return float(np.sqrt(part.size)) / 224


def _lump(shape: tuple[int, int], centre: tuple[int, int], radius: float, rng: np.random.Generator, rough: float = 0.18) -> Floats:
    """1 inside an irregular round shape, 0 outside, a pixel's slope between."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    radii = np.full(40, radius)
    for wave in range(1, 7):
        radii *= 1 + rng.normal(0, rough / np.sqrt(wave)) * np.cos(wave * angles + rng.uniform(0, 6.3))
    stretch, turn = rng.uniform(0.55, 1.0), rng.uniform(0, np.pi)
    x, y = radii * np.cos(angles), radii * np.sin(angles) * stretch
    points = np.stack([centre[1] + x * np.cos(turn) - y * np.sin(turn), centre[0] + x * np.sin(turn) + y * np.cos(turn)], axis=1)
    drawn = np.zeros(shape, np.uint8)
    cv2.fillPoly(drawn, [np.rint(points * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(drawn / np.float32(255), np.float32)


def _pit(surface: Floats, part: Bools, rng: np.random.Generator, is_upright: bool) -> Bools:
    """One to five dark holes beside each other, some with a bright rim."""
    centre, size = _place(part, rng), _scale(part)
    shown = np.zeros(part.shape, np.bool_)
    for _ in range(1 + int(rng.integers(5)) * int(rng.random() < 0.4)):
        radius = max(1.5, rng.uniform(1.6, 8) * size)
        at = tuple(int(c + rng.normal(0, 10 * size) * shown.any()) for c in centre)
        hole = _lump(part.shape, (at[0], at[1]), radius, rng)
        if rng.random() < 0.4:
            rim = cv2.GaussianBlur(cv2.dilate(hole, np.ones((3, 3), np.uint8)), (0, 0), 1.0) * (1 - hole)
            surface *= 1 + np.float32(rng.uniform(0.1, 0.5)) * rim
        surface *= 1 - np.float32(rng.uniform(0.25, 0.8)) * hole
        shown |= hole > HALF
    return shown


def _walk(shape: tuple[int, int], start: tuple[int, int], length: float, bend: float, heading: float, rng: np.random.Generator) -> Floats:
    """Points (n, 2) as x, y of a line that wanders."""
    steps = max(3, int(length / 4))
    angles = heading + np.cumsum(rng.normal(0, bend, steps)) - 0.5 * bend * np.sqrt(steps) * rng.normal()
    points = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1) * 4, axis=0)
    return np.asarray(points - points[steps // 2] + np.array(start[::-1]), np.float32)


def _line(shape: tuple[int, int], points: Floats, width: float, rng: np.random.Generator) -> Floats:
    """0 to 1: a line through the points that swells and thins; under a pixel wide it pales."""
    drawn = np.zeros(shape, np.uint8)
    swell = np.abs(width * (1 + 0.35 * np.sin(np.linspace(0, rng.uniform(2, 15), len(points)))))
    for first, second, thick in zip(points[:-1], points[1:], swell, strict=False):
        ends = (np.rint(first * 16).astype(int).tolist(), np.rint(second * 16).astype(int).tolist())
        cv2.line(drawn, ends[0], ends[1], 255, max(1, round(thick)), cv2.LINE_AA, 4)
    return np.asarray(drawn * np.float32(min(1.0, width) / 255), np.float32)


def _crack(surface: Floats, part: Bools, rng: np.random.Generator, is_upright: bool) -> Bools:
    """A dark line that wanders, perhaps forked, perhaps gaping; it often begins at the rim, and often follows the grain."""
    start, size = _place(_rim(part) if rng.random() < 0.4 else part, rng), _scale(part)
    along = rng.normal(0, 0.2) + (np.pi / 2 if is_upright else 0) + np.pi * int(rng.integers(2))
    heading = along if rng.random() < 0.4 else rng.uniform(0, 2 * np.pi)
    width = rng.uniform(0.8, 3.5) * (3 if rng.random() < 0.2 else 1)
    points = _walk(part.shape, start, rng.uniform(25, 230) * size, rng.uniform(0.1, 0.4), heading, rng)
    line = _line(part.shape, points, width * max(0.8, size), rng)
    if rng.random() < 0.3:
        fork = _walk(part.shape, (int(start[0]), int(start[1])), rng.uniform(15, 60) * size, 0.3, heading + rng.uniform(0.4, 1.2), rng)
        line = np.maximum(line, _line(part.shape, fork, width, rng))
    surface *= 1 - np.float32(rng.uniform(0.2, 0.85)) * line
    return line > HALF * min(1.0, width)


def _scratch(surface: Floats, part: Bools, rng: np.random.Generator, is_upright: bool) -> Bools:
    """One to four nearly straight lines, brighter or darker than the surface."""
    start, size = _place(part, rng), _scale(part)
    across = rng.normal(0, 0.15) + (0 if is_upright else np.pi / 2)
    heading = rng.uniform(0, np.pi) if rng.random() < 0.6 else across + np.pi / 2
    strength = rng.uniform(0.25, 1.2) if rng.random() < 0.7 else -rng.uniform(0.2, 0.6)
    shown = np.zeros(part.shape, np.bool_)
    for _ in range(1 + int(rng.integers(4)) * int(rng.random() < 0.4)):
        at = tuple(int(c + rng.normal(0, 8 * size) * shown.any()) for c in start)
        points = _walk(part.shape, (at[0], at[1]), rng.uniform(20, 200) * size, rng.uniform(0.0, 0.03), heading + rng.normal(0, 0.08), rng)
        width = rng.uniform(0.8, 4) * max(0.8, size)
        line = _line(part.shape, points, width, rng)
        surface *= 1 + np.float32(strength) * line
        shown |= line > HALF * min(1.0, width)
    return shown


def _stain(surface: Floats, part: Bools, rng: np.random.Generator, is_upright: bool) -> Bools:
    """A soft spot through which the surface shows, clearly darker or lighter."""
    size = _scale(part)
    spot = _lump(part.shape, _place(part, rng), rng.uniform(7, 40) * size, rng, 0.25)
    soft = cv2.GaussianBlur(spot, (0, 0), float(rng.uniform(0.7, 4)))
    strength = -rng.uniform(0.15, 0.6) if rng.random() < 0.75 else rng.uniform(0.15, 0.5)
    surface *= 1 + np.float32(strength) * soft
    return np.asarray(soft > HALF)


def _fray(surface: Floats, part: Bools, rng: np.random.Generator, is_upright: bool) -> Bools:
    """A piece out of the part's rim, rough inside; or a place, at the rim or within, that the tool never reached."""
    return _bite(surface, part, rng) if rng.random() < 0.5 else _bare(surface, part, rng)


def _bite(surface: Floats, part: Bools, rng: np.random.Generator) -> Bools:
    size = _scale(part)
    centre = _place(_rim(part), rng)
    bite = _lump(part.shape, centre, rng.uniform(5, 38) * size, rng, 0.35)
    outside = surface[~part]
    bottom = float(np.median(outside)) if outside.size else float(np.median(surface)) * rng.uniform(0.1, 0.5)
    rough = cv2.resize(rng.standard_normal((part.shape[0] // 3 + 1, part.shape[1] // 3 + 1), np.float32), part.shape[::-1])
    share = np.float32(rng.uniform(0.5, 1.0)) * bite * part
    surface += share * (bottom * (1 + np.float32(rng.uniform(0, 0.5)) * rough) - surface)
    return (bite > HALF) & part


def _bare(surface: Floats, part: Bools, rng: np.random.Generator) -> Bools:
    """Matt, without the grain, mostly darker than the rest, with soft shapes of its own; some with a line or a rough seam around them."""
    size, shape = _scale(part), part.shape
    place = _rim(part) if rng.random() < 0.6 else part
    area = _lump(shape, _place(place, rng), rng.uniform(5, 60) * size, rng, 0.3)
    for _ in range(int(rng.integers(3))):  # grown together from several
        area = np.maximum(area, _lump(shape, _place(area * part > HALF if (area * part > HALF).any() else part, rng),
                                      rng.uniform(4, 35) * size, rng, 0.3))  # fmt: skip
    soft = cv2.GaussianBlur(area, (0, 0), float(rng.uniform(0.5, 1.5)))
    level = cv2.blur(surface, (31, 31)) * np.float32(np.clip(np.exp(rng.normal(-0.2, 0.25)), 0.35, 1.3))
    hills = cv2.resize(rng.standard_normal((4, 4)).astype(np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC)
    fine = rng.standard_normal(shape, np.float32)
    matt = level * (1 + np.float32(rng.uniform(0, 0.12)) * hills + np.float32(rng.uniform(0.005, 0.04)) * fine)
    surface += soft * (matt - surface)
    if rng.random() < 0.5:
        seam = np.clip(4 * soft * (1 - soft), 0, 1) * (1 if rng.random() < 0.5 else np.clip(1 + hills, 0, 1))
        surface *= 1 + np.float32(rng.uniform(0.05, 0.5) * (-1 if rng.random() < 0.7 else 1)) * seam
    return (area > HALF) & part


def _patch(surface: Floats, part: Bools, rng: np.random.Generator, is_upright: bool) -> Bools:
    """A part of the surface that was worked otherwise: rougher, smoother or lighter, up to an uneven border; large."""
    height, width = part.shape
    size = _scale(part)
    if rng.random() < 0.5:
        area = _lump(part.shape, _place(part, rng), rng.uniform(20, 75) * size, rng, 0.3) > HALF
    else:
        border = np.cumsum(rng.normal(0, 0.8 * size, width)) + rng.uniform(0.08, 0.5) * height
        area = np.arange(height)[:, None] < border[None]
        area = area if rng.random() < 0.5 else area[::-1]
        if rng.random() < 0.4:
            first, last = np.sort(rng.uniform(0, width, 2)).astype(int)
            area[:, :first], area[:, last + 1 :] = False, False
        if not is_upright and height == width:
            area = np.ascontiguousarray(area.T)
    smooth = cv2.blur(surface, (15, 15))
    change = rng.uniform(2.0, 4.0) if rng.random() < 0.65 else rng.uniform(0.0, 0.3)
    streaks = cv2.resize(rng.standard_normal((max(2, height // int(rng.integers(30, 200))), width // 2), np.float32), (width, height))
    streaks = np.maximum(streaks - np.float32(rng.uniform(-1, 1.5)), -1) if rng.random() < 0.5 else streaks
    added = streaks * np.float32(rng.uniform(0.0, 0.3)) * smooth if change > 1 else np.float32(0)
    lighter = np.float32(1 + rng.normal(0, 0.12))
    worked = (smooth + (surface - smooth) * np.float32(change) + added) * lighter
    soft = cv2.GaussianBlur(area.astype(np.float32), (0, 0), float(rng.uniform(0.6, 3))) * part
    surface += soft * (worked - surface)
    return np.asarray(area & part)


_DRAW: MappingProxyType[str, Callable[[Floats, Bools, np.random.Generator, bool], Bools]] = MappingProxyType(
    {"pit": _pit, "crack": _crack, "scratch": _scratch, "stain": _stain, "fray": _fray, "patch": _patch}
)

SHAPES: MappingProxyType[str, Callable[[Floats, Bools, np.random.Generator, bool], Bools]] = MappingProxyType(
    {"pit": _pit, "crack": _crack, "bite": lambda surface, part, rng, _: _bite(surface, part, rng),
     "bare": lambda surface, part, rng, _: _bare(surface, part, rng), "patch": _patch}
)  # fmt: skip
"""What may be drawn on a photographed surface, by its shape: changes the lightness (H, W) in place and gives where it shows."""
