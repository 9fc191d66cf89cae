"""The change map's arithmetic, slow and plain: the oracle of `compiled/change.py`.

Frames are (row, column x channel), one or three channels; masks are (row, column). All arithmetic is in integers.

    light     as in `light.py`, which brings a frame's values to those of the frame that was used
    tables    (weak threshold, edge dead zone, level_shift): two tables by gray level; a value's level is value >> level_shift
    own       (restless, times_q8): by value, what it strays from what was used, in 1/16 of a gray level; and how much of it is forgiven
    extents   first, last: per row the first live column and the one after the last; width and 0 where a row has none
    runs      (row, start, stop) of live pixels, all of them, in order; the first `count` rows of the array
    points    packed pixels of `weak`, row << 16 | column; `weak` has a border of one pixel, so both are one more than in the frame
    reference (finer, mean, spread): the running reference in 1/256 of a gray level; `finer` shifts a frame's values up to that
    bounds    (brighter, darker, brighter_q8, darker_q8): least distance, and multiples of the spread in 1/256
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.plain.field import find_surface, find_wave
from edgevision.kernels.plain.find import count_faint, find_weak
from edgevision.kernels.plain.light import (
    Light,
    correct,
    correct_runs,
    fit_sums,
    gather,
    judge_samples,
    spread_gain,
    steepness,
    zone_sums,
)
from edgevision.kernels.plain.places import choose_shifts, move_places, place_costs, spread_shifts
from edgevision.kernels.plain.steady import choose_points, move_back, shift_costs

__all__ = [
    "choose_points",
    "choose_shifts",
    "clear_live",
    "confirm_live",
    "correct_runs",
    "count_faint",
    "count_tiles",
    "despeckle",
    "find_extents",
    "find_runs",
    "find_surface",
    "find_wave",
    "find_weak",
    "fit_sums",
    "force_live",
    "force_tiles",
    "gather",
    "grow_live",
    "hold_live",
    "judge_band",
    "judge_runs",
    "judge_samples",
    "learn_restless",
    "learn_rows",
    "move_back",
    "move_places",
    "outside_band",
    "outside_runs",
    "place_costs",
    "refresh_tolerances",
    "set_tolerances",
    "shift_costs",
    "spread_gain",
    "spread_shifts",
    "take_used",
    "tile_misfits",
    "zone_sums",
]

OWN_MOST = 2  # so many times its level's tolerance is what a value of much noise of its own is forgiven at most
OWN_UP, OWN_DOWN = 6, 2  # in 1/16 of a gray level: they balance where a quarter of the differences lies above

Array = NDArray[Any]
Numbers = tuple[int, ...]


def _pixels(samples: Array, channels: int) -> Array:
    """(row, column x channel) to (row, column): does any channel hold?"""
    return np.asarray(samples.reshape(samples.shape[0], -1, channels).any(axis=2))


def _samples(mask: Array, channels: int) -> Array:
    """(row, column) to (row, column x channel)."""
    return np.asarray(np.repeat(mask.astype(bool), channels, axis=1))


def _tolerances(used: Array, channels: int, tables: Any, own: Any, vibration_q8: int, allowed: Array, dtype: Any) -> Array:
    table, dead, level_shift = tables
    restless, times_q8 = own
    most = np.iinfo(dtype).max
    level = np.minimum(used.astype(np.int64) >> level_shift, 255)
    steep = np.maximum(steepness(used, channels) - dead[level], 0)
    by_level = table[level].astype(np.int64)
    forgiven = np.clip((restless.astype(np.int64) * times_q8 << level_shift) >> 12, by_level, by_level * OWN_MOST)
    limits = np.minimum(forgiven + ((steep * vibration_q8) >> 8), most - 1)
    return np.asarray(np.where(_samples(allowed, channels), limits, most))


def set_tolerances(
    used: Array,
    channels: int,
    tables: Any,
    own: Any,
    vibration_q8: int,
    allowed: Array,
    rows: tuple[int, int],
    steep: Array,
    tolerance: Array,
) -> None:
    """How far a value may move before it is weak: the noise of its level or its own, up to OWN_MOST times the level's; more on
    an edge, which shakes; the largest where not allowed."""
    tolerance[slice(*rows)] = _tolerances(used, channels, tables, own, vibration_q8, allowed, tolerance.dtype)[slice(*rows)]


def learn_restless(
    image: Array,
    used: Array,
    light: Light,
    level_shift: int,
    masks: tuple[Array, Array, Array],
    rows: tuple[int, int],
    channels: int,
    flags: Array,
    restless: Array,
) -> None:
    """Move each value of these rows up by OWN_UP or down by OWN_DOWN towards the share of |corrected - used| that balances both, within
    0..255, but not at (live, protected, not allowed) pixels."""
    live, protect, allowed = masks
    band = slice(*rows)
    learn = _samples(~live & ~protect & (allowed != 0), channels)[band]
    far = np.abs(correct(image, light)[band] - used[band].astype(np.int64)) * 16 >> level_shift
    now = restless[band].astype(np.int64)
    moved = np.clip(np.where(far > now, now + OWN_UP, now - OWN_DOWN), 0, 255)
    np.copyto(restless[band], moved, where=learn, casting="unsafe")


def refresh_tolerances(
    used: Array,
    channels: int,
    tables: Any,
    own: Any,
    vibration_q8: int,
    allowed: Array,
    live: Array,
    runs: Array,
    count: int,
    steep: Array,
    tolerance: Array,
) -> None:
    """Set the tolerances of the live pixels and of their four neighbours, whose edges changed with them. `steep` is scratch for a row."""
    near = live.copy()
    near[1:] |= live[:-1]
    near[:-1] |= live[1:]
    near[:, 1:] |= live[:, :-1]
    near[:, :-1] |= live[:, 1:]
    fresh = _tolerances(used, channels, tables, own, vibration_q8, allowed, tolerance.dtype)
    np.copyto(tolerance, fresh, where=_samples(near, channels), casting="unsafe")


def grow_live(
    image: Array,
    used: Array,
    tolerance: Array,
    light: Light,
    extra: int,
    channels: int,
    limits: Numbers,
    weak: Array,
    points: Array,
    count: int,
    queue: Array,
    allowed: Array,
    live: Array,
    first: Array,
    last: Array,
) -> int:
    """Mark in `live` what holds of the weak pixels; return how many pixels became live. Leaves `weak` all zero.

    A seed is a weak pixel with `despeckle` weak ones in its 3x3 neighbourhood, itself included; a strong one, beyond strong_q8/256 of the
    weak limit, needs one less. A group of weak pixels (8 neighbours) with a seed and at least `min_area` pixels is live, widened by `grow`.
    """
    strong_q8, despeckle, min_area, grow = limits
    far = abs(correct(image, light) - used.astype(np.int64)) * 256
    strong = _pixels(far > (tolerance.astype(np.int64) + extra) * strong_q8, channels)
    pixels = {(int(p) >> 16, int(p) & 0xFFFF) for p in points[:count]}
    before = int(live.sum())
    visited: set[tuple[int, int]] = set()
    for point in points[:count]:
        r, x = int(point) >> 16, int(point) & 0xFFFF
        support = int(np.count_nonzero(weak[r - 1 : r + 2, x - 1 : x + 2]))
        if (r, x) in visited or support + 1 < despeckle or (support < despeckle and not strong[r - 1, x - 1]):
            continue
        group = _group((r, x), pixels)
        visited |= group
        for row, column in group if len(group) >= min_area else ():
            rows = slice(max(row - 1 - grow, 0), row + grow)
            columns = slice(max(column - 1 - grow, 0), column + grow)
            live[rows, columns] |= allowed[rows, columns].astype(bool)
    weak[:] = 0
    find_extents(live, first, last)
    return int(live.sum()) - before


def _group(start: tuple[int, int], pixels: set[tuple[int, int]]) -> set[tuple[int, int]]:
    """The pixels connected with `start`."""
    group, border = {start}, [start]
    while border:
        r, x = border.pop()
        near = {(r + dr, x + dx) for dr in (-1, 0, 1) for dx in (-1, 0, 1)} & pixels - group
        group |= near
        border += near
    return group


def clear_live(live: Array, first: Array, last: Array) -> None:
    """Make an all-False mask of one with these extents."""
    live[:] = False
    first[:] = live.shape[1]
    last[:] = 0


def force_live(allowed: Array, start: int, stop: int, live: Array, first: Array, last: Array) -> int:
    """Make rows start..stop live where allowed; return how many pixels that added."""
    before = int(live.sum())
    live[start:stop] |= allowed[start:stop].astype(bool)
    find_extents(live, first, last)
    return int(live.sum()) - before


def count_tiles(runs: Array, n: int, size: int, counts: Array) -> None:
    """Add to each tile (row, column) of `size` pixels a side how many pixels of the runs lie in it."""
    for row, start, stop in runs[:n]:
        for x in range(start, stop):
            counts[row // size, x // size] += 1


def tile_misfits(image: Array, used: Array, light: Light, tiles: Array, size: int, channels: int, sums: Array) -> None:
    """By marked tile (row, column) of `size` pixels a side, the sum of |corrected - used| over its values; 0 for the others."""
    sums[:] = 0
    far = np.abs(correct(image, light) - used.astype(np.int64))
    for row, column in np.argwhere(tiles):
        wide = size * channels
        sums[row, column] = far[row * size : (row + 1) * size, column * wide : (column + 1) * wide].sum()


def force_tiles(allowed: Array, tiles: Array, size: int, live: Array, first: Array, last: Array) -> int:
    """Make every allowed pixel of the marked tiles live; returns how many were not."""
    chosen = np.repeat(np.repeat(tiles, size, axis=0), size, axis=1)[: live.shape[0], : live.shape[1]]
    added = chosen & allowed.astype(bool) & ~live
    live |= added
    find_extents(live, first, last)
    return int(added.sum())


def find_extents(live: Array, first: Array, last: Array) -> int:
    """Fill in the extents; return how many pixels are live."""
    for r, row in enumerate(live):
        columns = np.flatnonzero(row)
        first[r], last[r] = (columns[0], columns[-1] + 1) if len(columns) else (len(row), 0)
    return int(live.sum())


def find_runs(live: Array, first: Array, last: Array, runs: Array) -> int:
    """List the runs of live pixels; return how many."""
    rows, columns = np.nonzero(np.diff(np.pad(live, ((0, 0), (1, 1))).astype(np.int8), axis=1))
    count = len(rows) // 2
    runs[:count] = np.stack([rows[::2], columns[::2], columns[1::2]], axis=1)
    return count


def _mask(runs: Array, count: int, shape: tuple[int, int]) -> Array:
    live = np.zeros(shape, np.bool_)
    for r, start, stop in runs[:count]:
        live[r, start:stop] = True
    return live


def confirm_live(live: Array, streak: Array, frames: int) -> None:
    """Keep live what has been so on `frames` frames in a row."""
    streak[:] = np.where(live, np.minimum(streak.astype(np.int64) + 1, 255), 0)
    live &= streak >= frames


def hold_live(live: Array, held: Array, frames: int) -> None:
    """Keep a pixel live for `frames` more frames."""
    waiting = ~live & (held > 0)
    held[waiting] -= 1
    held[live] = frames
    live |= waiting


def take_used(corrected: Array, runs: Array, count: int, channels: int, used: Array) -> None:
    """Live pixels were handed to the network."""
    live = _mask(runs, count, (used.shape[0], used.shape[1] // channels))
    np.copyto(used, corrected, where=_samples(live, channels))


def _differs(image: Array, light: Light, reference: tuple[int, Array, Array], bounds: Numbers, channels: int) -> Array:
    """Pixels of which a channel lies outside what the reference allows."""
    finer, mean, spread = reference
    far = (correct(image, light) << finer) - mean.astype(np.int64)
    over = np.maximum(bounds[0], (bounds[2] * spread.astype(np.int64)) >> 8)
    under = np.maximum(bounds[1], (bounds[3] * spread.astype(np.int64)) >> 8)
    return _pixels((far > over) | (-far > under), channels)


def judge_band(
    image: Array,
    light: Light,
    reference: tuple[int, Array, Array],
    bounds: Numbers,
    allowed: Array,
    rows: tuple[int, int],
    channels: int,
    flags: Array,
    raw: Array,
) -> None:
    """Compare every pixel of these rows with the reference. `raw` has a border of one pixel, `flags` is scratch."""
    band = slice(*rows)
    raw[1:-1, 1:-1][band] = (_differs(image, light, reference, bounds, channels) & allowed.astype(bool))[band]


def judge_runs(
    image: Array,
    light: Light,
    reference: tuple[int, Array, Array],
    bounds: Numbers,
    allowed: Array,
    runs: Array,
    count: int,
    channels: int,
    flags: Array,
    raw: Array,
) -> None:
    """Compare the live pixels with the reference."""
    found = _differs(image, light, reference, bounds, channels) & allowed.astype(bool)
    np.copyto(raw[1:-1, 1:-1], found, where=_mask(runs, count, allowed.shape), casting="unsafe")


def outside_band(
    image: Array,
    light: Light,
    low: Array,
    high: Array,
    allowed: Array,
    rows: tuple[int, int],
    channels: int,
    flags: Array,
    raw: Array,
) -> None:
    """Mark every pixel of these rows of which a value lies outside low..high."""
    band = slice(*rows)
    value = correct(image, light)
    raw[1:-1, 1:-1][band] = (_pixels((value < low) | (value > high), channels) & allowed.astype(bool))[band]


def outside_runs(
    image: Array,
    light: Light,
    low: Array,
    high: Array,
    allowed: Array,
    runs: Array,
    count: int,
    channels: int,
    flags: Array,
    raw: Array,
) -> None:
    """The same for the live pixels."""
    value = correct(image, light)
    found = _pixels((value < low) | (value > high), channels) & allowed.astype(bool)
    np.copyto(raw[1:-1, 1:-1], found, where=_mask(runs, count, allowed.shape), casting="unsafe")


def despeckle(raw: Array, first: Array, last: Array, band: tuple[int, int], need: int, foreground: Array, editions: Array) -> bool:
    """Foreground is what differs with `need` in its 3x3 neighbourhood that do; count up the editions of rows that this changed, and return
    whether there are any."""
    height, width = foreground.shape
    count = sum(raw[r : r + height, x : x + width].astype(np.int64) for r in range(3) for x in range(3))
    now = (raw[1:-1, 1:-1] != 0) & (count >= need)
    changed = (now != foreground).any(axis=1)
    foreground[:] = now
    editions += changed
    return bool(changed.any())


def learn_rows(
    image: Array,
    light: Light,
    finer: int,
    masks: tuple[Array, Array, Array],
    rows: tuple[int, int],
    channels: int,
    rate: int,
    flags: Array,
    mean: Array,
    spread: Array,
) -> None:
    """Move mean and spread of these rows by 1/2^rate towards what is seen, but not at (live, protected, not allowed) pixels."""
    live, protect, allowed = masks
    band = slice(*rows)
    learn = _samples(~live & ~protect & (allowed != 0), channels)[band]
    half = 1 << (rate - 1)
    far = (correct(image, light)[band] << finer) - mean[band].astype(np.int64)
    wide = abs(far) - spread[band].astype(np.int64)
    np.copyto(mean[band], mean[band] + ((far + half) >> rate), where=learn, casting="unsafe")
    np.copyto(spread[band], spread[band] + ((wide + half) >> rate), where=learn, casting="unsafe")
