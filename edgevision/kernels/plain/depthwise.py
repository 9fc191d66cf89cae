"""Depthwise convolution: each channel from itself alone, a chain of multiply-adds over kernel row and column; then bias, activation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Convolve, Float, Kernel, Plane, Runs
from edgevision.kernels.plain.activations import apply
from edgevision.kernels.plain.commit import Indices, commit, pixels
from edgevision.kernels.plain.convolve import weighted
from edgevision.kernels.plain.exact import fma
from edgevision.kernels.plain.store import decode


def bind(form: Convolve, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        total = weighted(form, _sum(form, sources[0], rows, columns))
        commit(target, rows, columns, apply(form.activation, total), float(gate[0]))

    return kernel


def _sum(form: Convolve, source: Plane, rows: Indices, columns: Indices) -> Float:
    """(pixel, channel). With int8 weights every term and sum is a whole number below 2^24, so float32 holds it exactly."""
    window = form.window
    total = np.zeros((len(rows), len(form.weights)), np.float32)
    for h in range(window.kernel[0]):
        y = rows * window.stride[0] - window.pad[0] + h * window.dilation[0] + source.top
        for w in range(window.kernel[1]):
            x = columns * window.stride[1] - window.pad[1] + w * window.dilation[1] + source.left
            total = fma(_factor(form, source, source.padded[y, x]), form.weights[:, 0, h, w].astype(np.float32), total)
    return total


def _factor(form: Convolve, source: Plane, held: NDArray[np.generic]) -> Float:
    if form.factors is None:
        return decode(held, source.store)
    return np.asarray((held.astype(np.int32) - source.store.zero).astype(np.float32))
