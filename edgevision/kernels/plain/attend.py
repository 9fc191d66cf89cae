"""Attention over kept blocks of keys, slow and plain: the oracle of `compiled/attend.py`. In: planes and kept sets. Out: the target's
values and live bytes. Keeps packed keys and values, and sums where they are wanted.
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.blocks import ALL, CHUNK, FORMER, LINE, MEND, SAFE, Changes, Flags, Grid, Kept, Mask, Whole
from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.activations import exp
from edgevision.kernels.plain.commit import commit
from edgevision.kernels.plain.exact import fma
from edgevision.kernels.plain.mend import FIRST, TOP, Sums, mended
from edgevision.kernels.plain.pack import mean_of, places_of, tokens_of
from edgevision.kernels.plain.runs import forget, scan
from edgevision.kernels.plain.store import decode

LOWEST = np.float32(-87.0)


class Attend:
    """Keeps the promises of `blocks.Attend`."""

    def __init__(self, grid: Grid, kept: Kept) -> None:
        self.grid, self.kept, self._counts = grid, kept, grid.keys
        shape = (len(self._counts), grid.heads, grid.room, grid.head_dim)
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.shift, self.dense, self.sparse = (np.zeros((len(grid.query), grid.heads, grid.head_dim), np.float32) for _ in range(3))
        self.query_means = np.zeros_like(self.shift)
        self._sums: Sums | None = None

    @property
    def size_bytes(self) -> int:
        """Packed keys and values, probes, sums."""
        return self.keys.nbytes + self.values.nbytes + 3 * self.shift.nbytes + (0 if self._sums is None else self._sums.size_bytes)

    @property
    def changes(self) -> Changes | None:
        """What the sums lack, where they are held."""
        return None if self._sums is None else self._sums.changes

    @property
    def moved(self) -> Whole:
        """(slot,): tokens."""
        return np.zeros(0, np.int32) if self._sums is None else self._sums.counts[FORMER::3]

    def hold_sums(self, changes: Changes) -> None:
        """From the next run on."""
        self._sums = Sums(self.grid, changes)

    def pack(self, key: Plane, value: Plane, blocks: Whole, everything: bool) -> None:
        """Take in the keys and values of these true blocks."""
        for block in blocks:
            parts = [tokens_of(plane, self.grid.key[block], self.grid.heads) for plane in (key, value)]
            slot = -1 if self._sums is None else int(self._sums.changes.slots[block])
            live = np.logical_or(*(plane.live[places_of(self.grid.key[block])] != 0 for plane in (key, value))) | everything
            if slot >= 0 and self._sums is not None:
                self._sums.put_aside(slot, (self.keys[block], self.values[block]), (parts[0], parts[1]), live.view(np.uint8))
            for held, tokens in zip((self.keys, self.values), parts, strict=True):
                held[block, :, np.flatnonzero(live)] = tokens[live]
                if self.grid.has_summaries:
                    behind, place = divmod(int(block), self.grid.room)
                    held[self.grid.blocks + behind, :, place] = mean_of(tokens)

    def run(self, query: Plane, target: Plane, wanted: Flags, gate: float) -> tuple[Whole, Whole]:
        """Run the queries that `wanted` names."""
        forget(target)
        ran = np.zeros((2, *wanted.shape), np.int32)
        for block in np.flatnonzero(wanted.any(axis=1)):
            for first in range(0, int(self.grid.queries[block]), CHUNK):
                ran[:, block] += self._run_chunk((int(block), first), query, target, wanted[block], gate)
        target.live_px = scan(target.live, target.live, target.extent)
        return ran[0], ran[1]

    def _run_chunk(self, place: tuple[int, int], query: Plane, target: Plane, wanted: Flags, gate: float) -> Whole:
        grid, (block, first) = self.grid, place
        rows, columns = (places[first : first + CHUNK] for places in places_of(grid.query[block]))
        queries = decode(query.values[rows, columns], query.store).reshape(len(rows), grid.heads, grid.head_dim)
        old = decode(target.values[rows, columns], target.store).reshape(queries.shape)
        new, runs, ran = old.copy(), np.zeros(len(rows), np.bool_), np.zeros((2, grid.heads), np.int32)
        is_live = query.live[rows, columns] != 0
        for head in np.flatnonzero(wanted):
            want, at = int(wanted[head]), (block, int(head), first)
            chosen = np.full(len(rows), want == ALL) | is_live
            if want == MEND and self._sums is not None:
                still = np.flatnonzero(~is_live).astype(np.int32)
                new[still, head], is_sound = self._mended(self._sums, queries[still, head], at, still)
                chosen[still[~is_sound]] = True
                ran[1, head] = len(still)
                runs[still] = True
            places = np.flatnonzero(chosen).astype(np.int32)
            new[places, head] = self._whole(queries[places, head], at, places)
            ran[0, head] = len(places)
            runs |= chosen
        commit(target, rows[runs], columns[runs], new[runs].reshape(-1, grid.heads * grid.head_dim), gate)
        return ran

    def _whole(self, queries: Float, at: tuple[int, int, int], places: Whole) -> Float:
        """(query, channel): what these get from all that they keep, `places` behind the first of the chunk `at`; held, where sums are."""
        block, head, first = at
        kept = self.kept.blocks[block, head, : self.kept.counts[block, head]]
        found, held = self.attend(queries, kept, head)
        if self._sums is not None:
            self._sums.values[block, head, first + places] = held[0]
            self._sums.heights[block, head, first + places] = held[1]
        return np.asarray(found + self.shift[block, head])

    def _mended(self, sums: Sums, queries: Float, at: tuple[int, int, int], still: Whole) -> tuple[Float, Mask]:
        """(query, channel), and (query,) which are sound."""
        block, head, first = at
        scaled = queries * self.grid.scale
        made, total, sound = mended(sums, self, self._counts, scaled, (block, head, first + still))
        heights, kept = sums.heights[block, head, first + still], self.kept.blocks[block, head, : self.kept.counts[block, head]]
        with np.errstate(all="ignore"):
            for summaries in kept[kept >= self.grid.blocks]:
                weights, part = self.weights(self._scores(scaled, summaries, kept, head) - heights[:, TOP, None])
                total = total + part
                for place in range(weights.shape[1]):
                    made = fma(weights[:, place, None], self.values[summaries, head, place], made)
            sound &= (total * SAFE >= heights[:, FIRST]) & (total <= SAFE * heights[:, FIRST])
            return np.asarray(made / total[:, None] + self.shift[block, head]), sound

    def probe(self, query: Plane, asked: Flags) -> None:
        """Into `dense` and `sparse` what the middle query of the blocks that are `asked` gets from all true blocks, and from the kept."""
        every = np.arange(self.grid.blocks, dtype=np.int32)
        for block, head in np.argwhere(asked):
            row, column = self.grid.middle[block]
            queries = decode(query.values[row, column], query.store).reshape(1, self.grid.heads, -1)[:, head]
            self.dense[block, head] = self.attend(queries, every, int(head))[0][0]
            self.sparse[block, head] = self.attend(queries, self.kept.blocks[block, head, : self.kept.counts[block, head]], int(head))[0][0]

    def key_means(self, blocks: Whole) -> Float:
        """(block, head, channel): the mean key of these true blocks, where there are summaries."""
        behind, place = np.divmod(blocks, self.grid.room)
        return np.asarray(self.keys[self.grid.blocks + behind, :, place])

    def take_query_means(self, query: Plane, blocks: Whole) -> None:
        """Bring `query_means` up to date for these blocks."""
        for block in blocks:
            self.query_means[block] = mean_of(tokens_of(query, self.grid.query[block], self.grid.heads))

    def attend(self, queries: Float, kept: Whole, head: int) -> tuple[Float, tuple[Float, Float]]:
        """(query, channel): what these queries (query, channel) get from the kept blocks; and of the true ones the sums and heights."""
        scaled, true = queries * self.grid.scale, int((kept < self.grid.blocks).sum())
        with np.errstate(all="ignore"):
            scores = [self._scores(scaled, block, kept, head) for block in kept]
            largest = np.fmax.reduce(np.concatenate(scores, axis=1), axis=1, keepdims=True, initial=-np.inf)
            total, made = np.zeros(len(queries), np.float32), np.zeros_like(queries)
            held, weight = made, total
            for number, (block, score) in enumerate(zip(kept, scores, strict=True), 1):
                weights, part = self.weights(score - largest)
                total = total + part
                for place in range(weights.shape[1]):
                    made = fma(weights[:, place, None], self.values[block, head, place], made)
                if number == true:
                    held, weight = made, total
            heights = np.stack([largest[:, 0], weight, total, np.zeros_like(total)], axis=1)
            return np.asarray(made / total[:, None]), (held, heights)

    def weights(self, below: Float) -> tuple[Float, Float]:
        """(query, key) weights, (query,) their sum."""
        made = weights_of(below)
        return made, summed(made)

    def _scores(self, scaled: Float, block: int, kept: Whole, head: int) -> Float:
        """(query, key) of one block."""
        total = self.products(scaled, self.keys[block, head, : self._counts[block]])
        if block < self.grid.blocks:
            return total
        bias = np.where(is_kept(kept, self.grid.blocks), -np.inf, self.grid.summary_bias).astype(np.float32)
        first = (block - self.grid.blocks) * self.grid.room
        return np.asarray(total + bias[first : first + total.shape[1]])

    def products(self, scaled: Float, keys: Float) -> Float:
        """(query, key)."""
        total = np.zeros((len(scaled), len(keys)), np.float32)
        for channel in range(keys.shape[1]):
            total = fma(scaled[:, channel, None], keys[None, :, channel], total)
        return total


def is_kept(kept: Whole, blocks: int) -> Mask:
    """(true block,): whether it is one of the kept."""
    made = np.zeros(blocks, np.bool_)
    made[kept[kept < blocks]] = True
    return made


def weights_of(below: Float) -> Float:
    """e^below, 0 where that is under e^-87; NaN stays NaN."""
    made = np.where(below < LOWEST, np.float32(0), exp(below))
    return np.where(np.isnan(below), below, made)


def summed(weights: Float) -> Float:
    """(row,): the sum of each row of `weights` (row, place): in LINE lanes, then lane to lane in halves."""
    lanes = np.zeros((len(weights), LINE), np.float32)
    for start in range(0, weights.shape[1], LINE):
        part = weights[:, start : start + LINE]
        lanes[:, : part.shape[1]] = lanes[:, : part.shape[1]] + part
    while lanes.shape[1] > 1:
        half = lanes.shape[1] // 2
        lanes = lanes[:, :half] + lanes[:, half:]
    return np.asarray(lanes[:, 0])
