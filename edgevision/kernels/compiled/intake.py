"""A picture from outside into the network's first plane, at the runs alone: as it is, through the table of 8-bit values, or resized.

A run's values are listed channel by channel, coded as the plane holds them, laid side by side as its pixels are, and compared and stored
word by word: each of these is a plain loop that becomes vectors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from edgevision.kernels.compiled.exact import fma
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.native import at
from edgevision.kernels.compiled.store import HELD, KINDS, encoded, numbers
from edgevision.kernels.forms import Float, Intake, Plane, Resize, Runs, Take

_RUNS, _LINES, _TENSOR, _FRAME = types.int32[:, ::1], types.UniTuple(types.int64, 5), types.float32[:, :, ::1], types.uint8[:, :, :]


@kernel
def code_line(values, coded, given, kind):
    """One channel of a run as the plane holds it."""
    for x in range(values.shape[0]):
        coded[x] = encoded(values[x], given[2], given[1], kind)


@kernel
def keep(count, row, start, is_new, lines, room, kind):
    """Lay out, compare, store and mark `count` coded pixels from (row, start) on. `room`: see `bind`; `is_new`: see `settle`.

    Channels of a pixel that are not the picture's, another tensor's perhaps, are taken from what is there and stay as they are.
    """
    codes, held, words, moved = room
    channels, wide = codes.shape[0], held.shape[0] // codes.shape[1]
    place = lines[0] + row * lines[1] + start * lines[2]
    if channels < wide:
        there = carray(at(place, kind), (count * wide,))
        for k in range(count * wide):
            held[k] = there[k]
    if channels == 3 and wide == 4:
        first, second, third = codes[0], codes[1], codes[2]
        for x in range(count):
            held[4 * x], held[4 * x + 1], held[4 * x + 2], held[4 * x + 3] = first[x], second[x], third[x], held[4 * x + 3]
    elif channels == 3 and wide == 3:
        first, second, third = codes[0], codes[1], codes[2]
        for x in range(count):
            held[3 * x], held[3 * x + 1], held[3 * x + 2] = first[x], second[x], third[x]
    else:
        for c in range(channels):
            for x in range(count):
                held[x * wide + c] = codes[c, x]
    settle(words, moved, place, lines[3] + row * lines[4] + start, count, lines[2] // 4, is_new)


@kernel
def settle(words, moved, place, mark, count, each, is_new):
    """Compare `count` pixels of so many words `each` with what lies at `place`, store them, and mark those that differ.

    Where all of it `is_new` nothing is compared, and all is marked.
    """
    old, live = carray(at(place, np.uint32), (count * each,)), carray(at(mark, np.uint8), (count,))
    if is_new:
        for k in range(count * each):
            old[k] = words[k]
        live[:] = 1
        return
    for k in range(count * each):
        moved[k] = words[k] ^ old[k]
        old[k] = words[k]
    if each == 1:
        for x in range(count):
            live[x] |= np.uint8(moved[x] != 0)
    elif each == 2:
        for x in range(count):
            live[x] |= np.uint8((moved[2 * x] | moved[2 * x + 1]) != 0)
    elif each == 3:
        for x in range(count):
            live[x] |= np.uint8((moved[3 * x] | moved[3 * x + 1] | moved[3 * x + 2]) != 0)
    else:
        for x in range(count):
            other = np.uint32(0)
            for k in range(x * each, x * each + each):
                other |= moved[k]
            live[x] |= np.uint8(other != 0)


@kernel
def take_tensor(picture, runs, count, is_new, lines, line, room, given, kind):
    """`picture` (channel, row, column)."""
    for run in range(count):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for c in range(picture.shape[0]):
            code_line(picture[c, row, start:stop], room[0][c], given, kind)
        keep(stop - start, row, start, is_new, lines, room, kind)


@kernel
def code_table(table, coded, given, kind):
    """What each 8-bit value comes to, (channel, 256), as the plane holds it."""
    for c in range(table.shape[0]):
        code_line(table[c], coded[c], given, kind)


@kernel
def take_frame(picture, runs, count, is_new, lines, line, room, given, kind, coded, order):
    """`picture` (row, column, channel), 8-bit; `coded` as `code_table` makes it. Beyond the picture its last row and column stand."""
    last_row, width = picture.shape[0] - 1, picture.shape[1]
    for run in range(count):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        top, end = min(row, last_row), min(stop, width)
        for c in range(order.shape[0]):
            codes, channel, values = coded[c], order[c], room[0][c]
            for column in range(start, end):
                values[column - start] = codes[picture[top, column, channel]]
            for column in range(max(start, width), stop):
                values[column - start] = codes[picture[top, width - 1, channel]]
        keep(stop - start, row, start, is_new, lines, room, kind)


@kernel
def take_resized(picture, runs, count, is_new, lines, line, room, given, kind, table, order, rows, columns, row_share, column_share, fill):
    """The same with `rows` and `columns` (2, outputs) to mix, -1 where the picture does not reach."""
    for run in range(count):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        top, bottom = rows[0, row], rows[1, row]
        for c in range(order.shape[0]):
            values, channel = table[c], order[c]
            for column in range(start, stop):
                left, right = columns[0, column], columns[1, column]
                if top < 0 or left < 0:
                    line[column - start] = fill[c]
                    continue
                a, b = values[picture[top, left, channel]], values[picture[top, right, channel]]
                below_a, below_b = values[picture[bottom, left, channel]], values[picture[bottom, right, channel]]
                above = fma(column_share[column], b - a, a)
                below = fma(column_share[column], below_b - below_a, below_a)
                line[column - start] = fma(row_share[row], below - above, above)
            code_line(line[: stop - start], room[0][c], given, kind)
        keep(stop - start, row, start, is_new, lines, room, kind)


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


def bind(intake: Intake, target: Plane) -> Take:
    """The kernel into this plane."""
    intake.check(target.padded.shape[2])
    kind, channels, step = KINDS.index(target.store.kind), target.padded.shape[2], target.padded.strides[1]
    line = np.zeros(target.width, np.float32)
    held = np.zeros(target.width * step // target.padded.itemsize, target.padded.dtype)
    words = held.view(np.uint32)
    codes = np.zeros((channels, target.width), held.dtype)
    room = (codes, held, words, np.zeros_like(words))  # a run by channel; by pixel; the same in words; their bits that moved
    lines = (target.values.ctypes.data, *target.values.strides[:2], target.live.ctypes.data, target.live.strides[0])
    dtype = HELD[kind]
    into = (
        _RUNS, types.int64, types.boolean, _LINES, types.float32[::1],
        types.Tuple((dtype[:, ::1], dtype[::1], types.uint32[::1], types.uint32[::1])),
        types.UniTuple(types.float32, 3), types.literal(kind),
    )  # fmt: skip
    if intake.table is None:
        code = specialize(take_tensor, (_TENSOR, *into))
        extra: tuple[NDArray[Any], ...] = ()
    else:
        order = np.array(intake.order, np.int64)
        if intake.resize is None or is_corner(intake.resize):
            code = specialize(take_frame, (_FRAME, *into, dtype[:, ::1], types.int64[::1]))
            coded = np.zeros((channels, 256), held.dtype)
            table = intake.table if intake.resize is None else intake.table + np.float32(0)  # as mixing has it: no zero is below 0
            specialize(code_table, (types.float32[:, ::1], dtype[:, ::1], into[6], into[7]))(table, coded, numbers(target.store), kind)
            extra = (coded, order)
        else:
            one, pairs, table_type = types.float32[::1], types.int64[:, ::1], types.float32[:, ::1]
            code = specialize(take_resized, (_FRAME, *into, table_type, types.int64[::1], pairs, pairs, one, one, one))
            extra = (intake.table, order, *_resize_tables(intake))

    def take(picture: NDArray[Any], runs: Runs, count: int, is_new: bool = False, keep: Plane = target) -> None:
        code(picture, runs, count, is_new, lines, line, room, given, kind, *extra)

    given = numbers(target.store)
    return take


def is_corner(resize: Resize) -> bool:
    """Whether nothing is mixed: the picture lies in the corner as it is, its last row and column repeated."""
    return all(
        not axis.share.any() and np.array_equal(axis.first, np.minimum(np.arange(len(axis.first)), axis.first.max()))
        for axis in (resize.rows, resize.columns)
    )


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
