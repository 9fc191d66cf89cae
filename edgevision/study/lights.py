"""Pictures as another light would show them: how much of what a recipe finds is lost then. In: Cases. Out: Cases. Keeps nothing.

The lights are the ends of what `study/sweep.py` sweeps through: half and twice as much, light from one side, another white balance. What
goes beyond white is white, as in a camera; what a recipe is taught from, templates and references, stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image
from edgevision.study.sets import Case

RAMP = 0.35  # how much more and less light there is at two opposite sides
TINT = (0.85, 1.0, 1.15)  # of blue, green and red


def _ramp(height: int, width: int) -> NDArray[np.float32]:
    return np.asarray(1 + RAMP * np.linspace(-1, 1, width)[None, :, None] * np.ones((height, 1, 1)), np.float32)


LIGHTS: MappingProxyType[str, Callable[[int, int], NDArray[np.float32]]] = MappingProxyType({
    "half": lambda height, width: np.full((1, 1, 1), 0.5, np.float32),
    "double": lambda height, width: np.full((1, 1, 1), 2.0, np.float32),
    "from one side": _ramp,
    "tinted": lambda height, width: np.array([[TINT]], np.float32),
})  # fmt: skip


def lit(image: Image, light: str) -> Image:
    """(H, W[, 3]) in that light; a gray picture has no tint."""
    shape = (*image.shape[:2], -1)
    gain = LIGHTS[light](*image.shape[:2])
    if image.ndim == 2:
        gain = gain.mean(axis=2, keepdims=True)
    values = np.rint(image.reshape(shape).astype(np.float32) * gain)
    shown: Image = np.minimum(values, np.iinfo(image.dtype).max).astype(image.dtype).reshape(image.shape)
    return shown


def in_light(cases: tuple[Case, ...], light: str) -> tuple[Case, ...]:
    """The same Cases, their pictures in that light."""
    return tuple(replace(case, brought=partial(_brought, case.brought, light)) for case in cases)


def _brought(before: Callable[[Image], Image] | None, light: str, image: Image) -> Image:
    return lit(image if before is None else before(image), light)
