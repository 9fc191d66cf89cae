"""Sums of attention kept up to date, slow and plain: the oracle of `compiled/mend.py`. In: what left and what came. Out: what queries get.

Keeps the sums of every query: values times weights, the weights, each weight being e^(score - top), where `top` was its largest score when
it last ran whole. Sums are float32 and every mend rounds: so a row is mended MOST_MENDS times at most, and runs whole where its weights
have grown or shrunk by more than SAFE, as then little would be left of much.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edgevision.kernels.blocks import FORMER, MOST_MENDS, NEWER, WHOLE, Changes, Flags, Grid, Mask, Whole
from edgevision.kernels.forms import Float
from edgevision.kernels.plain.exact import fma

TOP, HELD, FIRST, TIMES = range(4)  # of a row's heights: the top, its weights now, all weights of its whole run, how often it was mended


class Sums:
    """Of one layer of one camera. `values` (block, head, place, channel), `heights` (block, head, place, 4).

    `keys`, `tokens` (source, head, place, channel): what moved blocks were and are; `counts` (source,).
    """

    def __init__(self, grid: Grid, changes: Changes) -> None:
        self.changes, self.blocks = changes, grid.blocks
        places = int(grid.queries.max())
        self.values = np.zeros((len(grid.query), grid.heads, places, grid.head_dim), np.float32)
        self.heights = np.zeros((len(grid.query), grid.heads, places, 4), np.float32)
        self.keys, self.tokens = (np.zeros((3 * changes.room, grid.heads, grid.room, grid.head_dim), np.float32) for _ in range(2))
        self.counts = np.zeros(3 * changes.room, np.int32)

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return self.values.nbytes + self.heights.nbytes + self.keys.nbytes + self.tokens.nbytes

    def put_aside(self, slot: int, held: tuple[Float, Float], tokens: tuple[Float, Float], live: Flags) -> None:
        """Before a block is packed: its keys and values, `held` (head, place, channel) and new (place, head, channel); which are `live`."""
        places = np.flatnonzero(live)
        for kept, was, now in zip((self.keys, self.tokens), held, tokens, strict=True):
            kept[3 * slot + WHOLE] = was
            kept[3 * slot + FORMER, :, : len(places)] = was[:, places]
            kept[3 * slot + NEWER, :, : len(places)] = now[places].transpose(1, 0, 2)
        self.counts[3 * slot : 3 * slot + 3] = len(places), len(places), len(live)


class Looks(Protocol):
    """What of `plain.Attend` is needed here."""

    keys: Float
    values: Float

    def products(self, scaled: Float, keys: Float) -> Float:
        """(query, key)."""

    def weights(self, below: Float) -> tuple[Float, Float]:
        """(query, key) weights, (query,) their sum."""


def mended(sums: Sums, attend: Looks, counts: Whole, scaled: Float, at: tuple[int, int, Whole]) -> tuple[Float, Float, Mask]:
    """Mend the rows `at` (block, head, places), whose `scaled` queries are (row, channel).

    Gives their sums (row, channel), their weights (row,), and which were not mended too often.
    """
    block, head, places = at
    made, heights = sums.values[block, head, places].copy(), sums.heights[block, head, places].copy()
    total = heights[:, HELD].copy()
    with np.errstate(all="ignore"):
        for source in sums.changes.sources[block, head, : sums.changes.counts[block, head]]:
            number = abs(int(source)) - 1
            is_true, moved = number < sums.blocks, number - sums.blocks
            keys, values = (attend.keys[number, head], attend.values[number, head]) if is_true else (
                sums.keys[moved, head], sums.tokens[moved, head])  # fmt: skip
            count = int(counts[number] if is_true else sums.counts[moved])
            weights, part = attend.weights(attend.products(scaled, keys[:count]) - heights[:, TOP, None])
            total, weights = (total + part, weights) if source > 0 else (total - part, -weights)
            for place in range(count):
                made = fma(weights[:, place, None], values[place], made)
    heights[:, HELD], heights[:, TIMES] = total, heights[:, TIMES] + 1
    sums.values[block, head, places], sums.heights[block, head, places] = made, heights
    return made, total, np.asarray(heights[:, TIMES] <= MOST_MENDS)
