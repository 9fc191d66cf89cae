"""Where each output row or column of a resize looks, after the rules of ONNX and OpenVINO. In: a node's attributes. Out: two Axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Axis


def axes(attributes: Mapping[str, Any], scales: tuple[float, float], source: tuple[int, ...], output: tuple[int, ...]) -> tuple[Axis, Axis]:
    """The rows and the columns of a resize from `source` (height, width) to `output`."""
    transform, rounding = str(attributes["coordinate_transformation_mode"]), str(attributes["nearest_mode"])
    nearest = str(attributes["mode"]) == "nearest"
    made = []
    for scale, before, after in zip(scales, source, output, strict=True):
        places = _places(transform, np.float32(scale), before, after)
        made.append(_nearest(places, rounding, float(scale), before) if nearest else bilinear(places, before))
    return made[0], made[1]


def _places(transform: str, scale: np.float32, before: int, after: int) -> NDArray[np.float32]:
    """The input coordinate of each output."""
    out = np.arange(after, dtype=np.float32)
    if transform == "asymmetric":
        return out / scale
    if transform == "tf_half_pixel_for_nn":
        return (out + np.float32(0.5)) / scale
    if transform == "align_corners":
        return out * np.float32(before - 1) / np.float32(max(after - 1, 1))
    if transform == "pytorch_half_pixel" and after == 1:
        return np.zeros(1, np.float32)
    return (out + np.float32(0.5)) / scale - np.float32(0.5)


def _nearest(places: NDArray[np.float32], rounding: str, scale: float, before: int) -> Axis:
    half = np.float32(0.5)
    if rounding == "floor":
        index = np.floor(places)
    elif rounding == "ceil":
        index = np.ceil(places)
    elif rounding == "round_prefer_ceil":
        index = np.floor(places + half)
    elif rounding == "simple":
        index = np.ceil(places) if scale < 1 else np.trunc(places)
    else:
        index = np.ceil(places - half)
    first = np.clip(index, 0, before - 1).astype(np.int32)
    return Axis(first, first, np.zeros(len(first), np.float32))


def bilinear(places: NDArray[np.float32], before: int) -> Axis:
    """The two neighbours of each place and the second's share, clamped to the picture."""
    inside = np.clip(places, 0, before - 1).astype(np.float32)
    first = np.floor(inside).astype(np.int32)
    return Axis(first, np.minimum(first + 1, before - 1).astype(np.int32), (inside - first).astype(np.float32))
