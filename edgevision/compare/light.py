"""How a frame's light relates to that of another picture, and its correction: a line for each channel, and a gain that varies by place.

In: a grid of samples of both. Out: `Lamp.light`, as the kernels take it. Keeps, per camera, the last frame's line.

The line takes up a lamp that dims and a white balance that moves; the gain by place a lamp that dims on one side, and the bands that
mains light draws under a rolling shutter. A part is none of these: what few rows or zones show alone is taken for a change, not for light.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.compare.masks import zeros_on_line
from edgevision.compare.measure import LEVELS, NOISE_BINS, RESIDUAL_BINS, quantile

OFFSET_PRIOR = 0.02  # how strongly an offset is doubted: little where the line explains all of the picture,
OFFSET_DOUBT = 30.0  # much while it does not: a gain that varies by place looks like one
GAIN_BOUNDS = (0.4, 2.5)
FIT_ROUNDS = 3
SERVED_LEVELS = 5
WELL_SERVED = 0.8  # share of the samples from which a fit need not be weighed against none
SETTLED_LEVELS = 0.25
SERVED_BY_PLACE = 0.6  # share of the samples that a gain by place must serve: another scene is no light
NEGLIGIBLE_LEVELS = 0.4
INLIER_MEDIANS = 4.5
BANDS = (64, 3)  # rows, and thirds of a row, which a wave runs through alike
ZONES = (6, 8)
BLOCK_ROWS = 8
UNIT_FACTOR = 1 << 14
LEAST_IN_ZONE = 8
SURE = 6.0  # sigmas by which the zones' misfit must exceed what noise alone makes of it
EXPLAINED = 0.6  # share of the misfit that a surface or a wave must explain: of a stain, neither does
CYCLES = tuple(k / 10 for k in range(10, 81))  # of the mains' bands in a picture, that are looked for
OUTLIER_SIGMAS = 4.0
LEAST_BY_PLACE = 0.003  # share of the light from which on a gain by place is taken up: less is not worth a gain for every value,
LEAST_AGAIN = 0.002  # and from which on it is bettered
FIELD_ROUNDS = 3
FACTOR_BOUNDS = (0.5, 2.0)


class Line(NamedTuple):
    """corrected = gain x value + offset, by channel, in the camera's own values."""

    gains: tuple[float, ...]
    offsets: tuple[float, ...]

    @classmethod
    def none(cls, channels: int) -> Line:
        """The line that changes nothing."""
        return cls((1.0,) * channels, (0.0,) * channels)

    @property
    def is_identity(self) -> bool:
        """True when the corrected frame is the frame itself, bit for bit."""
        return set(self.gains) == {1.0} and set(self.offsets) == {0.0}


def solve_line(sums: Sequence[float] | NDArray[Any], level_shift: int, doubt: float = OFFSET_PRIOR) -> tuple[float, float]:
    """Least squares of y = gain x + offset from (n, sum x, sum y, sum xx, sum xy), drawn to gain 1 and offset 0 where x hardly varies."""
    n, sx, sy, sxx, sxy = (float(v) for v in sums)
    unit = float(1 << level_shift)
    heavy_gain, heavy_offset = n * unit * unit, n * doubt
    a, b, c = sxx + heavy_gain, sx, n + heavy_offset
    p, q = sxy + heavy_gain, sy
    determinant = a * c - b * b
    gain = (p * c - q * b) / determinant
    return min(max(gain, GAIN_BOUNDS[0]), GAIN_BOUNDS[1]), (a * q - b * p) / determinant


def solve_channels(sums: NDArray[np.int64], level_shift: int, doubt: float = OFFSET_PRIOR) -> Line:
    """A line for each channel from sums (channel, 5): the one of all channels together, bent to what each shows beside it."""
    gain, offset = solve_line(sums.sum(axis=0), level_shift, doubt)
    gains, offsets = [], []
    for n, sx, sy, sxx, sxy in sums.astype(np.float64):
        after = (n, gain * sx + n * offset, sy, gain * gain * sxx + 2 * gain * offset * sx + n * offset**2, gain * sxy + offset * sy)
        bent, moved = solve_line(after, level_shift, doubt) if n >= LEAST_IN_ZONE and len(sums) > 1 else (1.0, 0.0)
        gains.append(min(max(bent * gain, GAIN_BOUNDS[0]), GAIN_BOUNDS[1]))
        offsets.append(bent * offset + moved)
    return Line(tuple(gains), tuple(offsets))


def relaxed(fit: Line, share: float, level_shift: int) -> Line:
    """The line drawn back by `share` of its correction; the identity when it moves no value by as much as half a level."""
    unit = 1 << level_shift
    gains = [1 + (gain - 1) * (1 - share) for gain in fit.gains]
    offsets = [offset * (1 - share) for offset in fit.offsets]
    ends = [max(abs(b), abs((a - 1) * (LEVELS - 1) * unit + b)) for a, b in zip(gains, offsets, strict=True)]
    return Line.none(len(gains)) if max(ends) < NEGLIGIBLE_LEVELS * unit else Line(tuple(gains), tuple(offsets))


class Lamp:
    """The correction of one camera's frames towards one picture of (height, width, channels), `level_shift` bits deeper than 8.

    `line` is the last fit, `used_line` what of it is used; `light` is what the kernels take, valid until the next `fit`.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: Any, level_shift: int) -> None:
        height, width, channels = shape
        wide = width * channels
        self._channels, self._level_shift = channels, level_shift
        is_bytes = dtype == np.uint8
        self._shape = (9, 5, LEVELS - 1) if is_bytes else (0, 13, (LEVELS << level_shift) - 1)  # 8-bit sums fit 16-bit vectors
        self._first, self._second, self._top = self._shape
        self._height = height
        self._gain = zeros_on_line((1, wide), np.uint16 if is_bytes else np.int32)
        self._gain_by_place = zeros_on_line((-(-height // BLOCK_ROWS), wide), self._gain.dtype)
        self._offset = zeros_on_line((wide,), np.int16 if is_bytes else np.int32)
        self._bands, self._zones = (
            tuple((np.arange(size) * count // size).astype(np.int64) for size, count in zip((height, width), counts, strict=True))
            for counts in (BANDS, ZONES)
        )
        middle = (np.arange(width) + 0.5) * ZONES[1] / width - 0.5
        whole = np.floor(middle)
        self._left = whole.astype(np.int64) + 1  # a zone more on each side, for what lies beyond the outermost middles
        self._weight = np.rint((middle - whole) * 256).astype(np.int64)
        self._set: Line | None = None  # what the arrays hold
        self._counted: tuple[Line | None, bool] | None = None  # what the counts are of
        self._surfaces, self._waves = _surfaces(), _waves()
        self.counts = np.zeros((NOISE_BINS, RESIDUAL_BINS), np.int64)
        self._sums = np.zeros((channels, 5), np.int64)
        self._band_sums, self._zone_sums = np.zeros((BANDS[0] * BANDS[1], 4), np.int64), np.zeros((ZONES[0] * ZONES[1], 4), np.int64)
        self.reset()

    def reset(self) -> None:
        """No correction."""
        self.line = self.used_line = Line.none(self._channels)
        self.has_places = False
        self.light = self._uniform(self.line)

    def drop_places(self) -> None:
        """The last line alone: what the last frame's gain by place was says little of the next one's."""
        self.has_places = False
        self.light = self._uniform(self.used_line)

    @property
    def is_identity(self) -> bool:
        """True when the corrected frame is the frame itself, bit for bit."""
        return self.used_line.is_identity and not self.has_places

    @property
    def gain(self) -> float:
        """The mean of the channels'."""
        return sum(self.used_line.gains) / self._channels

    @property
    def offset(self) -> float:
        """The mean of the channels', in the camera's own values."""
        return sum(self.used_line.offsets) / self._channels

    def fit(self, kernels: ModuleType, samples: NDArray[np.int32], n: int, relax: float) -> None:
        """Fit `n` samples (value now, value as used, channel, row, column) of a frame.

        Where a line that begins with the last frame's serves the picture, that is all; else the gain by place is looked for, from lines
        that leave the offset alone.
        """
        self._counted = None
        start = self.line
        self.line, is_served = self._fit_line(kernels, samples, n, start, OFFSET_PRIOR)
        self._take(relax)
        if not is_served or self._fit_places(kernels, samples, n, relax):
            self.line, _ = self._fit_line(kernels, samples, n, start, OFFSET_DOUBT)
            self._take(relax)
            self._fit_places(kernels, samples, n, relax)
            if self.has_places and self.count(kernels, samples, n)[:, :SERVED_LEVELS].sum() < SERVED_BY_PLACE * n:
                self.drop_places()
            if not self.has_places:
                self.line, _ = self._fit_line(kernels, samples, n, self.line, OFFSET_PRIOR)
                self._take(relax)

    def _take(self, relax: float) -> None:
        self.used_line = relaxed(self.line, relax, self._level_shift)
        self.light = self._uniform(self.used_line)
        self.has_places = False

    def count(self, kernels: ModuleType, samples: NDArray[np.int32], n: int) -> NDArray[np.int64]:
        """How often each |residual| occurs in each gray bin in this light, (NOISE_BINS, RESIDUAL_BINS); overwritten by the next."""
        if self._counted != (self._set, self.has_places):
            kernels.count_residuals(samples, n, self.light, self._channels, self._level_shift, self.counts)
            self._counted = None if self.has_places else (self._set, False)
        return self.counts

    def _fit_line(self, kernels: ModuleType, samples: NDArray[np.int32], n: int, start: Line, doubt: float) -> tuple[Line, bool]:
        """The line that brings most samples to what was used, and whether it serves most of them.

        It is least squares on those within 4.5 medians, from the line `start` on. Of the fit, the start and no correction at all, it is the
        one that serves the most samples: when half the view is new, a fit may serve nobody.
        """
        fit, served = start, dict[Line, int]()
        for _ in range(FIT_ROUNDS if doubt == OFFSET_DOUBT else 1):
            counts = self._served(kernels, samples, n, fit, served)
            kernels.fit_sums(samples, n, self.light, self._channels, self._inliers(counts), self._sums)
            if self._sums[:, 0].sum() < 2:
                break
            last, fit = fit, solve_channels(self._sums, self._level_shift, doubt)
            if np.abs(np.subtract(fit.gains, last.gains)).max() * LEVELS < SETTLED_LEVELS:
                break
        self._served(kernels, samples, n, fit, served)
        if served[fit] < WELL_SERVED * n:
            self._served(kernels, samples, n, Line.none(self._channels), served)
        best = max(reversed(served), key=lambda one: served[one]) if max(served.values()) > served[fit] else fit
        return best, served[best] >= WELL_SERVED * n

    def _served(self, kernels: ModuleType, samples: NDArray[np.int32], n: int, line: Line, served: dict[Line, int]) -> NDArray[np.int64]:
        """Note how many samples the line serves; the counts of its residuals."""
        self.light = self._uniform(line)
        counts = np.asarray(self.count(kernels, samples, n).sum(axis=0))
        served[line] = int(counts[:SERVED_LEVELS].sum())
        return counts

    def _inliers(self, counts: NDArray[np.int64]) -> int:
        return max(2, round(INLIER_MEDIANS * quantile(counts, 0.5))) << self._level_shift

    def _fit_places(self, kernels: ModuleType, samples: NDArray[np.int32], n: int, relax: float) -> bool:
        """The gain by place, where enough of the picture shows one: a curved surface, and waves along the rows.

        Returns whether there is one, be it too weak to be taken up: then the line is to be doubted.
        """
        is_sure = False
        surface, waves = np.ones(ZONES), np.ones(BANDS[0])
        for _ in range(FIELD_ROUNDS):
            limit = self._inliers(self.count(kernels, samples, n).sum(axis=0))
            kernels.zone_sums(samples, n, self.light, self._channels, self._zones, limit, self._zone_sums)
            least = LEAST_AGAIN if self.has_places else LEAST_BY_PLACE
            bent = self._bend(*self._misfits(self._zone_sums))
            is_sure |= bent is not None
            if bent is not None and (bent := _worth(bent, least)) is not None:
                surface *= 1 + bent
                self._set_places(kernels, waves, surface, relax)
            kernels.zone_sums(samples, n, self.light, self._channels, self._bands, limit, self._band_sums)
            waved = self._wave(*self._misfits(self._band_sums))
            is_sure |= waved is not None
            if waved is not None and (waved := _worth(waved, least)) is not None:
                waves *= 1 + waved
                self._set_places(kernels, waves, surface, relax)
            if bent is None and waved is None:
                break
        return is_sure

    def _misfits(self, sums: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """By what share the light of each zone differs from what is corrected already, and 1 / sigma of that (0: not known)."""
        n = np.maximum(sums[:, 0], 1)
        mean, used = sums[:, 1] / n, np.maximum(sums[:, 2] / n - self.offset, 1)
        sigma = np.sqrt(np.maximum(sums[:, 3] / n - mean**2, 0.1) / n)
        known = (sums[:, 0] >= LEAST_IN_ZONE) & (used > (8 << self._level_shift))
        return np.where(known, mean / used, 0), np.where(known, used / sigma, 0)

    def _bend(self, shares: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The surface that explains most of the zones' misfit; None where that is noise, or no surface."""
        if not _is_sure(shares, weights):
            return None
        found, kept = _smoothed(self._surfaces, shares, weights)
        return found.reshape(ZONES) if _explains(found, shares, weights) and kept else None

    def _wave(self, shares: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """The wave, with its first overtone, that explains most of the rows' misfit; None where that is noise, or no wave."""
        if not _is_sure(shares, weights):
            return None
        parts = weights.reshape(BANDS) ** 2
        heavy = parts.sum(axis=1)
        known = np.flatnonzero(heavy)
        if len(known) < BANDS[0] // 2:
            return None
        by_row = (shares.reshape(BANDS) * parts).sum(axis=1)[known] / heavy[known]
        filled = np.interp(np.arange(BANDS[0]), known, by_row)
        strength = ((self._waves.transpose(0, 2, 1) @ filled) ** 2).sum(axis=1)
        best = self._waves[int(np.argmax(strength))]
        found = np.asarray(best @ (best.T @ filled))
        return found if _explains(np.repeat(found, BANDS[1]), shares, weights) else None

    def _uniform(self, line: Line) -> tuple[Any, ...]:
        """The line as the kernels take it."""
        if line != self._set:
            scale, unit, most = 1 << (self._first + self._second), 1 << self._second, 0.9 * self._top
            for c, (gain, offset) in enumerate(zip(*line, strict=True)):
                self._gain[0, c :: self._channels] = round(gain * scale)
                self._offset[c :: self._channels] = round(min(max(offset, -most), most) * unit) + unit // 2
            self._set = line
        return (self._gain, self._offset, self._height, *self._shape)

    def _set_places(self, kernels: ModuleType, waves: NDArray[np.float64], surface: NDArray[np.float64], relax: float) -> None:
        self._uniform(self.used_line)
        at = (np.arange(len(self._gain_by_place)) + 0.5) * BLOCK_ROWS / self._height
        by_row = _interpolated(at * BANDS[0] - 0.5, waves)
        by_zone = np.stack([_interpolated(at * ZONES[0] - 0.5, column) for column in surface.T], axis=1)
        beyond = np.pad(by_zone, ((0, 0), (1, 1)), mode="reflect", reflect_type="odd")  # the line goes on
        factors = 1 + (by_row[:, None] * beyond - 1) * (1 - relax)
        gains = self._gain[0, : self._channels].astype(np.int64)
        most = (65_535 if self._gain.dtype == np.uint16 else 32_767) / float(gains.max())  # beyond it the kernels' integers overflow
        whole = np.floor(np.clip(factors, FACTOR_BOUNDS[0], min(FACTOR_BOUNDS[1], most)) * UNIT_FACTOR).astype(np.int64)
        kernels.spread_gain(gains, whole, self._left, self._weight, self._gain_by_place)
        self.light = (self._gain_by_place, self._offset, BLOCK_ROWS, *self._shape)
        self.has_places = True


def _interpolated(at: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values between those at 0, 1, 2...; beyond the ends the line goes on."""
    return np.interp(at, np.arange(-1, len(values) + 1), np.pad(values, 1, mode="reflect", reflect_type="odd"))


def _surfaces() -> NDArray[np.float64]:
    """(zone, 6): constant, slopes and curvatures at the middles of the zones."""
    y, x = (axis.ravel() for axis in np.meshgrid(*(np.linspace(-1, 1, count) for count in ZONES), indexing="ij"))
    return np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)


def _waves() -> NDArray[np.float64]:
    """(cycles, band, 5): for each number of cycles in the picture an orthonormal basis of constant, wave and first overtone."""
    at = 2 * np.pi * (np.arange(BANDS[0]) + 0.5) / BANDS[0]
    bases = [np.stack([np.ones_like(at), *(f(k * c * at) for k in (1, 2) for f in (np.cos, np.sin))], axis=1) for c in CYCLES]
    return np.stack([np.linalg.qr(base)[0] for base in bases])


def _is_sure(shares: NDArray[np.float64], weights: NDArray[np.float64]) -> bool:
    """Whether the misfit exceeds what noise alone makes of it."""
    known = int(np.count_nonzero(weights))
    return known > 0 and float(((shares * weights) ** 2).sum()) > known + SURE * math.sqrt(2 * known)


def _worth(found: NDArray[np.float64] | None, least: float) -> NDArray[np.float64] | None:
    """What was found, None where it moves the light nowhere by as much as `least`."""
    return None if found is None or np.abs(found).max() < least else found


def _explains(found: NDArray[np.float64], shares: NDArray[np.float64], weights: NDArray[np.float64]) -> bool:
    """Whether what was found leaves little of the misfit beside the noise."""
    left, every = (float(((part * weights) ** 2).sum()) - np.count_nonzero(weights) for part in (shares - found, shares))
    return bool(left < (1 - EXPLAINED) * every)


def _smoothed(basis: NDArray[np.float64], shares: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """Least squares of the shares in the basis, the second time without what is far off; and whether most of the zones were kept."""
    first = weights
    for _ in range(2):
        found = basis @ np.linalg.lstsq(basis * weights[:, None], shares * weights, rcond=None)[0]
        far = np.abs(shares - found) * first
        weights = np.where(far > max(OUTLIER_SIGMAS, 3 * float(np.median(far))), 0, weights)
    return np.asarray(found), bool(2 * np.count_nonzero(weights) > np.count_nonzero(first))
