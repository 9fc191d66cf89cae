"""A side of a surface ground otherwise than the rest. In: a picture of a ground surface and another one, a random generator. Out: the first
with a side of it as the second is ground, marked. Keeps nothing.

What such a side shows is no new colour but another grain: its streaks end at a border and others begin there, stronger or fainter, a little
lighter or darker. So what is set in is the other picture's grain alone, as shares of the lightness around it, on the lightness that lies
there. The grain must run down the pictures, as it does on magnetic tiles.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.study.train.recipes.variation import Bytes

Floats = NDArray[np.float32]
AROUND_PX = 41  # what the lightness around a pixel is taken from
DARKEST = 4.0  # gray levels added to all, so that the grain of what is nearly black is no noise


def reground(image: Bytes, other: Bytes, rng: np.random.Generator) -> tuple[Bytes, NDArray[np.bool_]]:
    """The picture (H, W, 3) with a side ground as `other` is, and where (H, W)."""
    shape = image.shape[:2]
    side = _side((shape[0], shape[1]), rng)
    there = cv2.blur(_lightness(image), (AROUND_PX, AROUND_PX))
    anew = there * _grain(other, (shape[0], shape[1]), rng) ** np.float32(np.exp(rng.uniform(-0.6, 1.0)))
    anew *= np.float32(np.exp(rng.normal(0.05, 0.1)))
    along, across = rng.uniform(0.6, 12.0), rng.uniform(0.6, 3.0)
    share = cv2.GaussianBlur(side.astype(np.float32), (0, 0), float(along), sigmaY=float(across))
    ratio = 1 + share * (anew / _lightness(image) - 1)
    return np.clip(image * ratio[..., None], 0, 255).astype(np.uint8), share > 0.5


def _lightness(image: Bytes) -> Floats:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.float32) + np.float32(DARKEST)


def _grain(other: Bytes, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A piece of the other picture's grain, of this size (H, W), as shares of the lightness around; mirrored at random."""
    lightness = _lightness(other)
    shares = lightness / cv2.blur(lightness, (AROUND_PX, AROUND_PX))
    rim = [max(1, side // 20) for side in shares.shape]
    inner = shares[rim[0] : -rim[0], rim[1] : -rim[1]]
    wide = max(8, int(inner.shape[1] * rng.uniform(0.6, 1)))
    begin = int(rng.integers(inner.shape[1] - wide + 1)) if inner.shape[1] > wide else 0
    piece = inner[:: 1 - 2 * int(rng.integers(2)), begin : begin + wide][:, :: 1 - 2 * int(rng.integers(2))]
    return np.asarray(cv2.resize(np.ascontiguousarray(piece), size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _side(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.bool_]:
    """(H, W): from the upper or lower rim to a border across the grain, or between two of them; mostly through the whole width."""
    height, width = size
    rows, along = np.arange(height)[:, None], np.linspace(-0.5, 0.5, width)
    first = _border(along, float(rng.uniform(0.05, 0.5)) * height, height, rng)
    side = rows < first[None]
    if rng.random() < 0.2:
        side &= rows >= _border(along, float(rng.uniform(0.03, 0.3)) * height, height, rng)[None]
    if rng.random() < 0.25:
        begin = int(rng.integers(max(1, width // 2)))
        side[:, : int(rng.integers(begin + 1))] = False
        side[:, int(rng.integers(width // 2 + begin // 2, width)) :] = False
    return np.ascontiguousarray(side if rng.random() < 0.5 else side[::-1])


def _border(along: NDArray[np.float64], level: float, height: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Rows, column by column: nearly straight, a little slanted and bent, with a slight waver."""
    waver = np.cumsum(rng.normal(0, 0.15, along.size))
    slant, bend = rng.normal(0, 0.05) * height, rng.normal(0, 0.03) * height
    return np.asarray(level + slant * along + bend * (4 * along**2 - 0.5) + waver - waver.mean())
