"""A pixel's channels against each other: softmax, or one number of all: the place of the largest, the largest, the sum, the mean.
`normalise` has a file of its own.

The order of every sum is that of the channels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from edgevision.kernels.forms import Across, Float, Kernel, Plane, Runs
from edgevision.kernels.plain.activations import exp, log
from edgevision.kernels.plain.commit import commit, pixels
from edgevision.kernels.plain.store import decode


def bind(form: Across, sources: tuple[Plane, ...], target: Plane, gate: Float) -> Kernel:
    """The kernel over these planes."""
    source = sources[0]

    def kernel(runs: Runs, begin: int, end: int) -> None:
        rows, columns = pixels(runs, begin, end)
        with np.errstate(all="ignore"):
            new = OPERATIONS[form.op](decode(source.values[rows, columns], source.store))
        commit(target, rows, columns, np.asarray(new, np.float32), float(gate[0]))

    return kernel


def _best(v: Float, is_max: bool) -> tuple[Float, Float]:
    """(value, place) of the largest or smallest channel, the first of equals; both (pixel, 1)."""
    best, place = v[:, :1].copy(), np.zeros((len(v), 1), np.float32)
    for c in range(1, v.shape[1]):
        here = v[:, c : c + 1]
        is_better = here > best if is_max else here < best
        best, place = np.where(is_better, here, best), np.where(is_better, np.float32(c), place)
    return best, place


def _sum(v: Float) -> Float:
    total = v[:, :1].copy()
    for c in range(1, v.shape[1]):
        total = total + v[:, c : c + 1]
    return total


def _softmax(v: Float) -> Float:
    powers = exp(v - _best(v, True)[0])
    return np.asarray(powers / _sum(powers))


def _log_softmax(v: Float) -> Float:
    shifted = v - _best(v, True)[0]
    return np.asarray(shifted - log(_sum(exp(shifted))))


OPERATIONS: Mapping[str, Callable[[Float], Float]] = MappingProxyType(
    {
        "softmax": _softmax,
        "log_softmax": _log_softmax,
        "argmax": lambda v: _best(v, True)[1],
        "argmin": lambda v: _best(v, False)[1],
        "max": lambda v: _best(v, True)[0],
        "min": lambda v: _best(v, False)[0],
        "sum": _sum,
        "mean": lambda v: np.asarray(_sum(v) / np.float32(v.shape[1])),
    }
)
