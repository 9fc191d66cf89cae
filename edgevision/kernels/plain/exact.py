"""The exact fused multiply-add of float32, which NumPy lacks: a * b + c with one rounding. In and out: float32 arrays.

The product of two float32 is exact in float64. Their float64 sum with c is rounded *to odd* (Boldo & Melquiond 2008): where TwoSum shows
an error, the last bit is made odd towards it. Rounding that to float32 is then the one correct rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float


def fma(a: Float | np.float32, b: Float | np.float32, c: Float | np.float32) -> Float:
    """a * b + c, rounded once."""
    product = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    addend = np.asarray(c, np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        total = np.asarray(product + addend)
        back = total - product
        error = np.asarray((product - (total - back)) + (addend - back))
        odd = _to_odd(total, error)
        return np.asarray(odd.astype(np.float32))


def _to_odd(total: NDArray[np.float64], error: NDArray[np.float64]) -> NDArray[np.float64]:
    bits = total.view(np.int64)
    is_even_and_inexact = (error != 0) & np.isfinite(total) & (bits & 1 == 0)
    step = np.where((error > 0) == (total > 0), 1, -1)
    return np.where(is_even_and_inexact, bits + step, bits).view(np.float64)
