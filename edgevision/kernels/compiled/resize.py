"""Resize over runs: nearest copies one pixel; bilinear mixes columns first, then rows. Vectors along the channels, a strip at a time."""

from __future__ import annotations

import numpy as np
from numba import types

from edgevision.kernels.compiled.commit import commit, commit_pixel, flags, floats
from edgevision.kernels.compiled.exact import fma
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.forms import Float, Kernel, Plane, Resize, Runs


@kernel
def resize(runs, begin, end, lines, channels, rows, columns, row_share, column_share, gate, is_nearest):
    """runs[begin:end]. `rows` and `columns` (2, outputs): the first and second input of each."""
    strip = np.zeros(columns.shape[1] * channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        top, bottom = lines[0] + rows[0, row] * lines[1], lines[0] + rows[1, row] * lines[1]
        target, live = lines[3] + row * lines[4], lines[6] + row * lines[7]
        if is_nearest:
            marks = flags(live, stop)
            for column in range(start, stop):
                if commit_pixel(top + columns[0, column] * lines[2], target + column * lines[5], channels, gate[0]):
                    marks[column] = 1
            continue
        for column in range(start, stop):
            value = strip[(column - start) * channels : (column - start + 1) * channels]
            left, right = columns[0, column] * lines[2], columns[1, column] * lines[2]
            a, b = floats(top + left, channels), floats(top + right, channels)
            below_a, below_b = floats(bottom + left, channels), floats(bottom + right, channels)
            across, down = column_share[column], row_share[row]
            for c in range(channels):
                above = fma(across, b[c] - a[c], a[c])
                below = fma(across, below_b[c] - below_a[c], below_a[c])
                value[c] = fma(down, below - above, above)
        commit(strip, stop - start, channels, target + start * lines[5], lines[5], live + start, gate[0])


def bind(form: Resize, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    source, number, one = sources[0], types.int64, types.float32[::1]
    lines = (
        source.values.ctypes.data, *source.values.strides[:2],
        target.values.ctypes.data, *target.values.strides[:2],
        target.live.ctypes.data, target.live.strides[0],
    )  # fmt: skip
    rows = np.stack([form.rows.first, form.rows.second]).astype(np.int64)
    columns = np.stack([form.columns.first, form.columns.second]).astype(np.int64)
    pairs = types.int64[:, ::1]
    signature = (types.int32[:, ::1], number, number, types.UniTuple(number, 8), number, pairs, pairs, one, one, one, types.boolean)
    code = specialize(resize, signature)
    channels, keep = source.padded.shape[2], (sources, target)

    def run(runs: Runs, begin: int, end: int, keep: object = keep) -> None:
        code(runs, begin, end, lines, channels, rows, columns, form.rows.share, form.columns.share, gate, form.is_nearest)

    return run
