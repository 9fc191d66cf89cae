"""Sets of key blocks as a dependency graph: which queries a change reaches, and their attention.

In: what changed since the last run, by the planes' live bytes, and a `Chooser` that says which key blocks each query block keeps. Out: the
target. Keeps packed keys and values, kept sets, and, for gates, how far what is kept may have moved each query block since it ran.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels import open_attend
from edgevision.kernels.blocks import ALL, LIVE, NONE, Kept, Whole
from edgevision.kernels.forms import Float, Plane
from edgevision.networks.attention import Tokens

Mask = NDArray[np.bool_]


class Chooser(Protocol):
    """What a method knows of one layer of one camera: who looks at whom."""

    note: str
    macs: int

    def choose(self, query: Plane, key: Plane, changed: tuple[Mask, Mask], everything: bool, gate: float) -> Mask | None:
        """(block, head, key block), or None where nothing is exchanged; `changed`: query blocks and key blocks with live tokens."""

    def reset(self) -> None:
        """Forget the scene."""


class Fixed:
    """Keeps what it is told, whatever the tokens say."""

    macs = 0

    def __init__(self, mask: Mask, note: str = "") -> None:
        self._mask, self.note = mask, note

    def choose(self, query: Plane, key: Plane, changed: tuple[Mask, Mask], everything: bool, gate: float) -> Mask | None:
        """Once."""
        return self._mask if everything else None

    def reset(self) -> None:
        """Nothing is kept of a scene."""


class Selective:
    """Keeps the promises of `AttentionState` for every method that keeps blocks."""

    def __init__(self, tokens: Tokens, chooser: Chooser, most: int, backend: str, threads: int) -> None:
        """`most`: blocks that a set can have."""
        self._grid, self._chooser = tokens.grid(), chooser
        self._kept = Kept.room(self._grid, most)
        self._attend = open_attend(backend, self._grid, self._kept, threads)
        self._all = np.arange(self._grid.blocks, dtype=np.int32)
        self._macs = 0

    def run(self, query: Plane, key: Plane, value: Plane, target: Plane, everything: bool, gate: Float | None) -> int:
        """See `AttentionState`."""
        grid, limit = self._grid, 0.0 if gate is None else float(gate[0])
        moved = live_blocks(key, grid.key, everything) | live_blocks(value, grid.key, everything)
        asking = live_blocks(query, grid.query, everything)
        chosen = self._chooser.choose(query, key, (asking, moved), everything, limit)
        exchanged = self._exchange(chosen)
        self._attend.pack(key, value, np.flatnonzero(moved).astype(np.int32))
        wanted = np.where(asking[:, None], LIVE, NONE).astype(np.uint8).repeat(grid.heads, axis=1)
        wanted[exchanged | self._reached(moved)] = ALL
        if everything:
            wanted[...] = ALL
        self._attend.run(query, target, wanted, limit)
        return self._count(wanted, query)

    def _exchange(self, chosen: Mask | None) -> Mask:
        """Take the new sets; (block, head): whose changed."""
        if chosen is None:
            return np.zeros(self._kept.counts.shape, np.bool_)
        before = self._kept.mask()
        self._kept.fill(chosen)
        return np.asarray((before != chosen).any(axis=2))

    def _reached(self, moved: Mask) -> Mask:
        """(block, head): who keeps a block that moved."""
        kept = self._kept
        is_there = np.arange(kept.blocks.shape[2]) < kept.counts[:, :, None]
        return np.asarray((moved[kept.blocks] & is_there).any(axis=2))

    def _count(self, wanted: NDArray[np.uint8], query: Plane) -> int:
        """Queries run, the mean of the heads; notes the work."""
        grid = self._grid
        live = tokens_live(query, grid.query)
        ran = np.where(wanted == ALL, grid.queries[:, None], np.where(wanted == LIVE, live[:, None], 0))
        kept = self._kept
        keys = np.where(np.arange(kept.blocks.shape[2]) < kept.counts[:, :, None], grid.keys[kept.blocks], 0).sum(axis=2)
        self._macs = int((ran.astype(np.int64) * keys).sum()) * 2 * grid.head_dim + self._chooser.macs
        return -(-int(ran.sum()) // grid.heads)

    def reset(self) -> None:
        """Forget the scene."""
        self._kept.counts[...] = 0
        self._chooser.reset()

    def kept(self) -> Mask:
        """(head, query block, key block)."""
        return self._kept.mask().transpose(1, 0, 2)

    @property
    def macs(self) -> int:
        """Of the last run."""
        return self._macs

    @property
    def size_bytes(self) -> int:
        """Packed keys and values, kept sets."""
        kept = self._kept
        return self._attend.size_bytes + kept.blocks.nbytes + kept.counts.nbytes + kept.shares.nbytes

    @property
    def note(self) -> str:
        """What the method has to say."""
        return self._chooser.note


def live_blocks(plane: Plane, bounds: Whole, everything: bool = False) -> Mask:
    """(block,): which have a live token."""
    if everything:
        return np.ones(len(bounds), np.bool_)
    return tokens_live(plane, bounds) > 0


def tokens_live(plane: Plane, bounds: Whole) -> Whole:
    """(block,): how many tokens are live."""
    if plane.live_px == 0:
        return np.zeros(len(bounds), np.int32)
    rows, columns = np.unique(bounds[:, 0]), np.unique(bounds[:, 2])
    by_row = np.add.reduceat(plane.live, rows, axis=0, dtype=np.int32)
    return np.add.reduceat(by_row, columns, axis=1, dtype=np.int32).reshape(-1)
