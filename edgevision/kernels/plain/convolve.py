"""Convolution: a sum over kernel row, kernel column, input channel; then bias, residual, activation.

The sum is a chain of fused multiply-adds in f32 (f32 source), the same over pairs of input channels, the odd one first (bf16 source: so
does the CPU's own instruction), or an int32 sum (u8 source, int8 weights).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Convolve, Float, Kernel, Plane, Runs
from edgevision.kernels.plain.activations import apply
from edgevision.kernels.plain.commit import Indices, commit, pixels
from edgevision.kernels.plain.exact import fma
from edgevision.kernels.plain.store import decode


def bind(form: Convolve, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        total = weighted(form, _sum(form, sources[0], rows, columns))
        if form.residual:
            total = total + decode(sources[1].values[rows, columns], sources[1].store)
        commit(target, rows, columns, apply(form.activation, total), float(gate[0]))

    return kernel


def weighted(form: Convolve, total: NDArray[Any]) -> Float:
    """The sum in the output's units: int32 sums times their factors, and the bias."""
    if form.factors is None:
        return np.asarray(total + form.bias)
    return fma(total.astype(np.float32), form.factors, form.bias)


def _sum(form: Convolve, source: Plane, rows: Indices, columns: Indices) -> NDArray[Any]:
    """(pixel, output channel)."""
    outputs, inputs = form.weights.shape[0] // form.groups, form.weights.shape[1]
    weights: NDArray[Any] = form.weights.reshape(form.groups, outputs, *form.weights.shape[1:])
    total = np.zeros((len(rows), form.groups, outputs), np.float32 if form.factors is None else np.int32)
    window = form.window
    for h in range(window.kernel[0]):
        y = rows * window.stride[0] - window.pad[0] + h * window.dilation[0] + source.top
        for w in range(window.kernel[1]):
            x = columns * window.stride[1] - window.pad[1] + w * window.dilation[1] + source.left
            seen = source.padded[y, x].reshape(len(rows), form.groups, inputs)
            if form.factors is None:
                values = decode(seen, source.store)
                for c in _order(inputs, source.store.kind == "bf16"):
                    total = fma(values[:, :, c, None], weights[None, :, :, c, h, w], total)
            else:
                steps = seen.astype(np.int32) - source.store.zero
                total = total + np.einsum("pgc,goc->pgo", steps, weights[:, :, :, h, w].astype(np.int32))
    return total.reshape(len(rows), len(form.weights))


def _order(inputs: int, is_paired: bool) -> list[int]:
    """The input channels in the order of the sum."""
    if not is_paired:
        return list(range(inputs))
    return [c for first in range(0, inputs, 2) for c in (first + 1, first) if c < inputs]
