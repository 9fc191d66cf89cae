"""Moving pictures inside their buffers without a copy: a picture's origin moves along its ring, and every address of it with the origin.

Row ends then lie where the next row's beginning was: just what is made blank. As a linker does, the places are listed once that hold an
address inside a ring (kernels' blocks and tables, see `native`), and the same step is added to each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.native import NativeKernel, at, put
from edgevision.kernels.forms import Buffer

BASE, ROOM, ORIGIN, ROWS, COLUMNS, PIXEL_BYTES, TOP, LEFT, HEIGHT, WIDTH, BLANK = range(11)  # of a buffer


@kernel
def blank_pixels(address, count, blank):
    """So many pixels, word by word."""
    each = blank.shape[0]
    pixels = carray(at(address, np.int32), (count * each,))
    for pixel in range(count):
        for word in range(each):
            pixels[pixel * each + word] = blank[word]


@kernel
def blank_around(buffer, origin, down, right):
    """All of a padded picture but what was there before it moved."""
    pixel_bytes = buffer[PIXEL_BYTES]
    blank = carray(at(buffer[BLANK], np.int32), (pixel_bytes // 4,))
    first_row, end_row = buffer[TOP] + max(0, down), buffer[TOP] + buffer[HEIGHT] + min(0, down)
    first, end = buffer[LEFT] + max(0, right), buffer[LEFT] + buffer[WIDTH] + min(0, right)
    row_bytes = buffer[COLUMNS] * pixel_bytes
    for row in range(buffer[ROWS]):
        address = buffer[BASE] + origin + row * row_bytes
        if first >= end or row < first_row or row >= end_row:
            blank_pixels(address, buffer[COLUMNS], blank)
        else:
            blank_pixels(address, first, blank)
            blank_pixels(address + end * pixel_bytes, buffer[COLUMNS] - end, blank)


@kernel
def move(buffers, shifts, slots, steps):
    """`buffers` (buffer, 11), `shifts` (buffer, 2), `slots` (slot, 2): address of an address, and in which buffer; `steps`: room."""
    for place in range(buffers.shape[0]):
        buffer, down, right = buffers[place], shifts[place, 0], shifts[place, 1]
        steps[place] = 0
        if down == 0 and right == 0:
            continue
        held = carray(at(buffer[ORIGIN], np.int64), (1,))
        origin = (held[0] - (down * buffer[COLUMNS] + right) * buffer[PIXEL_BYTES]) % buffer[ROOM]
        steps[place] = origin - held[0]
        held[0] = origin
        blank_around(buffer, origin, down, right)
    for slot in range(slots.shape[0]):
        step = steps[slots[slot, 1]]
        if step != 0:
            put(slots[slot, 0], carray(at(slots[slot, 0], np.int64), (1,))[0] + step)


def mover(buffers: Sequence[Buffer], kernels: Sequence[NativeKernel]) -> Callable[[NDArray[np.int64]], None]:
    """Keeps the promise of `forms.Backend.mover`."""
    tables = np.array([_line(buffer) for buffer in buffers], np.int64).reshape(-1, 11)
    found = [
        (slot, place)
        for place, buffer in enumerate(buffers)
        for one in kernels
        for slot in one.slots(buffer.pool.ctypes.data, buffer.pool.ctypes.data + buffer.pool.nbytes)
    ]
    slots, steps = np.array(found, np.int64).reshape(-1, 2), np.zeros(len(buffers), np.int64)
    grid = types.int64[:, ::1]
    code, keep = specialize(move, (grid, grid, grid, types.int64[::1])), (*buffers, *kernels)

    def moved(shifts: NDArray[np.int64], keep: object = keep) -> None:
        code(tables, shifts, slots, steps)

    return moved


def _line(buffer: Buffer) -> tuple[int, ...]:
    ring = buffer.pool.nbytes // 2
    places = buffer.pool.ctypes.data, ring, buffer.origin.ctypes.data
    return (*places, buffer.rows, buffer.columns, len(buffer.blank), *buffer.inner, buffer.blank.ctypes.data)
