"""From the live bytes of a step's sources to the runs it must recompute, and from its own live bytes to their extents."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import NO_ENDS, NO_LIVE, Ends, Feed, Plane, Runs


def collector(feeds: tuple[Feed, ...], target: Plane, runs: Runs, unit: int) -> Callable[[bool, Ends], tuple[int, int]]:
    """Forgets the target's live bytes, then fills `runs`: gaps shorter than `unit` are closed, shorter runs widened to it."""

    def collect(everything: bool, ends: Ends = NO_ENDS) -> tuple[int, int]:
        forget(target)
        if everything:
            runs[: target.height] = [(row, 0, target.width) for row in range(target.height)]
            return target.height, target.size_px
        count = 0
        for row in range(target.height):
            wanted = _wanted(feeds, row, target.width) | _at_ends(ends, row, target.height, target.width)
            for start, stop in _closed(wanted, unit, target.width):
                runs[count] = row, start, stop
                count += 1
        return count, int((runs[:count, 2] - runs[:count, 1]).sum())

    return collect


def forget(target: Plane) -> None:
    """No pixel is live."""
    target.live[...] = 0
    target.extent[...] = NO_LIVE
    target.live_px = 0


def _wanted(feeds: tuple[Feed, ...], row: int, width: int) -> NDArray[np.bool_]:
    """The outputs of this row that see a live input."""
    wanted = np.zeros(width, np.bool_)
    for feed in feeds:
        reach = feed.reach
        live = np.asarray(feed.plane.live[reach.above[row] : reach.below[row]].any(axis=0))
        for start, stop in _stretches(live):
            wanted[reach.first_column[start] : reach.last_column[stop - 1] + 1] = True
    return wanted


def _at_ends(ends: Ends, row: int, height: int, width: int) -> NDArray[np.bool_]:
    """The outputs of this row in the rows at the top and the bottom, the columns at the left and the right."""
    top, bottom, left, right = ends
    columns = np.arange(width)
    return np.asarray((columns < left) | (columns >= width - right) | (row < top) | (row >= height - bottom))


def _stretches(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(start, stop) of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], wanted, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def _closed(wanted: NDArray[np.bool_], unit: int, width: int) -> list[tuple[int, int]]:
    closed: list[tuple[int, int]] = []
    for start, stop in _stretches(wanted):
        if closed and start - closed[-1][1] < unit:
            closed[-1] = closed[-1][0], max(stop, closed[-1][1])
        else:
            start = min(start, width - unit)
            closed.append((start, max(stop, start + unit)))
    return closed


def marker(target: Plane, runs: Runs) -> Callable[[int], int]:
    """Notes extents and count of the live bytes that a kernel set."""
    return lambda count: scan(target.live, target.live, target.extent)


def scan(mask: NDArray[np.uint8], live: NDArray[np.uint8], extent: NDArray[np.int32]) -> int:
    """First and last live column of each row into `extent`, the mask into `live`; how many are live."""
    extent[...] = NO_LIVE
    live[...] = mask != 0
    for row in np.flatnonzero(live.any(axis=1)):
        columns = np.flatnonzero(live[row])
        extent[row] = columns[0], columns[-1]
    return int(np.count_nonzero(live))
