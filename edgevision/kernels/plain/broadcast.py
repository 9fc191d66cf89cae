"""Pixel by pixel, like `combine`, where one side has one row, column or channel and the other has many; then the activation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgevision.kernels.forms import Broadcast, Float, Kernel, Plane, Runs
from edgevision.kernels.plain.activations import apply
from edgevision.kernels.plain.combine import OPERATIONS
from edgevision.kernels.plain.commit import Indices, commit, pixels
from edgevision.kernels.plain.store import decode

Side = Callable[[Indices, Indices], Float]


def bind(form: Broadcast, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    sides = [_plane(source) for source in sources]
    if form.constant is not None:
        sides.insert(0 if form.swapped else 1, _array(form.constant))
    left, right = sides
    channels = target.padded.shape[2]

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        with np.errstate(all="ignore"):
            new = OPERATIONS[form.op](left(rows, columns), right(rows, columns))
        commit(target, rows, columns, apply(form.activation, np.broadcast_to(new, (len(rows), channels))), float(gate[0]))

    return kernel


def _plane(plane: Plane) -> Side:
    """The plane's values at these pixels, (pixel, channel), as they are at that time."""
    return lambda rows, columns: decode(plane.values[rows % plane.height, columns % plane.width], plane.store)


def _array(array: Float) -> Side:
    """The same of a constant (row, column, channel)."""
    return lambda rows, columns: array[rows % array.shape[0], columns % array.shape[1]]
