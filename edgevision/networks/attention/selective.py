"""Sets of key blocks as a dependency graph: which queries a change reaches, and their attention.

In: what changed since the last run, by the planes' live bytes, and a `Chooser` that says which key blocks each block of queries keeps. Out:
the target. Keeps packed keys and values, and the kept sets.

Without a gate all queries run again that changed, whose kept set changed, or that keep a changed key or value; so what stands in the target
is bit for bit what a first run of the same tokens would give. With a gate, two of each chunk of the queries that did not change themselves
are asked first: run, and compared with what stands in the target. Only where one has moved by more than the gate the chunk runs. What is
compared is the answer in use with the answer now, never one change with the next, so that nothing can creep. Whom a change reaches through
a mean of blocks alone is asked in turn, one block of TURNS in each run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from edgevision.kernels import open_attend
from edgevision.kernels.blocks import ALL, ASK, LIVE, NONE, Attend, Kept, Mask, Whole
from edgevision.kernels.forms import Float, Plane
from edgevision.networks.attention import Tokens

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

    def choose(self, seen: Seen) -> Mask | None:
        """(block, head, key block), with blocks of summaries where there are; None where nothing is exchanged. No row is empty."""

    def correct(self, seen: Seen, exchanged: Mask) -> Mask | None:
        """Set `seen.attend.shift`, after the choice; (block, head): where it is another now. None where there is no such correction."""

    def reset(self) -> None:
        """Forget the scene."""


class Fixed:
    """Keeps what it is told, whatever the tokens say."""

    macs = 0

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

    def __init__(self, tokens: Tokens, chooser: Chooser, most: int, backend: str, crew: Any, has_summaries: bool = False) -> None:
        """`most`: true blocks that a set can have. `has_summaries`: whether the chooser reads or keeps means of blocks."""
        self._grid, self._chooser = replace(tokens.grid(), has_summaries=has_summaries), chooser
        self._kept = Kept.room(self._grid, most)
        self._attend = open_attend(backend, self._grid, self._kept, crew)
        self._keys = self._grid.keys
        self._mask = np.zeros((*self._kept.counts.shape, len(self._keys)), np.bool_)
        self._waiting, self._turn = np.zeros(self._kept.counts.shape, np.bool_), 0
        self._macs = 0

    def run(self, query: Plane, key: Plane, value: Plane, target: Plane, everything: bool, gate: Float | None) -> int:
        """See `AttentionState`."""
        grid, limit = self._grid, 0.0 if gate is None else max(float(gate[0]), 0.0)
        moved = live_blocks(key, grid.key, everything) | live_blocks(value, grid.key, everything)
        asking = live_blocks(query, grid.query, everything)
        seen = Seen(query, key, asking, moved, everything, limit, self._attend)
        self._attend.pack(key, value, np.flatnonzero(moved).astype(np.int32))
        exchanged = self._exchange(self._chooser.choose(seen))
        corrected = self._chooser.correct(seen, exchanged)
        wanted = np.where(asking[:, None], LIVE, NONE).astype(np.uint8).repeat(grid.heads, axis=1)
        wanted[exchanged | self._reached(moved, limit)] = ASK if limit > 0 else ALL
        if corrected is not None:
            wanted[corrected] = ALL
        if everything:
            wanted[...], self._waiting[...] = ALL, False
        ran = self._attend.run(query, target, wanted, limit)
        keys = np.where(self._kept.is_there, self._keys[self._kept.blocks], 0).sum(axis=2)
        self._macs = int((ran.astype(np.int64) * keys).sum()) * 2 * grid.head_dim + self._chooser.macs
        return -(-int(ran.sum()) // grid.heads)

    def _exchange(self, chosen: Mask | None) -> Mask:
        """Take the new sets; (block, head): whose changed."""
        if chosen is None:
            return np.zeros(self._kept.counts.shape, np.bool_)
        exchanged = np.asarray((self._mask != chosen).any(axis=2))
        if exchanged.any():
            self._mask = chosen
            self._kept.fill(chosen)
        return exchanged

    def _reached(self, moved: Mask, gate: float) -> Mask:
        """(block, head): who keeps a block that moved."""
        blocks = len(moved)
        reached = np.asarray((self._mask[:, :, :blocks] & moved).any(axis=2))
        if not self._grid.has_summaries:
            return reached
        through = np.add.reduceat(moved, np.arange(0, blocks, self._grid.room)) > 0
        self._waiting |= (self._mask[:, :, blocks:] & through).any(axis=2)
        if gate > 0:
            self._turn = (self._turn + 1) % TURNS
            reached[self._turn :: TURNS] |= self._waiting[self._turn :: TURNS]
        else:
            reached |= self._waiting
        self._waiting &= ~reached
        return reached

    def reset(self) -> None:
        """Forget the scene."""
        self._mask = np.zeros_like(self._mask)
        self._waiting[...] = False
        self._attend.shift[...] = 0
        self._chooser.reset()

    def kept(self) -> Mask:
        """(head, query block, key block)."""
        return self._mask[:, :, : self._grid.blocks].transpose(1, 0, 2).copy()

    @property
    def macs(self) -> int:
        """Of the last run."""
        return self._macs

    @property
    def size_bytes(self) -> int:
        """Packed keys and values, kept sets."""
        kept = self._kept
        return self._attend.size_bytes + kept.blocks.nbytes + kept.counts.nbytes + kept.shares.nbytes + self._mask.nbytes

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
