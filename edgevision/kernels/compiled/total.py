"""One pixel for each row or each column of a picture: the sum, the largest or the smallest of its pixels, one after another.

Vectors along the channels. See the plain one for why rows come first.
"""

from __future__ import annotations

import numpy as np
from numba import carray, types

from edgevision.kernels.compiled.activations import KINDS as ACTIVATIONS
from edgevision.kernels.compiled.activations import activate
from edgevision.kernels.compiled.commit import CommitShape, commit_strip
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import at, native
from edgevision.kernels.compiled.store import KINDS, decoded, numbers
from edgevision.kernels.compiled.strip import Outline, ShapeType
from edgevision.kernels.forms import Float, Kernel, Plane, Total

MODES = ("sum", "max", "min")
SUM, MAX, MIN = range(len(MODES))


@kernel
def total(runs, begin, end, lines, size, ends, gate, given, mode, kind, store, shape):
    """runs[begin:end]. `lines`: address, bytes from output to output along rows and columns, bytes from summed to summed pixel of the
    source; the target's address and steps; the live bytes'. `size`: channels, pixels to a sum, longest run, full vectors.
    `ends`: alpha, beta, divisor, the source's scale and zero.
    """
    channels, count, longest, full = size
    strip = np.empty(longest * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            here = lines[0] + row * lines[1] + column * lines[2]
            for place in range(count):
                held = carray(at(here + place * lines[3], store), (channels,))
                if place == 0:
                    for c in range(channels):
                        value[c] = decoded(held[c], ends[3], ends[4], store)
                elif mode == SUM:
                    for c in range(channels):
                        value[c] += decoded(held[c], ends[3], ends[4], store)
                elif mode == MAX:
                    for c in range(channels):
                        seen = decoded(held[c], ends[3], ends[4], store)
                        value[c] = seen if seen > value[c] else value[c]
                else:
                    for c in range(channels):
                        seen = decoded(held[c], ends[3], ends[4], store)
                        value[c] = seen if seen < value[c] else value[c]
            for c in range(channels):
                value[c] = activate(value[c] / ends[2], ends[0], ends[1], kind)
        target, live = lines[4] + row * lines[5] + start * lines[6], lines[7] + row * lines[8] + start
        commit_strip(strip, stop - start, channels, target, lines[6], live, gate[0], full, given, shape)


def bind(form: Total, sources: tuple[Plane, ...], target: Plane, gate: Float | None, lanes: int) -> Kernel:
    """The kernel over these planes."""
    source, number, one = sources[0], types.int64, types.float32[::1]
    down, right, _ = source.values.strides
    steps, count = ((down, 0, right), source.width) if form.axis == 1 else ((0, right, down), source.height)
    outline = Outline.of(target, gate, lanes)
    lines = (source.values.ctypes.data, *steps, *outline.lines)
    ends = np.array([form.activation.alpha, form.activation.beta, form.divisor, *numbers(source.store)[:2]], np.float32)
    literals = (ACTIVATIONS.index(form.activation.kind), KINDS.index(source.store.kind))
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 9), types.UniTuple(number, 4), one, one,
        types.UniTuple(types.float32, 3), number, *map(types.literal, literals), ShapeType(CommitShape(*outline.literals)),
    )  # fmt: skip
    size, mode, keep = (outline.channels, count, target.width, outline.full), MODES.index(form.mode), (sources, target)

    return native(total, signature, (lines, size, ends, outline.gate, outline.numbers, mode, *literals, None), keep)
