"""Sparsifiner as the paper has it (METHODS 2): each query keeps keys of its own, the largest of its row of A~ over all tokens.

    q' = q W_q,  k' = k W_k;  S = softmax(q' (k'^T W_down) / sqrt(d));  A~ = top-8 of each row of S times |W_up|
    M_i = the largest `keep` n of A~_i, and out_i = softmax over M_i of (q_i k / sqrt(d)) v          W_down (n, basis), W_up (basis, n)

In: planes. Out: the target. Keeps the predictor's halves of all tokens, in whole numbers, and who keeps whom. A query runs again when it
changed itself, its keys are others, or one that it keeps changed; so what stands is bit for bit what a first run of the same tokens gives.
It is there to see what sharing a set by a block of queries costs: choosing among all tokens takes longer than dense attention would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgevision.kernels import open_gather, open_select
from edgevision.kernels.blocks import Budget, Mask, Whole
from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.commit import commit
from edgevision.kernels.plain.runs import forget, scan
from edgevision.kernels.plain.store import decode
from edgevision.networks.attention import Tokens
from edgevision.networks.attention.fixed_point import UNIT, Exact, fixed_point, shortened

if TYPE_CHECKING:
    from edgevision.networks.attention.sparsifiner import Predictor, SparsifinerSettings


class EachState:
    """Keeps the promises of `AttentionState`."""

    note = ""

    def __init__(self, tokens: Tokens, settings: SparsifinerSettings, predictor: Predictor, backend: str) -> None:
        self._tokens, self._top = tokens, settings.top
        self._select, self._gather = open_select(backend), open_gather(backend)
        self._weights = tuple(fixed_point(part) for part in (predictor.query, predictor.key, predictor.down))
        self._up = fixed_point(predictor.lasting_up)
        half, heads = predictor.query.shape[1], tokens.heads
        self._asked, self._offered = (np.zeros((count, heads, half)) for count in (tokens.queries, tokens.keys))
        most = max(1, int(settings.keep * tokens.keys + 0.5))
        self._kept = np.zeros((tokens.queries, heads, most), np.int32)
        self._made = np.zeros((tokens.queries, heads, tokens.head_dim), np.float32)
        self._worth = np.zeros((tokens.queries, tokens.keys), np.float32)
        self._shares = np.zeros((tokens.queries, len(self._up)))
        self._macs = 0

    def run(self, query: Plane, key: Plane, value: Plane, target: Plane, everything: bool, gate: Float | None) -> int:
        """See `AttentionState`."""
        self._macs = 0
        asking, moved = query.live.reshape(-1) != 0, (key.live | value.live).reshape(-1) != 0
        if not everything and not asking.any() and not moved.any():
            forget(target)
            return 0
        before = self._kept.copy()
        self._choose(query, key, everything | asking, everything | moved)
        reached = asking[:, None] | (self._kept != before).any(axis=2) | moved[self._kept].any(axis=2) | everything
        todo = np.argwhere(reached).astype(np.int32)
        self._gather.attend_each(todo, (query, key, value), self._kept, np.float32(self._tokens.head_dim**-0.5), self._made)
        self._store(target, reached, 0.0 if gate is None else max(float(gate[0]), 0.0))
        self._macs += 2 * len(todo) * self._kept.shape[2] * self._tokens.head_dim
        return -(-len(todo) // self._tokens.heads)

    def _choose(self, query: Plane, key: Plane, asking: Mask, moved: Mask) -> None:
        """Head by head, as the worth of all keys to all queries takes room."""
        (to_query, to_key, down), (heads, dim) = self._weights, (self._tokens.heads, self._tokens.head_dim)
        for plane, chosen, weights, held in ((query, asking, to_query, self._asked), (key, moved, to_key, self._offered)):
            tokens = decode(plane.values, plane.store).reshape(-1, heads, dim)
            held[chosen] = shortened(fixed_point(tokens[chosen]) @ weights)
        budget, none = Budget(self._kept.shape[2]), np.zeros(self._worth.shape, np.uint8)
        for head in range(heads):
            basis = shortened(self._offered[:, head].T @ down)
            logits: Exact = np.ascontiguousarray(self._asked[:, head] @ basis)
            self._select.by_basis(logits, self._up, (UNIT * UNIT * float(np.sqrt(dim)), self._top), self._shares, self._worth)
            mask = np.zeros_like(none)
            self._select.choose(self._worth, none, budget, mask)
            self._kept[:, head] = np.nonzero(mask)[1].reshape(len(mask), -1)
            self._macs += (len(down) + len(logits)) * basis.size + min(self._top, len(self._up)) * self._worth.size

    def _store(self, target: Plane, reached: Mask, gate: float) -> None:
        """Those that ran; other heads' channels stay as they are."""
        forget(target)
        rows, columns = np.divmod(np.flatnonzero(reached.any(axis=1)), target.width)
        old = decode(target.values[rows, columns], target.store).reshape(len(rows), self._tokens.heads, -1)
        token = rows * target.width + columns
        new = np.where(reached[token][:, :, None], self._made[token], old)
        commit(target, rows, columns, np.ascontiguousarray(new.reshape(len(rows), -1), np.float32), gate)
        target.live_px = scan(target.live, target.live, target.extent)

    def reset(self) -> None:
        """Forget the scene."""
        self._kept[...] = 0

    def kept(self) -> Mask:
        """(head, query block, key block): whether any query of the one keeps a key of the other."""
        grid = self._tokens.grid()
        asked, offered = (_block_of(bounds, size) for bounds, size in ((grid.query, self._tokens.query), (grid.key, self._tokens.key)))
        made = np.zeros((self._tokens.heads, len(grid.query), grid.blocks), np.bool_)
        for head in range(self._tokens.heads):
            made[head, np.repeat(asked, self._kept.shape[2]), offered[self._kept[:, head].reshape(-1)]] = True
        return made

    def scores(self) -> Float | None:
        """Of single tokens: too many to be drawn."""
        return None

    @property
    def macs(self) -> int:
        """Of the last run."""
        return self._macs

    @property
    def size_bytes(self) -> int:
        """Halves, sets, answers, worth."""
        return sum(part.nbytes for part in (self._asked, self._offered, self._kept, self._made, self._worth))


def _block_of(bounds: Whole, size: tuple[int, int]) -> Whole:
    """(token,): the block that it lies in."""
    made = np.zeros(size, np.int32)
    for block, (top, bottom, left, right) in enumerate(bounds):
        made[top:bottom, left:right] = block
    return made.reshape(-1)
