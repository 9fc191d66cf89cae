"""Convolution: a chain of fused multiply-adds over kernel row, kernel column, input channel; then bias, residual, activation."""

from __future__ import annotations

import numpy as np

from edgevision.kernels.forms import Convolve, Float, Kernel, Plane, Runs
from edgevision.kernels.plain.activations import apply
from edgevision.kernels.plain.commit import Indices, commit, pixels
from edgevision.kernels.plain.exact import fma


def bind(form: Convolve, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        total = _sum(form, sources[0], rows, columns) + form.bias
        if form.residual:
            total = total + sources[1].values[rows, columns]
        commit(target, rows, columns, apply(form.activation, total), float(gate[0]))

    return kernel


def _sum(form: Convolve, source: Plane, rows: Indices, columns: Indices) -> Float:
    """(pixel, output channel)."""
    outputs, inputs = form.weights.shape[0] // form.groups, form.weights.shape[1]
    weights = form.weights.reshape(form.groups, outputs, *form.weights.shape[1:])
    total = np.zeros((len(rows), form.groups, outputs), np.float32)
    window = form.window
    for h in range(window.kernel[0]):
        y = rows * window.stride[0] - window.pad[0] + h * window.dilation[0] + source.top
        for w in range(window.kernel[1]):
            x = columns * window.stride[1] - window.pad[1] + w * window.dilation[1] + source.left
            seen = source.padded[y, x].reshape(len(rows), form.groups, inputs)
            for c in range(inputs):
                total = fma(seen[:, :, c, None], weights[None, :, :, c, h, w], total)
    return total.reshape(len(rows), len(form.weights))
