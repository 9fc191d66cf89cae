"""Whether sums that are held can be mended after a change. In: which blocks moved. Out: their slots (see `kernels/blocks.py`). Keeps
nothing; what sums lack is written down by `kernels/*/lack.py`.
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.blocks import Changes, Grid, Mask

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
