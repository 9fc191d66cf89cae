"""Pixel by pixel over runs: arithmetic of two sources or of one and a channel vector, then the activation, a strip at a time."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import intrinsic

from edgevision.kernels.compiled.activations import KINDS, activate
from edgevision.kernels.compiled.commit import commit, floats
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.forms import Combine, Float, Kernel, Plane, Runs

OPERATIONS = ("copy", "add", "sub", "mul", "div", "max", "min", "prelu")


@intrinsic(prefer_literal=True)
def operate(context, a, b, operation):
    """OPERATIONS[operation] of two floats."""
    if not isinstance(operation, types.IntegerLiteral):
        return None
    name = OPERATIONS[operation.literal_value]

    def code(context, builder, signature, arguments):
        a, b = arguments[:2]
        if name in ("max", "min"):
            return builder.select(builder.fcmp_ordered(">" if name == "max" else "<", a, b), a, b)
        if name == "prelu":
            return builder.select(builder.fcmp_ordered(">", a, a.type(0.0)), a, builder.fmul(a, b))
        return a if name == "copy" else getattr(builder, f"f{name}")(a, b)

    return types.float32(types.float32, types.float32, operation), code


@kernel
def combine(runs, begin, end, lines, channels, longest, constant, numbers, gate, operation, kind):
    """runs[begin:end]. `lines`: (address, bytes a row, bytes a pixel) of a, b, target and (address, bytes a row) of the live bytes.

    A `constant` of 0 values means that b is a plane.
    """
    strip = np.zeros(longest * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            a = constant if lines[2] == 0 else floats(lines[0] + row * lines[1] + column * lines[2], channels)
            b = constant if lines[5] == 0 else floats(lines[3] + row * lines[4] + column * lines[5], channels)
            for c in range(channels):
                value[c] = activate(operate(a[c], b[c], operation), numbers[0], numbers[1], kind)
        target = lines[6] + row * lines[7] + start * lines[8]
        commit(strip, stop - start, channels, target, lines[8], lines[9] + row * lines[10] + start, gate[0])


def bind(form: Combine, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes. A side that is the constant has a step of 0 bytes."""
    sides = [(plane.values.ctypes.data, *plane.values.strides[:2]) for plane in sources]
    if form.constant is not None:
        sides = [(0, 0, 0), sides[0]] if form.swapped else [sides[0], (0, 0, 0)]
    sides = [sides[0], sides[-1]]
    lines = (*sides[0], *sides[1], target.values.ctypes.data, *target.values.strides[:2], target.live.ctypes.data, target.live.strides[0])
    constant = np.zeros(0, np.float32) if form.constant is None else np.ascontiguousarray(form.constant)
    numbers = np.array([form.activation.alpha, form.activation.beta], np.float32)
    operation, kind = OPERATIONS.index(form.op), KINDS.index(form.activation.kind)
    one, number = types.float32[::1], types.int64
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 11), number, number, one, one, one,
        types.literal(operation), types.literal(kind),
    )  # fmt: skip
    code = specialize(combine, signature)
    channels, longest, keep = target.padded.shape[2], target.width, (sources, target)

    def run(runs: Runs, begin: int, end: int, keep: object = keep) -> None:
        code(runs, begin, end, lines, channels, longest, constant, numbers, gate, operation, kind)

    return run
