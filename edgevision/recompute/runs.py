"""How far a changed pixel reaches through each form. In: a form and two sizes. Out: a Reach. Keeps nothing.

The runs themselves are built at every call by the backend's `collector`, from these tables and the planes' live bytes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Axis, Convolve, Form, Pool, Reach, Resize, Window

Span = tuple[NDArray[np.int32], NDArray[np.int32]]


def reach(form: Form, source_px: tuple[int, int], target_px: tuple[int, int]) -> Reach:
    """Which outputs of `form` see each input; sizes are (height, width)."""
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
