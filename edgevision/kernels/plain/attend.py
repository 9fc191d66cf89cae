"""Attention over kept blocks of keys, slow and plain: the oracle of `compiled/attend.py`. In: planes and kept sets. Out: the target's
values, its live bytes, the blocks' mass. Keeps packed keys and values.
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.blocks import ALL, CHUNK, LINE, NONE, Flags, Grid, Kept, Whole
from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.activations import exp
from edgevision.kernels.plain.commit import commit
from edgevision.kernels.plain.exact import fma
from edgevision.kernels.plain.runs import forget, scan
from edgevision.kernels.plain.store import decode

LOWEST = np.float32(-87.0)


class Attend:
    """Keeps the promises of `blocks.Attend`."""

    def __init__(self, grid: Grid, kept: Kept) -> None:
        self.grid, self.kept = grid, kept
        shape = (grid.blocks, grid.heads, int(grid.keys.max()), grid.head_dim)
        self.keys, self.values = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.size_bytes = self.keys.nbytes + self.values.nbytes

    def pack(self, key: Plane, value: Plane, blocks: Whole) -> None:
        """Take in the keys and values of these blocks."""
        for block in blocks:
            for held, plane in ((self.keys, key), (self.values, value)):
                tokens = tokens_of(plane, self.grid.key[block])
                by_head = tokens.reshape(len(tokens), self.grid.heads, self.grid.head_dim)
                held[block, :, : len(tokens)] = by_head.transpose(1, 0, 2)

    def run(self, query: Plane, target: Plane, wanted: Flags, gate: float) -> None:
        """Run the queries that `wanted` names."""
        forget(target)
        for block in np.flatnonzero(wanted.any(axis=1)):
            self._run_block(int(block), query, target, wanted[block], gate)
        target.live_px = scan(target.live, target.live, target.extent)

    def _run_block(self, block: int, query: Plane, target: Plane, wanted: Flags, gate: float) -> None:
        grid, kept = self.grid, self.kept
        rows, columns = places_of(grid.query[block])
        queries = decode(query.values[rows, columns], query.store).reshape(len(rows), grid.heads, grid.head_dim)
        is_live = query.live[rows, columns] != 0
        new = decode(target.values[rows, columns], target.store).reshape(queries.shape).copy()
        runs = np.zeros(len(rows), np.bool_)
        for head in np.flatnonzero(wanted != NONE):
            chosen = np.ones(len(rows), np.bool_) if wanted[head] == ALL else is_live
            if not chosen.any():
                continue
            blocks = kept.blocks[block, head, : kept.counts[block, head]]
            new[chosen, head], shares = self._attend(queries[chosen, head], blocks, int(head))
            for chunk, own in enumerate(kept.shares[:, block, head, : len(blocks)]):
                mine = shares[:, np.flatnonzero(chosen) // CHUNK == chunk]
                largest = np.fmax.reduce(mine, axis=1, initial=0)
                own[...] = largest if wanted[head] == ALL else np.maximum(own, largest)
            runs |= chosen
        commit(target, rows[runs], columns[runs], new[runs].reshape(int(runs.sum()), -1), gate)

    def _attend(self, queries: Float, blocks: Whole, head: int) -> tuple[Float, Float]:
        """(query, channel): what these queries (query, channel) get from the blocks; (block, query): the share of each."""
        scaled = queries * self.grid.scale
        counts = self.grid.keys[blocks]
        with np.errstate(all="ignore"):
            scores = [_scores(scaled, self.keys[block, head, :count]) for block, count in zip(blocks, counts, strict=True)]
            largest = _largest(scores)
            weights = [_weights(score - largest) for score in scores]
            sums = [summed(weight) for weight in weights]
            total, made = np.zeros(len(queries), np.float32), np.zeros_like(queries)
            for block, weight, part in zip(blocks, weights, sums, strict=True):
                total = total + part
                for place in range(weight.shape[1]):
                    made = fma(weight[:, place, None], self.values[block, head, place], made)
            return np.asarray(made / total[:, None]), np.stack([part / total for part in sums])


def places_of(bounds: Whole) -> tuple[Whole, Whole]:
    """(rows, columns) of a block's tokens, row by row."""
    rows, columns = np.mgrid[bounds[0] : bounds[1], bounds[2] : bounds[3]]
    return rows.reshape(-1), columns.reshape(-1)


def tokens_of(plane: Plane, bounds: Whole) -> Float:
    """(token, channel): a block's tokens, row by row."""
    rows, columns = places_of(bounds)
    return decode(plane.values[rows, columns], plane.store)


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


def _scores(scaled: Float, keys: Float) -> Float:
    """(query, key): fused sums over the channels."""
    total = np.zeros((len(scaled), len(keys)), np.float32)
    for channel in range(keys.shape[1]):
        total = fma(scaled[:, channel, None], keys[None, :, channel], total)
    return total


def _largest(scores: list[Float]) -> Float:
    """(query, 1): NaN counts for nothing."""
    return np.asarray(np.fmax.reduce(np.concatenate(scores, axis=1), axis=1, keepdims=True, initial=-np.inf))


def _weights(below: Float) -> Float:
    """e^below, 0 where that is under e^-87; NaN stays NaN."""
    made = np.where(below < LOWEST, np.float32(0), exp(below))
    return np.where(np.isnan(below), below, made)
