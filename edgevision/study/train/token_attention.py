"""Sparse and compressed attention as torch sees it: the twins of `networks/attention/`, for learning. In: maps. Out: a map.

Queries, keys and values are maps (n, rows, columns, channels), channel = head * head_dim + place. Blocks are squares of key tokens, row by
row; a query block covers the same part of the picture. What is kept is chosen block by block and head by head, as the engine does, so
that weights run there with the same answer. Keeps what is learned; a module that `compares` notes in `error` how far it was from dense.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from edgevision.errors import InputError
from edgevision.networks.attention import Tokens
from edgevision.networks.attention.hybrid import HybridSettings, share_of
from edgevision.networks.attention.phi import spread_tokens
from edgevision.networks.attention.sparsifiner import Predictor
from edgevision.networks.turbovit import TurboViTSpec, layers, sizes

LARGEST = 8  # of a row of S
SHIPPED = HybridSettings()
NEAR_ZERO = 0.02  # of `up`
ATTENTION_WEIGHT = 0.01  # of the squared error of predicted attention
HALVINGS = 5  # of the measurements, all among them


@dataclass(frozen=True, slots=True)
class Choice:
    """Which attention the global stages get: its kind, the share of the blocks that is kept, the measurements at most."""

    kind: str = "dense"
    keep: float = 0.1
    measurements: int = 64


class TokenAttention(nn.Module):  # type: ignore[misc]
    """What all share: heads, blocks, what it is to be compared with dense attention."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self.tokens = tokens
        self.compares = False
        self.error = torch.zeros(())
        self.blocks = tokens.blocks[0] * tokens.blocks[1]
        for name, size, side in (("of_query", tokens.query, tokens.unit // tokens.pooled), ("of_key", tokens.key, tokens.unit)):
            self.register_buffer(name, block_of(size, side, tokens.blocks[1]), persistent=False)

    def forward(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Attention (n, rows, columns, channels) of the map of queries."""
        out = self.attend(*(self.by_head(x) for x in (query, key, value)))
        return out.transpose(1, 2).reshape(query.shape)

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """(n, heads, tokens, head channels) each."""
        raise NotImplementedError

    def by_head(self, x: torch.Tensor) -> torch.Tensor:
        """A map as (n, heads, tokens, head channels)."""
        return x.reshape(x.shape[0], -1, self.tokens.heads, self.tokens.head_dim).transpose(1, 2)

    def pooled(self, x: torch.Tensor, of: torch.Tensor) -> torch.Tensor:
        """(n, heads, blocks, head channels): the mean of each block's tokens; `of` says in which block each lies."""
        shares = functional.one_hot(of, self.blocks).to(x.dtype)
        return (shares / shares.sum(0)).T @ x

    def over(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Attention over kept blocks (n, heads, query block, key block)."""
        mask = kept[:, :, self.of_query][..., self.of_key]
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)


class SparsifinerAttention(TokenAttention):
    """METHODS 2 over blocks, as `networks/attention/sparsifiner.py` has it: `query`, `key` (head_dim, half), `down` (block, basis), `up`.

    The engine works the predictor out in whole numbers of 1/256: of two blocks that are about equal it may take the other.
    """

    def __init__(self, tokens: Tokens, keep: float) -> None:
        super().__init__(tokens)
        self.count, begun = share_of(keep, self.blocks), Predictor.start(tokens)
        self.query, self.key, self.down, self.up = (
            nn.Parameter(torch.from_numpy(part.copy())) for part in (begun.query, begun.key, begun.down, begun.up)
        )

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Over the blocks of the largest predicted attention."""
        if self.compares:
            predicted = self.predicted(q, k)
            with torch.no_grad():
                wanted = self.block_shares(q, k)
            self.error = ATTENTION_WEIGHT * (predicted - wanted).square().sum((2, 3)).mean()
            return functional.scaled_dot_product_attention(q, k, v)
        return self.over(q, k, v, self.choose(q, k))

    def predicted(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """A~ (n, heads, query block, key block)."""
        asked = self.pooled(q.float(), self.of_query) @ self.query
        offered = self.pooled(k.float(), self.of_key) @ self.key
        basis = offered.transpose(-1, -2) @ self.down
        shares = (asked @ basis * self.tokens.head_dim**-0.5).softmax(-1)
        return shares * top(shares, LARGEST) @ (self.up.abs() * (self.up.abs() > NEAR_ZERO))

    def choose(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Which key blocks each query block keeps."""
        with torch.no_grad(), torch.autocast(q.device.type, enabled=False):
            return top(self.predicted(q, k), self.count)

    def block_shares(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """What dense attention gives to each key block, the mean of a query block."""
        shares = (q @ k.transpose(-1, -2) * self.tokens.head_dim**-0.5).float().softmax(-1)
        return self.pooled(shares @ functional.one_hot(self.of_key, self.blocks).float(), self.of_query)


class HybridAttention(TokenAttention):
    """METHODS 3 as `networks/attention/hybrid.py` ships it: a sink, one's own block, and those of the largest pooled scores; blocks of keys
    unlike each other are never dropped. Of the rest the mean, with the weight of all its tokens.
    """

    def __init__(self, tokens: Tokens, keep: float) -> None:
        super().__init__(tokens)
        self.count = share_of(keep, self.blocks)
        self.register_buffer("sizes", torch.bincount(self.of_key, minlength=self.blocks).float().log(), persistent=False)

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Over what is kept and the means of what is not, in one softmax."""
        means, shut = self.pooled(k, self.of_key), torch.finfo(torch.float32).min / 2
        mask = self.choose(q, k)[:, :, self.of_query]
        bias = torch.cat([torch.where(mask[..., self.of_key], 0.0, shut), torch.where(mask, shut, self.sizes)], -1).to(q.dtype)
        both_k, both_v = torch.cat([k, means], 2), torch.cat([v, self.pooled(v, self.of_key)], 2)
        return functional.scaled_dot_product_attention(q, both_k, both_v, attn_mask=bias)

    def choose(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """Which key blocks each query block keeps."""
        with torch.no_grad():
            q, k = q.float(), k.float()
            means = self.pooled(k, self.of_key)
            scores = self.pooled(q, self.of_query) @ means.transpose(-1, -2) * self.tokens.head_dim**-0.5 + self.sizes
            spread = self.pooled(k.square().sum(-1, keepdim=True), self.of_key)[..., 0]
            unlike = means.square().sum(-1) < SHIPPED.coherence * spread
            fixed = torch.eye(self.blocks, dtype=torch.bool, device=q.device) | unlike[:, :, None]
            fixed[..., : SHIPPED.sink] = True
            room = (self.count - fixed.sum(-1, keepdim=True)).clamp(min=0)
            place = scores.masked_fill(fixed, -torch.inf).argsort(dim=-1, descending=True, stable=True).argsort(dim=-1)
            return fixed | (place < room)


class CsatAttention(TokenAttention):
    """METHODS 1: `phi` (measurement, row, column of keys), nested; the first `count` rows are used, single tokens to begin with.

    While it is taught as many as are drawn anew at each step, all or a half, a quarter, ... of them: else the network would know how to
    live with all of them alone.
    """

    def __init__(self, tokens: Tokens, measurements: int) -> None:
        super().__init__(tokens)
        if measurements > tokens.keys:
            raise InputError(f"measurements is {measurements}; a layer has {tokens.keys} keys; give at most {tokens.keys}")
        self.count = measurements
        self.phi = nn.Parameter(torch.from_numpy(spread_tokens(self.count, tokens.key)).unflatten(1, tokens.key))

    def attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        """Softmax over the measured keys of the measured values."""
        count = max(1, self.count >> int(torch.randint(HALVINGS, ()))) if self.training else self.count
        phi = self.phi[:count].flatten(1).to(k.dtype)
        out = functional.scaled_dot_product_attention(q, phi @ k, phi @ v)
        if self.compares:
            with torch.no_grad():
                wanted = functional.scaled_dot_product_attention(q, k, v)
            self.error = (out - wanted).float().square().mean() / wanted.float().square().mean().clamp(min=1e-9)
            return wanted
        return out


def block_of(size: tuple[int, int], side: int, across: int) -> torch.Tensor:
    """(token,): the block that each token of a map lies in."""
    rows, columns = torch.arange(size[0]) // side, torch.arange(size[1]) // side
    return (rows[:, None] * across + columns[None]).flatten()


def top(scores: torch.Tensor, count: int) -> torch.Tensor:
    """A mask of the `count` largest along the last axis; of equal ones the first."""
    order = torch.sort(scores, dim=-1, descending=True, stable=True).indices[..., :count]
    return torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, order, True)


def attentions(spec: TurboViTSpec, choice: Choice) -> dict[str, nn.Module]:
    """A module for each attention layer that is neither dense nor in units, for pictures of `spec.trained_px`."""
    steps = layers(spec)
    made = sizes(steps, spec.trained_px, spec.trained_px)
    found: dict[str, nn.Module] = {}
    for step in steps:
        if step.op == "attention" and step.kind not in ("unit", "dense"):
            query, key = made[step.name][1:], made[step.inputs[-1]][1:]
            tokens = Tokens(query, key, step.heads, step.channels // step.heads, spec.block)
            found[step.name] = _made(step.kind, tokens, choice)
    return found


def _made(kind: str, tokens: Tokens, choice: Choice) -> nn.Module:
    if kind == "sparsifiner":
        return SparsifinerAttention(tokens, choice.keep)
    return HybridAttention(tokens, choice.keep) if kind == "hybrid" else CsatAttention(tokens, choice.measurements)
