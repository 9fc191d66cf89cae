"""Which kept sets are others now, and what held sums lack for it, slow and plain: the oracle of `compiled/lack.py`. Keeps nothing.

In: masks (block, head, key block) before and after, which blocks moved. Out: the lists that kernels read (see `kernels/blocks.py`).
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.blocks import FORMER, NEWER, WHOLE, Changes, Kept, Mask, Whole


def exchange(mask: Mask, chosen: Mask, kept: Kept) -> Mask:
    """Make `mask` and the kept sets as `chosen` has them; (block, head): whose were others."""
    exchanged = np.asarray((mask != chosen).any(axis=2))
    if exchanged.any():
        mask[...] = chosen
        kept.fill(chosen)
    return exchanged


def note(changes: Changes, masks: tuple[Mask, Mask], reached: Mask, sizes: tuple[Whole, Whole]) -> Whole:
    """Into `changes` what the rows that are `reached` (block, head) lack, after packing; (block, head): how many keys that is.

    `masks`: the kept sets before and after. `sizes`: keys of each true block, and (slot,) how many tokens of those that moved did.
    """
    lacking, (keys, moved_tokens), blocks = np.zeros(reached.shape, np.int32), sizes, len(sizes[0])
    row, head = np.nonzero(reached)
    if not len(row):
        return lacking
    before, after = (mask[row, head, :blocks] for mask in masks)
    moved = np.flatnonzero(changes.slots >= 0)
    signs = np.zeros((len(row), blocks + 3 * changes.room), np.int8)
    signs[:, :blocks] = after.astype(np.int8) - before.astype(np.int8)
    first = blocks + 3 * changes.slots[moved]
    stays, leaves = before[:, moved] & after[:, moved], before[:, moved] & ~after[:, moved]
    signs[:, first + FORMER], signs[:, first + NEWER], signs[:, first + WHOLE] = -stays.view(np.int8), stays, -leaves.view(np.int8)
    signs[:, moved] *= ~leaves
    tokens = np.zeros(signs.shape[1], np.int64)
    tokens[:blocks] = keys
    for which in (FORMER, NEWER):
        tokens[first + which] = moved_tokens[changes.slots[moved]]
    tokens[first + WHOLE] = keys[moved]
    place, source = np.nonzero(signs)
    counts = np.bincount(place, minlength=len(row))
    within = np.arange(len(place)) - np.repeat(np.cumsum(counts) - counts, counts)
    changes.sources[row[place], head[place], within] = (source + 1) * signs[place, source]
    changes.counts[row, head] = counts
    lacking[row, head] = np.bincount(place, tokens[source], minlength=len(row))
    return lacking
