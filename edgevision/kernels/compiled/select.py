"""Which key blocks are worth a look; see `plain/select.py`. Small beside attention, but not beside what is left of it where a few tokens
changed: threads share the rows. Runs are (0, first row, row after the last)."""

from __future__ import annotations

import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from edgevision.kernels.blocks import LINE, Budget, Flags, Grid, Whole
from edgevision.kernels.compiled.across import exp
from edgevision.kernels.compiled.attend import lines
from edgevision.kernels.compiled.cpu import detect
from edgevision.kernels.compiled.crew import Crew
from edgevision.kernels.compiled.exact import fma
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import at
from edgevision.kernels.compiled.product import Shape, ShapeType, weigh
from edgevision.kernels.compiled.rows import Rows
from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.select import STEPS

Exact = NDArray[np.float64]
UNIT, TOP = range(2)  # of the numbers of a basis
LEAST, MOST, MASS, MARGIN = range(4)  # of those of a budget
BASIS_PS, CHOOSE_PS, RANK_PS, ALIKE_PS = 22_000, 8_000, 8_000, 320_000  # about what a row's place, or a token, takes
_LINE, _TABLE, _FLAGS, _NUMBERS = types.int32[::1], types.int32[:, ::1], types.uint8[:, ::1], types.float64[::1]
_ROWS, _CUBE, _WIDE = types.float32[:, ::1], types.float32[:, :, ::1], types.float64[:, ::1]
_ALIKE = types.int64[::1], _TABLE, _LINE, _ROWS
_RANK = _CUBE, types.float32[:, :, :, ::1], types.float32[::1], types.float32, _CUBE
_CHOOSE = _ROWS, _FLAGS, _NUMBERS, _FLAGS


@kernel
def add_up(source, bounds, sums, squares):
    """Sums, and sums of squares where there is room for them, of a block's tokens; how many. `source`: address, bytes a row, a pixel."""
    sums[:] = 0.0
    squares[:] = 0.0
    count = 0
    for row in range(bounds[0], bounds[1]):
        for column in range(bounds[2], bounds[3]):
            token = carray(at(source[0] + row * source[1] + column * source[2], np.float32), sums.shape)
            for c in range(sums.shape[0]):
                sums[c] += token[c]
            for c in range(squares.shape[0]):
                squares[c] = fma(token[c], token[c], squares[c])
            count += 1
    return np.float32(count)


@kernel
def alike(runs, begin, end, source, bounds, blocks, made):
    """Into `made` (block, head). `source`: address, bytes a row, a pixel, channels of a head."""
    heads, channels = made.shape[1], source[3]
    sums, squares = np.empty(heads * channels, np.float32), np.empty(heads * channels, np.float32)
    for run in range(begin, end):
        for block in blocks[runs[run, 1] : runs[run, 2]]:
            count = add_up(source, bounds[block], sums, squares)
            for head in range(heads):
                own, spread = np.float32(0.0), np.float32(0.0)
                for c in range(head * channels, (head + 1) * channels):
                    mean = sums[c] / count
                    own = fma(mean, mean, own)
                    spread += squares[c]
                spread /= count
                made[block, head] = np.float32(1.0)
                if spread != 0 and count > 1:
                    made[block, head] = (own * count - spread) / (spread * (count - np.float32(1.0)))


@kernel
def rank_blocks(runs, begin, end, queries, keys, log_counts, scale, weights):
    """Into `weights` (block, head, key block); a row is a head of a block."""
    blocks, heads, channels, room = queries.shape[0], queries.shape[1], queries.shape[2], keys.shape[3]
    scores = np.empty(blocks, np.float32)
    for run in range(begin, end):
        for row in range(runs[run, 1], runs[run, 2]):
            block, head = row // heads, row % heads
            scores[:] = 0.0
            for first in range(0, blocks, room):
                own = scores[first : first + room]
                for c in range(channels):
                    query, key = queries[block, head, c] * scale, keys[blocks + first // room, head, c]
                    for place in range(own.shape[0]):
                        own[place] = fma(query, key[place], own[place])
            top = np.float32(-np.inf)
            for place in range(blocks):
                scores[place] += log_counts[place]
                if scores[place] > top:
                    top = scores[place]
            for place in range(blocks):
                below = scores[place] - top
                weights[block, head, place] = np.float32(np.inf) if np.isnan(below) else exp(below)


@kernel
def worth(weights, chosen):
    """The weights of the chosen, added one after another."""
    total = 0.0
    for block in range(weights.shape[0]):
        if chosen[block] != 0:
            total += np.float64(weights[block])
    return total


@kernel
def heaviest(weights, fixed, most, found):
    """Into `found` the `most` heaviest, one at least, that are not fixed, the first of equals before the others; how many there are."""
    number, is_full, lightest = 0, False, weights[0]
    for block in range(weights.shape[0]):
        weight = weights[block]
        if fixed[block] != 0 or (is_full and not weight > lightest):
            continue
        place = number - 1 if is_full else number
        while place > 0 and weight > weights[found[place - 1]]:
            found[place] = found[place - 1]
            place -= 1
        found[place] = block
        number = number if is_full else number + 1
        is_full, lightest = number == most, weights[found[number - 1]]
    return number


@kernel
def take_best(weights, fixed, least, most, mass, chosen, found):
    """The fixed ones, then the heaviest, the first of equals, until the budget is used."""
    count, total = 0, 0.0
    for block in range(weights.shape[0]):
        chosen[block] = np.uint8(fixed[block] != 0)
        count += chosen[block]
        total += np.float64(weights[block])
    held = worth(weights, chosen)
    if count >= most:
        return
    for place in range(heaviest(weights, fixed, most - count, found)):
        if mass < 1 and count + place >= least and held >= mass * total:
            return
        chosen[found[place]] = 1
        held += np.float64(weights[found[place]])


@kernel
def come_nearer(weights, fixed, best, enough, made):
    """Make a set like the best step by step until it holds all fixed ones and is worth enough."""
    while True:
        forced, come, leave = -1, -1, -1
        for block in range(made.shape[0]):
            if best[block] != 0 and made[block] == 0:
                if fixed[block] != 0 and forced < 0:
                    forced = block
                if come < 0 or weights[block] > weights[come]:
                    come = block
            if made[block] != 0 and best[block] == 0 and (leave < 0 or weights[block] < weights[leave]):
                leave = block
        if (come < 0 and leave < 0) or (forced < 0 and worth(weights, made) >= enough):
            return
        if come >= 0:
            made[forced if forced >= 0 else come] = 1
        if leave >= 0:
            made[leave] = 0


@kernel
def choose_rows(runs, begin, end, weights, fixed, numbers, mask):
    """`numbers`: the budget."""
    least, most, mass, margin = int(numbers[LEAST]), int(numbers[MOST]), numbers[MASS], numbers[MARGIN]
    chosen, found = np.empty(weights.shape[1], np.uint8), np.empty(weights.shape[1], np.int64)
    for run in range(begin, end):
        for row in range(runs[run, 1], runs[run, 2]):
            take_best(weights[row], fixed[row], least, most, mass, chosen, found)
            if margin > 0:
                is_kept, lacks = False, False
                for block in range(chosen.shape[0]):
                    is_kept |= mask[row, block] != 0
                    lacks |= fixed[row, block] != 0 and mask[row, block] == 0
                now = worth(weights[row], chosen)
                if is_kept and not lacks and not now > worth(weights[row], mask[row]) * (1.0 + margin):
                    continue
                if is_kept:
                    come_nearer(weights[row], fixed[row], chosen, now / (1.0 + margin), mask[row])
                    continue
            mask[row] = chosen


@kernel
def add_times(source, factor, target):
    """The source times a factor to what is there."""
    for place in range(source.shape[0]):
        target[place] += factor * source[place]


@kernel
def below(values, top, unit, made):
    """How far each lies below the top, in units."""
    for place in range(values.shape[0]):
        made[place] = np.float32((values[place] - top) / unit)


@kernel
def attend_by_basis(runs, begin, end, logits, up, numbers, shares, made, shape):
    """See `plain/select.py`. `numbers`: what logits are divided by, and how many places count."""
    (size, blocks), unit, top = up.shape, numbers[UNIT], int(numbers[TOP])
    lines = (size + LINE - 1) // LINE
    powers, found, none = np.empty(lines * LINE, np.float32), np.empty(size, np.int64), np.zeros(size, np.uint8)
    exact = np.empty(blocks, np.float64)
    for run in range(begin, end):
        for row in range(runs[run, 1], runs[run, 2]):
            own = logits[row]
            number = heaviest(own, none, min(top, size), found)
            below(own, own[found[0]], unit, powers[:size])
            for place in range(size, lines * LINE):
                powers[place] = -np.inf
            whole = np.float64(weigh(powers.ctypes.data, lines, np.float32(0.0), shape))
            shares[row] = 0.0
            exact[:] = 0.0
            for place in range(number):
                share = np.rint(np.float64(powers[found[place]]) / whole * STEPS)
                shares[row, found[place]] = share
                add_times(up[found[place]], share, exact)
            for block in range(blocks):
                made[row, block] = np.float32(exact[block])


class Select:
    """The functions of `plain/select.py`, each over arrays that should be the same ones every time."""

    def __init__(self, crew: Crew) -> None:
        self._rows = Rows(crew)
        self._by_basis = (_WIDE, _WIDE, _NUMBERS, _WIDE, _ROWS, ShapeType(Shape(detect().lanes)))
        self._basis, self._budget = np.zeros(2), np.zeros(4)
        self._source, self._blocks = np.zeros(4, np.int64), np.zeros(0, np.int32)
        self._grid: Grid | None = None
        self._bias = np.zeros(0, np.float32)

    def coherence(self, plane: Plane, bounds: Whole, blocks: Whole, made: Float) -> None:
        """Into `made` (block, head) how alike the tokens of these blocks are."""
        if len(self._blocks) < len(bounds):
            self._blocks = np.zeros(len(bounds), np.int32)
        self._source[:], self._blocks[: len(blocks)] = (*lines(plane), plane.padded.shape[2] // made.shape[1]), blocks
        tokens = (bounds[0, 1] - bounds[0, 0]) * (bounds[0, 3] - bounds[0, 2])
        self._rows.run(alike, _ALIKE, (self._source, bounds, self._blocks, made), len(blocks), int(tokens) * ALIKE_PS)

    def rank(self, queries: Float, keys: Float, grid: Grid, weights: Float) -> None:
        """Into `weights` (block, head, key block) how much attention the mean query of a block gives to each key block, by its mean key."""
        if self._grid is not grid:
            self._grid, self._bias = grid, grid.summary_bias
        given = queries, keys, self._bias, grid.scale, weights
        self._rows.run(rank_blocks, _RANK, given, weights.shape[0] * weights.shape[1], weights.shape[2] * RANK_PS)

    def choose(self, weights: Float, fixed: Flags, budget: Budget, mask: Flags) -> None:
        """Into `mask` (row, key block), which holds the sets so far, the new ones."""
        self._budget[:] = budget.least, budget.most, budget.mass, budget.margin
        self._rows.run(choose_rows, _CHOOSE, (weights, fixed, self._budget, mask), len(weights), weights.shape[1] * CHOOSE_PS)

    def by_basis(self, logits: Exact, up: Exact, rule: tuple[float, int], shares: Exact, made: Float) -> None:
        """Into `made` (row, key block) the attention that a basis gives, in units of 1 / STEPS; into `shares` (row, basis) what of it."""
        self._basis[:] = rule
        given = logits, up, self._basis, shares, made, None
        self._rows.run(attend_by_basis, self._by_basis, given, len(logits), made.shape[1] * BASIS_PS)
