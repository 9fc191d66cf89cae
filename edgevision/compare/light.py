"""How a frame's light relates to that of another picture, and its correction: a line for each channel, and a gain that varies by place.

In: a grid of samples of both. Out: `Lamp.light`, as the kernels take it. Keeps, per camera, the last frame's line.

The line takes up a lamp that dims and a white balance that moves; the gain by place a lamp that dims on one side, and the bands that
mains light draws under a rolling shutter. A part is none of these: what few rows or zones show alone is taken for a change, not for light.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgevision.compare.image import read_only
from edgevision.compare.masks import zeros_on_line
from edgevision.compare.measure import LEVELS, NOISE_BINS, RESIDUAL_BINS, quantile
from edgevision.errors import BadFrame
from edgevision.records import Image

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
DIMMEST_LEVELS = 8
SURE = 6.0  # sigmas by which the zones' misfit must exceed what noise alone makes of it
EXPLAINED = 0.6  # share of the misfit that a surface or a wave must explain: of a stain, neither does
EXPLAINED_AGAIN = 0.3  # once one was found: the other, which looks a little like it, has left less to explain
CHANCE = 4.0  # times what as many numbers would explain of any misfit by chance: few zones are soon explained
OUTLIER_SIGMAS = 4.0
RULES = (SURE, EXPLAINED, CHANCE, OUTLIER_SIGMAS)
RULES_AGAIN = (SURE, EXPLAINED_AGAIN, CHANCE, OUTLIER_SIGMAS)  # where the light is known to vary by place: to better what was found
CYCLES = tuple(k / 10 for k in range(10, 81))  # of the mains' bands in a picture, that are looked for
WAVE_PARTS = 5
LEAST_BY_PLACE = 0.003  # share of the light from which on a gain by place is taken up: less is not worth a gain for every value,
LEAST_AGAIN = 0.002  # and from which on it is bettered
FIELD_ROUNDS = 4
FACTOR_BOUNDS = (0.5, 2.0)
COLOURS = ("blue", "green", "red")
REACH_PX = 32  # around what is looked at: shaken by a few pixels, or by tiles of 16

Span = tuple[int, int, int, int]
Grid = tuple[ModuleType, NDArray[np.int32], int]  # kernels, samples (value now, value as used, channel, row, column), how many


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


def refuse_colours(samples: NDArray[np.int32], n: int, limit: float) -> None:
    """Raises BadFrame where one channel's gain is more than `limit` above another's: no lamp dims like that. 0: any will do.

    The gain of a channel is the median of (value as used / value now) over its `n` samples, as `Lamp.fit` takes them, without the dimmest:
    a fit would leave out a channel that has slipped alone, as it leaves out a change.
    """
    if not limit or n == 0:
        return
    now, used, channel = samples[0, :n], samples[1, :n], samples[2, :n]
    bright = now > np.median(now) / 4
    gains = {int(c): float(np.median(used[own] / now[own])) for c in np.unique(channel) if (own := bright & (channel == c)).any()}
    low, high = min(gains.values(), default=1.0), max(gains.values(), default=1.0)
    if high > low * (1 + limit):
        pale, strong = (COLOURS[next(c for c, gain in gains.items() if gain == end)] for end in (high, low))
        raise BadFrame(
            f"the colours are off: {pale} is {1 - low / high:.0%} weaker against {strong} than it was, the limit is {limit:.0%} "
            "(compare.colour_limit); check the camera's white balance and the lamp"
        )


class Lamp:
    """The correction of one camera's frames towards one picture of (height, width, channels), `level_shift` bits deeper than 8.

    `line` is the last fit, `used_line` what of it is used; `light` is what the kernels take, valid until the next `fit`, inside `span`
    (first row, row after the last, first value, value after the last) and REACH_PX around it. A fit looks at samples alone.
    """

    def __init__(self, shape: tuple[int, int, int], dtype: Any, level_shift: int, span: Span | None = None) -> None:
        height, width, channels = shape
        wide = width * channels
        self._channels, self._level_shift = channels, level_shift
        is_bytes = dtype == np.uint8
        self._shape = (9, 5, LEVELS - 1) if is_bytes else (0, 13, (LEVELS << level_shift) - 1)  # 8-bit sums fit 16-bit vectors
        self._first, self._second, self._top = self._shape
        self._gain = zeros_on_line((1, wide), np.uint16 if is_bytes else np.int32)
        self._gain_by_place = zeros_on_line((-(-height // BLOCK_ROWS), wide), self._gain.dtype)
        self._offset = zeros_on_line((wide,), np.int16 if is_bytes else np.int32)
        self._places = Places((height, width), channels)
        self._whole = (0, len(self._gain_by_place), 0, wide)
        self._span = self._whole if span is None else _blocks_of(span, (height, wide), channels)
        self._spread: Span = self._span  # where the gain by place is written out
        self._set: Line | None = None  # what the arrays hold
        self._no_factors = np.zeros((0, 0), np.int32)
        self._seen: tuple[Line, bool] | None = None  # the light, and whether by place, that `counts` are of
        self._far = np.zeros(0, np.int32)
        self.counts = np.zeros((NOISE_BINS, RESIDUAL_BINS), np.int64)
        self._sums = np.zeros((channels, 5), np.int64)
        self._band_sums, self._zone_sums = np.zeros((BANDS[0] * BANDS[1], 4), np.int64), np.zeros((ZONES[0] * ZONES[1], 4), np.int64)
        self._bend, self._wave = np.zeros(ZONES[0] * ZONES[1]), np.zeros(BANDS[0])
        self.reset()

    def reset(self) -> None:
        """No correction."""
        self.line = self.used_line = Line.none(self._channels)
        self._factors = self._no_factors
        self._seen = None
        self.light = self._uniform(self.used_line)

    @property
    def has_places(self) -> bool:
        """Whether the gain varies by place."""
        return len(self._factors) > 0

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
        self._seen, self._factors = None, self._no_factors
        if len(self._far) < samples.shape[1]:
            self._far = np.zeros(samples.shape[1], np.int32)
        start, grid = self.line, (kernels, samples, n)
        self.line, is_served = self._fit_line(grid, start, OFFSET_PRIOR)
        self.used_line = relaxed(self.line, relax, self._level_shift)
        if not is_served or self._is_uneven(grid):
            self.line, _ = self._fit_line(grid, start, OFFSET_DOUBT)
            self.used_line = relaxed(self.line, relax, self._level_shift)
            self._fit_places(grid, relax)
            if self.has_places and self._see(grid)[:, :SERVED_LEVELS].sum() < SERVED_BY_PLACE * n:
                self._factors = self._no_factors
            if not self.has_places:
                line, is_served = self._fit_line(grid, self.line, OFFSET_PRIOR)
                if is_served:  # else a part that fills the view would be drawn to what lay there before, by less gain and more offset
                    self.line = line
                self.used_line = relaxed(self.line, relax, self._level_shift)
        self.light = self._by_place(kernels) if self.has_places else self._uniform(self.used_line)

    def count(self, kernels: ModuleType, samples: NDArray[np.int32], n: int) -> NDArray[np.int64]:
        """How often each |residual| occurs in each gray bin in this light, (NOISE_BINS, RESIDUAL_BINS); overwritten by the next."""
        if len(self._far) < samples.shape[1]:
            self._far = np.zeros(samples.shape[1], np.int32)
        return self._see((kernels, samples, n))

    def extend(self, kernels: ModuleType) -> None:
        """Make `light` valid all over the picture."""
        if self.has_places and self._spread != self._whole:
            self._spread = self._whole
            self._by_place(kernels)

    def relit(self, kernels: ModuleType, image: Image) -> Image:
        """All of an image (H, W[, C]) in this light; the image itself where that changes nothing."""
        if self.is_identity:
            return image
        return self._relit(kernels, image, np.arange(len(image)))

    def relit_rows(self, kernels: ModuleType, image: Image, rows: NDArray[np.intp]) -> Image:
        """These rows of an image (H, W[, C]) in this light."""
        return image[rows] if self.is_identity else self._relit(kernels, image, rows)[rows]

    def _relit(self, kernels: ModuleType, image: Image, rows: NDArray[np.intp]) -> Image:
        """An image in this light, valid in these rows."""
        self.extend(kernels)
        height, width = image.shape[:2]
        flat = np.ascontiguousarray(image).reshape(height, -1)
        runs = np.stack((rows, np.zeros_like(rows), np.full_like(rows, width)), axis=1).astype(np.int32)
        corrected = np.empty_like(flat)
        kernels.correct_runs(flat, self.light, runs, len(runs), self._channels, corrected)
        return corrected.reshape(image.shape)

    def _see(self, grid: Grid, line: Line | None = None) -> NDArray[np.int64]:
        """Count the samples' residuals, and keep them: in the light of a line, or else in that found so far."""
        kernels, samples, n = grid
        factors = self._factors if line is None else self._no_factors
        seen = (self.used_line if line is None else line, len(factors) > 0)
        if seen != self._seen or seen[1]:
            view = (*self._whole_numbers(seen[0]), factors, *self._places.zones, BLOCK_ROWS, self._channels, *self._shape)
            kernels.judge_samples(samples, n, view, self._level_shift, self._far, self.counts)
            self._seen = seen
        return self.counts

    def _whole_numbers(self, line: Line) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The gains and offsets as the kernels take them, by channel."""
        scale, unit, most = 1 << (self._first + self._second), 1 << self._second, 0.9 * self._top
        gains = [round(gain * scale) for gain in line.gains]
        offsets = [round(min(max(offset, -most), most) * unit) + unit // 2 for offset in line.offsets]
        return np.array(gains, np.int32), np.array(offsets, np.int32)

    def _fit_line(self, grid: Grid, start: Line, doubt: float) -> tuple[Line, bool]:
        """The line that brings most samples to what was used, and whether it serves most of them.

        It is least squares on those within 4.5 medians, from the line `start` on. Of the fit, the start and no correction at all, it is the
        one that serves the most samples: when half the view is new, a fit may serve nobody.
        """
        kernels, samples, n = grid
        fit, served = start, dict[Line, int]()
        for _ in range(FIT_ROUNDS if doubt == OFFSET_DOUBT else 1):
            counts = self._served(grid, fit, served)
            kernels.fit_sums(samples, n, self._far, self._inliers(counts), self._sums)
            if self._sums[:, 0].sum() < 2:
                break
            last, fit = fit, solve_channels(self._sums, self._level_shift, doubt)
            if max(abs(a - b) for a, b in zip(fit.gains, last.gains, strict=True)) * LEVELS < SETTLED_LEVELS:
                break
        self._served(grid, fit, served)
        if served[fit] < WELL_SERVED * n:
            self._served(grid, Line.none(self._channels), served)
        best = max(reversed(served), key=lambda one: served[one]) if max(served.values()) > served[fit] else fit
        return best, served[best] >= WELL_SERVED * n

    def _served(self, grid: Grid, line: Line, served: dict[Line, int]) -> NDArray[np.int64]:
        """Note how many samples the line serves; the counts of its residuals."""
        counts = np.asarray(self._see(grid, line).sum(axis=0))
        served[line] = int(counts[:SERVED_LEVELS].sum())
        return counts

    def _inliers(self, counts: NDArray[np.int64]) -> int:
        return max(2, round(INLIER_MEDIANS * quantile(counts, 0.5))) << self._level_shift

    def _is_uneven(self, grid: Grid) -> bool:
        """Whether the picture shows a gain by place, be it too weak to be taken up: then the line is to be doubted."""
        limit = self._inliers(self._see(grid).sum(axis=0))
        return self._has_bend(grid, limit) or self._has_wave(grid, limit)

    def _fit_places(self, grid: Grid, relax: float) -> None:
        """The gain by place, where enough of the picture shows one: a curved surface, and waves along the rows."""
        surface, waves = np.ones(ZONES), np.ones(BANDS[0])
        for _ in range(FIELD_ROUNDS):
            limit = self._inliers(self._see(grid).sum(axis=0))
            least = LEAST_AGAIN if self.has_places else LEAST_BY_PLACE
            is_bent = self._has_bend(grid, limit)
            if is_bent and np.abs(self._bend).max() >= least:
                surface *= 1 + self._bend.reshape(ZONES)
                self._take_places(waves, surface, relax)
                self._see(grid)
            is_waved = self._has_wave(grid, limit)
            if is_waved and np.abs(self._wave).max() >= least:
                waves *= 1 + self._wave
                self._take_places(waves, surface, relax)
            if not is_bent and not is_waved:
                break

    def _has_bend(self, grid: Grid, limit: int) -> bool:
        """Look for a surface in what is left of the misfit, into `_bend`."""
        kernels, samples, n = grid
        kernels.zone_sums(samples, n, self._far, self._places.in_zones, limit, self._zone_sums)
        return bool(kernels.find_surface(self._zone_sums, self._given(), self._rules, self._places.surfaces, self._bend))

    def _has_wave(self, grid: Grid, limit: int) -> bool:
        """Look for a wave along the rows, with its first overtone, into `_wave`."""
        kernels, samples, n = grid
        kernels.zone_sums(samples, n, self._far, self._places.in_bands, limit, self._band_sums)
        return bool(kernels.find_wave(self._band_sums, self._given(), self._rules, self._places.waves, WAVE_PARTS, self._wave))

    @property
    def _rules(self) -> tuple[float, ...]:
        return RULES_AGAIN if self.has_places else RULES

    def _given(self) -> tuple[float, float, float]:
        return self.offset, float(DIMMEST_LEVELS << self._level_shift), float(LEAST_IN_ZONE)

    def _take_places(self, waves: NDArray[np.float64], surface: NDArray[np.float64], relax: float) -> None:
        factors = 1 + (self._places.factors(waves, surface) - 1) * (1 - relax)
        gains = self._whole_numbers(self.used_line)[0]
        most = (65_535 if self._gain.dtype == np.uint16 else 32_767) / float(gains.max())  # beyond it the kernels' integers overflow
        self._factors = np.floor(np.clip(factors, FACTOR_BOUNDS[0], min(FACTOR_BOUNDS[1], most)) * UNIT_FACTOR).astype(np.int32)

    def _uniform(self, line: Line) -> tuple[Any, ...]:
        """The line as the kernels take it."""
        if line != self._set:
            gains, offsets = self._whole_numbers(line)
            self._gain.reshape(-1, self._channels)[:] = gains
            self._offset.reshape(-1, self._channels)[:] = offsets
            self._set = line
        return (self._gain, self._offset, len(self._gain_by_place) * BLOCK_ROWS, *self._shape)

    def _by_place(self, kernels: ModuleType) -> tuple[Any, ...]:
        """Line and factors as the kernels take them."""
        self._uniform(self.used_line)
        kernels.spread_gain(self._gain[0], self._factors, *self._places.zones, self._spread, self._gain_by_place)
        return (self._gain_by_place, self._offset, BLOCK_ROWS, *self._shape)


class Places:
    """Where the zones and bands of a picture of (height, width) lie, and how a gain given by them is spread over its values."""

    def __init__(self, size_px: tuple[int, int], channels: int) -> None:
        height, width = size_px
        self.in_bands, self.in_zones = (
            tuple((np.arange(size) * count // size).astype(np.int32) for size, count in zip(size_px, counts, strict=True))
            for counts in (BANDS, ZONES)
        )
        middle = (np.arange(width) + 0.5) * ZONES[1] / width - 0.5
        left, weight = np.floor(middle) + 1, np.rint((middle - np.floor(middle)) * 256)
        self.zones = tuple(np.repeat(by_column, channels).astype(np.int32) for by_column in (left, weight))
        at = (np.arange(-(-height // BLOCK_ROWS)) + 0.5) * BLOCK_ROWS / height
        self._by_band = _interpolated(at * BANDS[0] - 0.5, np.eye(BANDS[0]))
        self._by_zone = _interpolated(at * ZONES[0] - 0.5, np.eye(ZONES[0]))
        self._beyond = _interpolated(np.arange(-1, ZONES[1] + 1), np.eye(ZONES[1]))
        self.surfaces, self.waves = _surfaces(), _waves()

    def factors(self, waves: NDArray[np.float64], surface: NDArray[np.float64]) -> NDArray[np.float64]:
        """(row / block, zone with one more on each side) of the gain that varies by these."""
        return np.asarray((self._by_band @ waves)[:, None] * (self._by_zone @ surface @ self._beyond.T))


def _blocks_of(span: Span, shape: tuple[int, int], channels: int) -> Span:
    """The blocks of rows and the values that are within REACH_PX of a span."""
    top, bottom, left, right = span
    reach = REACH_PX * channels
    return (
        max(0, top - REACH_PX) // BLOCK_ROWS,
        -(-min(shape[0], bottom + REACH_PX) // BLOCK_ROWS),
        max(0, left - reach),
        min(shape[1], right + reach),
    )


def _interpolated(at: NDArray[Any], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(at, column): between rows 0, 1, 2... of the values (row, column); beyond the ends the line goes on."""
    along, wider = np.arange(-1, len(values) + 1), np.pad(values, ((1, 1), (0, 0)), mode="reflect", reflect_type="odd")
    return np.stack([np.interp(at, along, column) for column in wider.T], axis=1)


@cache
def _surfaces() -> NDArray[np.float64]:
    """(zone, 6): constant, slopes and curvatures at the middles of the zones."""
    y, x = (axis.ravel() for axis in np.meshgrid(*(np.linspace(-1, 1, count) for count in ZONES), indexing="ij"))
    return read_only(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))


@cache
def _waves() -> NDArray[np.float64]:
    """(band, cycles x 5): for each number of cycles in the picture an orthonormal basis of constant, wave and first overtone."""
    at = 2 * np.pi * (np.arange(BANDS[0]) + 0.5) / BANDS[0]
    bases = [np.stack([np.ones_like(at), *(f(k * c * at) for k in (1, 2) for f in (np.cos, np.sin))], axis=1) for c in CYCLES]
    return read_only(np.concatenate([np.linalg.qr(base)[0] for base in bases], axis=1))
