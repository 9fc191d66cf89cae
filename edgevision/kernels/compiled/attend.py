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
from edgevision.kernels.blocks import ALL, CHUNK, LINE, MEND, NONE, SAFE, Changes, Flags, Grid, Kept, Whole
from edgevision.kernels.compiled.chain import COST_PS, work
from edgevision.kernels.compiled.cpu import detect
from edgevision.kernels.compiled.crew import Caller, Crew
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.mend import Sums, hold, is_sound, mend
from edgevision.kernels.compiled.native import NativeKernel, at, native
from edgevision.kernels.compiled.pack import copy, mean_tokens, pack
from edgevision.kernels.compiled.product import TALL, Shape, ShapeType, multiply, peak, weigh
from edgevision.kernels.compiled.runs import forget, scan
from edgevision.kernels.forms import Float, Plane
from edgevision.kernels.plain.mend import TOP

QUERY, QUERY_ROW, QUERY_PIXEL, LIVE_BYTES, LIVE_ROW, TARGET, TARGET_ROW, TARGET_PIXEL, MARKS, MARKS_ROW = range(10)
SCORES = 9_300  # floats of scores that wait between the two products, so that they stay in the cache
MAC_PS, MOVE_PS = 12, 600  # about what a multiply-accumulate takes, and what packing a number
_LINE, _TABLE, _FLAGS = types.int64[::1], types.int32[:, ::1], types.uint8[:, ::1]
_FLOATS = types.float32[:, :, :, ::1]


@kernel
def scaled(source, factor, target):
    """All of the source times a factor."""
    for c in range(source.shape[0]):
        target[c] = source[c] * factor


@kernel
def settled(made, total, shift, target):
    """What a query gets: divided by its weights, and shifted."""
    for c in range(target.shape[0]):
        target[c] = made[c] / total + shift[c]


@kernel
def gather(places, count, table, head, channels, scale, queries):
    """One head's scaled queries, row after row, and one more where their number is odd."""
    for row in range(count + count % 2):
        y, x = places[min(row, count - 1), 0], places[min(row, count - 1), 1]
        address = table[QUERY] + y * table[QUERY_ROW] + x * table[QUERY_PIXEL] + 4 * head * channels
        scaled(carray(at(address, np.float32), (channels,)), scale, queries[row])


@kernel
def score(queries, rows, kept, counts, keys, head, bias, scores, lanes, shape):
    """Products of `rows` queries, from an address on, with all kept keys; places without a key get less than any score. `bias`: of each
    summary."""
    channels, room = keys.shape[2], keys.shape[3]
    for j in range(kept.shape[0]):
        lines = (counts[kept[j]] + LINE - 1) // LINE
        made, weights = scores.ctypes.data + 4 * room * j, keys[kept[j], head].ctypes.data
        multiply(queries, 4 * channels, rows, weights, 4 * room, lines * LINE // lanes, made, 4 * scores.shape[1], channels, shape)
        first = (kept[j] - (keys.shape[0] - bias.shape[0] // room)) * room
        if first >= 0:
            for row in range(rows):
                for place in range(counts[kept[j]]):
                    scores[row, room * j + place] += bias[first + place]
        for place in range(counts[kept[j]], room):
            for row in range(rows):
                scores[row, room * j + place] = -np.inf


@kernel
def true_of(kept, keys, bias):
    """How many of the kept are true blocks: they stand first."""
    number, true = 0, keys.shape[0] - bias.shape[0] // keys.shape[3]
    while number < kept.shape[0] and kept[number] < true:
        number += 1
    return number


@kernel
def add_summaries(queries, number, kept, counts, keys, values, head, bias, space, made, places, heights, lanes, shape, adding):
    """What mended rows get from the summaries among the kept, onto `made`."""
    room, dims, length = keys.shape[3], values.shape[3], max(kept.shape[0], 1) * keys.shape[3]
    most = min(max(space.shape[0] // length // TALL * TALL, TALL), CHUNK)
    scores = space[: most * length].reshape((most, length))
    begin = 0
    while begin < number:
        rows = min(number - begin, most)
        even = rows + rows % 2
        score(queries.ctypes.data + 4 * queries.shape[1] * begin, even, kept, counts, keys, head, bias, scores, lanes, shape)
        for row in range(rows):
            for j in range(kept.shape[0]):
                lines = (counts[kept[j]] + LINE - 1) // LINE
                made[begin + row, dims] += weigh(scores[row].ctypes.data + 4 * room * j, lines, heights[places[begin + row], TOP], shape)
        for j in range(kept.shape[0]):
            weights, taken, target = scores.ctypes.data + 4 * room * j, values[kept[j], head].ctypes.data, made[begin:].ctypes.data
            multiply(weights, 4 * length, even, taken, 4 * dims, dims // lanes, target, 4 * made.shape[1], counts[kept[j]], adding)
        begin += rows


@kernel
def look(queries, count, kept, counts, keys, values, head, bias, space, made, tops, lanes, shape, adding, places, sums, heights):
    """What `count` queries get from the kept blocks, into `made` (query, channel and more), before the division by its last number.

    `tops` (query,): their largest scores. `space`: room for some rows of scores. Where there is room in `sums`, what the true blocks gave
    is held for the rows at `places`.
    """
    room, dims = keys.shape[3], values.shape[3]
    length = kept.shape[0] * room
    most = min(max(space.shape[0] // length // TALL * TALL, TALL), CHUNK)
    scores = space[: most * length].reshape((most, length))
    begin, lines, true, weight = 0, length // LINE, true_of(kept, keys, bias), np.empty(CHUNK + 1, np.float32)
    while begin < count:
        rows = min(count - begin, most)
        even = rows + rows % 2
        score(queries.ctypes.data + 4 * queries.shape[1] * begin, even, kept, counts, keys, head, bias, scores, lanes, shape)
        for row in range(rows):
            place, total = scores[row].ctypes.data, np.float32(0.0)
            tops[begin + row] = peak(place, lines, shape)
            for j in range(kept.shape[0]):
                total += weigh(place + 4 * room * j, (counts[kept[j]] + LINE - 1) // LINE, tops[begin + row], shape)
                if j == true - 1:
                    weight[row] = total
            made[begin + row, dims] = total
        made[begin : begin + even, :dims] = 0.0
        target, step, made_step = made[begin:].ctypes.data, 4 * scores.shape[1], 4 * made.shape[1]
        for j in range(kept.shape[0]):
            weights, taken = scores.ctypes.data + 4 * room * j, values[kept[j], head].ctypes.data
            multiply(weights, step, even, taken, 4 * dims, dims // lanes, target, made_step, counts[kept[j]], adding)
            if j == true - 1 and sums.shape[0] > 0:
                hold(made[begin:], weight, tops[begin:], places[begin:], rows, dims, sums, heights)
        begin += rows


@kernel
def unlike(kept, log_counts, bias):
    """The bias of each summary: nothing is left of those whose own block is kept."""
    for block in range(log_counts.shape[0]):
        bias[block] = log_counts[block]
    for j in range(kept.shape[0]):
        if kept[j] < log_counts.shape[0]:
            bias[kept[j]] = -np.inf


@kernel
def told_apart(places, count, table, live, live_order, still, still_order):
    """Which queries of a chunk are live, and which are not: their places in the picture, and in the chunk; how many are live."""
    number, others = 0, 0
    for place in range(count):
        y, x = places[place, 0], places[place, 1]
        if carray(at(table[LIVE_BYTES] + y * table[LIVE_ROW] + x, np.uint8), (1,))[0] != 0:
            live[number, 0], live[number, 1], live_order[number] = y, x, place
            number += 1
        else:
            still[others, 0], still[others, 1], still_order[others] = y, x, place
            others += 1
    return number


@kernel
def commit(new, target, mark, gate):
    """One pixel: stored and marked where a channel moved by more than the gate, or in any bit if that is 0."""
    old = carray(at(target, np.float32), new.shape)
    moved = np.int32(0)
    if gate > 0:
        for c in range(new.shape[0]):
            moved |= np.int32(not (abs(new[c] - old[c]) <= gate))
    else:
        bits, old_bits = new.view(np.int32), carray(at(target, np.int32), new.shape)
        for c in range(new.shape[0]):
            moved |= bits[c] ^ old_bits[c]
    if moved != 0:
        old[:] = new
        carray(at(mark, np.uint8), (1,))[0] = 1


@kernel
def attend(
    runs, begin, end, table, bounds, counts, kept, sizes, wanted, keys, values, log_counts, shift, ran,
    changes, changed, former_counts, former_keys, former_values, sums, heights, lanes, scale, safe, gate, shape, adding
):  # fmt: skip
    """runs[begin:end]. `sizes`, `changed` (block, head): of the kept sets, of the changes; `ran` (2, run, head): queries that ran whole,
    and that were mended; `lanes` of a vector."""
    heads, channels, dims, room, most = keys.shape[1], keys.shape[2], values.shape[3], keys.shape[3], kept.shape[2]
    places, live, still = np.empty((CHUNK, 2), np.int64), np.empty((CHUNK + 1, 2), np.int64), np.empty((CHUNK, 2), np.int64)
    order, live_order, still_order = np.arange(CHUNK), np.empty(CHUNK + 1, np.int64), np.empty(CHUNK, np.int64)
    is_run, true = np.empty(CHUNK, np.uint8), log_counts.shape[0]
    queries, made = np.empty((CHUNK + 1, channels), np.float32), np.empty((CHUNK + 1, dims + 1), np.float32)
    strip, bias = np.empty((CHUNK, heads * channels), np.float32), np.empty((keys.shape[0] - log_counts.shape[0]) * room, np.float32)
    space, tops = np.empty(max(SCORES, TALL * max(most, changes.shape[2]) * room), np.float32), np.empty(CHUNK + 1, np.float32)
    for run in range(begin, end):
        block, first, count = runs[run, 0], runs[run, 1], runs[run, 2] - runs[run, 1]
        width = bounds[block, 3] - bounds[block, 2]
        for place in range(count):
            y, x = bounds[block, 0] + (first + place) // width, bounds[block, 2] + (first + place) % width
            places[place, 0], places[place, 1], is_run[place] = y, x, 0
            copy(carray(at(table[TARGET] + y * table[TARGET_ROW] + x * table[TARGET_PIXEL], np.float32), (heads * channels,)), strip[place])
        lives = told_apart(places, count, table, live, live_order, still, still_order)
        for head in range(heads):
            want, left, right = wanted[block, head], head * channels, (head + 1) * channels
            ran[0, run, head] = ran[1, run, head] = 0
            if want == NONE:
                continue
            seen, held, height = kept[block, head, : sizes[block, head]], sums[block, head, first:], heights[block, head, first:]
            if bias.shape[0] > 0:
                unlike(seen, log_counts, bias)
            number = lives
            if want == MEND:
                change, mending = changes[block, head, : changed[block, head]], count - lives
                gather(still, mending, table, head, channels, scale, queries)
                mend(
                    queries, still_order, mending, change, counts[:true], keys, values, former_counts, former_keys, former_values, head,
                    held, height, space, made, lanes, shape, adding,
                )  # fmt: skip
                tail = seen[true_of(seen, keys, bias) :]
                if tail.shape[0] > 0:
                    add_summaries(
                        queries, mending, tail, counts, keys, values, head, bias, space, made, still_order, height, lanes, shape, adding
                    )
                ran[1, run, head] = mending
                for row in range(mending):
                    place = still_order[row]
                    is_run[place] = 1
                    if is_sound(made[row, dims], height[place], safe):
                        settled(made[row], made[row, dims], shift[block, head], strip[place, left:right])
                    else:
                        live[number, 0], live[number, 1], live_order[number] = places[place, 0], places[place, 1], place
                        number += 1
            elif want == ALL:
                number = count
            if number == 0:
                continue
            asked, chosen = (places, order) if want == ALL else (live, live_order)
            gather(asked, number, table, head, channels, scale, queries)
            look(queries, number, seen, counts, keys, values, head, bias, space, made, tops, lanes, shape, adding, chosen, held, height)
            ran[0, run, head] = number
            for row in range(number):
                is_run[chosen[row]] = 1
                settled(made[row], made[row, dims], shift[block, head], strip[chosen[row], left:right])
        for place in range(count):
            if is_run[place] != 0:
                y, x = places[place, 0], places[place, 1]
                target = table[TARGET] + y * table[TARGET_ROW] + x * table[TARGET_PIXEL]
                commit(strip[place], target, table[MARKS] + y * table[MARKS_ROW] + x, gate[0])


@kernel
def probe(
    runs,
    begin,
    end,
    table,
    places,
    counts,
    kept,
    sizes,
    asked,
    keys,
    values,
    log_counts,
    dense,
    sparse,
    all_kept,
    lanes,
    scale,
    shape,
    adding,
):
    """runs[begin:end]: (head, first block, block after the last), CHUNK blocks at most. One query of each block that is `asked` (block,
    head), at `places`: into `dense` what it gets from all blocks, into `sparse` from those it keeps."""
    channels, dims, room, most = keys.shape[2], values.shape[3], keys.shape[3], max(kept.shape[2], all_kept.shape[0])
    chosen, order = np.empty((CHUNK + 1, 2), np.int64), np.empty(CHUNK + 1, np.int64)
    queries, made = np.empty((CHUNK + 1, channels), np.float32), np.empty((CHUNK + 1, dims + 1), np.float32)
    bias = np.empty((keys.shape[0] - log_counts.shape[0]) * room, np.float32)
    space, tops = np.empty(max(SCORES, TALL * most * room), np.float32), np.empty(CHUNK + 1, np.float32)
    held, height = np.empty((0, dims), np.float32), np.empty((0, 4), np.float32)
    for run in range(begin, end):
        head, number = runs[run, 0], 0
        for block in range(runs[run, 1], runs[run, 2]):
            if asked[block, head] != 0:
                chosen[number, 0], chosen[number, 1], order[number] = places[block, 0], places[block, 1], block
                number += 1
        if number == 0:
            continue
        gather(chosen, number, table, head, channels, scale, queries)
        look(queries, number, all_kept, counts, keys, values, head, bias, space, made, tops, lanes, shape, adding, order, held, height)
        for row in range(number):
            for c in range(channels):
                dense[order[row], head, c] = made[row, c] / made[row, dims]
        for row in range(number):
            seen = kept[order[row], head, : sizes[order[row], head]]
            if bias.shape[0] > 0:
                unlike(seen, log_counts, bias)
            gather(chosen[row:], 1, table, head, channels, scale, queries)
            look(queries, 1, seen, counts, keys, values, head, bias, space, made, tops, lanes, shape, adding, order, held, height)
            for c in range(channels):
                sparse[order[row], head, c] = made[0, c] / made[0, dims]


class Attend:
    """Keeps the promises of `blocks.Attend`."""

    def __init__(self, grid: Grid, kept: Kept, crew: Crew, lanes: int | None = None) -> None:
        self.grid, self.kept, self._caller = grid, kept, Caller(crew)
        self._lanes = lanes or detect().lanes
        dims = -(-grid.head_dim // self._lanes) * self._lanes
        self._keys, self._queries = grid.keys, grid.queries
        self.keys = np.zeros((len(self._keys), grid.heads, grid.head_dim, grid.room), np.float32)
        self.values = np.zeros((len(self._keys), grid.heads, grid.room, dims), np.float32)
        asking = len(grid.query)
        self.shift, self.dense, self.sparse = (np.zeros((asking, grid.heads, grid.head_dim), np.float32) for _ in range(3))
        self._asked, self._wanted = (np.zeros((asking, grid.heads), np.uint8) for _ in range(2))
        runs = int((-(-self._queries // CHUNK)).sum()), grid.heads * -(-asking // CHUNK), grid.blocks, asking
        self._runs = np.zeros((max(runs), 3), np.int32)
        self._ran = np.zeros((2, len(self._runs), grid.heads), np.int32)
        self._table, self._sources, self._gate = np.zeros(10, np.int64), np.zeros(10, np.int64), np.zeros(1, np.float32)
        self._sums = Sums(grid, dims)
        self._work = specialize(work, (_LINE, _TABLE, *[types.int64] * 3, _LINE, _LINE))
        self._made: list[NativeKernel] = []  # whose blocks of arguments the links point to
        self._nothing = np.zeros(0, np.int64)
        self._pack, self._attend = self._link(self._made_pack()), self._link(self._made_attend())
        self._asking = np.zeros(3, np.int64)
        self.query_means = np.zeros((asking, grid.heads, grid.head_dim), np.float32)
        self._probe, self._means = self._nothing, self._nothing

    @property
    def size_bytes(self) -> int:
        """Packed keys and values, probes, sums."""
        return self.keys.nbytes + self.values.nbytes + 3 * self.shift.nbytes + self._sums.size_bytes

    @property
    def changes(self) -> Changes | None:
        """What the sums lack, where they are held."""
        return self._sums.changes if self._sums.changes.room else None

    @property
    def moved(self) -> Whole:
        """(slot,): tokens."""
        return self._sums.moved

    def hold_sums(self, changes: Changes) -> None:
        """From the next run on."""
        self._sums = Sums(self.grid, self.values.shape[3], changes)
        self._pack, self._attend = self._link(self._made_pack()), self._link(self._made_attend())

    def _link(self, made: NativeKernel) -> NDArray[np.int64]:
        """A line of a chain's table for `work`."""
        self._made.append(made)
        return np.array([*made.over(self._runs), *[0] * 5], np.int64)

    def _made_pack(self) -> NativeKernel:
        number, sums, whole = types.int64, self._sums, types.int32[::1]
        arrays = (self._sources, self.grid.key, sums.changes.slots, self.keys, self.values, sums.counts, sums.keys, sums.tokens)
        return native(pack, (_TABLE, number, number, _LINE, _TABLE, whole, _FLOATS, _FLOATS, whole, _FLOATS, _FLOATS), arrays, None)

    def _made_attend(self) -> NativeKernel:
        number, one, grid, kept, whole, cube = types.int64, types.float32, self.grid, self.kept, types.int32[::1], types.int32[:, :, ::1]
        sums, changes = self._sums, self._sums.changes
        given = (
            (_LINE, self._table), (_TABLE, grid.query), (whole, self._keys), (cube, kept.blocks), (_TABLE, kept.counts),
            (_FLAGS, self._wanted), (_FLOATS, self.keys), (_FLOATS, self.values), (one[::1], grid.summary_bias),
            (one[:, :, ::1], self.shift), (cube, self._ran), (cube, changes.sources), (_TABLE, changes.counts), (whole, sums.counts),
            (_FLOATS, sums.keys), (_FLOATS, sums.tokens), (_FLOATS, sums.values), (_FLOATS, sums.heights), (number, self._lanes),
            (one, grid.scale), (one, SAFE), (one[::1], self._gate), (ShapeType(Shape(self._lanes)), None),
            (ShapeType(Shape(self._lanes, True)), None),
        )  # fmt: skip
        kinds, values = zip(*given, strict=True)
        return native(attend, (_TABLE, number, number, *kinds), values, None)

    def _made_probe(self) -> NativeKernel:
        number, one, grid, kept, whole = types.int64, types.float32, self.grid, self.kept, types.int32[::1]
        signature = (
            _TABLE, number, number, _LINE, _TABLE, whole, types.int32[:, :, ::1], _TABLE, _FLAGS, _FLOATS, _FLOATS, one[::1],
            one[:, :, ::1], one[:, :, ::1], whole, number, one, ShapeType(Shape(self._lanes)),
            ShapeType(Shape(self._lanes, True)),
        )  # fmt: skip
        arrays = self._table, grid.middle, self._keys, kept.blocks, kept.counts, self._asked, self.keys, self.values, grid.summary_bias
        every = np.arange(grid.blocks, dtype=np.int32)
        return native(probe, signature, (*arrays, self.dense, self.sparse, every, self._lanes, grid.scale, None, None), None)

    def pack(self, key: Plane, value: Plane, blocks: Whole, everything: bool) -> None:
        """Take in the keys and values of these true blocks."""
        live = (int(number) for one in (key, value) for number in (one.live.ctypes.data, one.live.strides[0]))
        self._sources[:] = *lines(key), *lines(value), *live
        self._runs[: len(blocks), 0], self._runs[: len(blocks), 1] = blocks, everything
        self._runs[: len(blocks), 2] = self._keys[blocks]
        self._share(self._pack, len(blocks), int(self._keys[blocks].sum()), 2 * self.grid.heads * self.grid.head_dim * MOVE_PS)

    def run(self, query: Plane, target: Plane, wanted: Flags, gate: float) -> tuple[Whole, Whole]:
        """Run the queries that `wanted` names."""
        self._see(query)
        self._table[TARGET:] = *lines(target), target.live.ctypes.data, target.live.strides[0]
        self._gate[0], self._wanted[...] = gate, wanted
        forget(target.live, target.extent)
        blocks = np.flatnonzero(wanted.any(axis=1))
        chunks = -(-self._queries[blocks] // CHUNK)
        count, of = int(chunks.sum()), np.repeat(blocks, chunks)
        first = (np.arange(count) - np.repeat(np.cumsum(chunks) - chunks, chunks)) * CHUNK
        self._runs[:count, 0], self._runs[:count, 1] = of, first
        self._runs[:count, 2] = np.minimum(first + CHUNK, self._queries[of])
        self._share(self._attend, count, int(self._queries[blocks].sum()), self._query_ps(float(self.kept.counts.mean())))
        target.live_px = scan(target.live, target.live, target.extent)
        ran = np.zeros((2, *wanted.shape), np.int32)
        if count:
            ran[:, blocks] = np.add.reduceat(self._ran[:, :count], np.cumsum(chunks) - chunks, axis=1)
        return ran[0], ran[1]

    def probe(self, query: Plane, asked: Flags) -> None:
        """Into `dense` and `sparse` what the middle query of the blocks that are `asked` gets from all true blocks, and from the kept."""
        self._see(query)
        self._asked[...] = asked
        blocks = len(self.grid.query)
        firsts = range(0, blocks, CHUNK)
        runs = [(head, first, min(first + CHUNK, blocks)) for head in range(self.grid.heads) for first in firsts]
        self._runs[: len(runs)] = runs
        if self._probe is self._nothing:
            self._probe = self._link(self._made_probe())
        self._share(self._probe, len(runs), blocks, self._query_ps(self.grid.blocks))

    def key_means(self, blocks: Whole) -> Float:
        """(block, head, channel): the mean key of these true blocks, where there are summaries."""
        behind, place = np.divmod(blocks, self.grid.room)
        return np.asarray(self.keys[self.grid.blocks + behind, :, :, place])

    def take_query_means(self, query: Plane, blocks: Whole) -> None:
        """Bring `query_means` up to date for these blocks."""
        if self._means is self._nothing:
            one, number = types.float32[:, :, ::1], types.int64
            arrays = (self._asking, self.grid.query, self.query_means)
            self._means = self._link(native(mean_tokens, (_TABLE, number, number, _LINE, _TABLE, one), arrays, None))
        self._asking[:] = lines(query)
        self._runs[: len(blocks), 0], self._runs[: len(blocks), 1], self._runs[: len(blocks), 2] = blocks, 0, self._queries[blocks]
        self._share(self._means, len(blocks), int(self._queries[blocks].sum()), self.grid.heads * self.grid.head_dim * MOVE_PS // 4)

    def _see(self, query: Plane) -> None:
        self._table[:TARGET] = *lines(query), query.live.ctypes.data, query.live.strides[0]

    def _query_ps(self, blocks: float) -> int:
        """About what a query takes that looks at so many blocks."""
        return int(2 * MAC_PS * self.grid.heads * self.grid.head_dim * self.grid.room * blocks)

    def _share(self, link: NDArray[np.int64], count: int, tokens: int, token_ps: int) -> None:
        """A kernel over the first runs, `tokens` tokens together."""
        if not count:
            return
        link[COST_PS] = token_ps
        self._caller.run(self._work, link, self._runs, 0, count, tokens)


def lines(plane: Plane) -> tuple[int, int, int]:
    """Address, bytes a row, bytes a pixel. Raises InputError where it is not held as f32."""
    if plane.store.kind != "f32":
        raise InputError(f"attention reads and writes f32, a plane holds {plane.store.kind}; load the network with precision f32")
    values = plane.values
    return int(values.ctypes.data), int(values.strides[0]), int(values.strides[1])
