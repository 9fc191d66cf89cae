"""Sparsifiner (METHODS 2; CVPR 2023, arXiv 2303.13755): a small predictor says which keys are worth a look; those get true attention.

The predictor of one layer, its weights shared by the heads, head_dim d:
    q' = q W_q,  k' = k W_k                      d -> d/2
    S  = softmax(q' (k'^T W_down) / sqrt(d))     W_down (n, basis)
    A~ = top-8 of each row of S times |W_up|     W_up (basis, n); entries of at most 0.02 count for nothing
    M  = the largest ceil(keep n) columns of each row of A~, and out = softmax over M of (q k / sqrt(d)) v

How this deviates, so that it pays on a CPU: n counts *blocks* of tokens, q and k are the means of a block, and the mask is shared by the
queries of a block (a mean commutes with the linear maps, so that this is the paper's predictor seen through pooling). The number of kept
blocks is the nearest, not the next, to keep n. There is no class token whose row would be dense.

The predictor sees every token through W_down, so any change moves every row of S. It is worked out in whole numbers (fixed point, exact in
any order) from means made anew where tokens changed: the same tokens give the same masks, whatever came before. With a gate a mask is only
exchanged for one that is worth more by a margin.

Token pruning (EViT's, with which the paper combines it): blocks that get the least attention, by the mean over heads and rows of A~, are
looked at by nobody, and look only at themselves. Tokens stay in their places; the pruned are not fused into one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import BaseModel, Field

from edgevision.errors import InputError
from edgevision.kernels import open_crew, open_select
from edgevision.kernels.blocks import Budget, Flags, Mask, Whole
from edgevision.kernels.forms import Float
from edgevision.networks.attention import AttentionState, Opening, Tokens
from edgevision.networks.attention.dense import dense_instead
from edgevision.networks.attention.each import EachState
from edgevision.networks.attention.fixed_point import UNIT, Exact, fixed_point, shortened
from edgevision.networks.attention.hybrid import MARGIN, share_of
from edgevision.networks.attention.selective import Seen, Selective

_LEAST_UP = 0.02
_NEIGHBOUR = 0.25


class SparsifinerSettings(BaseModel, frozen=True, extra="forbid"):
    """How much the predictor lets through."""

    keep: float = Field(0.25, gt=0, le=1, description="Key blocks that a block of queries keeps, as a share of all.")
    top: int = Field(8, ge=1, description="Places of each row of the predictor's low-rank attention that count.")
    exact: bool = Field(
        False,
        description="Each query keeps keys of its own, as in the paper, not its block's: slower than dense, to see what sharing costs.",
    )
    prune: float = Field(0.0, ge=0, lt=1, description="Share of the blocks that are left out for good, those that get the least attention.")


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """Learned weights: `query`, `key` (head_dim, half), `down` (blocks, basis), `up` (basis, blocks)."""

    query: Float
    key: Float
    down: Float
    up: Float

    @classmethod
    def start(cls, tokens: Tokens, seed: int = 0) -> Predictor:
        """Before training: half as many channels by a rotation, a basis of all blocks, each with its neighbours behind it."""
        half = max(tokens.head_dim // 2, 1)
        rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((tokens.head_dim, tokens.head_dim)))
        stretched = np.asarray(rotation[:, :half] * np.sqrt(tokens.head_dim / half), np.float32)
        rows, columns = tokens.blocks
        row, column = np.divmod(np.arange(rows * columns), columns)
        away = np.abs(row[:, None] - row) + np.abs(column[:, None] - column)
        up = np.where(away == 0, 1.0, np.where(away == 1, _NEIGHBOUR, 0.0)).astype(np.float32)
        return cls(stretched, stretched, np.eye(rows * columns, dtype=np.float32), up)

    @classmethod
    def start_each(cls, tokens: Tokens, seed: int = 0) -> Predictor:
        """The same for single tokens: each place of the basis is a block's mean, and stands for the block's tokens."""
        whole, grid = cls.start(tokens, seed), tokens.grid()
        where = np.zeros((tokens.keys, grid.blocks), np.float32)
        number = np.arange(tokens.keys).reshape(tokens.key)
        for block, (top, bottom, left, right) in enumerate(grid.key):
            where[number[top:bottom, left:right].reshape(-1), block] = 1
        return cls(whole.query, whole.key, where / where.sum(axis=0), np.ascontiguousarray(whole.up @ where.T))

    @property
    def lasting_up(self) -> Float:
        """What counts of `up`."""
        return np.asarray(np.where(np.abs(self.up) <= _LEAST_UP, 0, np.abs(self.up)))

    def check(self, tokens: Tokens, is_exact: bool = False) -> None:
        """Raises InputError where it was learned for other tokens. `is_exact`: for single ones, not for blocks."""
        blocks, half = tokens.keys if is_exact else tokens.blocks[0] * tokens.blocks[1], self.query.shape[1]
        wanted = {
            "query": (tokens.head_dim, half),
            "key": (tokens.head_dim, half),
            "down": (blocks, len(self.up)),
            "up": (len(self.up), blocks),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise InputError(
                    f"the predictor's {name} is {getattr(self, name).shape}; these tokens need {shape}: train it for this size"
                )


@dataclass(frozen=True, slots=True)
class Sparsifiner:
    """Keeps the promises of `Attention`. Without a predictor one that has not been trained stands in."""

    settings: SparsifinerSettings = field(default_factory=SparsifinerSettings)
    predictor: Predictor | None = None
    kind: str = "sparsifiner"

    def open(self, tokens: Tokens, backend: str = "compiled", crew: Any = 1, has_gate: bool = False) -> AttentionState:
        """A state for one camera; dense where there are too few blocks to choose from."""
        opening = Opening(backend, open_crew(backend, crew), has_gate)
        dense = dense_instead(tokens, opening)
        if dense is not None:
            return dense
        if self.settings.exact:
            each = self.predictor or Predictor.start_each(tokens)
            each.check(tokens, is_exact=True)
            return EachState(tokens, self.settings, each, backend)
        predictor = self.predictor or Predictor.start(tokens)
        predictor.check(tokens)
        most = share_of(self.settings.keep, tokens.blocks[0] * tokens.blocks[1])
        return Selective(tokens, Predicted(tokens, self.settings, predictor, opening), most, opening, has_summaries=True)


class Predicted:
    """Keeps the promises of `Chooser`. Keeps the halves of all blocks' means, and the sums over key blocks that the basis is made of: whole
    numbers, so that a block that moved takes back what it added and adds what it is now."""

    note = ""

    def __init__(self, tokens: Tokens, settings: SparsifinerSettings, predictor: Predictor, opening: Opening) -> None:
        self._settings, self._grid, self._select = settings, tokens.grid(), open_select(opening.backend, opening.crew)
        blocks, heads = self._grid.blocks, tokens.heads
        self._weights = tuple(fixed_point(part) for part in (predictor.query, predictor.key, predictor.down))
        self._up = fixed_point(predictor.lasting_up)
        half, size = predictor.query.shape[1], predictor.down.shape[1]
        self._asked, self._offered = (np.zeros((blocks, heads, half), np.float64) for _ in range(2))
        self._sums = np.zeros((heads, half, size), np.float64)
        self._logits, self._shares = (np.zeros((blocks * heads, size), np.float64) for _ in range(2))
        self._made = np.zeros((blocks * heads, blocks), np.float32)
        self._mask: Flags = np.zeros((blocks * heads, blocks), np.uint8)
        self._free: Flags = np.zeros_like(self._mask)
        self._budget = Budget(share_of(settings.keep, blocks)), Budget(share_of(settings.keep, blocks), margin=MARGIN)
        self.scores: Float | None = None
        self.macs = 0

    @property
    def importance(self) -> Exact:
        """(block,): the attention that each block gets, as it was last predicted."""
        return np.asarray(self._shares.sum(axis=0) @ self._up)

    def choose(self, seen: Seen) -> Mask | None:
        """From means made anew where tokens changed."""
        self.macs = 0
        if seen.is_still:
            return None
        grid, blocks = self._grid, self._grid.blocks
        asking, moved = (np.flatnonzero(one).astype(np.int32) for one in (seen.asking, seen.moved))
        seen.attend.take_query_means(seen.query, asking)
        self.scores = self.predict((asking, seen.attend.query_means[asking]), (moved, seen.attend.key_means(moved)))
        self._select.choose(self._made, self._free, self._budget[seen.gate > 0], self._mask)
        wide = np.zeros((blocks, grid.heads, len(seen.attend.keys)), np.bool_)  # means are read, never looked at
        wide[:, :, :blocks] = self._pruned(self._mask.view(np.bool_).reshape(blocks, grid.heads, blocks))
        return wide

    def predict(self, asking: tuple[Whole, Float], moved: tuple[Whole, Float]) -> Float:
        """(block, head, key block): A~ in units of its fixed point. Of query and of key blocks: which are new, and their means."""
        (query, key, down), asked, offered, heads = self._weights, self._asked, self._offered, self._grid.heads
        asked[asking[0]] = shortened(fixed_point(asking[1]) @ query)  # (block, head, half)
        new = shortened(fixed_point(moved[1]) @ key)
        self._sums += (new - offered[moved[0]]).transpose(1, 2, 0) @ down[moved[0]]  # (head, half, basis)
        offered[moved[0]] = new
        basis, logits = shortened(self._sums), self._logits.reshape(len(asked), heads, -1)
        for head in range(heads):
            logits[:, head] = asked[:, head] @ basis[head]
        rule = (UNIT * UNIT * float(np.sqrt(self._grid.head_dim)), self._settings.top)
        self._select.by_basis(self._logits, self._up, rule, self._shares, self._made)
        self.macs = (
            asking[1].size * asked.shape[2]
            + asked.size * basis.shape[2]
            + new.size * (self._grid.head_dim + basis.shape[2])
            + min(self._settings.top, basis.shape[2]) * self._made.size
        )
        return self._made.reshape(len(asked), heads, -1)

    def _pruned(self, mask: Mask) -> Mask:
        """Without the blocks that get the least attention; the later of equals go first."""
        count = int(self._settings.prune * len(mask))
        if not count:
            return mask
        mask = mask.copy()
        out = np.argsort(-self.importance, kind="stable")[len(mask) - count :]
        mask[:, :, out] = False
        mask[out] = False
        block, head = np.nonzero(~mask.any(axis=2))
        mask[block, head, block] = True
        return mask

    def correct(self, seen: Seen, exchanged: Mask) -> Mask | None:
        """The paper has no such thing."""
        return None

    def reset(self) -> None:
        """Forget the scene."""
        self._mask[...], self.scores = 0, None
