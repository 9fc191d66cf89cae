"""Which kept sets are others now, and what held sums lack for it; see `plain/lack.py`. Small beside attention: one thread does it."""

from __future__ import annotations

import numpy as np
from numba import types

from edgevision.kernels.blocks import FORMER, NEWER, WHOLE, Changes, Kept, Mask, Whole
from edgevision.kernels.compiled.jit import kernel, specialize

_LINE, _TABLE, _CUBE = types.int32[::1], types.int32[:, ::1], types.int32[:, :, ::1]
_MASK, _FLAGS = types.boolean[:, :, ::1], types.boolean[:, ::1]


@kernel
def exchange_sets(mask, chosen, kept, counts, exchanged):
    """All sets."""
    for row in range(mask.shape[0]):
        for head in range(mask.shape[1]):
            own, new, differs = mask[row, head], chosen[row, head], False
            for block in range(own.shape[0]):
                differs |= own[block] != new[block]
            exchanged[row, head] = differs
            if differs:
                number = 0
                for block in range(own.shape[0]):
                    own[block] = new[block]
                    if new[block]:
                        kept[row, head, number] = block
                        number += 1
                counts[row, head] = number


@kernel
def note_sources(before, after, reached, slots, keys, moved, sources, counts, lacking):
    """All rows that are reached: true blocks first, then what moved, slot by slot."""
    blocks, slotted = keys.shape[0], np.flatnonzero(slots >= 0)
    for row in range(reached.shape[0]):
        for head in range(reached.shape[1]):
            lacking[row, head] = 0
            if not reached[row, head]:
                continue
            was, now, made, number, tokens = before[row, head], after[row, head], sources[row, head], 0, 0
            for block in range(blocks):
                if now[block] != was[block] and (now[block] or slots[block] < 0):
                    made[number] = block + 1 if now[block] else -(block + 1)
                    number += 1
                    tokens += keys[block]
            for block in slotted:
                slot = slots[block]
                first = blocks + 3 * slot + 1
                if was[block] and now[block]:
                    made[number], made[number + 1] = -(first + FORMER), first + NEWER
                    number += 2
                    tokens += 2 * moved[slot]
                elif was[block]:
                    made[number] = -(first + WHOLE)
                    number += 1
                    tokens += keys[block]
            counts[row, head], lacking[row, head] = number, tokens


def exchange(mask: Mask, chosen: Mask, kept: Kept) -> Mask:
    """Make `mask` and the kept sets as `chosen` has them; (block, head): whose were others."""
    exchanged = np.zeros(mask.shape[:2], np.bool_)
    wanted = np.ascontiguousarray(chosen)
    specialize(exchange_sets, (_MASK, _MASK, _CUBE, _TABLE, _FLAGS))(mask, wanted, kept.blocks, kept.counts, exchanged)
    return exchanged


def note(changes: Changes, masks: tuple[Mask, Mask], reached: Mask, sizes: tuple[Whole, Whole]) -> Whole:
    """Into `changes` what the rows that are `reached` (block, head) lack, after packing; (block, head): how many keys that is."""
    lacking, moved = np.zeros(reached.shape, np.int32), np.ascontiguousarray(sizes[1])
    before, after, rows, keys = (np.ascontiguousarray(one) for one in (*masks, reached, sizes[0]))
    signature = (_MASK, _MASK, _FLAGS, _LINE, _LINE, _LINE, _CUBE, _TABLE, _TABLE)
    given = changes.slots, keys, moved, changes.sources, changes.counts, lacking
    specialize(note_sources, signature)(before, after, rows, *given)
    return lacking
