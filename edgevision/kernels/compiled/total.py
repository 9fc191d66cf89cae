"""One pixel for each row or each column of a picture: the sum, the largest or the smallest of its pixels, one after another.

Vectors along the channels. See the plain one for why rows come first.
"""

from __future__ import annotations

import numpy as np
from numba import types

from edgevision.kernels.compiled.activations import KINDS, activate
from edgevision.kernels.compiled.commit import commit, floats
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.forms import Float, Kernel, Plane, Runs, Total

MODES = ("sum", "max", "min")
SUM, MAX, MIN = range(len(MODES))


@kernel
def total(runs, begin, end, lines, size, numbers, gate, mode, kind):
    """runs[begin:end]. `lines`: address, bytes from output to output along rows and columns, bytes from summed to summed pixel of the
    source; the target's address and steps; the live bytes'. `size`: channels, pixels to a sum, longest run. `numbers`: alpha, beta,
    divisor.
    """
    channels, count, longest = size
    strip = np.zeros(longest * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            here = lines[0] + row * lines[1] + column * lines[2]
            first = floats(here, channels)
            for c in range(channels):
                value[c] = first[c]
            for place in range(1, count):
                seen = floats(here + place * lines[3], channels)
                if mode == SUM:
                    for c in range(channels):
                        value[c] += seen[c]
                elif mode == MAX:
                    for c in range(channels):
                        value[c] = seen[c] if seen[c] > value[c] else value[c]
                else:
                    for c in range(channels):
                        value[c] = seen[c] if seen[c] < value[c] else value[c]
            for c in range(channels):
                value[c] = activate(value[c] / numbers[2], numbers[0], numbers[1], kind)
        target = lines[4] + row * lines[5] + start * lines[6]
        commit(strip, stop - start, channels, target, lines[6], lines[7] + row * lines[8] + start, gate[0])


def bind(form: Total, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    source, number, one = sources[0], types.int64, types.float32[::1]
    down, right, _ = source.values.strides
    steps, count = ((down, 0, right), source.width) if form.axis == 1 else ((0, right, down), source.height)
    lines = (
        source.values.ctypes.data, *steps,
        target.values.ctypes.data, *target.values.strides[:2],
        target.live.ctypes.data, target.live.strides[0],
    )  # fmt: skip
    numbers = np.array([form.activation.alpha, form.activation.beta, form.divisor], np.float32)
    kind = KINDS.index(form.activation.kind)
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 9), types.UniTuple(number, 3), one, one, number, types.literal(kind),
    )  # fmt: skip
    code = specialize(total, signature)
    size, mode, keep = (source.padded.shape[2], count, target.width), MODES.index(form.mode), (sources, target)

    def run(runs: Runs, begin: int, end: int, keep: object = keep) -> None:
        code(runs, begin, end, lines, size, numbers, gate, mode, kind)

    return run
