"""Pooling over runs: maximum or mean of a window clipped to the picture, vectors along the channels, a strip at a time."""

from __future__ import annotations

import numpy as np
from numba import types

from edgevision.kernels.compiled.commit import commit, floats
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.forms import Float, Kernel, Plane, Pool, Runs


@kernel
def pool(runs, begin, end, lines, window, size, gate, is_max, count_pad):
    """runs[begin:end]. `window`: kernel, stride, dilation, pad, (row, column) each; `size`: source height, width, channels, run."""
    height, width, channels, longest = size
    strip = np.zeros(longest * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            value[:] = -np.inf if is_max else np.float32(0)
            count = 0
            for h in range(window[0]):
                y = row * window[2] - window[6] + h * window[4]
                if y < 0 or y >= height:
                    continue
                for w in range(window[1]):
                    x = column * window[3] - window[7] + w * window[5]
                    if x < 0 or x >= width:
                        continue
                    seen = floats(lines[0] + y * lines[1] + x * lines[2], channels)
                    count += 1
                    if is_max:
                        for c in range(channels):
                            value[c] = seen[c] if seen[c] > value[c] else value[c]
                    else:
                        for c in range(channels):
                            value[c] = value[c] + seen[c]
            if not is_max:
                divisor = np.float32(window[0] * window[1] if count_pad else count)
                for c in range(channels):
                    value[c] = value[c] / divisor
        target = lines[3] + row * lines[4] + start * lines[5]
        commit(strip, stop - start, channels, target, lines[5], lines[6] + row * lines[7] + start, gate[0])


def bind(form: Pool, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    source, number = sources[0], types.int64
    lines = (
        source.values.ctypes.data, *source.values.strides[:2],
        target.values.ctypes.data, *target.values.strides[:2],
        target.live.ctypes.data, target.live.strides[0],
    )  # fmt: skip
    window = (*form.window.kernel, *form.window.stride, *form.window.dilation, *form.window.pad)
    size = (source.height, source.width, source.padded.shape[2], target.width)
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 8), types.UniTuple(number, 8), types.UniTuple(number, 4),
        types.float32[::1], types.boolean, types.boolean,
    )  # fmt: skip
    code = specialize(pool, signature)
    is_max, count_pad, keep = form.mode == "max", form.count_pad, (sources, target)

    def run(runs: Runs, begin: int, end: int, keep: object = keep) -> None:
        code(runs, begin, end, lines, window, size, gate, is_max, count_pad)

    return run
