# ruff: noqa: D103 - each operation is described once, in plain/field.py
"""A light that varies by place, compiled: the same operations and the same bits as `plain/field.py`, which documents them."""

import math

import numpy as np

from edgevision.kernels.compiled.jit import kernel

RIDGE = 1e-9


@kernel
def _misfits(sums, given, shares, weights):
    offset, dimmest, least = given
    known = 0
    for z in range(sums.shape[0]):
        n = max(sums[z, 0], 1)
        mean, used = sums[z, 1] / n, max(sums[z, 2] / n - offset, 1.0)
        shares[z] = weights[z] = 0.0
        if sums[z, 0] >= least and used > dimmest:
            shares[z], weights[z] = mean / used, used / math.sqrt(max(sums[z, 3] / n - mean * mean, 0.1) / n)
            known += 1
    return known


@kernel
def _badness(shares, found, weights):
    per = shares.shape[0] // found.shape[0]
    total = 0.0
    for z in range(shares.shape[0]):
        off = (shares[z] - found[z // per]) * weights[z]
        total += off * off
    return total


@kernel
def _is_sure(every, known, sure):
    return known > 0 and every > known + sure * math.sqrt(2.0 * known)


@kernel
def _explains(every, left, known, free, rules):
    if known <= free or left - known >= (1.0 - rules[1]) * (every - known):
        return False
    return (every - left) * (known - free) > rules[2] * free * left


@kernel
def _solve(matrix, x):
    """Cholesky within `matrix`; `x` holds the right side, then the solution."""
    n = x.shape[0]
    for i in range(n):
        for j in range(i + 1):
            value = matrix[i, j]
            for k in range(j):
                value -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = math.sqrt(max(value, 1e-300)) if i == j else value / matrix[j, j]
    for i in range(n):
        value = x[i]
        for k in range(i):
            value -= matrix[i, k] * x[k]
        x[i] = value / matrix[i, i]
    for i in range(n - 1, -1, -1):
        value = x[i]
        for k in range(i + 1, n):
            value -= matrix[k, i] * x[k]
        x[i] = value / matrix[i, i]


@kernel
def _least_squares(basis, shares, weights, found):
    zones, free = basis.shape
    matrix, right = np.zeros((free, free)), np.zeros(free)
    for z in range(zones):
        heavy = weights[z] * weights[z]
        for i in range(free):
            part = basis[z, i] * heavy
            right[i] += part * shares[z]
            for j in range(free):
                matrix[i, j] += part * basis[z, j]
    trace = 0.0
    for i in range(free):
        trace += matrix[i, i]
    for i in range(free):
        matrix[i, i] += RIDGE * trace
    _solve(matrix, right)
    for z in range(zones):
        found[z] = 0.0
        for i in range(free):
            found[z] += basis[z, i] * right[i]


@kernel
def _usual(shares, found, first, far):
    count = 0
    for z in range(shares.shape[0]):
        if first[z] > 0:
            far[count] = abs(shares[z] - found[z]) * first[z]
            count += 1
    return np.sort(far[:count])[count // 2]


@kernel
def find_surface(sums, given, rules, basis, found):
    zones = sums.shape[0]
    shares, first, far = np.zeros(zones), np.zeros(zones), np.zeros(zones)
    known = _misfits(sums, given, shares, first)
    every = _badness(shares, np.zeros(zones), first)
    if not _is_sure(every, known, rules[0]):
        return False
    weights = first.copy()
    for _ in range(2):
        _least_squares(basis, shares, weights, found)
        limit = max(rules[3], 3.0 * _usual(shares, found, first, far))
        for z in range(zones):
            if abs(shares[z] - found[z]) * first[z] > limit:
                weights[z] = 0.0
    kept = np.count_nonzero(weights)
    return 2 * kept > known and _explains(every, _badness(shares, found, first), known, basis.shape[1], rules)


@kernel
def _fill(shares, weights, filled):
    """By band the mean over its zones; where none is known, between the next ones that are. Returns how many are known."""
    bands = filled.shape[0]
    per = shares.shape[0] // bands
    is_known = np.zeros(bands, np.bool_)
    count = 0
    for band in range(bands):
        weight = moved = 0.0
        for z in range(band * per, band * per + per):
            heavy = weights[z] * weights[z]
            weight += heavy
            moved += heavy * shares[z]
        if weight > 0:
            filled[band], is_known[band] = moved / weight, True
            count += 1
    if 0 < count < bands:
        before = -1
        for band in range(bands):
            if is_known[band]:
                for row in range(before + 1, band):
                    low = filled[before] if before >= 0 else filled[band]
                    part = (row - before) / (band - before) if before >= 0 else 0.0
                    filled[row] = low + (filled[band] - low) * part
                before = band
        for row in range(before + 1, bands):
            filled[row] = filled[before]
    return count


@kernel
def find_wave(sums, given, rules, waves, parts, found):
    zones, bands = sums.shape[0], waves.shape[0]
    shares, weights, filled, dots = np.zeros(zones), np.zeros(zones), np.zeros(bands), np.zeros(waves.shape[1])
    known = _misfits(sums, given, shares, weights)
    every = _badness(shares, np.zeros(zones), weights)
    if not _is_sure(every, known, rules[0]) or _fill(shares, weights, filled) < bands // 2:
        return False
    for band in range(bands):
        wave, value = waves[band], filled[band]
        for k in range(dots.shape[0]):
            dots[k] += wave[k] * value
    best, most = 0, -1.0
    for k in range(0, dots.shape[0], parts):
        strength = 0.0
        for i in range(k, k + parts):
            strength += dots[i] * dots[i]
        if strength > most:
            best, most = k, strength
    for band in range(bands):
        found[band] = 0.0
        for i in range(best, best + parts):
            found[band] += waves[band, i] * dots[i]
    return _explains(every, _badness(shares, found, weights), known, parts, rules)
