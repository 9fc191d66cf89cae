"""Attention between tokens, interchangeable: which keys each query keeps, and why. One file a method, one interface for all.

    dense.py        `unit`: the tokens of one's own block; `dense`: all                              METHODS 5
    sparsifiner.py  a small predictor names what is worth a look                                     METHODS 2
    each.py         the same with keys for each query alone; fixed_point.py its numbers
    csat.py         all tokens, compressed into a few measurements                                   METHODS 1
    hybrid.py       a fixed pattern and what pooled scores name, and a correction for the rest       METHODS 3
    selective.py    what all but csat share: sets of key blocks as a dependency graph
    mending.py      with a gate: whether sums that are held can be mended

A token is a pixel of a token map. Queries, keys, values are planes (row, column, channel), channel = head * head_dim + place; they may
be channels of one tensor. An `Attention` is made for one layer and shared by cameras; each camera opens a state of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.kernels.blocks import Grid, cut
from edgevision.kernels.forms import Float, Plane


@dataclass(frozen=True, slots=True)
class Tokens:
    """A layer's geometry: `query` and `key` maps (rows, columns), the key's larger by a whole factor each way where queries are pooled.

    `unit`: side of a block of key tokens. Raises InputError where a number cannot be, with the nearest that can.
    """

    query: tuple[int, int]
    key: tuple[int, int]
    heads: int
    head_dim: int
    unit: int = 8

    def __post_init__(self) -> None:
        for name, number in (("heads", self.heads), ("head_dim", self.head_dim), ("unit", self.unit), *zip(_SIDES, self.key, strict=True)):
            if number < 1:
                raise InputError(f"{name} is {number}; it must be 1 or more")
        factor = self.pooled
        if self.key != (self.query[0] * factor, self.query[1] * factor):
            nearest = tuple(max(side // max(factor, 1), 1) * max(factor, 1) for side in self.key)
            raise InputError(
                f"keys are {self.key}, queries {self.query}; keys must be a whole multiple, the same each way, such as {nearest}"
            )
        if self.unit % factor:
            raise InputError(
                f"unit is {self.unit}; queries are pooled by {factor}, so it must be a multiple, such as {-(-self.unit // factor) * factor}"
            )

    @property
    def pooled(self) -> int:
        """Key tokens a query token stands for, each way."""
        return max(self.key[0] // max(self.query[0], 1), 1)

    @property
    def channels(self) -> int:
        """Of a token: all heads."""
        return self.heads * self.head_dim

    @property
    def queries(self) -> int:
        """Tokens that ask."""
        return self.query[0] * self.query[1]

    @property
    def keys(self) -> int:
        """Tokens that are asked."""
        return self.key[0] * self.key[1]

    @property
    def blocks(self) -> tuple[int, int]:
        """(rows, columns) of blocks, ragged ones included."""
        return -(-self.key[0] // self.unit), -(-self.key[1] // self.unit)

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates of all queries with all keys, scores and values."""
        return 2 * self.queries * self.keys * self.channels

    def grid(self) -> Grid:
        """The blocks as kernels take them."""
        return Grid(cut(self.query, self.unit // self.pooled), cut(self.key, self.unit), self.heads, self.head_dim)


@dataclass(frozen=True, slots=True)
class Opening:
    """How a state is opened: see `Attention.open`."""

    backend: str = "compiled"
    crew: Any = 1
    has_gate: bool = False


class AttentionState(Protocol):
    """One layer of one camera. Not for two threads at once."""

    def run(self, query: Plane, key: Plane, value: Plane, target: Plane, everything: bool, gate: Float | None) -> int:
        """Recompute the target's tokens that changed tokens reach: a query that changed itself, whose kept set changed, or that keeps a
        changed key or value. Returns how many queries ran, the mean of all heads.

        Reads the planes' values, live bytes and extents. Writes the target in place and sets its live bytes, extent and count: live where
        bits moved, or, with a gate (`gate[0]` > 0, in the output's units), where a channel moved by more than it. With a gate, queries that
        did not change themselves are mended where the state was opened for one. `everything` runs all and forgets what was kept.
        """

    def reset(self) -> None:
        """Forget the scene. The next `run` must be of everything."""

    def kept(self) -> NDArray[np.bool_]:
        """(head, query block, key block): who looks at whom since the last run."""

    def scores(self) -> Float | None:
        """(head, query block, key block): what the last choice went by, as a share of each row's largest; None where none is made."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the last run, choosing included."""

    @property
    def size_bytes(self) -> int:
        """What it keeps."""

    @property
    def note(self) -> str:
        """What an operator should know, such as that it runs dense, and why; empty if nothing."""


class Attention(Protocol):
    """A method chosen for one layer: settings and learned weights. Nothing in it changes."""

    @property
    def kind(self) -> str:
        """unit, dense, sparsifiner, csat or hybrid."""

    def open(self, tokens: Tokens, backend: str = "compiled", crew: Any = 1, has_gate: bool = False) -> AttentionState:
        """A state for one camera; `crew`: threads to share with the network's other layers (see `Backend.crew`), or how many of its own.

        `has_gate`: what a gate saves by is held, too.

        Raises InputError where the settings or the weights do not fit the tokens.
        """


_SIDES = ("rows of keys", "columns of keys")
