"""Numbers as a predictor takes them: whole, of 1 / UNIT, within limits, so that sums of products are exact in any order. Keeps nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float

Exact = NDArray[np.float64]  # whole numbers below 2^53
UNIT, LIMIT = 256.0, float(1 << 20)  # what 1 is, and the largest


def fixed_point(values: Float) -> Exact:
    """Whole numbers of 1 / UNIT, within limits; not a number becomes 0."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.clip(np.rint(np.nan_to_num(np.asarray(values, np.float64)) * UNIT), -LIMIT, LIMIT))


def shortened(products: Exact) -> Exact:
    """Sums of products of two fixed-point numbers as fixed-point numbers."""
    return np.asarray(np.clip(np.rint(products / UNIT), -LIMIT, LIMIT))
