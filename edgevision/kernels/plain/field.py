"""A light that varies by place, slow and plain: the oracle of `compiled/field.py`. In doubles; sums go in order, for equal bits.

    sums   (zone, 4): samples, sum of residuals, sum of values as used, sum of squared residuals, as `zone_sums` counts them
    given  (offset, dimmest, least): what of a used value is no light; the dimmest and the fewest samples that say something of a gain
    rules  (sure, explained, chance, far): sigmas by which the misfit must exceed noise; share of it that must be explained, and how many
           times what chance would explain; sigmas from which a zone is left out

Each finds by what share the light of the zones differs from what is corrected already, and returns whether it does at all.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Numbers = tuple[float, ...]
RIDGE = 1e-9


def _total(values: Array) -> float:
    """The sum, from the first to the last."""
    return float(np.cumsum(values)[-1])


def _misfits(sums: Array, given: Numbers) -> tuple[Array, Array]:
    """Each zone's share, and 1 / sigma of it (both 0: not known)."""
    offset, dimmest, least = given
    n = np.maximum(sums[:, 0], 1)
    mean, used = sums[:, 1] / n, np.maximum(sums[:, 2] / n - offset, 1.0)
    sigma = np.sqrt(np.maximum(sums[:, 3] / n - mean * mean, 0.1) / n)
    known = (sums[:, 0] >= least) & (used > dimmest)
    return np.where(known, mean / used, 0.0), np.where(known, used / sigma, 0.0)


def _badness(shares: Array, weights: Array) -> float:
    return _total((shares * weights) * (shares * weights))


def _is_sure(shares: Array, weights: Array, sure: float) -> bool:
    known = int(np.count_nonzero(weights))
    return known > 0 and _badness(shares, weights) > known + sure * math.sqrt(2.0 * known)


def _explains(found: Array, shares: Array, weights: Array, free: int, rules: Numbers) -> bool:
    """Whether little is left of the misfit beside noise, and less than `free` numbers would leave by chance."""
    known = int(np.count_nonzero(weights))
    every, left = _badness(shares, weights), _badness(shares - found, weights)
    if known <= free or left - known >= (1.0 - rules[1]) * (every - known):
        return False
    return (every - left) * (known - free) > rules[2] * free * left


def _solved(matrix: Array, right: Array) -> Array:
    """The solution of a symmetric positive system, by Cholesky."""
    n = len(right)
    low, x = np.zeros((n, n)), np.zeros(n)
    for i in range(n):
        for j in range(i + 1):
            value = matrix[i, j]
            for k in range(j):
                value -= low[i, k] * low[j, k]
            low[i, j] = math.sqrt(max(value, 1e-300)) if i == j else value / low[j, j]
    for i in range(n):
        value = right[i]
        for k in range(i):
            value -= low[i, k] * x[k]
        x[i] = value / low[i, i]
    for i in range(n - 1, -1, -1):
        value = x[i]
        for k in range(i + 1, n):
            value -= low[k, i] * x[k]
        x[i] = value / low[i, i]
    return x


def _least_squares(basis: Array, shares: Array, weights: Array, found: Array) -> None:
    free = basis.shape[1]
    heavy = basis * (weights * weights)[:, None]
    matrix = np.array([[_total(heavy[:, i] * basis[:, j]) for j in range(free)] for i in range(free)])
    right = np.array([_total(heavy[:, i] * shares) for i in range(free)])
    ridge = RIDGE * _total(np.diag(matrix))  # where few zones are known: no more than they say
    for i in range(free):
        matrix[i, i] += ridge
    numbers = _solved(matrix, right)
    found[:] = [_total(row * numbers) for row in basis]


def find_surface(sums: Array, given: Numbers, rules: Numbers, basis: Array, found: Array) -> bool:
    """A surface, of which `basis` (zone, number) has the parts: least squares, the second time without what is far off."""
    shares, first = _misfits(sums, given)
    if not _is_sure(shares, first, rules[0]):
        return False
    weights = first
    for _ in range(2):
        _least_squares(basis, shares, weights, found)
        far = np.abs(shares - found) * first
        usual = np.sort(far[first > 0])[np.count_nonzero(first) // 2]
        weights = np.where(far > max(rules[3], 3.0 * usual), 0.0, weights)
    kept = 2 * np.count_nonzero(weights) > np.count_nonzero(first)
    return bool(kept and _explains(found, shares, first, basis.shape[1], rules))


def find_wave(sums: Array, given: Numbers, rules: Numbers, waves: Array, parts: int, found: Array) -> bool:
    """A wave along the rows. `waves` (band, cycles x parts) has an orthonormal basis for each number of cycles; the strongest is taken.

    A band of rows has as many zones as go into `sums`; rows of which nothing is known are filled in from their neighbours.
    """
    shares, weights = _misfits(sums, given)
    if not _is_sure(shares, weights, rules[0]):
        return False
    bands = len(waves)
    heavy = (weights * weights).reshape(bands, -1)
    weight, moved = np.cumsum(heavy, axis=1)[:, -1], np.cumsum(heavy * shares.reshape(bands, -1), axis=1)[:, -1]
    known = np.flatnonzero(weight)
    if len(known) < bands // 2:
        return False
    filled = _filled(moved, weight, known)
    dots = np.zeros(waves.shape[1])
    for wave, value in zip(waves, filled, strict=True):
        dots += wave * value
    strength = np.cumsum((dots * dots).reshape(-1, parts), axis=1)[:, -1]
    own = slice(int(np.argmax(strength)) * parts, (int(np.argmax(strength)) + 1) * parts)
    found[:] = np.cumsum(waves[:, own] * dots[own], axis=1)[:, -1]
    return _explains(np.repeat(found, heavy.shape[1]), shares, weights, parts, rules)


def _filled(moved: Array, weight: Array, known: Array) -> Array:
    filled = np.zeros(len(moved))
    for row in range(len(moved)):
        before, after = known[known <= row], known[known >= row]
        a, z = (before[-1] if len(before) else after[0]), (after[0] if len(after) else before[-1])
        low, high = moved[a] / weight[a], moved[z] / weight[z]
        filled[row] = low + (high - low) * ((row - a) / max(z - a, 1)) if z > a else low
    return filled
