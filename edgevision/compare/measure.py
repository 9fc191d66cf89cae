"""How a frame's light and noise relate to what the network last used. In: counts and sums of samples. Out: lines and tables. Keeps nothing.

Levels are gray levels of an 8-bit picture; `level_shift` is how many bits deeper the camera's own values are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEVELS = 256
NOISE_BINS = 16
RESIDUAL_BINS = 64
MEDIAN_SIGMAS = 0.6745
ENOUGH_SAMPLES = 50
NOISE_GUESS = 2.0
NOISE_LEAST = 0.25
NOISE_MOST = 12.0
EDGE_SIGMAS = 6.0
AUTO_SIGMAS = 7.0
AUTO_LEAST_LEVELS = 10.0
OFFSET_PRIOR = 0.02
GAIN_BOUNDS = (0.4, 2.5)
FIT_ROUNDS = 3
SERVED_LEVELS = 5
NEGLIGIBLE_LEVELS = 0.4
EXCESS_FROM = 1.15
EXCESS_SIGMAS = 5.0
EXCESS_MOST = 8


class Line(NamedTuple):
    """corrected = gain x value + offset, in the camera's own values.

    The kernels take it as integers (gain, offset, first, second, top): corrected = ((value x gain >> first) + offset) >> second, in 0..top.
    """

    gain: float
    offset: float
    fixed: tuple[int, int, int, int, int]

    @property
    def is_identity(self) -> bool:
        """True when the corrected frame is the frame itself, bit for bit."""
        return self.gain == 1.0 and self.offset == 0.0


def line(gain: float, offset: float, level_shift: int) -> Line:
    """The line in integers, rounding to nearest; the sums fit 16 bits for 8-bit values, so that a vector holds twice as many, else 32."""
    first, second = (9, 5) if level_shift == 0 else (0, 13)
    top = (LEVELS << level_shift) - 1
    offset = min(max(offset, -0.9 * top), 0.9 * top)
    fixed = (round(gain * (1 << (first + second))), round(offset * (1 << second)) + (1 << (second - 1)), first, second, top)
    return Line(gain, offset, fixed)


def solve_line(sums: Sequence[int], level_shift: int) -> tuple[float, float]:
    """Least squares of y = gain x + offset from (n, sum x, sum y, sum xx, sum xy), drawn to gain 1 and offset 0 where x hardly varies."""
    n, sx, sy, sxx, sxy = (float(v) for v in sums)
    unit = float(1 << level_shift)
    heavy_gain, heavy_offset = n * unit * unit, n * OFFSET_PRIOR
    a, b, c = sxx + heavy_gain, sx, n + heavy_offset
    p, q = sxy + heavy_gain, sy
    determinant = a * c - b * b
    gain = (p * c - q * b) / determinant
    return min(max(gain, GAIN_BOUNDS[0]), GAIN_BOUNDS[1]), (a * q - b * p) / determinant


def fit_line(
    counts_of: Callable[[Line], NDArray[np.int64]], sums_of: Callable[[Line, int], Sequence[int]], previous: Line, level_shift: int
) -> Line:
    """The line that brings most samples to what was used: least squares on those within 4.5 medians, from the last frame's line.

    Of the fit, the last frame's line and no correction at all, it is the one that serves the most samples: when half the view is new, a
    fit may serve nobody.
    """
    none = line(1.0, 0.0, level_shift)
    fit, served = previous, {}
    for _ in range(FIT_ROUNDS):
        counts = counts_of(fit).sum(axis=0)
        served[fit] = int(counts[:SERVED_LEVELS].sum())
        sums = sums_of(fit, max(2, round(4.5 * quantile(counts, 0.5))) << level_shift)
        if sums[0] < 2:
            break
        fit = line(*solve_line(sums, level_shift), level_shift)
    for last in (fit, none):
        served[last] = int(counts_of(last)[:, :SERVED_LEVELS].sum())
    return fit if served[fit] >= max(served[previous], served[none]) else max((previous, none), key=lambda one: served[one])


def relaxed(fit: Line, share: float, level_shift: int) -> Line:
    """The line drawn back by `share` of its correction; the identity when it moves no value by as much as half a level."""
    gain, offset = 1 + (fit.gain - 1) * (1 - share), fit.offset * (1 - share)
    unit = 1 << level_shift
    ends = max(abs(offset), abs((gain - 1) * (LEVELS - 1) * unit + offset))
    return line(1.0, 0.0, level_shift) if ends < NEGLIGIBLE_LEVELS * unit else line(gain, offset, level_shift)


def excess_levels(frame: NDArray[np.int64], usual: NDArray[np.float64]) -> int:
    """By how many levels the weak threshold must rise on this frame, whose noise exceeds the usual: a compression pulse, a bad exposure."""
    every = usual.sum(axis=0)
    if every.sum() < ENOUGH_SAMPLES:
        return 0
    now, before = noise_of(frame.sum(axis=0)), noise_of(every)
    return min(EXCESS_MOST, round(EXCESS_SIGMAS * (now - before))) if now > EXCESS_FROM * before else 0


def quantile(counts: NDArray[np.float64] | NDArray[np.int64], share: float) -> float:
    """Where `share` of the residuals lie below, from counts of |residual| = 0, 1, 2...; a count k stands for k - 0.5 .. k + 0.5."""
    total = float(counts.sum())
    if total <= 0:
        return 0.0
    below = np.cumsum(counts)
    k = int(np.searchsorted(below, share * total))
    before = float(below[k - 1]) if k else 0.0
    inside = (share * total - before) / max(float(counts[k]), 1e-9)
    low = k - 0.5 if k else 0.0
    return low + inside * (k + 0.5 - low)


def noise_of(residuals: NDArray[np.float64] | NDArray[np.int64]) -> float:
    """One sigma of the noise of one frame, from counts of |residual| between two; the median, because part of them are changes."""
    return min(quantile(residuals, 0.5) / MEDIAN_SIGMAS / math.sqrt(2.0), NOISE_MOST)


def noise_by_level(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sensor noise (levels, one sigma) at each of the 256 gray levels, from counts (NOISE_BINS, RESIDUAL_BINS) of two frames' differences.

    A bin with few samples leans on the whole picture's noise, and none leaves it by more than a factor of 2.5.
    """
    every = counts.sum(axis=0)
    if every.sum() < ENOUGH_SAMPLES:
        return np.full(LEVELS, NOISE_GUESS)
    whole = max(noise_of(every), NOISE_LEAST)
    weight = counts.sum(axis=1)
    own = np.array([noise_of(row) for row in counts])
    mixed = np.sqrt((weight * own**2 + 100.0 * whole**2) / (weight + 100.0))
    centres = (np.arange(NOISE_BINS) + 0.5) * (LEVELS / NOISE_BINS)
    return np.asarray(np.interp(np.arange(LEVELS), centres, np.clip(mixed, whole / 2.5, whole * 2.5)))


def strong_levels(pixel_threshold: str | float, noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """The threshold (levels) at each gray level: `auto`, `<k> sigma` of the measured noise, or plain gray levels."""
    if isinstance(pixel_threshold, float | int):
        return np.full(LEVELS, float(pixel_threshold))
    if pixel_threshold == "auto":
        return np.maximum(AUTO_SIGMAS * noise, AUTO_LEAST_LEVELS)
    return sigmas_of(pixel_threshold) * noise


def sigmas_of(pixel_threshold: str) -> float:
    """5.0 of '5 sigma', '5sigma' or '5 sigmas'. Raises ValueError for anything else."""
    number, unit, rest = pixel_threshold.partition("sigma")
    if not unit or rest not in ("", "s"):
        raise ValueError(f"{pixel_threshold!r} is not '<k> sigma'")
    return float(number)


def to_table(levels: NDArray[np.float64], level_shift: int) -> NDArray[np.int32]:
    """Gray levels as whole camera values, for the kernels."""
    return np.asarray(np.rint(levels * (1 << level_shift)), np.int32)
