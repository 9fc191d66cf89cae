"""Steps one after another in machine code: find a step's runs, run its kernel over them, note what really changed, go on.

A *chain* holds the steps between two islands as tables of addresses, so that a frame costs Python one call. Where all is to be run, it goes
through the picture in bands: every step does as many rows as its sources allow before the next band begins, while these are in the cache.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numba import carray, types

from edgevision.kernels.compiled.crew import Caller, Crew
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.native import at, put, run_code
from edgevision.kernels.compiled.runs import forget, gather, mark, mark_ends, spread
from edgevision.kernels.compiled.share import STATUS, share
from edgevision.kernels.compiled.spin import cycles
from edgevision.kernels.forms import Feed, Link, Plane, Runs

UNPACKER, CODE, BLOCK, TARGET, FIRST_FEED, FEEDS, UNIT, COST_PS = range(8)  # of a link
LIVE, EXTENT, HEIGHT, WIDTH, COUNT = range(5)  # of a plane
SHARES_EACH = 8
BAND_BYTES, MOST_BANDS = 4 << 20, 64  # of a band's largest tensor, for each thread
_TABLES, _LINE = types.int64[:, ::1], types.int64[::1]
_SIGNATURE = (_TABLES, _TABLES, _TABLES, _TABLES, types.int32[:, ::1], _TABLES, _LINE, _LINE)
_SWEEP = (_TABLES, _TABLES, _TABLES, types.int32[:, ::1], _TABLES, _LINE, _LINE)


@kernel
def marks(plane):
    """A plane's live bytes and their extents."""
    live = carray(at(plane[LIVE], np.uint8), (plane[HEIGHT], plane[WIDTH]))
    return live, carray(at(plane[EXTENT], np.int32), (plane[HEIGHT], 2))


@kernel
def live_px(plane):
    """How many of a plane's pixels are live."""
    return carray(at(plane[COUNT], np.int64), (1,))[0]


@kernel
def whole_rows(runs, begin, end, width):
    """A run for each of these rows."""
    for row in range(begin, end):
        runs[row, 0], runs[row, 1], runs[row, 2] = row, 0, width


@kernel
def work(link, runs, begin, end, pixels, board, system):
    """The link's kernel over runs[begin:end], shared out where that pays. `system`: see `system_calls`; 1 thread has no helpers."""
    cost_ns = pixels * link[COST_PS] // 1000
    if system[3] > 1 and cost_ns > system[4]:
        shares = min(max(cost_ns // system[5], system[3]), system[3] * SHARES_EACH)
        share(np.int64(board.ctypes.data), link, runs, begin, end, shares, system)
    else:
        run_code(link[UNPACKER], link[CODE], link[BLOCK], begin, end, np.int64(board.ctypes.data) + STATUS)


@kernel
def step(link, feeds, planes, ends, runs, spent, board, system):
    """One step, from its sources' live pixels to its own. `ends`: see `forms.Chain`."""
    target = planes[link[TARGET]]
    live, extent = marks(target)
    is_fed = is_whole = False
    for place in range(link[FIRST_FEED], link[FIRST_FEED] + link[FEEDS]):
        source = planes[feeds[place, 0]]
        seen = live_px(source)
        is_fed |= seen > 0
        is_whole |= seen == source[HEIGHT] * source[WIDTH]
    spent[0] = spent[1] = 0
    around = (ends[0], ends[1], ends[2], ends[3])
    if not is_fed and ends[0] + ends[1] + ends[2] + ends[3] == 0:
        if live_px(target) > 0:
            forget(live, extent)
            put(target[COUNT], 0)
        return
    forget(live, extent)
    if is_whole:
        count, pixels = target[HEIGHT], target[HEIGHT] * target[WIDTH]
        whole_rows(runs, 0, count, target[WIDTH])
    else:
        for place in range(link[FIRST_FEED], link[FIRST_FEED] + link[FEEDS]):
            feed, source = feeds[place], planes[feeds[place, 0]]
            seen, seen_extent = marks(source)
            first = carray(at(feed[1], np.int32), (source[WIDTH],))
            last = carray(at(feed[2], np.int32), (source[WIDTH],))
            above = carray(at(feed[3], np.int32), (target[HEIGHT],))
            below = carray(at(feed[4], np.int32), (target[HEIGHT],))
            spread(seen, seen_extent, first, last, above, below, live, extent)
        mark_ends(around, live, extent)
        count, pixels = gather(live, extent, runs, link[UNIT])
    work(link, runs, 0, count, pixels, board, system)
    put(target[COUNT], mark(live, extent, runs, count))
    spent[0], spent[1] = pixels, count


@kernel
def advance(links, feeds, planes, ends, runs, spent, board, system):
    """All steps in turn. `spent` (link, 3): pixels, runs, ticks."""
    for place in range(links.shape[0]):
        began = cycles()
        step(links[place], feeds, planes, ends[place], runs, spent[place], board, system)
        spent[place, 2] = cycles() - began


@kernel
def sweep(schedule, links, planes, runs, spent, board, system):
    """All pixels of all steps, by `schedule` (link, first row, end)."""
    for place in range(links.shape[0]):
        live, extent = marks(planes[links[place, TARGET]])
        forget(live, extent)
        spent[place, 2] = 0
    for entry in range(schedule.shape[0]):
        began = cycles()
        place, first, end = schedule[entry]
        link = links[place]
        width = planes[link[TARGET], WIDTH]
        whole_rows(runs, first, end, width)
        work(link, runs, first, end, (end - first) * width, board, system)
        spent[place, 2] += cycles() - began
    for place in range(links.shape[0]):
        target = planes[links[place, TARGET]]
        live, extent = marks(target)
        whole_rows(runs, 0, target[HEIGHT], target[WIDTH])
        put(target[COUNT], mark(live, extent, runs, target[HEIGHT]))
        spent[place, 0], spent[place, 1] = target[HEIGHT] * target[WIDTH], target[HEIGHT]


class Chain:
    """Keeps the promises of `forms.Chain`."""

    def __init__(self, links: Sequence[Link], runs: Runs, crew: Crew) -> None:
        self._keep, self._runs, self._caller = tuple(links), runs, Caller(crew)
        self._is_exact = all(link.is_exact for link in links)
        planes = {id(plane): plane for link in links for plane in (link.target, *(feed.plane for feed in link.feeds))}
        places = {key: place for place, key in enumerate(planes)}
        self._planes = np.array([_plane_line(plane) for plane in planes.values()], np.int64)
        self._feeds = np.array([_feed_line(feed, places) for link in links for feed in link.feeds], np.int64).reshape(-1, 5)
        firsts = np.cumsum([0, *(len(link.feeds) for link in links)])
        self._links = np.array(
            [
                (*link.kernel.over(runs), places[id(link.target)], first, len(link.feeds), link.unit, round(1000 * link.pixel_ns))
                for link, first in zip(links, firsts, strict=False)
            ],
            np.int64,
        )
        self._outside = [plane for plane in planes.values() if all(plane is not link.target for link in links)]
        self._schedule = np.array(list(bands(links, self._outside, crew.threads)), np.int64).reshape(-1, 3)
        self._advance, self._sweep = specialize(advance, _SIGNATURE), specialize(sweep, _SWEEP)
        self.spent = np.zeros((len(links), 3), np.int64)
        self.ends = np.zeros((len(links), 4), np.int64)
        self._elapsed_s: float = 0.0
        self._tick_s: float | None = None

    def __call__(self, everything: bool) -> None:
        """Run the steps. Raises MemoryError where a kernel found no room."""
        began = time.perf_counter()
        everything = everything or (self._is_exact and all(plane.live_px == plane.size_px for plane in self._outside))
        if everything:
            self._caller.run(self._sweep, self._schedule, self._links, self._planes, self._runs, self.spent)
        else:
            self._caller.run(self._advance, self._links, self._feeds, self._planes, self.ends, self._runs, self.spent)
        self._elapsed_s, self._tick_s = time.perf_counter() - began, None

    def seconds(self, place: int) -> float:
        """What a link took in the last call: its part of the ticks."""
        if self._tick_s is None:
            self._tick_s = self._elapsed_s / max(int(self.spent[:, 2].sum()), 1)
        return self._tick_s * float(self.spent[place, 2])


def _plane_line(plane: Plane) -> tuple[int, ...]:
    return plane.live.ctypes.data, plane.extent.ctypes.data, plane.height, plane.width, plane.count.ctypes.data


def _feed_line(feed: Feed, places: Mapping[int, int]) -> tuple[int, ...]:
    reach = feed.reach
    tables = (reach.first_column, reach.last_column, reach.above, reach.below)
    return (places[id(feed.plane)], *(table.ctypes.data for table in tables))


def bands(links: Sequence[Link], outside: Sequence[Plane], threads: int = 1) -> Iterator[tuple[int, int, int]]:
    """(link, first row, end) in the order in which all rows of all links may be run, `outside` being there from the beginning.

    A link waits until its rows are worth reading its weights for.
    """
    largest = max((link.target.padded.nbytes for link in links), default=0)
    count = min(max(largest // (BAND_BYTES * threads), 1), MOST_BANDS)
    ready = {id(link.target): 0 for link in links}
    for band in range(1, count + 1):
        ready.update({id(plane): plane.height * band // count for plane in outside})
        for place, link in enumerate(links):
            first, end = ready[id(link.target)], _rows(link, ready)
            row_bytes = link.target.width * link.target.padded.strides[1]
            if end > first and (band == count or 2 * (end - first) * row_bytes >= link.weight_bytes):
                ready[id(link.target)] = end
                yield place, first, end


def _rows(link: Link, ready: Mapping[int, int]) -> int:
    """How many of a link's rows see nothing but what is ready."""
    rows = link.target.height
    for feed in link.feeds:
        there = ready[id(feed.plane)]
        if there < feed.plane.height:
            rows = min(rows, int(np.argmax(np.append(feed.reach.below, np.iinfo(np.int32).max) > there)))
    return rows
