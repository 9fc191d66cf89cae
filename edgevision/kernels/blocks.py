"""What attention kernels are asked to do, as plain data: blocks of a token map, and which of them each block of queries looks at.

A token is a pixel of a token map; its channels are heads beside heads. A *block* is a square of the map, ragged at the lower and the right
end. Query block b and key block b cover the same part of the picture: where the queries were pooled, theirs has fewer tokens. Inside a
block tokens count row by row. A *kept set* is the list of key blocks, ascending, that a head's queries of one block look at.

Where the means of key blocks are wanted, they are tokens, too: *summaries* lie behind the true blocks, each the mean key and value of one
true block, as many to a block as there is room. A query that keeps a block of summaries sees those of the blocks that it does not keep,
each with the weight of all tokens that it stands for.

Where there is a gate, *sums* may be held: what a query got from its kept blocks, before the division. Then a query that did not change
itself is *mended*: what left its keys is taken out of its sums and what came is put in, for the price of these alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float, Plane

Whole = NDArray[np.int32]
Flags = NDArray[np.uint8]
Mask = NDArray[np.bool_]
LINE = 16  # keys whose weights are summed side by side, whatever the CPU's vectors; a block's keys are filled up to a multiple of it
CHUNK = 64  # queries of a block that are run together
NONE, LIVE, MEND, ALL = 0, 1, 2, 3  # which queries of a block a head runs again, and how
FORMER, NEWER, WHOLE = 0, 1, 2  # of a block that moved: the tokens that changed as they were and as they are, and all as they were
MOST_MENDS = 64  # of a row; then it runs whole
SAFE = np.float32(8.0)  # by which factor a row's weights may grow or shrink against those of its last whole run


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """How the maps are cut. `query`, `key` (block, 4): first row, row after the last, first column, column after the last.

    `has_summaries`: whether the means of key blocks are wanted.
    """

    query: Whole
    key: Whole
    heads: int
    head_dim: int
    has_summaries: bool = False

    @property
    def blocks(self) -> int:
        """How many true ones of keys; as many of queries, unless the keys are no part of a picture (CSAT's measurements)."""
        return len(self.key)

    @property
    def queries(self) -> Whole:
        """(block,): tokens of each query block."""
        return tokens_in(self.query)

    @property
    def keys(self) -> Whole:
        """(block,): tokens of each key block, blocks of summaries included."""
        true = tokens_in(self.key)
        if not self.has_summaries:
            return true
        whole, rest = divmod(self.blocks, self.room)
        return np.concatenate((true, np.full(whole, self.room), np.full(int(rest > 0), rest))).astype(np.int32)

    @property
    def room(self) -> int:
        """Places for the keys of one block."""
        return -(-int(tokens_in(self.key).max()) // LINE) * LINE

    @property
    def scale(self) -> np.float32:
        """What queries are multiplied by: 1 / sqrt(head_dim)."""
        return np.float32(1.0 / np.sqrt(self.head_dim))

    @property
    def middle(self) -> Whole:
        """(block, 2): row and column of each block's middle query."""
        return np.asarray((self.query[:, 0::2] + self.query[:, 1::2]) // 2, np.int32)

    @property
    def summary_bias(self) -> Float:
        """(true block,): what is added to the score of its mean, the logarithm of its tokens."""
        return np.log(tokens_in(self.key)).astype(np.float32)


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
    """Which blocks are looked at: `blocks` (block, head, place), ascending, the first `counts` (block, head) of them."""

    blocks: Whole
    counts: Whole

    @classmethod
    def room(cls, grid: Grid, most: int) -> Kept:
        """Empty sets, with places for `most` blocks each, and for all blocks of summaries."""
        shape, places = (len(grid.query), grid.heads), most + len(grid.keys) - grid.blocks
        return cls(np.zeros((*shape, places), np.int32), np.zeros(shape, np.int32))

    def fill(self, chosen: Mask) -> None:
        """The sets as a mask (block, head, key block) has them."""
        self.counts[...] = chosen.sum(axis=2)
        block, head, key = np.nonzero(chosen)
        counts = self.counts.reshape(-1)
        place = np.arange(len(key)) - np.repeat(np.cumsum(counts) - counts, counts)
        self.blocks[block, head, place] = key

    @property
    def is_there(self) -> Mask:
        """(block, head, place): which places are used."""
        return np.asarray(np.arange(self.blocks.shape[2]) < self.counts[:, :, None])


@dataclass(slots=True, eq=False)
class Changes:
    """What held sums lack: `sources` (block, head, place), 1 + the number of a source that came, or minus that of one that left; the first
    `counts` (block, head) of them.

    A source is a true key block as it is, by its number; behind them stand three for each block that moved: FORMER, NEWER and WHOLE of the
    first slot, of the second and so on. `slots` (true block,): which slot, or -1.
    """

    sources: Whole
    counts: Whole
    slots: Whole
    room: int

    @classmethod
    def none(cls, grid: Grid, places: int, room: int) -> Changes:
        """Nothing yet, with `places` sources for each set and room for so many moved blocks."""
        shape = (len(grid.query), grid.heads)
        return cls(np.zeros((*shape, places), np.int32), np.zeros(shape, np.int32), np.full(grid.blocks, -1, np.int32), room)


@dataclass(frozen=True, slots=True)
class Budget:
    """How many blocks a set may have, fixed ones included: `most`; with `mass` below 1 the fewest, but `least`, that hold this share of the
    weights. Fixed ones are always taken. With a `margin` a set that holds all fixed ones stays until another is worth that much more; then
    the heaviest that it lacks take the places of the lightest that it should not have, one by one, until no other is worth so much more."""

    most: int
    least: int = 1
    mass: float = 1.0
    margin: float = 0.0


class Attend(Protocol):
    """Attention of one layer of one camera over kept sets. Holds the packed keys and values. Both backends give the same bits.

    Scores are fused sums over the head's channels in their order, of the scaled query with the key. Weights are e^(score - largest), 0
    below e^-87. A block's weights are added in LINE lanes, then lane to lane in halves; blocks are added in order. Values are fused sums
    over blocks and keys in their order, divided by the sum of the weights; to that `shift` (block, head, channel) is added. A NaN anywhere
    in what a query keeps makes it NaN. `keys` holds the packed keys; `dense`, `sparse` (block, head, channel) what `probe` found.
    """

    kept: Kept
    keys: Float
    shift: Float
    dense: Float
    sparse: Float
    query_means: Float

    @property
    def size_bytes(self) -> int:
        """What it holds."""

    @property
    def changes(self) -> Changes | None:
        """What the sums lack, where they are held."""

    @property
    def moved(self) -> Whole:
        """(slot,): tokens of the blocks that moved."""

    def hold_sums(self, changes: Changes) -> None:
        """From the next run on, which must be of ALL, hold sums."""

    def pack(self, key: Plane, value: Plane, blocks: Whole, everything: bool) -> None:
        """Take in the live keys and values of these true blocks, or `everything`, and make their means anew.

        What a block that has a slot was is put aside before; `moved` (slot,) says how many tokens are live.
        """

    def run(self, query: Plane, target: Plane, wanted: Flags, gate: float) -> tuple[Whole, Whole]:
        """Run the queries that `wanted` (block, head) names; (block, head): how many ran whole, how many were mended. Compares and stores
        as `plain/commit.py` does.

        NONE, the LIVE ones, ALL; or, where sums are held, MEND: the live ones run, the sums of the others get what `changes` says; those
        whose weights were mended MOST_MENDS times, or are not within SAFE of what they were when they last ran whole, run whole. Summaries
        are no part of the sums and are looked at anew. A pixel is stored with all its channels; those of heads that do not run it stay as
        they are. The target's live bytes, extents and count are set.
        """

    def probe(self, query: Plane, asked: Flags) -> None:
        """Into `dense` and `sparse` what the middle query of the blocks that are `asked` (block, head) gets from all true blocks, and from
        those that it keeps; no shift is added."""

    def key_means(self, blocks: Whole) -> Float:
        """(block, head, channel): the mean key of these true blocks, where there are summaries."""

    def take_query_means(self, query: Plane, blocks: Whole) -> None:
        """Bring `query_means` (block, head, channel) up to date for these blocks."""
