"""How much a camera's pictures differ by noise alone. In: counts of samples. Out: noise, thresholds as tables. Keeps nothing.

Levels are gray levels of an 8-bit picture; `level_shift` is how many bits deeper the camera's own values are.
"""

from __future__ import annotations

import math

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
PLAIN_TIMES, PLAIN_LEAST_LEVELS = 2.0, 12.0
EXCESS_FROM = 1.15
EXCESS_SIGMAS = 5.0
EXCESS_MOST = 8
FAINT_BINS = 512
FAINT_TAILS = ((0.5, 0.6745), (0.8, 1.2816), (0.9, 1.645))  # of one frame; what lies beyond may be a change
FAINT_USUAL_TAILS = ((0.5, 0.6745), (0.9, 1.645), (0.96, 2.054), (0.99, 2.576))  # of many frames
FAINT_USUAL_MOST = 1.3
FAINT_LEAST_LEVELS = 1.25  # that the mean over a window must move at least
FAINT_WINDOW_PX = 16
FAINT_MOST_Q8 = 25_000


def excess_levels(frame: NDArray[np.int64], usual: NDArray[np.float64]) -> int:
    """By how many levels the weak threshold must rise on this frame, whose noise exceeds the usual: a compression pulse, a bad exposure."""
    every = usual.sum(axis=0)
    if every.sum() < ENOUGH_SAMPLES:
        return 0
    now, before = noise_of(frame.sum(axis=0)), noise_of(every)
    return min(EXCESS_MOST, round(EXCESS_SIGMAS * (now - before))) if now > EXCESS_FROM * before else 0


def quantile(counts: NDArray[np.float64] | NDArray[np.int64], share: float) -> float:
    """Where `share` of the residuals lie below, from counts of |residual| = 0, 1, 2...; a count k stands for k - 0.5 .. k + 0.5."""
    below = counts.cumsum()
    total = float(below[-1])
    if total <= 0:
        return 0.0
    k = int(below.searchsorted(share * total))
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


def plain_levels(pixel_threshold: str | float, noise: NDArray[np.float64], most: float) -> NDArray[np.float64]:
    """By how much (levels), at each gray level, a pixel is off beyond doubt; `most` at most. What is restless is forgiven twice as much."""
    return np.minimum(np.maximum(PLAIN_TIMES * strong_levels(pixel_threshold, noise), PLAIN_LEAST_LEVELS), most)


def sigmas_of(pixel_threshold: str) -> float:
    """5.0 of '5 sigma', '5sigma' or '5 sigmas'. Raises ValueError for anything else."""
    number, unit, rest = pixel_threshold.partition("sigma")
    if not unit or rest not in ("", "s"):
        raise ValueError(f"{pixel_threshold!r} is not '<k> sigma'")
    return float(number)


def to_table(levels: NDArray[np.float64], level_shift: int) -> NDArray[np.int32]:
    """Gray levels as whole camera values, for the kernels."""
    return np.asarray(np.rint(levels * (1 << level_shift)), np.int32)


def faint_sigma(now: NDArray[np.int64], usual: NDArray[np.float64]) -> float:
    """One sigma of the sums over windows, in tolerances, from counts of their eighths on this frame and on many before.

    By the median, and by the tail where that is wider: what compression leaves is no bell curve, and no noise of single pixels either.
    Beyond twice the median's sigma on a frame, three times it on many, the tail is taken for changes. The many say little more than the
    frame itself, where that is calm: their light may have been another.
    """
    own = _tailed(now, FAINT_TAILS, 2.0)
    return max(own, min(_tailed(usual, FAINT_USUAL_TAILS, 3.0), FAINT_USUAL_MOST * own))


def _tailed(counts: NDArray[np.float64] | NDArray[np.int64], tails: tuple[tuple[float, float], ...], most: float) -> float:
    middle, *others = ((quantile(counts, share) + 0.5) / 8 / sigmas for share, sigmas in tails)
    return min(max(middle, *others), most * middle)


def faint_limit(sigma: float, sigmas: float, least: float) -> int:
    """How many tolerances, in 1/256, the sum over a window must exceed."""
    return min(round(256 * max(sigmas * sigma, least)), FAINT_MOST_Q8)
