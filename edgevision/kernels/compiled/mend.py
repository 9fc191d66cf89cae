"""Sums of attention kept up to date: what left is taken out, what came is put in, by the same two products; see `plain/mend.py`.

Sources are laid out as packed blocks are, so that one that came or left is a block that is looked at, its weights with a sign.
"""

from __future__ import annotations

import numpy as np

from edgevision.kernels.blocks import CHUNK, FORMER, LINE, MOST_MENDS, WHOLE, Changes, Grid
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.product import TALL, multiply, weigh
from edgevision.kernels.plain.mend import FIRST, HELD, TIMES, TOP


@kernel
def put_aside(keys, values, slot, former_keys, former_values):
    """All of a block (head, ...) as it is before it is packed."""
    former_keys[3 * slot + WHOLE] = keys
    former_values[3 * slot + WHOLE] = values


@kernel
def note_moved(keys, values, place, at, former_keys, former_values):
    """One token of a packed block of one head, at `place`: to `at` of `former_keys` (channel, place), `former_values` (place, channel)."""
    for c in range(keys.shape[0]):
        former_keys[c, at] = keys[c, place]
    for c in range(values.shape[1]):
        former_values[at, c] = values[place, c]


@kernel
def moved_over(source, target):
    """All of the source."""
    for c in range(source.shape[0]):
        target[c] = source[c]


@kernel
def turned(values):
    """Their signs."""
    for place in range(values.shape[0]):
        values[place] = -values[place]


@kernel
def hold(made, weights, tops, places, number, dims, sums, heights):
    """What rows got when they ran whole; `made` (row, channel and more) holds all weights behind the channels."""
    for row in range(number):
        height = heights[places[row]]
        height[TOP], height[HELD], height[FIRST], height[TIMES] = tops[row], weights[row], made[row, dims], np.float32(0.0)
        moved_over(made[row, :dims], sums[places[row]])


@kernel
def mend(
    queries, places, number, changes, counts, keys, values, former_counts, former_keys, former_values, head, sums, heights, space, made,
    lanes, shape, adding
):  # fmt: skip
    """Rows at `places` get what came, and lose what left: into `made` (row, channel and more), their weights behind the channels.

    `queries`: scaled, an even number of rows. `counts`: keys of each true block.
    """
    channels, room, dims, true = keys.shape[2], keys.shape[3], values.shape[3], counts.shape[0]
    length = max(changes.shape[0], 1) * room
    most = min(max(space.shape[0] // length // TALL * TALL, TALL), CHUNK)
    scores = space[: most * length].reshape((most, length))
    begin = 0
    while begin < number:
        rows = min(number - begin, most)
        even = rows + rows % 2
        for row in range(rows):
            moved_over(sums[places[begin + row]], made[begin + row, :dims])
        made[begin + rows : begin + even, :dims] = 0.0
        for j in range(changes.shape[0]):
            source = abs(changes[j]) - 1
            is_true, former = source < true, source - true
            count = counts[source] if is_true else former_counts[former]
            taken = keys[source, head].ctypes.data if is_true else former_keys[former, head].ctypes.data
            lines, target = (count + LINE - 1) // LINE, scores.ctypes.data + 4 * room * j
            multiply(
                queries.ctypes.data + 4 * channels * begin, 4 * channels, even, taken, 4 * room, lines * LINE // lanes, target, 4 * length,
                channels, shape,
            )  # fmt: skip
            for row in range(rows):
                for place in range(room * j + count, room * j + lines * LINE):
                    scores[row, place] = -np.inf
        for row in range(rows):
            height = heights[places[begin + row]]
            total = height[HELD]
            for j in range(changes.shape[0]):
                source = abs(changes[j]) - 1
                count = counts[source] if source < true else former_counts[source - true]
                part = weigh(scores[row].ctypes.data + 4 * room * j, (count + LINE - 1) // LINE, height[TOP], shape)
                if changes[j] > 0:
                    total += part
                else:
                    total -= part
                    turned(scores[row, room * j : room * j + count])
            height[HELD], height[TIMES] = total, height[TIMES] + np.float32(1.0)
            made[begin + row, dims] = total
        for j in range(changes.shape[0]):
            source = abs(changes[j]) - 1
            is_true, former = source < true, source - true
            count = counts[source] if is_true else former_counts[former]
            taken = values[source, head].ctypes.data if is_true else former_values[former, head].ctypes.data
            target = made[begin:].ctypes.data
            multiply(
                scores.ctypes.data + 4 * room * j,
                4 * length,
                even,
                taken,
                4 * dims,
                dims // lanes,
                target,
                4 * made.shape[1],
                count,
                adding,
            )
        for row in range(rows):
            moved_over(made[begin + row, :dims], sums[places[begin + row]])
        begin += rows


@kernel
def is_sound(total, height, safe):
    """Whether a mended row may be used."""
    return height[TIMES] <= MOST_MENDS and total * safe >= height[FIRST] and total <= safe * height[FIRST]


class Sums:
    """Room for what is held: `values` (block, head, place, channel and more), `heights`; what moved blocks were and are, and how many."""

    def __init__(self, grid: Grid, dims: int, changes: Changes | None = None) -> None:
        """Without changes nothing is held."""
        self.changes = changes or Changes.none(grid, 1, 0)
        places = 0 if changes is None else int(grid.queries.max())
        asking, former = (len(grid.query), grid.heads), (3 * self.changes.room, grid.heads)
        self.values = np.zeros((*asking, places, dims), np.float32)
        self.heights = np.zeros((*asking, places, 4), np.float32)
        self.keys = np.zeros((*former, grid.head_dim, grid.room), np.float32)
        self.tokens = np.zeros((*former, grid.room, dims), np.float32)
        self.counts = np.zeros(former[0], np.int32)

    @property
    def size_bytes(self) -> int:
        """All of it."""
        return self.values.nbytes + self.heights.nbytes + self.keys.nbytes + self.tokens.nbytes

    @property
    def moved(self) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
        """(slot,): tokens."""
        return self.counts[FORMER::3]
