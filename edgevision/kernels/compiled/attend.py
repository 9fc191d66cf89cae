"""Attention over kept blocks of keys: two products with weights read from the tokens, and a softmax between; see `plain/attend.py`.

Keys are packed transposed, so that a block of them is the weights of a 1x1 convolution from a head's channels to scores; values are the
weights of one from scores to channels. A run is (query block, first query, query after the last), CHUNK queries at most; threads share
runs as they share those of any kernel. Nothing is written that another run reads.
"""

from __future__ import annotations

import numpy as np
from numba import carray, types
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.kernels.blocks import ALL, CHUNK, LINE, NONE, Flags, Grid, Kept, Whole
from edgevision.kernels.compiled.chain import COST_PS, work
from edgevision.kernels.compiled.cpu import detect
from edgevision.kernels.compiled.crew import Crew
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.native import NativeKernel, at, native
from edgevision.kernels.compiled.product import TALL, Shape, ShapeType, multiply, peak, weigh
from edgevision.kernels.compiled.runs import forget, scan
from edgevision.kernels.compiled.share import STATUS
from edgevision.kernels.forms import Plane

QUERY, QUERY_ROW, QUERY_PIXEL, LIVE_BYTES, LIVE_ROW, TARGET, TARGET_ROW, TARGET_PIXEL, MARKS, MARKS_ROW = range(10)
KEY, KEY_ROW, KEY_PIXEL, VALUE, VALUE_ROW, VALUE_PIXEL = range(6)
SCORES = 40_000  # floats of scores that wait between the two products, so that they stay in the cache
MAC_PS, MOVE_PS = 12, 600  # about what a multiply-accumulate takes, and what packing a number
_LINE, _TABLE = types.int64[::1], types.int32[:, ::1]
_FLOATS = types.float32[:, :, :, ::1]


@kernel
def pack(runs, begin, end, table, bounds, keys, values):
    """Blocks runs[begin:end, 0]; `keys` (block, head, channel, place), `values` (block, head, place, channel)."""
    heads, channels = keys.shape[1], keys.shape[2]
    for run in range(begin, end):
        block = runs[run, 0]
        place = 0
        for row in range(bounds[block, 0], bounds[block, 1]):
            for column in range(bounds[block, 2], bounds[block, 3]):
                key = carray(at(table[KEY] + row * table[KEY_ROW] + column * table[KEY_PIXEL], np.float32), (heads * channels,))
                value = carray(at(table[VALUE] + row * table[VALUE_ROW] + column * table[VALUE_PIXEL], np.float32), (heads * channels,))
                for head in range(heads):
                    for c in range(channels):
                        keys[block, head, c, place] = key[head * channels + c]
                    for c in range(channels):
                        values[block, head, place, c] = value[head * channels + c]
                place += 1


@kernel
def gather(places, count, table, head, channels, scale, queries):
    """One head's scaled queries, row after row, and one more where their number is odd."""
    for row in range(count + count % 2):
        y, x = places[min(row, count - 1), 0], places[min(row, count - 1), 1]
        address = table[QUERY] + y * table[QUERY_ROW] + x * table[QUERY_PIXEL] + 4 * head * channels
        query = carray(at(address, np.float32), (channels,))
        for c in range(channels):
            queries[row, c] = query[c] * scale


@kernel
def score(queries, rows, kept, counts, keys, head, scores, lanes, shape):
    """Products of `rows` queries, from an address on, with all kept keys; places without a key get less than any score."""
    channels, room = keys.shape[2], keys.shape[3]
    for j in range(kept.shape[0]):
        lines = (counts[kept[j]] + LINE - 1) // LINE
        made = scores.ctypes.data + 4 * room * j
        weights = keys[kept[j], head].ctypes.data
        multiply(queries, 4 * channels, rows, weights, 4 * room, lines * LINE // lanes, made, 4 * scores.shape[1], channels, shape)
        for place in range(counts[kept[j]], lines * LINE):
            for row in range(rows):
                scores[row, room * j + place] = -np.inf


@kernel
def share_out(scores, row, kept, counts, room, parts, shape):
    """One row's scores become weights; `parts` their sum in each block; the sum of all."""
    place = scores[row].ctypes.data
    top, total = np.float32(-np.inf), np.float32(0.0)
    for j in range(kept.shape[0]):
        here = peak(place + 4 * room * j, (counts[kept[j]] + LINE - 1) // LINE, shape)
        if here > top:
            top = here
    for j in range(kept.shape[0]):
        parts[j] = weigh(place + 4 * room * j, (counts[kept[j]] + LINE - 1) // LINE, top, shape)
        total += parts[j]
    return total


@kernel
def look(queries, count, kept, counts, keys, values, head, scores, made, parts, mass, lanes, shape, adding):
    """What `count` queries get from the kept blocks, into `made` (query, channel and more); `mass` is raised."""
    room, dims = keys.shape[3], values.shape[3]
    begin = 0
    while begin < count:
        rows = min(count - begin, scores.shape[0])
        score(queries.ctypes.data + 4 * queries.shape[1] * begin, rows + rows % 2, kept, counts, keys, head, scores, lanes, shape)
        for row in range(rows):
            total = share_out(scores, row, kept, counts, room, parts, shape)
            for j in range(kept.shape[0]):
                share = parts[j] / total
                if share > mass[j]:
                    mass[j] = share
            made[begin + row, dims] = total
        made[begin : begin + rows + rows % 2, :dims] = 0.0
        target = made[begin:].ctypes.data
        for j in range(kept.shape[0]):
            weights, taken = scores.ctypes.data + 4 * room * j, values[kept[j], head].ctypes.data
            step, taken_step, made_step = 4 * scores.shape[1], 4 * dims, 4 * made.shape[1]
            multiply(weights, step, rows + rows % 2, taken, taken_step, dims // lanes, target, made_step, counts[kept[j]], adding)
        begin += rows


@kernel
def commit(new, target, mark, gate):
    """One pixel: stored and marked where a channel moved by more than the gate, or in any bit if that is 0."""
    old = carray(at(target, np.float32), new.shape)
    if gate > 0:
        moved = 0
        for c in range(new.shape[0]):
            moved |= int(not (abs(new[c] - old[c]) <= gate))
    else:
        bits, old_bits = new.view(np.int32), carray(at(target, np.int32), new.shape)
        moved = np.int32(0)
        for c in range(new.shape[0]):
            moved |= bits[c] ^ old_bits[c]
    if moved != 0:
        old[:] = new
        carray(at(mark, np.uint8), (1,))[0] = 1


@kernel
def attend(runs, begin, end, table, bounds, counts, kept, sizes, mass, wanted, keys, values, size, scale, gate, shape, adding):
    """runs[begin:end]. `sizes` (block, head): of the kept sets; `size`: rows of scores, lanes of a vector."""
    heads, channels, dims, room, most = keys.shape[1], keys.shape[2], values.shape[3], keys.shape[3], kept.shape[2]
    rows, lanes = size
    places, chosen = np.empty((CHUNK, 2), np.int64), np.empty((CHUNK + 1, 2), np.int64)
    order, is_run = np.empty(CHUNK + 1, np.int64), np.empty(CHUNK, np.uint8)
    queries, made = np.empty((CHUNK + 1, channels), np.float32), np.empty((CHUNK + 1, dims + 1), np.float32)
    strip, parts = np.empty((CHUNK, heads * channels), np.float32), np.empty(most, np.float32)
    scores = np.empty((rows, most * room), np.float32)
    for run in range(begin, end):
        block, first, stop = runs[run, 0], runs[run, 1], runs[run, 2]
        width, count = bounds[block, 3] - bounds[block, 2], stop - first
        for place in range(count):
            y, x = bounds[block, 0] + (first + place) // width, bounds[block, 2] + (first + place) % width
            places[place, 0], places[place, 1] = y, x
            is_run[place] = 0
            held = carray(at(table[TARGET] + y * table[TARGET_ROW] + x * table[TARGET_PIXEL], np.float32), (heads * channels,))
            strip[place, :] = held
        for head in range(heads):
            if wanted[block, head] == NONE:
                continue
            number = 0
            for place in range(count):
                y, x = places[place, 0], places[place, 1]
                live = carray(at(table[LIVE_BYTES] + y * table[LIVE_ROW] + x, np.uint8), (1,))
                if wanted[block, head] == ALL or live[0] != 0:
                    chosen[number, 0], chosen[number, 1] = y, x
                    order[number] = place
                    number += 1
            if number == 0:
                continue
            gather(chosen, number, table, head, channels, scale, queries)
            seen, own = kept[block, head, : sizes[block, head]], mass[first // CHUNK, block, head]
            if wanted[block, head] == ALL:
                own[:] = 0.0
            look(queries, number, seen, counts, keys, values, head, scores, made, parts, own, lanes, shape, adding)
            for row in range(number):
                is_run[order[row]] = 1
                for c in range(channels):
                    strip[order[row], head * channels + c] = made[row, c] / made[row, dims]
        for place in range(count):
            if is_run[place] != 0:
                y, x = places[place, 0], places[place, 1]
                target = table[TARGET] + y * table[TARGET_ROW] + x * table[TARGET_PIXEL]
                commit(strip[place], target, table[MARKS] + y * table[MARKS_ROW] + x, gate[0])


class Attend:
    """Keeps the promises of `blocks.Attend`."""

    def __init__(self, grid: Grid, kept: Kept, crew: Crew, lanes: int | None = None) -> None:
        self.grid, self.kept, self._crew, self._alone = grid, kept, crew, Crew(1)
        lanes = lanes or detect().lanes
        dims = -(-grid.head_dim // lanes) * lanes
        self.keys = np.zeros((grid.blocks, grid.heads, grid.head_dim, grid.room), np.float32)
        self.values = np.zeros((grid.blocks, grid.heads, grid.room, dims), np.float32)
        self.size_bytes = self.keys.nbytes + self.values.nbytes
        self._keys, self._queries = grid.keys, grid.queries
        self._runs = np.zeros((int((-(-self._queries // CHUNK)).sum()), 3), np.int32)
        self._table, self._sources = np.zeros(10, np.int64), np.zeros(6, np.int64)
        self._gate, self._wanted = np.zeros(1, np.float32), np.zeros((len(grid.query), grid.heads), np.uint8)
        self._work = specialize(work, (_LINE, _TABLE, *[types.int64] * 3, _LINE, _LINE))
        self._pack, self._attend = (np.array([*made.over(self._runs), *[0] * 5], np.int64) for made in self._made(lanes))

    def _made(self, lanes: int) -> tuple[NativeKernel, NativeKernel]:
        """The kernels over this object's arrays."""
        number, one, grid, kept = types.int64, types.float32, self.grid, self.kept
        sources = (self._sources, grid.key, self.keys, self.values)
        packs = native(pack, (_TABLE, number, number, _LINE, _TABLE, _FLOATS, _FLOATS), sources, None)
        signature = (
            _TABLE, number, number, _LINE, _TABLE, types.int32[::1], types.int32[:, :, ::1], _TABLE, _FLOATS, types.uint8[:, ::1], _FLOATS,
            _FLOATS, types.UniTuple(number, 2), one, one[::1], ShapeType(Shape(lanes)), ShapeType(Shape(lanes, True)),
        )  # fmt: skip
        rows = min(max(SCORES // (kept.blocks.shape[2] * grid.room) // TALL * TALL, TALL), CHUNK)
        arrays = (self._table, grid.query, self._keys, kept.blocks, kept.counts, kept.shares, self._wanted, self.keys, self.values)
        rest = (*arrays, (rows, lanes), grid.scale, self._gate, None, None)
        self._kernels = packs, native(attend, signature, rest, None)
        return self._kernels

    def pack(self, key: Plane, value: Plane, blocks: Whole) -> None:
        """Take in the keys and values of these blocks."""
        self._sources[:] = *lines(key), *lines(value)
        self._runs[: len(blocks), 0], self._runs[: len(blocks), 1] = blocks, 0
        self._runs[: len(blocks), 2] = self._keys[blocks]
        self._share(self._pack, len(blocks), int(self._keys[blocks].sum()), 2 * self.grid.heads * self.grid.head_dim * MOVE_PS)

    def run(self, query: Plane, target: Plane, wanted: Flags, gate: float) -> None:
        """Run the queries that `wanted` names."""
        self._table[:] = (
            *lines(query),
            query.live.ctypes.data,
            query.live.strides[0],
            *lines(target),
            target.live.ctypes.data,
            target.live.strides[0],
        )
        self._gate[0], self._wanted[...] = gate, wanted
        forget(target.live, target.extent)
        blocks = np.flatnonzero(wanted.any(axis=1))
        chunks = -(-self._queries[blocks] // CHUNK)
        count = int(chunks.sum())
        first = (np.arange(count) - np.repeat(np.cumsum(chunks) - chunks, chunks)) * CHUNK
        self._runs[:count, 0], self._runs[:count, 1] = np.repeat(blocks, chunks), first
        self._runs[:count, 2] = np.minimum(first + CHUNK, np.repeat(self._queries[blocks], chunks))
        macs = 2 * self.grid.heads * self.grid.head_dim * self.grid.room * float(self.kept.counts.mean())
        self._share(self._attend, count, int(self._queries[blocks].sum()), int(MAC_PS * macs))
        target.live_px = scan(target.live, target.live, target.extent)

    def _share(self, link: NDArray[np.int64], count: int, tokens: int, token_ps: int) -> None:
        """A kernel over the first runs, `tokens` tokens together."""
        link[COST_PS] = token_ps
        has_help = self._crew.hold()
        crew = self._crew if has_help else self._alone
        try:
            self._work(link, self._runs, 0, count, tokens, crew.board, crew.system)
        finally:
            if has_help:
                self._crew.release()
        if crew.board[STATUS // 8]:
            crew.board[STATUS // 8] = 0
            raise MemoryError("a kernel found no memory to work in")


def lines(plane: Plane) -> tuple[int, int, int]:
    """Address, bytes a row, bytes a pixel. Raises InputError where it is not held as f32."""
    if plane.store.kind != "f32":
        raise InputError(f"attention reads and writes f32, a plane holds {plane.store.kind}; load the network with precision f32")
    values = plane.values
    return int(values.ctypes.data), *values.strides[:2]
