"""Keys and values of blocks laid out as weights of products, and means of blocks; see `plain/pack.py`. Runs are (block, whether
all of it is new, its tokens).

Head after head, so that a block's transposed keys of one head, which are written from end to end for every token, stay in the first cache.
"""

from __future__ import annotations

import numpy as np
from numba import carray

from edgevision.kernels.blocks import FORMER, NEWER, WHOLE
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.mend import note_moved, put_aside
from edgevision.kernels.compiled.native import at

KEY, KEY_ROW, KEY_PIXEL, VALUE, VALUE_ROW, VALUE_PIXEL, KEY_LIVE, KEY_LIVE_ROW, VALUE_LIVE, VALUE_LIVE_ROW = range(10)


@kernel
def copy(source, target):
    """All of the source."""
    for c in range(source.shape[0]):
        target[c] = source[c]


@kernel
def add(source, target):
    """The source to what is there."""
    for c in range(source.shape[0]):
        target[c] += source[c]


@kernel
def places_of(bounds, table, places):
    """Into `places` (3, token): the addresses of a block's keys and values, and whether one of them is live; how many tokens."""
    place = 0
    for row in range(bounds[0], bounds[1]):
        for column in range(bounds[2], bounds[3]):
            is_live = carray(at(table[KEY_LIVE] + row * table[KEY_LIVE_ROW] + column, np.uint8), (1,))[0] != 0
            is_live |= carray(at(table[VALUE_LIVE] + row * table[VALUE_LIVE_ROW] + column, np.uint8), (1,))[0] != 0
            places[0, place] = table[KEY] + row * table[KEY_ROW] + column * table[KEY_PIXEL]
            places[1, place] = table[VALUE] + row * table[VALUE_ROW] + column * table[VALUE_PIXEL]
            places[2, place] = is_live
            place += 1
    return place


@kernel
def pack_head(places, count, first, keys, values, is_whole, slot, head, former_keys, former_values):
    """One head of a block: `keys` (channel, place), `values` (place, channel); what is live, or all of it. How many tokens."""
    channels, moved = keys.shape[0], 0
    for place in range(count):
        if not is_whole and places[2, place] == 0:
            continue
        if slot >= 0:
            note_moved(keys, values, place, moved, former_keys[3 * slot + FORMER, head], former_values[3 * slot + FORMER, head])
        copy(carray(at(places[0, place] + 4 * first, np.float32), (channels,)), keys[:, place])
        copy(carray(at(places[1, place] + 4 * first, np.float32), (channels,)), values[place])
        if slot >= 0:
            note_moved(keys, values, place, moved, former_keys[3 * slot + NEWER, head], former_values[3 * slot + NEWER, head])
        moved += 1
    return moved


@kernel
def pack(runs, begin, end, table, bounds, slots, keys, values, former_counts, former_keys, former_values):
    """Blocks runs[begin:end, 0]; `keys` (block, head, channel, place), `values` (block, head, place, channel). Summaries, where there is
    room behind the true blocks. What is live, or, where runs[:, 1] says so, all of a block."""
    heads, channels, room, blocks = keys.shape[1], keys.shape[2], keys.shape[3], bounds.shape[0]
    sums, places = np.empty((2, channels), np.float32), np.empty((3, room), np.int64)
    for run in range(begin, end):
        block, is_whole = runs[run, 0], runs[run, 1] != 0
        slot, count, moved = slots[block], places_of(bounds[block], table, places), 0
        if slot >= 0:
            put_aside(keys[block], values[block], slot, former_keys, former_values)
        for head in range(heads):
            first = head * channels
            moved = pack_head(
                places, count, first, keys[block, head], values[block, head], is_whole, slot, head, former_keys, former_values
            )
            if keys.shape[0] > blocks:
                behind, own = blocks + block // room, block % room
                sums[:] = 0.0
                for place in range(count):
                    add(carray(at(places[0, place] + 4 * first, np.float32), (channels,)), sums[0])
                    add(carray(at(places[1, place] + 4 * first, np.float32), (channels,)), sums[1])
                for c in range(channels):
                    keys[behind, head, c, own] = sums[0, c] / np.float32(count)
                    values[behind, head, own, c] = sums[1, c] / np.float32(count)
        if slot >= 0:
            former_counts[3 * slot + FORMER] = former_counts[3 * slot + NEWER] = moved
            former_counts[3 * slot + WHOLE] = count


@kernel
def mean_tokens(runs, begin, end, source, bounds, made):
    """Blocks runs[begin:end, 0]: into `made` (block, head, channel). `source`: address, bytes a row, a pixel."""
    heads, channels = made.shape[1], made.shape[2]
    sums = np.empty(heads * channels, np.float32)
    for run in range(begin, end):
        block, count = runs[run, 0], 0
        sums[:] = 0.0
        for row in range(bounds[block, 0], bounds[block, 1]):
            for column in range(bounds[block, 2], bounds[block, 3]):
                add(carray(at(source[0] + row * source[1] + column * source[2], np.float32), (heads * channels,)), sums)
                count += 1
        for head in range(heads):
            for c in range(channels):
                made[block, head, c] = sums[head * channels + c] / np.float32(count)
