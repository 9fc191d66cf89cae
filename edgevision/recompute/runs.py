"""How far a changed pixel reaches through each form. In: a form and two sizes. Out: a Reach. Keeps nothing.

The runs themselves are built at every call by the backend's `collector`, from these tables and the planes' live bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Axis, Broadcast, Convolve, Form, Pick, Pool, Reach, Resize, Total, Window

Span = tuple[NDArray[np.int32], NDArray[np.int32]]


def reach(form: Form, source_px: tuple[int, int], target_px: tuple[int, int]) -> Reach:
    """Which outputs of `form` see each input of its first source; sizes are (height, width)."""
    if isinstance(form, Pick):
        return _picked(form, source_px)
    if isinstance(form, Broadcast | Total):
        return spread(source_px, target_px)
    if isinstance(form, Convolve | Pool):
        rows, columns = (_window_span(form.window, axis, source_px[axis], target_px[axis]) for axis in (0, 1))
    elif isinstance(form, Resize):
        rows, columns = axis_span(form.rows, source_px[0]), axis_span(form.columns, source_px[1])
    else:
        return same(*source_px)
    return table(rows, columns, source_px[1])


def same(height: int, width: int) -> Reach:
    """Each pixel sees itself alone."""
    rows, columns = np.arange(height, dtype=np.int32), np.arange(width, dtype=np.int32)
    return Reach(columns, columns, rows, rows + np.int32(1))


def spread(source_px: tuple[int, int], target_px: tuple[int, int]) -> Reach:
    """Pixel by pixel, but along an axis where one side has a single place: all see it, or it sees all."""
    rows, columns = (_facing(source_px[axis], target_px[axis]) for axis in (0, 1))
    return table(rows, columns, source_px[1])


def _facing(source: int, target: int) -> Span:
    places = np.arange(target, dtype=np.int32)
    if source == target:
        return places, places + np.int32(1)
    return np.zeros_like(places), np.full_like(places, source)


def _picked(form: Pick, source_px: tuple[int, int]) -> Reach:
    """Places in any order: a column reaches from the first to the last output that looks at it or beyond it."""
    chosen = form.taps[form.taps[:, 2] >= 0] if np.any(form.taps[:, 2] >= 0) else np.zeros((1, 3), np.int32)
    above, below = _looked_at(form.rows, chosen[:, 0])
    begin, end = _looked_at(form.columns, chosen[:, 1])
    first, last = np.full(source_px[1], len(begin), np.int32), np.full(source_px[1], -1, np.int32)
    for place, (start, stop) in enumerate(zip(begin, end, strict=True)):
        first[start:stop] = np.minimum(first[start:stop], place)
        last[start:stop] = np.maximum(last[start:stop], place)
    return Reach(np.minimum.accumulate(first[::-1])[::-1].copy(), np.maximum.accumulate(last), above, below)


def _looked_at(places: NDArray[np.int32], taps: NDArray[np.int32]) -> Span:
    """Inputs begin .. end - 1 that each output sees; none where it lies outside."""
    inside = places >= 0
    return np.where(inside, places + taps.min(), 0).astype(np.int32), np.where(inside, places + taps.max() + 1, 0).astype(np.int32)


def table(rows: Span, columns: Span, width: int) -> Reach:
    """A Reach from the span of inputs, begin .. end - 1, that each output row and each output column sees."""
    inputs = np.arange(width)
    first = np.searchsorted(columns[1], inputs, side="right")
    last = np.searchsorted(columns[0], inputs, side="right") - 1
    return Reach(first.astype(np.int32), last.astype(np.int32), *rows)


def axis_span(axis: Axis, size: int) -> Span:
    """What each output of a resize sees along one axis; nothing where the picture does not reach."""
    begin, end = axis.first.copy(), axis.second + np.int32(1)
    outside = np.flatnonzero(axis.first < 0)
    if outside.size:
        middle = np.flatnonzero(axis.first >= 0)[0]
        begin[outside] = end[outside] = np.where(outside < middle, 0, size)
    return begin, end


def _window_span(window: Window, axis: int, source: int, target: int) -> Span:
    begin = np.arange(target, dtype=np.int64) * window.stride[axis] - window.pad[axis]
    end = begin + (window.kernel[axis] - 1) * window.dilation[axis] + 1
    return np.clip(begin, 0, source).astype(np.int32), np.clip(end, 0, source).astype(np.int32)
