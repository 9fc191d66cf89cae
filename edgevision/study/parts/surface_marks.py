"""What a good surface may show, too: marks of fingers, drops and pens, uneven sheen, single bright streaks. In: its lightness (H, W), a
random generator. Out: the same, drawn on in place; nothing of it is a defect. Keeps nothing.

They are what a network must learn to leave alone, so they look like defects but for what makes one: they are soft and faint, and the grain
of the surface goes on through them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
FAINTEST, CLEAREST = 0.02, 0.12  # share of the lightness that a harmless mark takes or gives


def mark_harmlessly(surface: Floats, rng: np.random.Generator, *, is_upright: bool = True) -> None:
    """Draw any of them, mostly none or few."""
    if rng.random() < 0.4:
        _sheen(surface, rng)
    for _ in range(int(rng.integers(4))):
        _smudge(surface, rng)
    for draw in (_scrawl, _ring, _blot):
        for _ in range(int(rng.integers(3)) if rng.random() < 0.3 else 0):
            draw(surface, rng)
    if rng.random() < 0.3:
        _streaks(surface, rng, is_upright)


def _strength(rng: np.random.Generator) -> np.float32:
    """Mostly darker."""
    return np.float32(rng.uniform(FAINTEST, CLEAREST) * (-1 if rng.random() < 0.75 else 1))


def _centre(surface: Floats, rng: np.random.Generator) -> tuple[int, int]:
    """(x, y) anywhere."""
    return int(rng.integers(surface.shape[1])), int(rng.integers(surface.shape[0]))


def _size(surface: Floats) -> float:
    """1 in a picture of 224 x 224."""
    return float(np.sqrt(surface.size)) / 224


def _soft(drawn: NDArray[np.uint8], blur_px: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(drawn.astype(np.float32) / np.float32(255), (0, 0), blur_px), np.float32)


def _sheen(surface: Floats, rng: np.random.Generator) -> None:
    """Places, without a border, where the surface shines and its grain shows more; others where it shows less."""
    height, width = surface.shape
    coarse = cv2.resize(rng.standard_normal((4, 4)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    smooth = cv2.blur(surface, (25, 25))
    share = np.exp(np.float32(rng.uniform(0.1, 0.6)) * coarse)
    lighter = np.exp(np.float32(rng.uniform(0.0, 0.3)) * coarse)
    surface[:] = lighter * (smooth + (surface - smooth) * share)


def _smudge(surface: Floats, rng: np.random.Generator) -> None:
    """A faint spot without a border."""
    (x, y), (height, width) = _centre(surface, rng), surface.shape
    rows, columns = np.ogrid[:height, :width]
    sigma = rng.uniform(3, 40, 2)
    spot = np.exp(-((rows - y) ** 2) / (2 * sigma[0] ** 2) - (columns - x) ** 2 / (2 * sigma[1] ** 2))
    surface *= (1 + rng.uniform(-0.1, 0.07) * spot).astype(np.float32)


def _scrawl(surface: Floats, rng: np.random.Generator) -> None:
    """A soft line that winds, as a finger or a wet cloth leaves."""
    size, drawn = _size(surface), np.zeros(surface.shape, np.uint8)
    turns = np.cumsum(rng.normal(0, rng.uniform(0.1, 0.5), int(rng.integers(8, 40)))) + rng.uniform(0, 2 * np.pi)
    steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * rng.uniform(3, 8) * size
    points = np.rint((np.cumsum(steps, axis=0) + _centre(surface, rng)) * 16).astype(np.int32)
    cv2.polylines(drawn, [points], False, 255, max(1, round(rng.uniform(1, 6) * size)), cv2.LINE_AA, 4)
    surface *= 1 + _strength(rng) * _soft(drawn, float(rng.uniform(0.8, 3) * size))


def _ring(surface: Floats, rng: np.random.Generator) -> None:
    """What is left of a drop, or part of it."""
    size, drawn, begin = _size(surface), np.zeros(surface.shape, np.uint8), rng.uniform(0, 360)
    axes = tuple(max(2, int(v * size)) for v in rng.uniform(5, 35, 2))
    reach = 360 if rng.random() < 0.5 else rng.uniform(60, 300)
    thick = max(1, round(rng.uniform(1, 4) * size))
    cv2.ellipse(drawn, _centre(surface, rng), (axes[0], axes[1]), rng.uniform(0, 180), begin, begin + reach, 255, thick, cv2.LINE_AA)
    surface *= 1 + _strength(rng) * _soft(drawn, float(rng.uniform(0.8, 2) * size))


def _blot(surface: Floats, rng: np.random.Generator) -> None:
    """A wider place, with a soft border, that is a little darker or lighter."""
    size, drawn = _size(surface), np.zeros(surface.shape, np.uint8)
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radii = rng.uniform(8, 45) * size * (1 + 0.25 * cv2.blur(rng.standard_normal((24, 1)), (1, 3)).ravel())
    points = np.stack([np.cos(angles) * radii, np.sin(angles) * radii * rng.uniform(0.3, 1)], axis=1) + _centre(surface, rng)
    cv2.fillPoly(drawn, [np.rint(points).astype(np.int32)], 255)
    surface *= 1 + _strength(rng) * _soft(drawn, float(rng.uniform(2, 8) * size))


def _streaks(surface: Floats, rng: np.random.Generator, is_upright: bool) -> None:
    """Single bright lines along the grain, through the whole picture or fading out."""
    seen = surface if is_upright else surface.T
    height, width = seen.shape
    for _ in range(1 + int(rng.integers(6))):
        x, wide = int(rng.integers(width)), 1 + int(rng.integers(2))
        middle, reach = rng.uniform(0, height), rng.uniform(0.15, 2) * height
        fade = np.exp(-(((np.arange(height) - middle) / reach) ** 2)).astype(np.float32)
        seen[:, x : x + wide] *= 1 + np.float32(rng.uniform(0.05, 0.5)) * fade[:, None]
