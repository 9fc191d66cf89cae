"""Static and dynamic sparse attention together (METHODS 3): a fixed pattern, what pooled scores name, and a correction for the rest.

Static: the first blocks of the map (a sink) and those around the query's own. Dynamic: the mean query of a block is scored against the
mean key of every block; the heaviest are kept, so many (top-k: bounded time) or until they hold a share of the mass (top-p: bounded
error), within a least and a most. A block whose keys have no common direction is never dropped, as its mean says little.

What is dropped is corrected for, or not. `low_rank`: exact on the kept, low rank elsewhere, as Scatterbrain's
[sum over S of e^s v + rest] / [sum over S of e^s + rest]; but the rest is not made of random features: each dropped block stands for
itself by its mean key and value, with the weight of all its tokens, so that every term is positive. `delta`: the middle query g of each
block also runs on all keys, and O_i = S_i + (D_g - S_g) for all queries i of the block.

The same middle queries are a probe of quality: where they lie too far from D_g too often, the layer runs dense for a while.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field

from edgevision.kernels import open_crew, open_select
from edgevision.kernels.blocks import Budget, Flags, Mask
from edgevision.kernels.forms import Float, Plane
from edgevision.networks.attention import AttentionState, Opening, Tokens
from edgevision.networks.attention.dense import dense_instead
from edgevision.networks.attention.selective import TURNS, Seen, Selective

MARGIN = 0.1  # with a gate: what another set must be worth more


class HybridSettings(BaseModel, frozen=True, extra="forbid"):
    """Which key blocks are kept, and what is done about the rest."""

    keep: float = Field(0.1, gt=0, le=1, description="Most key blocks that a block of queries keeps, as a share of all.")
    least: float = Field(
        0.0, ge=0, le=1, description="Fewest key blocks that are kept where `mass` would do with fewer, as a share of all."
    )
    mass: float = Field(1.0, gt=0, le=1, description="Share of the estimated attention that is enough; 1 keeps as many as `keep` allows.")
    sink: int = Field(1, ge=0, le=64, description="First blocks of the map, which all queries keep.")
    window: int = Field(0, ge=0, le=64, description="Blocks around its own, each way, that a block of queries keeps.")
    coherence: float = Field(
        0.02, ge=0, le=1, description="A key block is never dropped whose keys are less alike than this: 0 nothing in common, 1 equal."
    )
    correction: Literal["none", "delta", "low_rank"] = Field(
        "low_rank", description="For what is dropped: nothing, the difference seen at one query of each block, or the mean of each block."
    )
    error_limit: float | None = Field(
        None, gt=0, description="The layer runs dense for a while when probes are further off than this share of the output's range."
    )
    error_frames: tuple[int, int] = Field((3, 5), description="In so many of so many runs that probed.")
    cool_down: int = Field(100, ge=1, description="Runs for which it then stays dense.")


@dataclass(frozen=True, slots=True)
class Hybrid:
    """Keeps the promises of `Attention`."""

    settings: HybridSettings = field(default_factory=HybridSettings)
    kind: str = "hybrid"

    def open(self, tokens: Tokens, backend: str = "compiled", crew: Any = 1, has_gate: bool = False) -> AttentionState:
        """A state for one camera; dense where there are too few blocks to choose from."""
        opening = Opening(backend, open_crew(backend, crew), has_gate)
        return dense_instead(tokens, opening) or HybridState(tokens, self.settings, opening)


class HybridState(Selective):
    """Keeps the promises of `AttentionState`, and watches its quality: `error` of the last probes, as a share of the output's range."""

    def __init__(self, tokens: Tokens, settings: HybridSettings, opening: Opening) -> None:
        self._pooled = Pooled(tokens, settings, opening)
        super().__init__(tokens, self._pooled, tokens.blocks[0] * tokens.blocks[1], opening, has_summaries=True)
        self._settings, self._range, self._dense_runs = settings, 0.0, 0
        self._far: deque[bool] = deque(maxlen=settings.error_frames[1])
        self.error = 0.0

    def run(self, query: Plane, key: Plane, value: Plane, target: Plane, everything: bool, gate: Float | None) -> int:
        """See `AttentionState`; then probes, where there is a limit to their error."""
        count = super().run(query, key, value, target, everything, gate)
        if everything:
            self._range = float(target.values.max()) - float(target.values.min())
        if self._settings.error_limit is not None and (everything or count):
            self._watch(query, self._settings.error_limit, everything)
        return count

    def _watch(self, query: Plane, limit: float, everything: bool) -> None:
        if self._dense_runs:
            self._dense_runs -= 1
            self._pooled.is_dense = self._dense_runs > 0
            return
        asked = np.zeros(self._kept.counts.shape, np.uint8)
        asked[self._pooled.turn(everything)] = 1
        self._attend.probe(query, asked)
        off = np.abs(self._attend.dense - self._attend.sparse)[asked != 0]
        self.error = float(off.max()) / self._range if self._range > 0 else 0.0
        self._far.append(not self.error <= limit)
        if sum(self._far) >= self._settings.error_frames[0]:
            self._far.clear()
            self._dense_runs, self._pooled.is_dense = self._settings.cool_down, True

    def reset(self) -> None:
        """Forget the scene."""
        super().reset()
        self._far.clear()
        self._dense_runs, self._range, self.error = 0, 0.0, 0.0


class Pooled:
    """Keeps the promises of `Chooser`: static blocks, those without a common direction, and the best by pooled scores.

    `is_dense`: all are kept for the time being.
    """

    def __init__(self, tokens: Tokens, settings: HybridSettings, opening: Opening) -> None:
        self._settings, self._grid, self._select = settings, tokens.grid(), open_select(opening.backend, opening.crew)
        blocks, heads = self._grid.blocks, tokens.heads
        self._static = static_blocks(tokens.blocks, settings.sink, settings.window)
        self._alike = np.ones((blocks, heads), np.float32)
        self._weights, self._fixed = np.zeros((blocks, heads, blocks), np.float32), np.zeros((blocks * heads, blocks), np.uint8)
        self._rows = self._weights.reshape(-1, blocks)
        self._mask: Flags = np.zeros((blocks * heads, blocks), np.uint8)
        self._turn, self.is_dense, self.macs = 0, False, 0

    @property
    def scores(self) -> Float | None:
        """Of mean queries with mean keys."""
        return None if self.is_dense else self._weights

    @property
    def note(self) -> str:
        """Whether it runs dense for the time being."""
        return "dense for a while: its probes were too far off" if self.is_dense else ""

    def choose(self, seen: Seen) -> Mask | None:
        """From means made anew where tokens changed."""
        self.macs = 0
        if seen.is_still and not self.is_dense:
            return None
        grid, settings, blocks = self._grid, self._settings, self._grid.blocks
        if self.is_dense:
            self._mask[...] = 1
        else:
            seen.attend.take_query_means(seen.query, np.flatnonzero(seen.asking).astype(np.int32))
            self._select.coherence(seen.key, grid.key, np.flatnonzero(seen.moved).astype(np.int32), self._alike)
            self._select.rank(seen.attend.query_means, seen.attend.keys, grid, self._weights)
            is_free = settings.coherence <= self._alike.T
            np.logical_or(self._static[:, None], ~is_free[None], out=self._fixed.view(np.bool_).reshape(blocks, grid.heads, blocks))
            budget = Budget(share_of(settings.keep, blocks), share_of(settings.least, blocks), settings.mass, MARGIN * (seen.gate > 0))
            self._select.choose(self._rows, self._fixed, budget, self._mask)
            self.macs = seen.attend.query_means.size * blocks
        summaries = len(seen.attend.keys) - blocks
        is_low_rank = settings.correction == "low_rank"
        wide = np.full((blocks, grid.heads, blocks + summaries), is_low_rank)
        wide[:, :, :blocks] = self._mask.view(np.bool_).reshape(blocks, grid.heads, blocks)
        wide[wide[:, :, :blocks].all(axis=2), blocks:] = False
        return wide

    def correct(self, seen: Seen, exchanged: Mask) -> Mask | None:
        """`delta`: D_g - S_g made anew; all of them, or with a gate those that changed and some in turn, kept where it moved by less."""
        if self._settings.correction != "delta" or seen.is_still:
            return None
        attend, asked = seen.attend, np.ones(exchanged.shape, np.bool_)
        if seen.gate > 0 and not seen.everything:
            asked = exchanged | seen.asking[:, None]
            asked[self.turn(False)] = True
        attend.probe(seen.query, asked.astype(np.uint8))
        self.macs += int(asked.sum()) * 2 * self._grid.head_dim * int(self._grid.keys.sum())
        shift = np.where(asked[:, :, None], attend.dense - attend.sparse, attend.shift)
        with np.errstate(invalid="ignore"):
            is_new = ~(np.abs(shift - attend.shift) <= seen.gate).all(axis=2) | (seen.everything & asked)
        attend.shift[is_new] = shift[is_new]
        return np.asarray(is_new)

    def turn(self, everything: bool) -> Mask:
        """(block,): whose turn it is to be probed."""
        self._turn = (self._turn + 1) % TURNS
        return np.asarray((np.arange(self._grid.blocks) % TURNS == self._turn) | everything)

    def reset(self) -> None:
        """Forget the scene."""
        self._mask[...] = 0
        self._turn, self.is_dense = 0, False


def static_blocks(size: tuple[int, int], sink: int, window: int) -> Mask:
    """(block, key block): the first `sink`, and those up to `window` rows and columns away; a map of (rows, columns) blocks."""
    row, column = np.divmod(np.arange(size[0] * size[1]), size[1])
    is_near = np.maximum(np.abs(row[:, None] - row), np.abs(column[:, None] - column)) <= window
    is_near[:, :sink] = True
    return np.asarray(is_near)


def share_of(share: float, blocks: int) -> int:
    """The nearest number of blocks, one at least."""
    return max(1, int(share * blocks + 0.5))
