"""What attention kernels are asked to do, as plain data: blocks of a token map, and where a camera's packed keys and values lie.

A token is a pixel of a token map; its channels are heads beside heads. A *block* is a square of the map, ragged at the lower and the right
end. Query block b and key block b cover the same part of the picture, where the queries were pooled, theirs has fewer tokens; or the keys
are no part of a picture (CSAT's measurements), and their blocks are counted for themselves. Inside a
block tokens count row by row. A *kept set* is the list of key blocks, ascending, that a head's queries of one block look at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float, Plane

Whole = NDArray[np.int32]
Flags = NDArray[np.uint8]
LINE = 16  # keys whose weights are summed side by side, whatever the CPU's vectors; a block's keys are filled up to a multiple of it
CHUNK = 32  # queries of a block that are run together
NONE, LIVE, ALL = 0, 1, 2  # which queries of a block a head runs again


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """How the maps are cut. `query`, `key` (block, 4): first row, row after the last, first column, column after the last."""

    query: Whole
    key: Whole
    heads: int
    head_dim: int

    @property
    def blocks(self) -> int:
        """How many of keys."""
        return len(self.key)

    @property
    def queries(self) -> Whole:
        """(block,): tokens of each query block."""
        return tokens_in(self.query)

    @property
    def keys(self) -> Whole:
        """(block,): tokens of each key block."""
        return tokens_in(self.key)

    @property
    def room(self) -> int:
        """Places for the keys of one block."""
        return -(-int(self.keys.max()) // LINE) * LINE

    @property
    def scale(self) -> np.float32:
        """What queries are multiplied by: 1 / sqrt(head_dim)."""
        return np.float32(1.0 / np.sqrt(self.head_dim))


def tokens_in(bounds: Whole) -> Whole:
    """(block,): the tokens of each."""
    return np.asarray((bounds[:, 1] - bounds[:, 0]) * (bounds[:, 3] - bounds[:, 2]), np.int32)


def cut(size: tuple[int, int], unit: int) -> Whole:
    """(block, 4): a map of (rows, columns) in squares of `unit`, row by row."""
    rows, columns = (np.arange(0, length, unit) for length in size)
    bounds = [(y, min(y + unit, size[0]), x, min(x + unit, size[1])) for y in rows for x in columns]
    return np.array(bounds, np.int32)


@dataclass(slots=True, eq=False)
class Kept:
    """Which blocks are looked at, and how the last run shared itself among them.

    `blocks` (block, head, place): ascending, the first `counts` (block, head) of them. `shares` (chunk, block, head, place): the
    largest share of its attention that a query of this chunk gave to the block when it was run.
    """

    blocks: Whole
    counts: Whole
    shares: Float

    @classmethod
    def room(cls, grid: Grid, most: int) -> Kept:
        """Empty sets, with places for `most` blocks each."""
        shape, chunks = (len(grid.query), grid.heads), -(-int(grid.queries.max()) // CHUNK)
        return cls(np.zeros((*shape, most), np.int32), np.zeros(shape, np.int32), np.zeros((chunks, *shape, most), np.float32))

    @property
    def mass(self) -> Float:
        """(block, head, place): the largest share of any query."""
        return np.asarray(self.shares.max(axis=0))

    def fill(self, chosen: NDArray[np.bool_]) -> None:
        """The sets as a mask (block, head, key block) has them."""
        self.counts[...] = chosen.sum(axis=2)
        block, head, key = np.nonzero(chosen)
        ends = np.cumsum(self.counts.reshape(-1))
        place = np.arange(len(key)) - np.repeat(ends - self.counts.reshape(-1), self.counts.reshape(-1))
        self.blocks[block, head, place] = key

    def mask(self) -> NDArray[np.bool_]:
        """(block, head, key block)."""
        blocks, heads, places = self.blocks.shape
        made = np.zeros((blocks, heads, blocks), np.bool_)
        block, head, place = np.nonzero(np.arange(places) < self.counts[:, :, None])
        made[block, head, self.blocks[block, head, place]] = True
        return made


class Attend(Protocol):
    """Attention of one layer of one camera over kept sets. Holds the packed keys and values. Both backends give the same bits.

    Scores are fused sums over the head's channels in their order, of the scaled query with the key. Weights are e^(score - largest), 0
    below e^-87. A block's weights are added in LINE lanes, then lane to lane in halves; blocks are added in order. Values are fused sums
    over blocks and keys in their order, at last divided by the sum of the weights. A NaN anywhere in what a query keeps makes it NaN.
    """

    kept: Kept
    size_bytes: int

    def pack(self, key: Plane, value: Plane, blocks: Whole) -> None:
        """Take in the keys and values of these blocks."""

    def run(self, query: Plane, target: Plane, wanted: Flags, gate: float) -> None:
        """Run the queries that `wanted` (block, head; NONE, LIVE, ALL) names; compare and store as `plain/commit.py` does.

        A pixel is stored with all its channels; those of heads that do not run it stay as they are. `kept.shares` of what was run is new
        where all queries ran, and raised where only live ones did. The target's live bytes, extents and count are set.
        """
