"""Values from elsewhere: channel shuffles, depth to space and back, padding, cropping, strided slices. Then the activation."""

from __future__ import annotations

import numpy as np

from edgevision.kernels.forms import Float, Kernel, Pick, Plane, Runs
from edgevision.kernels.plain.activations import apply
from edgevision.kernels.plain.commit import Indices, commit, pixels
from edgevision.kernels.plain.store import decode


def bind(form: Pick, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        commit(target, rows, columns, apply(form.activation, _picked(form, sources[0], rows, columns)), float(gate[0]))

    return kernel


def _picked(form: Pick, source: Plane, rows: Indices, columns: Indices) -> Float:
    """(pixel, channel)."""
    down, across, channel = form.taps.T
    is_outside = (form.rows[rows, None] < 0) | (form.columns[columns, None] < 0) | (channel < 0)
    y, x = form.rows[rows, None] + down, form.columns[columns, None] + across
    c = channel + form.row_channel[rows, None] + form.column_channel[columns, None]
    held = source.values[tuple(np.where(is_outside, 0, place) for place in (y, x, c))]
    return np.where(is_outside, np.float32(form.fill), decode(held, source.store))
