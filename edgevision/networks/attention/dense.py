"""Attention without a choice: `unit`, each block of queries on the keys of its own block, and `dense`, all queries on all keys.

Mask-unit attention (Hiera; METHODS 5): windows never mix and never shift, queries may be pooled. A unit is the natural live unit: nothing
outside can change it. Dense attention is softmax(q k^T / sqrt(head_dim)) v; a changed key reaches every query.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgevision.networks.attention import AttentionState, Tokens
from edgevision.networks.attention.selective import Fixed, Selective


@dataclass(frozen=True, slots=True)
class Unit:
    """Keeps the promises of `Attention`."""

    kind: str = "unit"

    def open(self, tokens: Tokens, backend: str = "compiled", threads: int = 1) -> AttentionState:
        """A state for one camera."""
        blocks = tokens.blocks[0] * tokens.blocks[1]
        own = np.broadcast_to(np.eye(blocks, dtype=np.bool_)[:, None], (blocks, tokens.heads, blocks))
        return Selective(tokens, Fixed(own), 1, backend, threads)


@dataclass(frozen=True, slots=True)
class Dense:
    """Keeps the promises of `Attention`. `note` says why, where another method was asked for."""

    kind: str = "dense"
    note: str = ""

    def open(self, tokens: Tokens, backend: str = "compiled", threads: int = 1) -> AttentionState:
        """A state for one camera."""
        blocks = tokens.blocks[0] * tokens.blocks[1]
        return Selective(tokens, Fixed(np.ones((blocks, tokens.heads, blocks), np.bool_), self.note), blocks, backend, threads)
