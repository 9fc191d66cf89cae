"""Depthwise convolution: each channel from itself alone, a chain of multiply-adds over kernel row and column; then bias, activation."""

from __future__ import annotations

import numpy as np

from edgevision.kernels.forms import Convolve, Float, Kernel, Plane, Runs
from edgevision.kernels.plain.activations import apply
from edgevision.kernels.plain.commit import commit, pixels
from edgevision.kernels.plain.exact import fma


def bind(form: Convolve, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    source, window = sources[0], form.window

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        total = np.zeros((len(rows), len(form.weights)), np.float32)
        for h in range(window.kernel[0]):
            y = rows * window.stride[0] - window.pad[0] + h * window.dilation[0] + source.top
            for w in range(window.kernel[1]):
                x = columns * window.stride[1] - window.pad[1] + w * window.dilation[1] + source.left
                total = fma(source.padded[y, x], form.weights[:, 0, h, w], total)
        commit(target, rows, columns, apply(form.activation, total + form.bias), float(gate[0]))

    return kernel
