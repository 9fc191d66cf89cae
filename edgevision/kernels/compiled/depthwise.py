"""Depthwise convolution over runs: each channel from itself alone, vectors along the channels, a strip at a time."""

from __future__ import annotations

import numpy as np
from numba import types

from edgevision.kernels.compiled.activations import KINDS, activate
from edgevision.kernels.compiled.commit import commit, floats
from edgevision.kernels.compiled.exact import fma
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.forms import Convolve, Float, Kernel, Plane, Runs


@kernel
def depthwise(runs, begin, end, lines, taps, weights, bias, numbers, gate, longest, kind):
    """runs[begin:end]. `weights` (kernel row, kernel column, channel)."""
    channels = bias.shape[0]
    strip = np.zeros(longest * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for x in range(start, stop):
            corner = lines[0] + row * lines[1] + x * lines[2]
            total = strip[(x - start) * channels : (x - start + 1) * channels]
            total[:] = 0
            for h in range(weights.shape[0]):
                for w in range(weights.shape[1]):
                    seen, factors = floats(corner + h * taps[0] + w * taps[1], channels), weights[h, w]
                    for c in range(channels):
                        total[c] = fma(seen[c], factors[c], total[c])
            for c in range(channels):
                total[c] = activate(total[c] + bias[c], numbers[0], numbers[1], kind)
        target = lines[3] + row * lines[4] + start * lines[5]
        commit(strip, stop - start, channels, target, lines[5], lines[6] + row * lines[7] + start, gate[0])


def pack(form: Convolve) -> tuple[Float, Float]:
    """Weights (kernel row, kernel column, channel) and bias."""
    return np.ascontiguousarray(form.weights[:, 0].transpose(1, 2, 0)), np.ascontiguousarray(form.bias)


def bind(form: Convolve, packed: tuple[Float, Float], sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    source, window = sources[0], form.window
    row, step, _ = source.padded.strides
    corner = source.padded.ctypes.data + (source.top - window.pad[0]) * row + (source.left - window.pad[1]) * step
    lines = (
        corner, row * window.stride[0], step * window.stride[1],
        target.values.ctypes.data, *target.values.strides[:2],
        target.live.ctypes.data, target.live.strides[0],
    )  # fmt: skip
    taps = (window.dilation[0] * row, window.dilation[1] * step)
    numbers = np.array([form.activation.alpha, form.activation.beta], np.float32)
    kind = KINDS.index(form.activation.kind)
    one, number = types.float32[::1], types.int64
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 8), types.UniTuple(number, 2), types.float32[:, :, ::1],
        one, one, one, number, types.literal(kind),
    )  # fmt: skip
    code = specialize(depthwise, signature)
    weights, bias = packed
    longest, keep = target.width, (sources, target)

    def run(runs: Runs, begin: int, end: int, keep: object = keep) -> None:
        code(runs, begin, end, lines, taps, weights, bias, numbers, gate, longest, kind)

    return run
