"""From the live bytes of a step's sources to the runs it must recompute, and from its own live bytes to their extents.

Only rows with live pixels are visited, and in them only the live extent, so that a still scene costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import types
from numpy.typing import NDArray

from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.forms import Feed, Plane, Runs

_BYTES, _WORDS, _LINE = types.uint8[:, ::1], types.int32[:, ::1], types.int32[::1]
_FEED = types.Tuple((_BYTES, _WORDS, _LINE, _LINE, _LINE, _LINE))


@kernel
def forget(live, extent):  # type: ignore[no-untyped-def]
    """No pixel is live."""
    for row in range(extent.shape[0]):
        if extent[row, 0] <= extent[row, 1]:
            live[row, extent[row, 0] : extent[row, 1] + 1] = 0
            extent[row, 0] = 1 << 30
            extent[row, 1] = -1


@kernel
def want(feed, row, seen, wanted, low, high):  # type: ignore[no-untyped-def]
    """Mark in `wanted` the outputs of this row that see a live input; returns the widened extent of what is marked."""
    live, extent, first_column, last_column, above, below = feed
    begin, end = np.int32(1 << 30), np.int32(-1)
    for y in range(above[row], below[row]):
        begin, end = min(begin, extent[y, 0]), max(end, extent[y, 1])
    if begin > end:
        return low, high
    seen[begin : end + 1] = 0
    for y in range(above[row], below[row]):
        for x in range(extent[y, 0], extent[y, 1] + 1):
            seen[x] |= live[y, x]
    x = begin
    while x <= end:
        if seen[x] == 0:
            x += 1
            continue
        start = x
        while x <= end and seen[x] != 0:
            x += 1
        first, last = first_column[start], last_column[x - 1]
        if first <= last:
            wanted[first : last + 1] = 1
            low, high = min(low, first), max(high, last)
    return low, high


@kernel
def collect(feeds, live, extent, runs, unit, everything):  # type: ignore[no-untyped-def]
    """Forget the target's live bytes; fill `runs`; (how many, pixels in them)."""
    forget(live, extent)
    height, width = live.shape
    if everything:
        for row in range(height):
            runs[row, 0], runs[row, 1], runs[row, 2] = row, 0, width
        return height, height * width
    longest = 0
    for feed in feeds:
        longest = max(longest, feed[0].shape[1])
    seen, wanted = np.zeros(longest, np.uint8), np.zeros(width + 1, np.uint8)
    count = pixels = 0
    for row in range(height):
        low, high = np.int32(1 << 30), np.int32(-1)
        for feed in feeds:
            low, high = want(feed, row, seen, wanted, low, high)
        if low > high:
            continue
        before = count
        count = cut(wanted, row, low, high, width, unit, runs, count)
        for run in range(before, count):
            pixels += runs[run, 2] - runs[run, 1]
        wanted[low : high + 1] = 0
    return count, pixels


@kernel
def cut(wanted, row, low, high, width, unit, runs, count):  # type: ignore[no-untyped-def]
    """The stretches of one row as runs: gaps shorter than `unit` closed, short ones widened to it inside the row."""
    x, before = low, count
    while x <= high:
        if wanted[x] == 0:
            x += 1
            continue
        start = x
        while wanted[x] != 0:
            x += 1
        if count > before and start - runs[count - 1, 2] < unit:
            runs[count - 1, 2] = max(runs[count - 1, 2], x)
            continue
        start = min(start, width - unit)
        runs[count, 0], runs[count, 1], runs[count, 2] = row, start, max(x, start + unit)
        count += 1
    return count


@kernel
def mark(live, extent, runs, count):  # type: ignore[no-untyped-def]
    """Extents and number of the live bytes inside the runs, which lie row after row."""
    total = 0
    for run in range(count):
        row, start, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        here = 0
        for x in range(start, stop):
            here += live[row, x]
        if here == 0:
            continue
        total += here
        while live[row, start] == 0:
            start += 1
        while live[row, stop - 1] == 0:
            stop -= 1
        extent[row, 0] = min(extent[row, 0], start)
        extent[row, 1] = max(extent[row, 1], stop - 1)
    return total


@kernel
def scan_mask(live, extent):  # type: ignore[no-untyped-def]
    """Extents and number of the live bytes of a whole mask."""
    total = 0
    for row in range(live.shape[0]):
        here = 0
        for x in range(live.shape[1]):
            here += live[row, x]
        start, stop = 0, live.shape[1]
        while here > 0 and live[row, start] == 0:
            start += 1
        while here > 0 and live[row, stop - 1] == 0:
            stop -= 1
        extent[row, 0] = start if here > 0 else 1 << 30
        extent[row, 1] = stop - 1 if here > 0 else -1
        total += here
    return total


def collector(feeds: tuple[Feed, ...], target: Plane, runs: Runs, unit: int) -> Callable[[bool], tuple[int, int]]:
    """Called before a kernel: (how many runs, pixels in them)."""
    arrays = tuple(
        (feed.plane.live, feed.plane.extent, feed.reach.first_column, feed.reach.last_column, feed.reach.above, feed.reach.below)
        for feed in feeds
    )
    signature = (types.UniTuple(_FEED, len(feeds)), _BYTES, _WORDS, _WORDS, types.int64, types.boolean)
    code = specialize(collect, signature)
    live, extent = target.live, target.extent
    return lambda everything: code(arrays, live, extent, runs, unit, everything)


def marker(target: Plane, runs: Runs) -> Callable[[int], int]:
    """Called after a kernel with the number of runs: how many pixels it changed."""
    code = specialize(mark, (_BYTES, _WORDS, _WORDS, types.int64))
    live, extent = target.live, target.extent
    return lambda count: code(live, extent, runs, count)


def scan(live: NDArray[np.uint8], extent: NDArray[np.int32]) -> int:
    """Extents and count of a mask from outside."""
    return int(specialize(scan_mask, (_BYTES, _WORDS))(live, extent))
