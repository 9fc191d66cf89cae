"""Tokens measured by whole numbers, slow and plain: the oracle of `compiled/compress.py`. Sums of integers are free of order and of drift.

A token's value is held as round(value / step), cut to 16 bits with a sign; a measurement is the sum of tokens, each times a 16-bit weight.
No row of weights has more than ROW_WEIGHT in sum, so that every sum fits 32 bits whatever the tokens are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Plane

MOST = 32_767  # of a token's value in steps, and of a weight
ROW_WEIGHT = 65_535

Whole = NDArray[np.int16]
Sums = NDArray[np.int32]


def whole(values: NDArray[np.float32], step: float) -> Whole:
    """`values` in steps, ties to even; what lies beyond 16 bits, NaN included, is cut."""
    scaled = values * np.float32(1.0 / step)
    scaled = np.where(scaled < MOST, scaled, np.float32(MOST))
    return np.rint(np.where(scaled > -MOST, scaled, np.float32(-MOST))).astype(np.int16)


def weights_of(phi: NDArray[Any]) -> tuple[Whole, NDArray[np.float32]]:
    """`phi` (measurement, token) as whole weights, and what one is worth in each row (measurement,), so that the row's sum stays."""
    reach = np.maximum(np.abs(phi).sum(axis=1), np.finfo(np.float32).tiny)
    most = np.maximum(np.abs(phi).max(axis=1), np.finfo(np.float32).tiny)
    per_unit = np.minimum((ROW_WEIGHT - phi.shape[1] / 2) / reach, MOST / most)
    weights = np.rint(phi * per_unit[:, None]).astype(np.int16)
    kept, asked = weights.sum(axis=1, dtype=np.int64), phi.sum(axis=1)
    ratio = asked / np.where(kept == 0, 1, kept)
    is_close = np.abs(ratio * per_unit - 1) < 0.1
    worth = np.where(is_close, ratio, 1.0 / per_unit)
    return weights, worth.astype(np.float32)


def measured(weights: Whole, tokens: Whole) -> Sums:
    """(measurement, channel): weights (measurement, token) times tokens (token, channel)."""
    return (weights.astype(np.int64) @ tokens.astype(np.int64)).astype(np.int32)


class Measurements:
    """Keeps the promises of `compress.Measurements`; measures everything anew at every call, which must come to the same."""

    def __init__(self, weights: Whole, channels: int, step: float, crew: object = None) -> None:
        self._weights, self._step = weights, step
        self.sums = np.zeros((len(weights), channels), np.int32)
        self.touched = np.ones(len(weights), np.uint8)
        self.size_bytes = self.sums.nbytes

    def take_all(self, tokens: Plane) -> None:
        """Measure every token anew."""
        self.sums[...] = measured(self._weights, whole(tokens.values.reshape(-1, self.sums.shape[1]), self._step))

    def take(self, tokens: Plane, chosen: NDArray[np.int64]) -> None:
        """Take in the `chosen` tokens, by number, and take back what they were before; `touched` says which sums that may move."""
        self.take_all(tokens)


def spread(
    sums: Sums, worth: NDArray[np.float32], gate: float, values: NDArray[np.float32], by: NDArray[np.float32], touched: NDArray[np.uint8]
) -> None:
    """Sums as floats, `worth` of a unit each (measurement,), into `values` (measurement, channel), where a value moved at all, or with a
    gate by more than it; the others keep their old values. `by` (measurement,): how far a value of it moved at most, 0 where
    none was taken.

    A gate below 0 takes all. Only measurements that are `touched` are looked at.
    """
    new = sums.astype(np.float32) * worth[:, None]
    by[...] = np.abs(new - values).max(axis=1)
    taken = (by > gate) & (touched != 0)
    values[taken] = new[taken]
    by[~taken] = 0
