"""Pixel by pixel over runs, like `combine`, where one side has one row, column or channel and the other has many; then the activation."""

from __future__ import annotations

import numpy as np
from numba import carray, types

from edgevision.kernels.compiled.activations import KINDS as ACTIVATIONS
from edgevision.kernels.compiled.activations import activate
from edgevision.kernels.compiled.combine import OPERATIONS, operate
from edgevision.kernels.compiled.commit import CommitShape, commit_strip
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import at, native
from edgevision.kernels.compiled.store import KINDS, decoded, numbers
from edgevision.kernels.compiled.strip import Outline, ShapeType
from edgevision.kernels.forms import F32, Broadcast, Float, Kernel, Plane


@kernel
def broadcast(runs, begin, end, lines, size, ends, gate, given, operation, kind, a_store, b_store, shape):
    """runs[begin:end]. `lines`: (address, bytes a row, bytes a pixel, channels) of a and b, then (address, bytes a row, bytes a pixel) of
    the target, (address, bytes a row) of the live bytes. What has one row or one pixel a row has a step of 0 bytes there.

    `size`: channels, longest run, full vectors. `ends`: alpha, beta, scale and zero of a and of b.
    """
    channels, longest, full = size
    strip = np.empty(longest * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            a = carray(at(lines[0] + row * lines[1] + column * lines[2], a_store), (lines[3],))
            b = carray(at(lines[4] + row * lines[5] + column * lines[6], b_store), (lines[7],))
            if lines[3] == channels and lines[7] == channels:
                for c in range(channels):
                    left, right = decoded(a[c], ends[2], ends[3], a_store), decoded(b[c], ends[4], ends[5], b_store)
                    value[c] = activate(operate(left, right, operation), ends[0], ends[1], kind)
            elif lines[3] == channels:
                right = decoded(b[0], ends[4], ends[5], b_store)
                for c in range(channels):
                    value[c] = activate(operate(decoded(a[c], ends[2], ends[3], a_store), right, operation), ends[0], ends[1], kind)
            else:
                left = decoded(a[0], ends[2], ends[3], a_store)
                for c in range(channels):
                    value[c] = activate(operate(left, decoded(b[c], ends[4], ends[5], b_store), operation), ends[0], ends[1], kind)
        target, live = lines[8] + row * lines[9] + start * lines[10], lines[11] + row * lines[12] + start
        commit_strip(strip, stop - start, channels, target, lines[10], live, gate[0], full, given, shape)


def bind(form: Broadcast, sources: tuple[Plane, ...], target: Plane, gate: Float | None, lanes: int) -> Kernel:
    """The kernel over these planes."""
    arrays, stores = [source.values for source in sources], [source.store for source in sources]
    if form.constant is not None:
        place = 0 if form.swapped else 1
        arrays.insert(place, np.ascontiguousarray(form.constant, np.float32))
        stores.insert(place, F32)
    outline = Outline.of(target, gate, lanes)
    lines = (*_side(arrays[0]), *_side(arrays[1]), *outline.lines)
    ends = np.array([form.activation.alpha, form.activation.beta, *numbers(stores[0])[:2], *numbers(stores[1])[:2]], np.float32)
    literals = (
        OPERATIONS.index(form.op), ACTIVATIONS.index(form.activation.kind), KINDS.index(stores[0].kind), KINDS.index(stores[1].kind),
    )  # fmt: skip
    one, number = types.float32[::1], types.int64
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 13), types.UniTuple(number, 3), one, one,
        types.UniTuple(types.float32, 3), *map(types.literal, literals), ShapeType(CommitShape(*outline.literals)),
    )  # fmt: skip
    size, keep = (outline.channels, target.width, outline.full), (arrays, sources, target)

    return native(broadcast, signature, (lines, size, ends, outline.gate, outline.numbers, *literals, None), keep)


def _side(array: Float) -> tuple[int, int, int, int]:
    """Address, bytes a row, bytes a pixel, channels of an array (row, column, channel)."""
    height, width, channels = array.shape
    row, step, _ = array.strides
    return array.ctypes.data, row if height > 1 else 0, step if width > 1 else 0, channels
