"""A frame brought out of its own light before anything else is done with it: to its golden picture's, or, alone, to an even one.

In: frames. Out: the same in that light. Keeps the golden picture, and how much of the last frame white hides.

The light between two pictures is a plane in logarithms: how much brighter, and how that falls from one side to the other. Beside a golden
picture it is laid through the ratios of a grid of places, by what most of them say, so that a part that is gone does not bend it; without
one, through the brightness of the frame's own blocks, so that a surface ground darker towards one side is made even, and is not told from
a lamp there. What the plane leaves, a stain, a shadow's edge, stays what it is.

A value that is white may have been any brighter: it says nothing of the light. Where the golden picture is brighter than white has become,
nothing speaks against that it still looks so: it is taken for that, and counted as hidden.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare.image import read_only
from edgevision.records import Image

Kind = Literal["none", "gray", "colour"]
KINDS: tuple[Kind, ...] = ("none", "gray", "colour")
Floats = NDArray[np.float64]

BLOCKS = 12  # along each side
FINER = 8  # places in a block, along each side, by which its mean is found
EVEN_LEVEL = 118.0  # of 255: what is neither bright nor dark
DARKEST = 1.0  # levels added to each mean: the logarithm of black is none
PLACES = 48  # of the grid, along each side
DIM = 8.0  # levels: what is darker says nothing
WHITE_LEVELS = 2.0  # so near to the greatest value a value is white
LEAST_PLACES = 100  # that must tell something
STRAYS = (0.4, 0.4, 0.2, 0.2, 0.1, 0.1, 0.05, 0.05, 0.02, 0.02)  # from which deviation on a place hardly counts, round by round
LEAST = 0.02  # a light that differs by less, all over, is the same: the frame is left as it is
GAIN_BOUNDS = (0.125, 8.0)


class OwnLight:
    """What one camera's frames are brought to: an even gray, or the light of `golden` where there is one.

    `hidden`: the share of the last frame's values of which white tells nothing, although the golden picture does; 0 without one.
    """

    def __init__(self, kind: Kind, golden: Image | None = None, bits: int | None = None) -> None:
        """`gray`: all channels alike, so that a white balance that slips is still seen; `colour`: each by itself.

        `bits`: how many of 16 the camera's values have, all where it is None.
        """
        self._kind, self._bits = kind, bits
        self._golden = None if kind == "none" else golden
        self._taught = None if self._golden is None else self._places_of(self._golden)
        self.hidden = 0.0

    @property
    def is_on(self) -> bool:
        """Whether anything is done."""
        return self._kind != "none"

    def taken_out(self, image: Image) -> Image:
        """The frame (H, W[, C]) in the light that all are brought to; the frame itself where nothing is to be done."""
        self.hidden = 0.0
        if self._kind == "none":
            return image
        if self._golden is None or self._taught is None or self._golden.shape != image.shape:
            return read_only(relit(image, self._kept(alone(means_of(image) / self._level(image))), self._white(image)))
        now = self._places_of(image)
        now[now >= self._white(image) / self._level(image)] = np.nan
        plane = between(now, self._taught)
        if plane is None or np.abs(plane).sum(axis=1).max() < LEAST:
            return image
        lit = relit(image, self._kept(plane), self._white(image))
        white = image >= self._white(image)
        if white.any():
            hidden = white & (lit < self._golden)
            self.hidden = np.count_nonzero(hidden) / hidden.size
            np.copyto(lit, self._golden, where=hidden)
        return read_only(lit)

    def _places_of(self, image: Image) -> Floats:
        """(place, channel): the values of a grid of pixels, in gray levels of an 8-bit picture; NaN where they are too dark to tell."""
        values = image[_spread(image.shape[0], image.shape[1])].reshape(PLACES * PLACES, -1) / self._level(image)
        values[values < DIM] = np.nan
        return np.asarray(values)

    def _level(self, image: Image) -> float:
        """One gray level of an 8-bit picture, in the camera's values."""
        return 1.0 if image.dtype == np.uint8 else ((1 << (self._bits or 16)) - 1) / 255

    def _white(self, image: Image) -> float:
        """From which value on one is white."""
        return (255 - WHITE_LEVELS) * self._level(image)

    def _kept(self, plane: Floats) -> Floats:
        """The same for each channel where all are to be: the mean."""
        return np.broadcast_to(plane.mean(axis=0), plane.shape) if self._kind == "gray" else plane


def means_of(image: Image) -> Floats:
    """(block, channel): the mean of each block."""
    finer = [max(1, size // (BLOCKS * FINER)) for size in image.shape[:2]]
    fine = cv2.resize(image, (image.shape[1] // finer[1], image.shape[0] // finer[0]), interpolation=cv2.INTER_AREA)
    means = cv2.resize(fine.astype(np.float32), (BLOCKS, BLOCKS), interpolation=cv2.INTER_AREA)
    return np.asarray(means.reshape(BLOCKS * BLOCKS, -1), np.float64)


def alone(means: Floats) -> Floats:
    """(channel, 3): the plane that brings a picture of such blocks to an even light; how much brighter, more so to the right, and down."""
    logs = np.log(means + DARKEST)
    plane = np.tile(_planes() @ logs.mean(axis=1), (logs.shape[1], 1))
    plane[:, 0] = logs.mean(axis=0) - np.log(EVEN_LEVEL + DARKEST)
    return np.asarray(-plane)


def between(now: Floats, wanted: Floats) -> Floats | None:
    """(channel, 3): the plane that brings a picture with these values at its places to the light of another; None where too few tell.

    A lamp's colour does not change along the picture: channels differ by a constant.
    """
    told = np.isfinite(now + wanted).all(axis=1)
    if np.count_nonzero(told) < LEAST_PLACES:
        return None
    ratios, places = np.log(wanted[told]) - np.log(now[told]), _grid(PLACES)[told]
    middle = ratios.mean(axis=1)
    slope = np.array([np.median(middle), 0.0, 0.0])
    for stray in STRAYS:
        weights = 1 / (1 + ((middle - places @ slope) / stray) ** 2) ** 2
        heavy = places * weights[:, None]
        slope = np.linalg.lstsq(heavy.T @ places, heavy.T @ middle, rcond=None)[0]
    plane = np.tile(slope, (ratios.shape[1], 1))
    plane[:, 0] += np.median(ratios - middle[:, None], axis=0)
    return np.asarray(plane)


def relit(image: Image, plane: Floats, most: float) -> Image:
    """The picture, a new array, brought by a plane (channel, 3) to another light; a camera's deeper values to `most` at most."""
    height, width = image.shape[:2]
    down, across = (np.linspace(-1, 1, 2 * size + 1)[1::2] for size in (height, width))
    rows = np.exp(plane[:, 2].mean() * down).astype(np.float32)
    columns = np.exp(plane[:, 0] + plane[:, 1] * across[:, None]).astype(np.float32)
    field = np.clip(rows[:, None, None] * columns[None], *GAIN_BOUNDS)
    values = np.ascontiguousarray(image).reshape(height, width, len(plane))
    if image.dtype == np.uint8:
        return np.asarray(cv2.multiply(values, field, dtype=cv2.CV_8U).reshape(image.shape))
    return np.asarray(np.minimum(cv2.multiply(values, field, dtype=cv2.CV_16U), round(most)).reshape(image.shape))


@cache
def _spread(height: int, width: int) -> tuple[NDArray[np.intp], ...]:
    """The rows and columns of a grid of places in a picture of that size."""
    return np.ix_(*(((np.arange(PLACES) + 0.5) * size / PLACES).astype(np.intp) for size in (height, width)))


@cache
def _grid(count: int) -> Floats:
    """(place, 3): 1, how far to the right, how far down it lies, from -1 to 1, of a grid of `count` along each side."""
    at = np.linspace(-1, 1, 2 * count + 1)[1::2]
    y, x = (axis.ravel() for axis in np.meshgrid(at, at, indexing="ij"))
    return read_only(np.stack([np.ones_like(x), x, y], axis=1))


@cache
def _planes() -> Floats:
    """(3, block): the plane of least squares through the blocks' values."""
    return read_only(np.linalg.pinv(_grid(BLOCKS)))
