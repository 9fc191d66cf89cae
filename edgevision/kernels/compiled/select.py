"""Which key blocks are worth a look; see `plain/select.py`. All of it is small beside attention itself: one thread does it."""

from __future__ import annotations

import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from edgevision.kernels.blocks import LINE, Budget, Flags, Grid, Whole
from edgevision.kernels.compiled.across import exp
from edgevision.kernels.compiled.attend import lines
from edgevision.kernels.compiled.cpu import detect
from edgevision.kernels.compiled.exact import fma
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.native import at
from edgevision.kernels.compiled.product import Shape, ShapeType, weigh
from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.select import STEPS

Exact = NDArray[np.float64]
_I64, _F32 = types.int64, types.float32
_LINE, _TABLE, _FLAGS = types.int32[::1], types.int32[:, ::1], types.uint8[:, ::1]


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
def alike(source, bounds, blocks, channels, made):
    """Into `made` (block, head)."""
    heads = made.shape[1]
    sums, squares = np.empty(heads * channels, np.float32), np.empty(heads * channels, np.float32)
    for block in blocks:
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
def rank_blocks(queries, keys, log_counts, scale, weights):
    """Into `weights` (block, head, key block)."""
    blocks, heads, channels, room = queries.shape[0], queries.shape[1], queries.shape[2], keys.shape[3]
    scores = np.empty(blocks, np.float32)
    for head in range(heads):
        for block in range(blocks):
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
    number = 0
    for block in range(weights.shape[0]):
        weight = weights[block]
        if fixed[block] != 0 or (number == most and not weight > weights[found[number - 1]]):
            continue
        place = number if number < most else number - 1
        while place > 0 and weight > weights[found[place - 1]]:
            found[place] = found[place - 1]
            place -= 1
        found[place] = block
        number = min(number + 1, most)
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
def choose_rows(weights, fixed, least, most, mass, margin, mask):
    """All rows."""
    chosen, found = np.empty(weights.shape[1], np.uint8), np.empty(weights.shape[1], np.int64)
    for row in range(weights.shape[0]):
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
def attend_by_basis(logits, up, unit, top, steps, made, total, shape):
    """All rows; see `plain/select.py`."""
    size, blocks = up.shape
    lines = (size + LINE - 1) // LINE
    powers, found, none = np.empty(lines * LINE, np.float32), np.empty(size, np.int64), np.zeros(size, np.uint8)
    exact = np.empty(blocks, np.float64)
    total[:] = 0.0
    for row in range(logits.shape[0]):
        own = logits[row]
        number = heaviest(own, none, min(top, size), found)
        below(own, own[found[0]], unit, powers[:size])
        for place in range(size, lines * LINE):
            powers[place] = -np.inf
        whole = np.float64(weigh(powers.ctypes.data, lines, np.float32(0.0), shape))
        exact[:] = 0.0
        for place in range(number):
            add_times(up[found[place]], np.rint(np.float64(powers[found[place]]) / whole * steps), exact)
        add_times(exact, 1.0, total)
        for block in range(blocks):
            made[row, block] = np.float32(exact[block])


def by_basis(logits: Exact, up: Exact, rule: tuple[float, int], made: Float) -> Exact:
    """Into `made` (row, key block) the attention that a basis gives, in units of 1 / STEPS; the sum of all rows."""
    total, wide, real = np.zeros(up.shape[1]), types.float64[:, ::1], types.float64
    signature = (wide, wide, real, _I64, real, _F32[:, ::1], real[::1], ShapeType(Shape(detect().lanes)))
    specialize(attend_by_basis, signature)(logits, up, float(rule[0]), rule[1], STEPS, made, total, None)
    return total


def coherence(plane: Plane, bounds: Whole, blocks: Whole, made: Float) -> None:
    """Into `made` (block, head) how alike the tokens of these blocks are."""
    channels = plane.padded.shape[2] // made.shape[1]
    source = types.UniTuple(_I64, 3)
    specialize(alike, (source, _TABLE, _LINE, _I64, _F32[:, ::1]))(lines(plane), bounds, blocks, channels, made)


def rank(queries: Float, keys: Float, grid: Grid, weights: Float) -> None:
    """Into `weights` (block, head, key block) how much attention the mean query of a block gives to each key block, by its mean key."""
    signature = (_F32[:, :, ::1], _F32[:, :, :, ::1], _F32[::1], _F32, _F32[:, :, ::1])
    specialize(rank_blocks, signature)(queries, keys, grid.summary_bias, grid.scale, weights)


def choose(weights: Float, fixed: Flags, budget: Budget, mask: Flags) -> None:
    """Into `mask` (row, key block), which holds the sets so far, the new ones."""
    real = types.float64
    signature = (_F32[:, ::1], _FLAGS, _I64, _I64, real, real, _FLAGS)
    specialize(choose_rows, signature)(weights, fixed, budget.least, budget.most, budget.mass, budget.margin, mask)
