"""Attention without a choice: `unit`, each block of queries on the keys of its own block, and `dense`, all queries on all keys.

Mask-unit attention (Hiera; METHODS 5): windows never mix and never shift, queries may be pooled. A unit is the natural live unit: nothing
outside can change it. Dense attention is softmax(q k^T / sqrt(head_dim)) v; a changed key reaches every query.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from edgevision.networks.attention import AttentionState, Opening, Tokens
from edgevision.networks.attention.selective import Fixed, Selective

LEAST_BLOCKS = 8  # of keys: with fewer, choosing costs more than it saves


@dataclass(frozen=True, slots=True)
class Unit:
    """Keeps the promises of `Attention`."""

    kind: str = "unit"

    def open(self, tokens: Tokens, backend: str = "compiled", crew: Any = 1, has_gate: bool = False) -> AttentionState:
        """A state for one camera."""
        blocks = tokens.blocks[0] * tokens.blocks[1]
        own = np.broadcast_to(np.eye(blocks, dtype=np.bool_)[:, None], (blocks, tokens.heads, blocks))
        return Selective(tokens, Fixed(own), 1, Opening(backend, crew, has_gate))


@dataclass(frozen=True, slots=True)
class Dense:
    """Keeps the promises of `Attention`. `note` says why, where another method was asked for."""

    kind: str = "dense"
    note: str = ""

    def open(self, tokens: Tokens, backend: str = "compiled", crew: Any = 1, has_gate: bool = False) -> AttentionState:
        """A state for one camera."""
        blocks = tokens.blocks[0] * tokens.blocks[1]
        every = np.ones((blocks, tokens.heads, blocks), np.bool_)
        return Selective(tokens, Fixed(every, self.note), blocks, Opening(backend, crew, has_gate))


def dense_instead(tokens: Tokens, opening: Opening) -> AttentionState | None:
    """All keys for everyone where there are too few blocks to choose from, and it says so; else None."""
    blocks = tokens.blocks[0] * tokens.blocks[1]
    if blocks >= LEAST_BLOCKS:
        return None
    note = f"dense: {tokens.keys} keys are {blocks} blocks; with fewer than {LEAST_BLOCKS} choosing costs more than it saves"
    return Dense(note=note).open(tokens, opening.backend, opening.crew, opening.has_gate)
