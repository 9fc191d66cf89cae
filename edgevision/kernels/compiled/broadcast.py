"""Pixel by pixel over runs, like `combine`, where one side has one row, column or channel and the other has many; then the activation."""

from __future__ import annotations

import numpy as np
from numba import types

from edgevision.kernels.compiled.activations import KINDS, activate
from edgevision.kernels.compiled.combine import OPERATIONS, operate
from edgevision.kernels.compiled.commit import commit, floats
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.forms import Broadcast, Float, Kernel, Plane, Runs


@kernel
def broadcast(runs, begin, end, lines, channels, longest, numbers, gate, operation, kind):
    """runs[begin:end]. `lines`: (address, bytes a row, bytes a pixel, channels) of a and b, the same of the target without channels, and
    (address, bytes a row) of the live bytes. What has one row or one pixel a row has a step of 0 bytes there.
    """
    strip = np.zeros(longest * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            a = floats(lines[0] + row * lines[1] + column * lines[2], lines[3])
            b = floats(lines[4] + row * lines[5] + column * lines[6], lines[7])
            if lines[3] == channels and lines[7] == channels:
                for c in range(channels):
                    value[c] = activate(operate(a[c], b[c], operation), numbers[0], numbers[1], kind)
            elif lines[3] == channels:
                for c in range(channels):
                    value[c] = activate(operate(a[c], b[0], operation), numbers[0], numbers[1], kind)
            else:
                for c in range(channels):
                    value[c] = activate(operate(a[0], b[c % lines[7]], operation), numbers[0], numbers[1], kind)
        target = lines[8] + row * lines[9] + start * lines[10]
        commit(strip, stop - start, channels, target, lines[10], lines[11] + row * lines[12] + start, gate[0])


def bind(form: Broadcast, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    arrays = [source.values for source in sources]
    if form.constant is not None:
        arrays.insert(0 if form.swapped else 1, np.ascontiguousarray(form.constant))
    lines = (
        *_side(arrays[0]), *_side(arrays[1]),
        target.values.ctypes.data, *target.values.strides[:2],
        target.live.ctypes.data, target.live.strides[0],
    )  # fmt: skip
    numbers = np.array([form.activation.alpha, form.activation.beta], np.float32)
    operation, kind = OPERATIONS.index(form.op), KINDS.index(form.activation.kind)
    one, number = types.float32[::1], types.int64
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 13), number, number, one, one,
        types.literal(operation), types.literal(kind),
    )  # fmt: skip
    code = specialize(broadcast, signature)
    channels, longest, keep = target.padded.shape[2], target.width, (arrays, sources, target)

    def run(runs: Runs, begin: int, end: int, keep: object = keep) -> None:
        code(runs, begin, end, lines, channels, longest, numbers, gate, operation, kind)

    return run


def _side(array: Float) -> tuple[int, int, int, int]:
    """Address, bytes a row, bytes a pixel, channels of an array (row, column, channel)."""
    height, width, channels = array.shape
    row, step, _ = array.strides
    return array.ctypes.data, row if height > 1 else 0, step if width > 1 else 0, channels
