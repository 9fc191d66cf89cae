"""Tokens measured by whole numbers: a matrix product of 16-bit numbers with 32-bit sums, which may be taken in any order.

A word holds two tokens' values (or a token's new value and its old one with the sign turned), so that measuring all tokens and taking a
few tokens' changes into account are the same product. Tiles of `TILE` measurements by four vectors of channels stay in registers.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import carray, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from edgevision.kernels.compiled.cpu import detect
from edgevision.kernels.compiled.crew import WORTH_SHARING_NS, Crew
from edgevision.kernels.compiled.dot import I32, Dot
from edgevision.kernels.compiled.jit import kernel, specialize
from edgevision.kernels.compiled.native import at, native, run_code
from edgevision.kernels.compiled.product import Shape, ShapeType
from edgevision.kernels.compiled.share import STATUS, share
from edgevision.kernels.forms import Plane
from edgevision.kernels.plain.compress import MOST, Whole

TILE, VECTORS = 6, 4
MAC_NS = 0.009
_I64 = ir.IntType(64)
_LINE = types.int64[::1]
_LOW, _HALF = np.int32(0xFFFF), np.int32(16)
_ROUNDING = np.float32(1.5 * 2**23)  # added and taken away again: to the nearest whole number, ties to even


@intrinsic
def tile(context, weights, tokens, sums, step, words, shape):
    """TILE rows of sums (`step` bytes apart) += weights (word, TILE) x tokens (word, VECTORS x lanes of the shape): words of two 16-bit
    numbers."""
    count = shape.shape.lanes

    def code(context, b, signature, values):
        weights, tokens, sums, step, words, _ = values
        kind = ir.VectorType(I32, count)
        dot = Dot(b, "pairs")
        size = 4 * count

        def place(row, vector):
            address = b.add(b.add(sums, b.mul(step, ir.Constant(_I64, row))), ir.Constant(_I64, vector * size))
            return b.inttoptr(address, kind.as_pointer())

        totals = [[cgutils.alloca_once(b, kind) for _ in range(VECTORS)] for _ in range(TILE)]
        for row in range(TILE):
            for vector in range(VECTORS):
                b.store(b.load(place(row, vector), align=4), totals[row][vector])
        with cgutils.for_range(b, words) as loop:
            here = b.add(tokens, b.mul(loop.index, ir.Constant(_I64, VECTORS * size)))
            shorts = ir.VectorType(ir.IntType(16), 2 * count)
            held = [
                b.load(b.inttoptr(b.add(here, ir.Constant(_I64, vector * size)), shorts.as_pointer()), align=4) for vector in range(VECTORS)
            ]
            first = b.add(weights, b.mul(loop.index, ir.Constant(_I64, TILE * 4)))
            for row in range(TILE):
                word = b.load(b.inttoptr(b.add(first, ir.Constant(_I64, 4 * row)), I32.as_pointer()), align=4)
                part = b.bitcast(dot.splat(word, count), shorts)
                for vector in range(VECTORS):
                    b.store(dot.add(b.load(totals[row][vector]), part, held[vector]), totals[row][vector])
        for row in range(TILE):
            for vector in range(VECTORS):
                b.store(b.load(totals[row][vector]), place(row, vector), align=4)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5, shape), code


@kernel
def _whole(value, inverse):
    scaled = value * inverse
    scaled = scaled if scaled < np.float32(MOST) else np.float32(MOST)
    scaled = scaled if scaled > np.float32(-MOST) else np.float32(-MOST)
    return np.int32((scaled + _ROUNDING) - _ROUNDING)


@kernel
def _hold_all(source, steps, tokens, first, count, inverse, held):
    """Every token's `count` channels from `first` on into the words of a panel, `held` (word, channel), two tokens a word."""
    for token in range(0, tokens - 1, 2):
        one = carray(at(source + (token // steps[2]) * steps[0] + (token % steps[2]) * steps[1], np.float32), (first + count,))
        after = token + 1
        two = carray(at(source + (after // steps[2]) * steps[0] + (after % steps[2]) * steps[1], np.float32), (first + count,))
        line = held[token // 2]
        for c in range(count):
            line[c] = (_whole(one[first + c], inverse) & _LOW) | (_whole(two[first + c], inverse) << _HALF)
    if tokens % 2:
        token = tokens - 1
        one = carray(at(source + (token // steps[2]) * steps[0] + (token % steps[2]) * steps[1], np.float32), (first + count,))
        for c in range(count):
            held[token // 2, c] = _whole(one[first + c], inverse) & _LOW


@kernel
def _hold_some(source, steps, chosen, first, count, inverse, held, words):
    """The chosen tokens: into `words`, a token each, its new value and the old one with its sign turned; into `held` the new value."""
    for k in range(chosen.shape[0]):
        token = chosen[k]
        here = carray(at(source + (token // steps[2]) * steps[0] + (token % steps[2]) * steps[1], np.float32), (first + count,))
        line, kept = words[k], held[token // 2]
        if token % 2:
            for c in range(count):
                value = _whole(here[first + c], inverse)
                line[c] = (value & _LOW) | (-(kept[c] >> _HALF) << _HALF)
                kept[c] = (kept[c] & _LOW) | (value << _HALF)
        else:
            for c in range(count):
                value = _whole(here[first + c], inverse)
                line[c] = (value & _LOW) | (-(kept[c] << _HALF >> _HALF) << _HALF)
                kept[c] = (kept[c] & ~_LOW) | (value & _LOW)


@kernel
def measure(runs, begin, end, job, chosen, weights, own, reached, held, words, sums, inverse, shape):
    """Panels `runs[begin:end, 0]`. `job`: the map's address, bytes from row to row and column to column, columns, channels, tokens, and
    how many of `chosen` are to be taken in, or -1 for all tokens anew."""
    rows, width = weights.shape[0], held.shape[2]
    steps = (job[1], job[2], job[3])
    for run in range(begin, end):
        panel = runs[run, 0]
        first = panel * width
        count = min(width, job[4] - first)
        here = np.int64(sums.ctypes.data) + first * 4
        step = np.int64(sums.shape[1] * 4)
        if job[6] < 0:
            _hold_all(job[0], steps, job[5], first, count, inverse, held[panel])
            sums[:, first : first + width] = 0
            for row in range(rows):
                tile(weights[row].ctypes.data, held[panel].ctypes.data, here + row * TILE * step, step, held.shape[1], shape)
        else:
            _hold_some(job[0], steps, chosen[: job[6]], first, count, inverse, held[panel], words[panel])
            for row in range(rows):
                if reached[row] != 0:
                    tile(own[row].ctypes.data, words[panel].ctypes.data, here + row * TILE * step, step, job[6], shape)


@kernel
def twice(weights, chosen, count, words, reached, touched):
    """The chosen tokens' columns of `weights` (token, measurement) as words (tile row, word, TILE), each number twice.

    `reached` (tile row,): which have one that is not 0; to `touched` (measurement,) come those in them.
    """
    reached[:] = 0
    for k in range(count):
        column = weights[chosen[k]]
        for row in range(words.shape[0]):
            some = np.int32(0)
            for place in range(min(TILE, column.shape[0] - row * TILE)):
                value = np.int32(column[row * TILE + place])
                words[row, k, place] = (value & _LOW) | (value << _HALF)
                some |= value
            reached[row] |= np.uint8(some != 0)
    for place in range(touched.shape[0]):
        touched[place] |= reached[place // TILE]


@kernel
def spread(sums, worth, gate, values, by, touched):
    """See `plain/compress.py`."""
    for row in range(values.shape[0]):
        by[row] = 0.0
        if touched[row] == 0:
            continue
        unit, most = worth[row], np.float32(0)
        for c in range(values.shape[1]):
            most = max(most, abs(np.float32(sums[row, c]) * unit - values[row, c]))
        by[row] = most if most > gate else np.float32(0)
        if most > gate:
            for c in range(values.shape[1]):
                values[row, c] = np.float32(sums[row, c]) * unit


@kernel
def _together(link, runs, count, shares, board, system):
    place = np.int64(board.ctypes.data)
    if shares > 1:
        share(place, link, runs, 0, count, shares, system)
    else:
        run_code(link[0], link[1], link[2], 0, count, place + STATUS)


class Measurements:
    """Weighted sums of the tokens of one map, kept up to date. `weights` (measurement, token): see `plain/compress.py`.

    `sums` (measurement, channel), int32; `touched` (measurement,): which the last taking may have moved. Keeps each token's last value in
    steps, so that what it added can be taken back exactly. `beside`: measurements by the same weights, of another map, which take the same
    tokens just before: what the weights come to is known from there.
    """

    def __init__(self, weights: Whole, channels: int, step: float, crew: Crew, beside: Measurements | None = None) -> None:
        lanes, (count, tokens) = detect().lanes, weights.shape
        rows, width = -(-count // TILE), VECTORS * lanes
        panels, words = -(-channels // width), -(-tokens // 2)
        self._columns: Whole = np.ascontiguousarray(weights.T) if beside is None else beside._columns
        self._weights: NDArray[np.int32] = _words_of(weights, rows, words) if beside is None else beside._weights
        self._own: NDArray[np.int32] = np.zeros((rows, words, TILE), np.int32) if beside is None else beside._own
        self._held, self._words = np.zeros((panels, words, width), np.int32), np.zeros((panels, words, width), np.int32)
        self._padded = np.zeros((rows * TILE, panels * width), np.int32)
        self.sums = self._padded[:count, :channels]
        self._tokens, self._channels, self._crew = tokens, channels, crew
        self._runs = np.array([(place, 0, 1) for place in range(panels)], np.int32)
        self._job, self._chosen = np.zeros(7, np.int64), np.zeros(words, np.int64)
        self._reached, self.touched = np.ones(rows, np.uint8), np.ones(count, np.uint8)
        self._is_beside = beside is not None
        if beside is not None:
            self._chosen, self._reached, self.touched = beside._chosen, beside._reached, beside.touched
        cube = types.int32[:, :, ::1]
        signature = (
            types.int32[:, ::1], types.int64, types.int64, _LINE, _LINE, cube, cube, types.uint8[::1], cube, cube, types.int32[:, ::1],
            types.float32, ShapeType(Shape(lanes)),
        )  # fmt: skip
        arrays = (self._job, self._chosen, self._weights, self._own, self._reached, self._held, self._words, self._padded)
        self._kernel = native(measure, signature, (*arrays, np.float32(1.0 / step), None), arrays)
        self._link = np.array(self._kernel.over(self._runs), np.int64)
        self._start = specialize(_together, (_LINE, types.int32[:, ::1], types.int64, types.int64, _LINE, _LINE))

    @property
    def size_bytes(self) -> int:
        """All that is kept for one camera."""
        return sum(part.nbytes for part in (self._held, self._words, self._own, self._padded))

    def take_all(self, tokens: Plane) -> None:
        """Measure every token anew."""
        self.touched[:] = 1
        self._measure(tokens, -1)

    def take(self, tokens: Plane, chosen: NDArray[np.int64]) -> None:
        """Take in the `chosen` tokens, by number, and take back what they were before; `touched` says which sums that may move."""
        if self._is_beside and len(chosen) <= len(self._chosen):
            self._measure(tokens, len(chosen))
            return
        self.touched[:] = 0
        for begin in range(0, len(chosen), len(self._chosen)):
            part = chosen[begin : begin + len(self._chosen)]
            self._chosen[: len(part)] = part
            twice(self._columns, self._chosen, len(part), self._own, self._reached, self.touched)
            self._measure(tokens, len(part))

    def _measure(self, tokens: Plane, count: int) -> None:
        down, right, _ = tokens.values.strides
        self._job[:] = tokens.values.ctypes.data, down, right, tokens.width, self._channels, self._tokens, count
        rows = len(self._reached) if count < 0 else int(self._reached.sum())
        macs = rows * TILE * self._padded.shape[1] * (self._tokens if count < 0 else 2 * count)
        is_shared = self._crew.threads > 1 and macs * MAC_NS > WORTH_SHARING_NS and self._crew.hold()
        try:
            shares = len(self._runs) if is_shared else 1
            self._start(self._link, self._runs, len(self._runs), shares, self._crew.board, self._crew.system)
        finally:
            if is_shared:
                self._crew.release()


def _words_of(weights: Whole, rows: int, words: int) -> NDArray[np.int32]:
    """(measurement, token) as (tile row, word, TILE)."""
    padded = np.zeros((rows * TILE, words, 2), np.int16)
    padded.reshape(rows * TILE, -1)[: len(weights), : weights.shape[1]] = weights
    whole = padded.view(np.int32)[:, :, 0].reshape(rows, TILE, words)
    return np.ascontiguousarray(whole.transpose(0, 2, 1))
