"""Pooling over a window clipped to the picture: the maximum, or the sum by rows and columns over the count."""

from __future__ import annotations

import numpy as np

from edgevision.kernels.forms import Float, Kernel, Plane, Pool, Runs
from edgevision.kernels.plain.commit import commit, pixels
from edgevision.kernels.plain.store import decode


def bind(form: Pool, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        new = np.empty((len(rows), target.padded.shape[2]), np.float32)
        for place, (y, x) in enumerate(zip(rows, columns, strict=True)):
            new[place] = _pixel(form, sources[0], int(y), int(x))
        commit(target, rows, columns, new, float(gate[0]))

    return kernel


def _pixel(form: Pool, source: Plane, row: int, column: int) -> Float:
    window = form.window
    ys = [y for h in range(window.kernel[0]) if 0 <= (y := row * window.stride[0] - window.pad[0] + h * window.dilation[0]) < source.height]
    xs = [
        x for w in range(window.kernel[1]) if 0 <= (x := column * window.stride[1] - window.pad[1] + w * window.dilation[1]) < source.width
    ]
    seen = [decode(source.values[y, x], source.store) for y in ys for x in xs]
    channels = source.values.shape[2]
    if form.mode == "max":
        best = np.full(channels, -np.inf, np.float32)
        for value in seen:
            best = np.where(value > best, value, best)
        return best
    total = np.zeros(channels, np.float32)
    for value in seen:
        total = total + value
    count = window.kernel[0] * window.kernel[1] if form.count_pad else len(ys) * len(xs)
    return np.asarray(total / np.float32(count))
