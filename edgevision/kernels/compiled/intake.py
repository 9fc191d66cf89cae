"""A picture from outside into the network's first plane, at the runs alone: as it is, through the table of 8-bit values, or resized."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from edgevision.kernels.compiled.commit import CommitShape, commit_strip
from edgevision.kernels.compiled.exact import fma
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.strip import Outline, ShapeType
from edgevision.kernels.forms import Float, Intake, Plane, Runs

_RUNS, _LINES, _TENSOR, _FRAME = types.int32[:, ::1], types.UniTuple(types.int64, 5), types.float32[:, :, ::1], types.uint8[:, :, :]


@kernel
def take_tensor(picture, runs, count, lines, longest, full, numbers, shape):
    """`picture` (channel, row, column)."""
    channels = picture.shape[0]
    strip = np.zeros((longest, channels), np.float32)
    for run in range(count):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        if channels == 3:
            first, second, third = picture[0, row, start:stop], picture[1, row, start:stop], picture[2, row, start:stop]
            for column in range(stop - start):
                strip[column, 0], strip[column, 1], strip[column, 2] = first[column], second[column], third[column]
        else:
            for c in range(channels):
                values = picture[c, row, start:stop]
                for column in range(stop - start):
                    strip[column, c] = values[column]
        place, live = lines[0] + row * lines[1] + start * lines[2], lines[3] + row * lines[4] + start
        commit_strip(strip, stop - start, channels, place, lines[2], live, np.float32(0), full, numbers, shape)


@kernel
def take_frame(picture, runs, count, lines, longest, full, numbers, shape, table, order):
    """`picture` (row, column, channel), 8-bit; `table` (channel, 256)."""
    channels = order.shape[0]
    strip = np.zeros((longest, channels), np.float32)
    for run in range(count):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            for c in range(channels):
                strip[column - start, c] = table[c, picture[row, column, order[c]]]
        place, live = lines[0] + row * lines[1] + start * lines[2], lines[3] + row * lines[4] + start
        commit_strip(strip, stop - start, channels, place, lines[2], live, np.float32(0), full, numbers, shape)


@kernel
def take_resized(picture, runs, count, lines, longest, full, numbers, shape, table, order, rows, columns, row_share, column_share, fill):
    """The same with `rows` and `columns` (2, outputs) to mix, -1 where the picture does not reach."""
    channels = order.shape[0]
    strip = np.zeros((longest, channels), np.float32)
    for run in range(count):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            top, bottom, left, right = rows[0, row], rows[1, row], columns[0, column], columns[1, column]
            for c in range(channels):
                if top < 0 or left < 0:
                    strip[column - start, c] = fill[c]
                    continue
                values, channel = table[c], order[c]
                a, b = values[picture[top, left, channel]], values[picture[top, right, channel]]
                below_a, below_b = values[picture[bottom, left, channel]], values[picture[bottom, right, channel]]
                above = fma(column_share[column], b - a, a)
                below = fma(column_share[column], below_b - below_a, below_a)
                strip[column - start, c] = fma(row_share[row], below - above, above)
        place, live = lines[0] + row * lines[1] + start * lines[2], lines[3] + row * lines[4] + start
        commit_strip(strip, stop - start, channels, place, lines[2], live, np.float32(0), full, numbers, shape)


@kernel
def find_bad(bits, runs, count):
    """(row, column) of the first NaN or infinity inside the runs, or (-1, -1): `bits` of a float whose exponent is all ones."""
    exponent = np.int32(0x7F800000)
    for run in range(count):
        row, start, stop = runs[run, 0], np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for c in range(bits.shape[0]):
            values, top = bits[c, row, start:stop], np.int32(0)
            for column in range(stop - start):  # a maximum becomes vectors, an early end would not
                top = max(top, values[column] & exponent)
            if top == exponent:
                for column in range(stop - start):
                    if values[column] & exponent == exponent:
                        return row, np.int32(start + column)
    return np.int32(-1), np.int32(-1)


def bind(intake: Intake, target: Plane, lanes: int) -> Callable[[NDArray[Any], Runs, int], None]:
    """The kernel into this plane."""
    number, longest, outline = types.int64, target.width, Outline.of(target, None, lanes)
    into = (_RUNS, number, _LINES, number, number, types.UniTuple(types.float32, 3), ShapeType(CommitShape(*outline.literals)))
    if intake.table is None:
        code = specialize(take_tensor, (_TENSOR, *into))
        extra: tuple[NDArray[Any], ...] = ()
    else:
        extra = (intake.table, np.array(intake.order, np.int64))
        signature = (_FRAME, *into, types.float32[:, ::1], types.int64[::1])
        if intake.resize is None:
            code = specialize(take_frame, signature)
        else:
            one, pairs = types.float32[::1], types.int64[:, ::1]
            code = specialize(take_resized, (*signature, pairs, pairs, one, one, one))
            extra += _resize_tables(intake)

    def take(picture: NDArray[Any], runs: Runs, count: int, keep: Plane = target) -> None:
        code(picture, runs, count, outline.lines, longest, outline.full, outline.numbers, None, *extra)

    return take


def _resize_tables(intake: Intake) -> tuple[NDArray[Any], ...]:
    resize, fill = intake.resize, intake.fill
    if resize is None or fill is None:
        return ()
    pairs = [np.stack([axis.first, axis.second]).astype(np.int64) for axis in (resize.rows, resize.columns)]
    return (*pairs, resize.rows.share, resize.columns.share, fill)


def first_bad(picture: Float, runs: Runs, count: int) -> tuple[int, int]:
    """(row, column) of the first NaN or infinity inside the runs, or (-1, -1)."""
    row, column = specialize(find_bad, (types.int32[:, :, ::1], _RUNS, types.int64))(picture.view(np.int32), runs, count)
    return int(row), int(column)
