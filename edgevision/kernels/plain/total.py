"""One pixel for each row or each column of a picture: the sum, the largest or the smallest of its pixels, one after another.

Rows first, then the one column that is left: so a global pooling is exact, and a changed pixel costs its row and the sum of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from edgevision.kernels.forms import Float, Kernel, Plane, Runs, Total
from edgevision.kernels.plain.activations import apply
from edgevision.kernels.plain.commit import commit, pixels
from edgevision.kernels.plain.store import decode

MODES: Mapping[str, Callable[[Float, Float], Float]] = MappingProxyType(
    {
        "sum": lambda total, v: total + v,
        "max": lambda total, v: np.where(v > total, v, total),
        "min": lambda total, v: np.where(v < total, v, total),
    }
)


def bind(form: Total, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    source = sources[0]

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        values = decode(source.values, source.store)
        lines = values[rows] if form.axis == 1 else values[:, columns].transpose(1, 0, 2)  # (output pixel, summed pixel, channel)
        with np.errstate(all="ignore"):
            total = lines[:, 0]
            for place in range(1, lines.shape[1]):
                total = MODES[form.mode](total, lines[:, place])
            new = total / np.float32(form.divisor)
        commit(target, rows, columns, apply(form.activation, new), float(gate[0]))

    return kernel
