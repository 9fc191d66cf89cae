"""What sums that are held lack after a change: which keys left and which came, row by row. In: kept sets before and after, which blocks
moved. Out: the lists that kernels mend by (see `kernels/blocks.py`). Keeps nothing.
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.blocks import FORMER, NEWER, WHOLE, Attend, Changes, Grid, Mask, Whole

LEAST_SLOTS, STILL = 4, 6  # blocks that may move for rows to be mended: so many, or one in so many
WORTH = 0.9  # of the keys that a row keeps: with more to be taken out and put in it runs whole


def slots_for(grid: Grid) -> int:
    """How many blocks may move for rows to be mended."""
    return min(grid.blocks, max(LEAST_SLOTS, -(-grid.blocks // STILL)))


def assign_slots(changes: Changes | None, moved: Mask, is_whole: bool) -> bool:
    """Give each block that moved a slot, and forget what was lacking; whether rows can be mended."""
    if changes is None:
        return False
    changes.slots[...] = -1
    changes.counts[...] = 0
    places = np.flatnonzero(moved)
    if is_whole or len(places) > changes.room:
        return False
    changes.slots[places] = np.arange(len(places))
    return True


def note_changes(attend: Attend, grid: Grid, masks: tuple[Mask, Mask], reached: Mask) -> Whole:
    """Into `attend.changes` what the rows that are `reached` (block, head) lack, after packing; (block, head): how many keys that is.

    `masks` (block, head, key block): the kept sets before and after.
    """
    changes, lacking = attend.changes, np.zeros(reached.shape, np.int32)
    if changes is None or not reached.any():
        return lacking
    row, head = np.nonzero(reached)
    before, after = (mask[row, head, : grid.blocks] for mask in masks)
    moved = np.flatnonzero(changes.slots >= 0)
    signs = np.zeros((len(row), grid.blocks + 3 * changes.room), np.int8)
    signs[:, : grid.blocks] = after.astype(np.int8) - before.astype(np.int8)
    first = grid.blocks + 3 * changes.slots[moved]
    stays, leaves = before[:, moved] & after[:, moved], before[:, moved] & ~after[:, moved]
    signs[:, first + FORMER], signs[:, first + NEWER], signs[:, first + WHOLE] = -stays.view(np.int8), stays, -leaves.view(np.int8)
    signs[:, moved] *= ~leaves
    sizes = np.zeros(signs.shape[1], np.int64)
    sizes[: grid.blocks] = grid.keys[: grid.blocks]
    for which in (FORMER, NEWER):
        sizes[first + which] = attend.moved[changes.slots[moved]]
    sizes[first + WHOLE] = sizes[moved]
    place, source = np.nonzero(signs)
    counts = np.bincount(place, minlength=len(row))
    within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    changes.sources[row[place], head[place], within] = (source + 1) * signs[place, source]
    changes.counts[row, head] = counts
    lacking[row, head] = np.bincount(place, sizes[source], minlength=len(row))
    return lacking
