"""How a scratch, a stain and a dent look. In: a plan, a place, a grid. Out: `change` (gray levels) and its exact mask. Keeps nothing.

`change` is what the defect adds to the part's picture, already as sharp as the lens lets it be; its strongest pixel is the plan's contrast.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.line.design import DefectPlan

Plane = NDArray[np.float32]
LENS_SIGMA_PX = 0.6
STAIN_TINT = np.array([1.0, 0.9, 0.72], dtype=np.float32)  # BGR: brownish
NO_TINT = np.ones(3, dtype=np.float32)


def _grid(shape: tuple[int, int], at: tuple[float, float]) -> tuple[Plane, Plane]:
    """Each pixel's distance from `at` in x and in y."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return x - np.float32(at[0]), y - np.float32(at[1])


def _lens(field: Plane) -> Plane:
    """Blur as the lens does, and bring the strongest value back to 1."""
    soft = cv2.GaussianBlur(field, (0, 0), LENS_SIGMA_PX)
    peak = float(np.abs(soft).max())
    return np.asarray(soft / peak if peak > 0 else soft, dtype=np.float32)


def _wander(rng: np.random.Generator, shape: tuple[int, int], coarse: int, low: float) -> Plane:
    """A smooth random field between `low` and 1."""
    small = rng.uniform(low, 1.0, (max(2, shape[0] // coarse), max(2, shape[1] // coarse))).astype(np.float32)
    return np.asarray(cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), dtype=np.float32).clip(low, 1.0)


def scratch(plan: DefectPlan, at: tuple[float, float], shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """A slightly bent line, thinner at its ends."""
    length, width = plan.size
    direction, bend = float(rng.uniform(0, np.pi)), float(rng.uniform(-0.12, 0.12)) * length
    along = np.linspace(-0.5, 0.5, 61, dtype=np.float32)
    path_x = length * along * np.cos(direction) - bend * (1 - 4 * along**2) * np.sin(direction)
    path_y = length * along * np.sin(direction) + bend * (1 - 4 * along**2) * np.cos(direction)
    x, y = _grid(shape, at)
    near = np.full(shape, np.inf, dtype=np.float32)
    for px, py, share in zip(path_x, path_y, along, strict=True):
        half = 0.5 * width * (1.0 - 0.5 * (2 * abs(share)) ** 3)
        np.minimum(near, np.hypot(x - px, y - py) - half, out=near)
    return _lens(np.clip(0.5 - near, 0.0, 1.0).astype(np.float32) * _wander(rng, shape, 12, 0.8))


def stain(plan: DefectPlan, at: tuple[float, float], shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """A blob of uneven outline with a soft edge."""
    x, y = _grid(shape, at)
    angle, across = np.arctan2(y, x), plan.size[1] / plan.size[0]
    wobble = np.zeros(shape, dtype=np.float32)
    for wave in range(2, 6):
        wobble += float(rng.uniform(0, 0.09)) * np.cos(wave * angle + float(rng.uniform(0, 2 * np.pi)))
    outline = 0.5 * plan.size[0] * (1 + wobble)
    soft = float(rng.uniform(1.2, 3.0))
    field = np.clip(0.5 + (outline - np.hypot(x, y / across)) / soft, 0.0, 1.0)
    return _lens(field.astype(np.float32) * _wander(rng, shape, 6, 0.8))


def dent(plan: DefectPlan, at: tuple[float, float], shape: tuple[int, int], rng: np.random.Generator) -> Plane:
    """A hollow lit from one side: one flank bright, the other dark."""
    x, y = _grid(shape, at)
    turn = float(rng.uniform(0, np.pi))
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    rho2 = ((u / plan.size[0]) ** 2 + (v / plan.size[1]) ** 2) * 12.0
    light = float(rng.uniform(0.6, 1.1)) * np.pi
    slope = (x * np.cos(light) + y * np.sin(light)) * np.exp(-0.5 * rho2)
    hollow = np.exp(-0.5 * rho2) * plan.size[0] * float(rng.uniform(0.02, 0.08))
    return _lens((slope - hollow).astype(np.float32))


def change_of(plan: DefectPlan, at: tuple[float, float], shape: tuple[int, int], rng: np.random.Generator) -> tuple[Plane, Plane]:
    """The (H, W, 3) change in gray levels, BGR, and the (H, W) cover whose 0.5 line bounds the exact mask."""
    if plan.label == "scratch":
        field = scratch(plan, at, shape, rng)
        return _tinted(field, plan.contrast if rng.random() < 0.7 else -plan.contrast, NO_TINT), field
    if plan.label == "stain":
        field = stain(plan, at, shape, rng)
        return _tinted(field, -plan.contrast, STAIN_TINT if rng.random() < 0.6 else NO_TINT), field
    field = dent(plan, at, shape, rng)
    cover = cv2.morphologyEx(np.minimum(np.abs(field) * 1.8, 1.0), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    return _tinted(field, plan.contrast, NO_TINT), np.asarray(cover, dtype=np.float32)


def _tinted(field: Plane, contrast: float, tint: Plane) -> Plane:
    return np.asarray(field[..., None] * (tint * np.float32(contrast)), dtype=np.float32)
