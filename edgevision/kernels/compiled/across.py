"""A pixel's channels against each other, over runs: softmax, or one number of all. The order of every sum is that of the channels.

`normalise` has a file of its own.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.extending import intrinsic

from edgevision.kernels.compiled.activations import Arithmetic
from edgevision.kernels.compiled.commit import CommitShape, commit_strip
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import at, native
from edgevision.kernels.compiled.store import KINDS, decoded, numbers
from edgevision.kernels.compiled.strip import Outline, ShapeType
from edgevision.kernels.forms import Across, Float, Kernel, Plane

OPERATIONS = ("softmax", "log_softmax", "argmax", "argmin", "max", "min", "sum", "mean")
SOFTMAX, LOG_SOFTMAX, ARGMAX, ARGMIN, MAX, MIN, SUM, MEAN = range(len(OPERATIONS))


@intrinsic
def exp(context, value):
    """e^v, within e^-87 .. e^87."""

    def code(context, builder, signature, arguments):
        return Arithmetic(builder, ir.FloatType()).exp(arguments[0])

    return types.float32(types.float32), code


@intrinsic
def log(context, value):
    """The natural logarithm."""

    def code(context, builder, signature, arguments):
        return Arithmetic(builder, ir.FloatType()).log(arguments[0])

    return types.float32(types.float32), code


@kernel
def best(values, is_max):
    """(value, place) of the largest or smallest, the first of equals."""
    found, place = values[0], 0
    for c in range(1, values.shape[0]):
        is_better = values[c] > found if is_max else values[c] < found
        if is_better:
            found, place = values[c], c
    return found, place


@kernel
def one_number(values, operation):
    """The number that stands for all channels."""
    if operation in (ARGMAX, ARGMIN):
        return np.float32(best(values, operation == ARGMAX)[1])
    if operation in (MAX, MIN):
        return best(values, operation == MAX)[0]
    total = values[0]
    for c in range(1, values.shape[0]):
        total += values[c]
    return total / np.float32(values.shape[0]) if operation == MEAN else total


@kernel
def softmax(values, powers, is_log):
    """Into `powers`: each channel's share of the sum of e^channel, or its logarithm."""
    largest = best(values, True)[0]
    for c in range(values.shape[0]):
        powers[c] = exp(values[c] - largest)
    total = powers[0]
    for c in range(1, values.shape[0]):
        total += powers[c]
    if is_log:
        total = log(total)
        for c in range(values.shape[0]):
            powers[c] = (values[c] - largest) - total
    else:
        for c in range(values.shape[0]):
            powers[c] = powers[c] / total


@kernel
def across(runs, begin, end, lines, size, ends, gate, given, operation, store, shape):
    """runs[begin:end]. `size`: channels of the source, of the target, longest run, full vectors. `ends`: the source's
    scale and zero.
    """
    inputs, channels, longest, full = size
    strip, seen = np.empty(longest * channels, np.float32), np.empty(inputs, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            held = carray(at(lines[0] + row * lines[1] + column * lines[2], store), (inputs,))
            for c in range(inputs):
                seen[c] = decoded(held[c], ends[0], ends[1], store)
            if operation <= LOG_SOFTMAX:
                softmax(seen, value, operation == LOG_SOFTMAX)
            else:
                value[0] = one_number(seen, operation)
        target, live = lines[3] + row * lines[4] + start * lines[5], lines[6] + row * lines[7] + start
        commit_strip(strip, stop - start, channels, target, lines[5], live, gate[0], full, given, shape)


def bind(form: Across, sources: tuple[Plane, ...], target: Plane, gate: Float | None, lanes: int) -> Kernel:
    """The kernel over these planes."""
    source, number, one = sources[0], types.int64, types.float32[::1]
    outline = Outline.of(target, gate, lanes)
    lines = (source.values.ctypes.data, *source.values.strides[:2], *outline.lines)
    ends, store = np.array(numbers(source.store)[:2], np.float32), KINDS.index(source.store.kind)
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 8), types.UniTuple(number, 4), one, one,
        types.UniTuple(types.float32, 3), number, types.literal(store), ShapeType(CommitShape(*outline.literals)),
    )  # fmt: skip
    size, operation = (source.padded.shape[2], outline.channels, target.width, outline.full), OPERATIONS.index(form.op)
    keep = (sources, target)

    return native(across, signature, (lines, size, ends, outline.gate, outline.numbers, operation, store, None), keep)
