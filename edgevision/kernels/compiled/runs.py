"""From the live bytes of a step's sources to the runs it must recompute, and from its own live bytes to their extents.

Only rows with live pixels are visited, and in them only the live extent, so that a still scene costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import carray, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.forms import NO_ENDS, Ends, Feed, Plane, Runs

_BYTES, _WORDS, _LINE = types.uint8[:, ::1], types.int32[:, ::1], types.int32[::1]
_EIGHTS = types.uint64[:, ::1]
_ENDS = types.UniTuple(types.int64, 4)
_FEED = types.Tuple((_BYTES, _WORDS, _LINE, _LINE, _LINE, _LINE))


@kernel
def forget(live, extent):
    """No pixel is live."""
    for row in range(extent.shape[0]):
        if extent[row, 0] <= extent[row, 1]:
            live[row, extent[row, 0] : extent[row, 1] + 1] = 0
            extent[row, 0] = 1 << 30
            extent[row, 1] = -1


@kernel
def live_rows(extent):
    """First and last row with a live pixel; first > last if there is none."""
    first, last = 0, extent.shape[0] - 1
    while first <= last and extent[first, 0] > extent[first, 1]:
        first += 1
    while last > first and extent[last, 0] > extent[last, 1]:
        last -= 1
    return first, last


@kernel
def spread(live, extent, first_column, last_column, above, below, wanted, wanted_extent):
    """Mark the outputs that see a live input, and widen the extents of what is marked."""
    top, bottom = live_rows(extent)
    seen = np.empty(live.shape[1], np.uint8)
    for row in range(above.shape[0]):
        if below[row] <= top or above[row] > bottom:
            continue
        begin, end = np.int32(1 << 30), np.int32(-1)
        for y in range(above[row], below[row]):
            begin, end = min(begin, extent[y, 0]), max(end, extent[y, 1])
        if begin > end:
            continue
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
                wanted[row, first : last + 1] = 1
                wanted_extent[row, 0] = min(wanted_extent[row, 0], first)
                wanted_extent[row, 1] = max(wanted_extent[row, 1], last)


@kernel
def mark_ends(ends, wanted, wanted_extent):
    """Mark the rows at the top and the bottom, the columns at the left and the right: see `forms.Chain`."""
    height, width = wanted.shape
    top, bottom, left, right = ends
    if top + bottom + left + right == 0:
        return
    for row in range(height):
        if row < top or row >= height - bottom or left + right >= width:
            wanted[row, :] = 1
            wanted_extent[row, 0], wanted_extent[row, 1] = 0, width - 1
            continue
        if left > 0:
            wanted[row, :left] = 1
            wanted_extent[row, 0] = 0
            wanted_extent[row, 1] = max(np.int64(wanted_extent[row, 1]), left - 1)
        if right > 0:
            wanted[row, width - right :] = 1
            wanted_extent[row, 0] = min(np.int64(wanted_extent[row, 0]), width - right)
            wanted_extent[row, 1] = width - 1


@kernel
def collect(feeds, live, extent, runs, unit, everything, ends):
    """Forget the target's live bytes; fill `runs`; (how many, pixels in them). The live bytes serve as scratch meanwhile."""
    forget(live, extent)
    height, width = live.shape
    if everything:
        for row in range(height):
            runs[row, 0], runs[row, 1], runs[row, 2] = row, 0, width
        return height, height * width
    for feed in feeds:
        spread(*feed, live, extent)
    mark_ends(ends, live, extent)
    return gather(live, extent, runs, unit)


@kernel
def gather(live, extent, runs, unit):
    """The marked pixels as runs: (how many, pixels in them). The marks are wiped out."""
    count = pixels = 0
    width = live.shape[1]
    top, bottom = live_rows(extent)
    for row in range(top, bottom + 1):
        before = count
        count = cut(live, extent, row, width, unit, runs, count)
        for run in range(before, count):
            pixels += runs[run, 2] - runs[run, 1]
    forget(live, extent)
    return count, pixels


@kernel
def cut(wanted, extent, row, width, unit, runs, count):
    """The stretches of one row as runs: gaps shorter than `unit` closed, short ones widened to it inside the row."""
    x, before, end = np.int64(extent[row, 0]), count, np.int64(extent[row, 1])
    while x <= end:
        if wanted[row, x] == 0:
            x += 1
            continue
        start = x
        while x <= end and wanted[row, x] != 0:
            x += 1
        if count > before and start - runs[count - 1, 2] < unit:
            runs[count - 1, 2] = max(np.int64(runs[count - 1, 2]), x)
            continue
        start = min(start, width - unit)
        runs[count, 0], runs[count, 1], runs[count, 2] = row, start, max(x, start + unit)
        count += 1
    return count


@intrinsic
def _eights(context, address):
    signature = types.CPointer(types.uint64)(types.int64)

    def code(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return signature, code


@kernel
def count_live(flags):
    """How many of these bytes, 0 or 1, are 1: eight at a time, each byte of a word the sum of up to 31 of its own."""
    words = flags.shape[0] // 8
    eights = carray(_eights(np.int64(flags.ctypes.data)), (words,))
    total = 0
    for first in range(0, words, 31):
        part = np.uint64(0)
        for word in range(first, min(first + 31, words)):
            part += eights[word]
        total += np.int64((part & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(0x0001000100010001) >> np.uint64(48))
        total += np.int64(((part >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(0x0001000100010001) >> np.uint64(48))
    for x in range(words * 8, flags.shape[0]):
        total += flags[x]
    return total


@kernel
def as_flags(mask, live):
    """1 for every byte but 0, eight at a time: a word's bits are gathered in the lowest of each byte."""
    words = mask.shape[0] // 8
    source, target = carray(_eights(np.int64(mask.ctypes.data)), (words,)), carray(_eights(np.int64(live.ctypes.data)), (words,))
    for word in range(words):
        bits = source[word]
        bits |= (bits >> np.uint64(4)) & np.uint64(0x0F0F0F0F0F0F0F0F)
        bits |= (bits >> np.uint64(2)) & np.uint64(0x3F3F3F3F3F3F3F3F)
        bits |= (bits >> np.uint64(1)) & np.uint64(0x7F7F7F7F7F7F7F7F)
        target[word] = bits & np.uint64(0x0101010101010101)
    for x in range(words * 8, mask.shape[0]):
        live[x] = np.uint8(mask[x] != 0)


@kernel
def mark(live, extent, runs, count):
    """Extents and number of the live bytes inside the runs, which lie row after row."""
    total = 0
    for run in range(count):
        row, start, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        here = count_live(live[row, start:stop])
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
def scan_mask(mask, eights, live, extent):
    """Extents and number of the live bytes of a whole mask; what lies inside the extents is copied to `live`, any byte but 0 as 1.

    `eights` is the mask eight bytes at a time, as far as that goes.
    """
    total = 0
    width = mask.shape[1]
    for row in range(mask.shape[0]):
        anything = np.uint64(0)
        for place in range(eights.shape[1]):
            anything |= eights[row, place]
        for x in range(eights.shape[1] * 8, width):
            anything |= np.uint64(mask[row, x])
        extent[row, 0], extent[row, 1] = 1 << 30, -1
        if anything == 0:
            continue
        start, stop = 0, width
        while mask[row, start] == 0:
            start += 1
        while mask[row, stop - 1] == 0:
            stop -= 1
        extent[row, 0], extent[row, 1] = start, stop - 1
        as_flags(mask[row, start:stop], live[row, start:stop])
        total += count_live(live[row, start:stop])
    return total


def collector(feeds: tuple[Feed, ...], target: Plane, runs: Runs, unit: int) -> Callable[[bool, Ends], tuple[int, int]]:
    """Called before a kernel: (how many runs, pixels in them)."""
    arrays = tuple(
        (feed.plane.live, feed.plane.extent, feed.reach.first_column, feed.reach.last_column, feed.reach.above, feed.reach.below)
        for feed in feeds
    )
    signature = (types.UniTuple(_FEED, len(feeds)), _BYTES, _WORDS, _WORDS, types.int64, types.boolean, _ENDS)
    code = specialize(collect, signature)
    live, extent = target.live, target.extent

    def find(everything: bool, ends: Ends = NO_ENDS) -> tuple[int, int]:
        found: tuple[int, int] = code(arrays, live, extent, runs, unit, everything, ends)
        return found

    return find


def marker(target: Plane, runs: Runs) -> Callable[[int], int]:
    """Called after a kernel with the number of runs: how many pixels it changed."""
    code = specialize(mark, (_BYTES, _WORDS, _WORDS, types.int64))
    live, extent = target.live, target.extent
    return lambda count: code(live, extent, runs, count)


def scan(mask: NDArray[np.uint8], live: NDArray[np.uint8], extent: NDArray[np.int32]) -> int:
    """Extents and count of a mask from outside, copied to `live` inside the extents."""
    eights = mask.view(np.uint64) if mask.shape[1] % 8 == 0 else np.zeros((len(mask), 0), np.uint64)
    return int(specialize(scan_mask, (_BYTES, _EIGHTS, _BYTES, _WORDS))(mask, eights, live, extent))
