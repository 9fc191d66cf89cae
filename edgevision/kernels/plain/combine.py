"""Pixel by pixel: arithmetic of two sources or of one and a channel vector, then the activation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from edgevision.kernels.forms import Combine, Float, Kernel, Plane, Runs
from edgevision.kernels.plain.activations import apply
from edgevision.kernels.plain.commit import commit, pixels
from edgevision.kernels.plain.store import decode

OPERATIONS: Mapping[str, Callable[[Float, Float], Float]] = MappingProxyType(
    {
        "copy": lambda a, b: a,
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": lambda a, b: a / b,
        "max": lambda a, b: np.where(a > b, a, b),
        "min": lambda a, b: np.where(a < b, a, b),
        "prelu": lambda a, b: np.where(a > 0, a, a * b),
    }
)


def bind(form: Combine, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        a = decode(sources[0].values[rows, columns], sources[0].store)
        b = form.constant if form.constant is not None else decode(sources[-1].values[rows, columns], sources[-1].store)
        with np.errstate(all="ignore"):
            new = OPERATIONS[form.op](*((b, a) if form.swapped else (a, b)))
        commit(target, rows, columns, apply(form.activation, new), float(gate[0]))

    return kernel
