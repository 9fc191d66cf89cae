"""Sparse and compressed attention as torch sees it: the twins of `networks/attention/`, for learning. In: maps. Out: a map.

Queries, keys and values are maps (n, rows, columns, channels), channel = head * head_dim + place. Blocks are squares of `side` key tokens,
row by row; a query block covers the same part of the picture. What is kept is chosen block by block and head by head, as the engine does,
so that weights run there with the same answer. Keeps what is learned; `error` is how far the last run was from dense attention, where the
module is asked to `compare`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from edgevision.networks.attention import Tokens
from edgevision.networks.turbovit import TurboViTSpec


@dataclass(frozen=True, slots=True)
class Choice:
    """Which attention the global stages get: its kind, the share of keys kept, the measurements at most, the side of a block in tokens."""

    kind: str = "dense"
    keep: float = 0.1
    measurements: int = 64
    block: int = 4


class BlockAttention(nn.Module):  # type: ignore[misc]
    """What all share: heads, blocks, and attention over those that `choose` keeps."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.tokens = tokens
        self.compares = False
        self.error = torch.zeros(())
        for name, size, side in (("of_query", tokens.query, tokens.unit // tokens.pooled), ("of_key", tokens.key, tokens.unit)):
            self.register_buffer(name, block_of(size, side, tokens.blocks[1]), persistent=False)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Attention (n, rows, columns, channels) of the map of queries."""
        q, k, v = (self.by_head(x) for x in (query, key, value))
        out = self.attend(q, k, v)
        return out.transpose(1, 2).reshape(query.shape)

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """(n, heads, tokens, head channels) over the kept blocks."""
        kept = self.choose(q, k)  # (n, heads, query blocks, key blocks)
        mask = kept[:, :, self.of_query][..., self.of_key]
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)

    def choose(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Which key blocks each query block keeps."""
        raise NotImplementedError

    def by_head(self, x: torch.Tensor) -> torch.Tensor:
        """A map as (n, heads, tokens, head channels)."""
        return x.reshape(x.shape[0], -1, self.tokens.heads, self.tokens.head_dim).transpose(1, 2)

    def pooled(self, x: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
        """(n, heads, blocks, head channels): the mean of each block's tokens."""
        count = self.tokens.blocks[0] * self.tokens.blocks[1]
        shares = functional.one_hot(blocks, count).to(x.dtype)
        return (shares / shares.sum(0)).T @ x


def block_of(size: tuple[int, int], side: int, across: int) -> torch.Tensor:
    """(token,): the block that each token of a map lies in."""
    rows, columns = torch.arange(size[0]) // side, torch.arange(size[1]) // side
    return (rows[:, None] * across + columns[None]).flatten()


def top(scores: torch.Tensor, count: int) -> torch.Tensor:
    """A mask of the `count` largest along the last axis; of equal ones the first."""
    order = torch.sort(scores, dim=-1, descending=True, stable=True).indices[..., :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, order, True)


def kept_count(keep: float, blocks: int) -> int:
    """How many blocks a share is: at least one."""
    return max(1, math.ceil(keep * blocks))


def attentions(spec: TurboViTSpec, choice: Choice) -> dict[str, nn.Module]:
    """A module for each attention layer that is not dense, for pictures of `spec.trained_px`."""
    return {}
