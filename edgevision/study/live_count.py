"""How much of a network's work a change really asks for: counted from values, knowing nothing of the engine.

In: for each layer that multiplies, its geometry and the values it read in two whole runs. Out: the share of all multiply-accumulates whose
layer's window holds a value that differs between the two. A layer whose inputs came out equal, as behind a ReLU, is not counted, whatever
changed before it. Keeps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.records import Mask


@dataclass(frozen=True, slots=True)
class Window:
    """A convolution's window, as (row, column) pairs; `after` is the size of its output. Also a transposed one's, seen from its input."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pad: tuple[int, int]
    after: tuple[int, int]
    is_transposed: bool = False


@dataclass(frozen=True, slots=True)
class MacLayer:
    """One layer that multiplies: which of the exposed tensors it reads (`sources`), its multiply-accumulates and its window.

    Without a window it is a matrix product whose first factor's rows are its positions (`rows`), or all of it is one position.
    """

    name: str
    sources: tuple[int, ...]
    macs: int
    window: Window | None = None
    rows: int = 1


def live_macs_share(layers: Sequence[MacLayer], before: Sequence[NDArray[Any]], after: Sequence[NDArray[Any]]) -> float:
    """The multiply-accumulates, as a share of all, of positions whose window holds a changed value. 0 where no layer multiplies."""
    total = sum(layer.macs for layer in layers)
    live = sum(layer.macs * live_share(layer, before, after) for layer in layers)
    return live / total if total else 0.0


def live_share(layer: MacLayer, before: Sequence[NDArray[Any]], after: Sequence[NDArray[Any]]) -> float:
    """The share of one layer's positions whose window holds a changed value."""
    changed = [before[source] != after[source] for source in layer.sources]
    if layer.window is not None:
        return float(live_positions(changed[0][0].any(axis=0), layer.window).mean())
    if len(changed) == 1 and changed[0].ndim and changed[0].size % layer.rows == 0:
        return float(changed[0].reshape(layer.rows, -1).any(axis=1).mean())
    return float(any(part.any() for part in changed))


def live_positions(changed: Mask, window: Window) -> Mask:
    """Where an output's window holds a changed input. changed: (H, W) -> (H', W')."""
    live = np.zeros(window.after, np.bool_)
    for row in range(window.kernel[0]):
        for column in range(window.kernel[1]):
            shift = row * window.dilation[0] - window.pad[0], column * window.dilation[1] - window.pad[1]
            if window.is_transposed:
                _spread(changed, live, shift, window.stride)
            else:
                _gather(changed, live, shift, window.stride)
    return live


def _gather(changed: Mask, live: Mask, shift: tuple[int, int], stride: tuple[int, int]) -> None:
    """live[y] |= changed[y * stride + shift], where that is inside."""
    outputs, inputs = zip(*(_along(live.shape[k], changed.shape[k], shift[k], stride[k]) for k in (0, 1)), strict=True)
    live[outputs] |= changed[inputs]


def _spread(changed: Mask, live: Mask, shift: tuple[int, int], stride: tuple[int, int]) -> None:
    """live[y * stride + shift] |= changed[y], where that is inside."""
    inputs, outputs = zip(*(_along(changed.shape[k], live.shape[k], shift[k], stride[k]) for k in (0, 1)), strict=True)
    live[outputs] |= changed[inputs]


def _along(count: int, limit: int, shift: int, stride: int) -> tuple[slice, slice]:
    """The places p of `count` for which p * stride + shift lies in 0 .. limit - 1, and those places."""
    first = max(0, -(shift // stride))
    last = min(count, (limit - 1 - shift) // stride + 1)
    if last <= first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + shift
    return slice(first, last), slice(start, start + (last - first - 1) * stride + 1, stride)
