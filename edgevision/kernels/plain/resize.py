"""Resize: nearest takes one pixel; bilinear mixes columns first, then rows, each by one fused multiply-add."""

from __future__ import annotations

from edgevision.kernels.forms import Float, Kernel, Plane, Resize, Runs
from edgevision.kernels.plain.commit import Indices, commit, pixels
from edgevision.kernels.plain.exact import fma
from edgevision.kernels.plain.store import decode


def bind(form: Resize, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        commit(target, rows, columns, sample(form, decode(sources[0].values, sources[0].store), rows, columns), float(gate[0]))

    return kernel


def sample(form: Resize, values: Float, rows: Indices, columns: Indices) -> Float:
    """The resized picture (pixel, channel) at these outputs; `values` is (row, column, channel)."""
    top, left = form.rows.first[rows], form.columns.first[columns]
    if form.is_nearest:
        return values[top, left]
    bottom, right = form.rows.second[rows], form.columns.second[columns]
    across, down = form.columns.share[columns, None], form.rows.share[rows, None]
    above = fma(across, values[top, right] - values[top, left], values[top, left])
    below = fma(across, values[bottom, right] - values[bottom, left], values[bottom, left])
    return fma(down, below - above, above)
