"""Sets of key blocks as a dependency graph: which queries a change reaches, and their attention.

In: what changed since the last run, by the planes' live bytes, and a `Chooser` that says which key blocks each block of queries keeps. Out:
the target. Keeps packed keys and values, and the kept sets.

Without a gate all queries run again that changed, whose kept set changed, or that keep a changed key or value; so what stands in the target
is bit for bit what a first run of the same tokens would give. With a gate, the sums of those that did not change themselves are held, and
mended: what left their keys is taken out, what came is put in (see `kernels/blocks.py`), and what that makes is compared with what stands
in the target. So no query that keeps what changed is off by more than the gate, and as what is compared is the answer in use with the
answer now, never one change with the next, nothing can creep. Those whom a change reaches through a mean of blocks alone wait for their
turn, one block of TURNS in each run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from edgevision.kernels import open_attend, open_lack
from edgevision.kernels.blocks import ALL, LIVE, MEND, NONE, Attend, Changes, Kept, Mask, Whole
from edgevision.kernels.forms import Float, Plane
from edgevision.networks.attention import Opening, Tokens
from edgevision.networks.attention.mending import WORTH, assign_slots, slots_for

TURNS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What a chooser is shown: `asking`, `moved` (block,) which query blocks and key blocks have live tokens; the packed keys."""

    query: Plane
    key: Plane
    asking: Mask
    moved: Mask
    everything: bool
    gate: float
    attend: Attend

    @property
    def is_still(self) -> bool:
        """Nothing changed."""
        return not (self.everything or bool(self.asking.any()) or bool(self.moved.any()))


class Chooser(Protocol):
    """What a method knows of one layer of one camera: who looks at whom."""

    @property
    def note(self) -> str:
        """What an operator should know."""

    @property
    def macs(self) -> int:
        """Of the last choice."""

    @property
    def scores(self) -> Float | None:
        """(block, head, key block): what the last choice went by; None where none was made."""

    def choose(self, seen: Seen) -> Mask | None:
        """(block, head, key block), with blocks of summaries where there are; None where nothing is exchanged. No row is empty."""

    def correct(self, seen: Seen, exchanged: Mask) -> Mask | None:
        """Set `seen.attend.shift`, after the choice; (block, head): where it is another now. None where there is no such correction."""

    def reset(self) -> None:
        """Forget the scene."""


class Fixed:
    """Keeps what it is told, whatever the tokens say."""

    macs, scores = 0, None

    def __init__(self, mask: Mask, note: str = "") -> None:
        self._mask, self.note = mask, note

    def choose(self, seen: Seen) -> Mask | None:
        """Once."""
        return self._mask if seen.everything else None

    def correct(self, seen: Seen, exchanged: Mask) -> Mask | None:
        """Nothing is dropped by mistake."""
        return None

    def reset(self) -> None:
        """Nothing is kept of a scene."""


class Selective:
    """Keeps the promises of `AttentionState` for every method that keeps blocks."""

    def __init__(self, tokens: Tokens, chooser: Chooser, most: int, opening: Opening, has_summaries: bool = False) -> None:
        """`most`: true blocks that a set can have. `has_summaries`: whether the chooser reads or keeps means of blocks."""
        self._grid, self._chooser = replace(tokens.grid(), has_summaries=has_summaries), chooser
        self._kept = Kept.room(self._grid, most)
        self._attend = open_attend(opening.backend, self._grid, self._kept, opening.crew)
        if opening.has_gate:
            self._attend.hold_sums(Changes.none(self._grid, 2 * most, slots_for(self._grid)))
        self._keys, self._lack = self._grid.keys, open_lack(opening.backend)
        self._mask = np.zeros((*self._kept.counts.shape, len(self._keys)), np.bool_)
        self._waiting, self._turn = np.zeros(self._kept.counts.shape, np.bool_), 0
        self._kept_keys, self._kept_means = (np.zeros(self._kept.counts.shape, np.int32) for _ in range(2))
        self._macs = 0

    def run(self, query: Plane, key: Plane, value: Plane, target: Plane, everything: bool, gate: Float | None) -> int:
        """See `AttentionState`."""
        grid, limit = self._grid, 0.0 if gate is None else max(float(gate[0]), 0.0)
        moved = live_blocks(key, grid.key, everything) | live_blocks(value, grid.key, everything)
        asking = live_blocks(query, grid.query, everything)
        seen = Seen(query, key, asking, moved, everything, limit, self._attend)
        can_mend = assign_slots(self._attend.changes, moved, everything or limit <= 0)
        self._attend.pack(key, value, np.flatnonzero(moved).astype(np.int32), everything)
        before = self._mask.copy()
        exchanged = self._exchange(self._chooser.choose(seen))
        corrected = self._chooser.correct(seen, exchanged)
        reached = exchanged | np.asarray((self._mask[:, :, : len(moved)] & moved).any(axis=2))
        wanted = np.where(asking[:, None], LIVE, NONE).astype(np.uint8).repeat(grid.heads, axis=1)
        running = reached | self._through_means(moved, reached, limit)
        wanted[running if corrected is None else running | corrected] = MEND if can_mend else ALL
        lacking = np.zeros(reached.shape, np.int32)
        if can_mend and self._attend.changes is not None:
            sizes = self._keys[: grid.blocks], self._attend.moved
            lacking = self._lack.note(self._attend.changes, (before, self._mask), reached, sizes)
            wanted[lacking > WORTH * self._kept_keys] = ALL
        if everything:
            wanted[...], self._waiting[...] = ALL, False
        ran, mended = self._attend.run(query, target, wanted, limit)
        work = (ran * self._kept_keys + mended * lacking).sum() + ((ran + mended) * self._kept_means).sum()
        self._macs = int(work) * 2 * grid.head_dim + self._chooser.macs
        return -(-int((ran + mended).sum()) // grid.heads)

    def _exchange(self, chosen: Mask | None) -> Mask:
        """Take the new sets; (block, head): whose changed."""
        if chosen is None:
            return np.zeros(self._kept.counts.shape, np.bool_)
        exchanged: Mask = self._lack.exchange(self._mask, chosen, self._kept)
        if exchanged.any():
            blocks = self._grid.blocks
            self._kept_keys = self._mask[:, :, :blocks] @ self._keys[:blocks]
            self._kept_means = self._mask[:, :, blocks:] @ self._keys[blocks:]
        return exchanged

    def _through_means(self, moved: Mask, reached: Mask, gate: float) -> Mask:
        """(block, head): whose turn it is of those that keep the mean of a block that moved; all of them without a gate."""
        if not self._grid.has_summaries:
            return np.zeros_like(reached)
        blocks = len(moved)
        through = np.add.reduceat(moved, np.arange(0, blocks, self._grid.room)) > 0
        self._waiting |= (self._mask[:, :, blocks:] & through).any(axis=2)
        turn = self._waiting.copy()
        if gate > 0:
            self._turn = (self._turn + 1) % TURNS
            turn[np.arange(len(turn)) % TURNS != self._turn] = False
        self._waiting &= ~(turn | reached)
        return turn

    def reset(self) -> None:
        """Forget the scene."""
        self._mask[...] = False
        self._waiting[...] = False
        self._attend.shift[...] = 0
        self._chooser.reset()

    def kept(self) -> Mask:
        """(head, query block, key block)."""
        return self._mask[:, :, : self._grid.blocks].transpose(1, 0, 2).copy()

    def scores(self) -> Float | None:
        """(head, query block, key block), as shares of a row's largest; what is no number is worth as much."""
        found = self._chooser.scores
        if found is None:
            return None
        known = np.where(np.isfinite(found), found, 0)
        largest = np.maximum(known.max(axis=2, keepdims=True), np.finfo(np.float32).tiny)
        return np.where(np.isfinite(found), known / largest, 1).transpose(1, 0, 2).astype(np.float32)

    @property
    def macs(self) -> int:
        """Of the last run."""
        return self._macs

    @property
    def size_bytes(self) -> int:
        """Packed keys and values, sums, kept sets."""
        return self._attend.size_bytes + self._kept.blocks.nbytes + self._kept.counts.nbytes + self._mask.nbytes

    @property
    def note(self) -> str:
        """What the method has to say."""
        return self._chooser.note


def live_blocks(plane: Plane, bounds: Whole, everything: bool = False) -> Mask:
    """(block,): which have a live token."""
    if everything:
        return np.ones(len(bounds), np.bool_)
    if plane.live_px == 0:
        return np.zeros(len(bounds), np.bool_)
    rows, columns = np.unique(bounds[:, 0]), np.unique(bounds[:, 2])
    by_row = np.bitwise_or.reduceat(plane.live, rows, axis=0)
    return np.asarray(np.bitwise_or.reduceat(by_row, columns, axis=1).reshape(-1) != 0)
