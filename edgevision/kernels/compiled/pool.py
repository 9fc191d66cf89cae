"""Pooling over runs: maximum or mean of a window clipped to the picture, in one pass, vectors along the channels.

Where a whole window lies inside the picture its taps are written out; near the border, and in large windows, they are loops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import native
from edgevision.kernels.compiled.store import code_of, is_faithful, numbers
from edgevision.kernels.compiled.strip import I64, Outline, Piece, Shape, ShapeType, Writer, write_strip
from edgevision.kernels.forms import Float, Kernel, Plane, Pool

UNROLLED_TAPS = 25


@dataclass(frozen=True)
class PoolShape(Shape):
    """`rows`, `columns` of taps to write out, 0: as many as the places `rows` and `columns` say."""

    source: str
    is_max: bool
    rows: int
    columns: int

    places: ClassVar[tuple[str, ...]] = (*Shape.places, "x", "x_step", "tap_row", "tap_column", "rows", "columns")
    numbers: ClassVar[tuple[str, ...]] = (*Shape.numbers, "scale", "zero", "divisor")

    def writer(self, builder: Any, places: list[Any], numbers: list[Any]) -> Writer:
        """What emits it."""
        return PoolWriter(builder, self, places, numbers)


class PoolWriter(Writer):
    """Emits the walk over a window, row after row."""

    shape: PoolShape

    def begin(self, pixel: Any) -> None:
        """Where the first tap is."""
        self.x = self.step("x", "x_step", pixel)

    def values(self, channel: Any, piece: Piece, pixels: int) -> list[Any]:
        """The largest, or the sum over the divisor."""
        shape, math, b = self.shape, self.math(piece), self.b
        if shape.is_raw:
            return [self.largest_held(channel, piece)]
        found = cgutils.alloca_once(b, math.kind)
        b.store(math.number(float("-inf") if shape.is_max else 0.0), found)
        for address in self.taps():
            seen = self.decoded(address, channel, piece, shape.source, (self.number["scale"], self.number["zero"]))
            b.store(math.larger(seen, b.load(found)) if shape.is_max else b.fadd(b.load(found), seen), found)
        total = b.load(found)
        return [total if shape.is_max else b.fdiv(total, math.splat(self.number["divisor"]))]

    def largest_held(self, channel: Any, piece: Piece) -> Any:
        """Of bytes, whose order is that of their values."""
        kind = ir.VectorType(ir.IntType(8), piece.lanes)
        found = cgutils.alloca_once(self.b, kind)
        self.b.store(ir.Constant(kind, None), found)
        for address in self.taps():
            seen, best = self.read(address, channel, piece, self.shape.kind), self.b.load(found)
            self.b.store(self.b.select(self.b.icmp_unsigned(">", seen, best), seen, best), found)
        return self.b.load(found)

    def taps(self) -> Iterator[Any]:
        """The address of every tap, inside emitted loops where they are not written out."""
        if self.shape.rows:
            for row in range(self.shape.rows):
                for column in range(self.shape.columns):
                    yield self.tap(ir.Constant(I64, row), ir.Constant(I64, column))
            return
        with (
            cgutils.for_range(self.b, self.place["rows"], intp=I64) as over_rows,
            cgutils.for_range(self.b, self.place["columns"], intp=I64) as over_columns,
        ):
            yield self.tap(over_rows.index, over_columns.index)

    def tap(self, row: Any, column: Any) -> Any:
        """The address of one."""
        line = self.b.add(self.x, self.b.mul(row, self.place["tap_row"]))
        return self.b.add(line, self.b.mul(column, self.place["tap_column"]))


@kernel
def clipped(place, stride, dilation, pad, taps, size):
    """(input at the first tap inside, taps inside) of output `place` along one axis."""
    first = place * stride - pad
    skipped = 0 if first >= 0 else min(taps, (-first + dilation - 1) // dilation)
    past = first + (taps - 1) * dilation - (size - 1)
    lost = 0 if past <= 0 else min(taps, (past + dilation - 1) // dilation)
    return first + skipped * dilation, max(0, taps - skipped - lost)


@kernel
def whole_columns(start, stop, stride, reach, pad, width):
    """(first, end) of the outputs whose windows of `reach` columns lie inside the picture."""
    first = min(max(start, -(-pad // stride)), stop)
    return first, max(first, min(stop, (width - reach + pad) // stride + 1 if width + pad >= reach else 0))


@kernel
def pool(runs, begin, end, lines, window, size, full, numbers, gate, shape, border):
    """runs[begin:end]. `window`: kernel, stride, dilation, pad, (row, column) each; `size`: source height, width, channels, area or 0.

    `shape` is for whole windows, `border` for others.
    """
    height, width, channels, area = size
    scratch = np.empty(channels, np.float32)
    waiting, row_step, column_step = np.int64(scratch.ctypes.data), window[4] * lines[1], window[5] * lines[2]
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        y, rows = clipped(row, window[2], window[4], window[6], window[0], height)
        line, target, live = lines[0] + y * lines[1], lines[3] + row * lines[4], lines[6] + row * lines[7]
        first, last = stop, stop
        if rows == window[0]:
            first, last = whole_columns(start, stop, window[3], (window[1] - 1) * window[5] + 1, window[7], width)
        column = start
        while column < stop:
            if first <= column < last:
                x, columns, count = column * window[3] - window[7], window[1], last - column
            else:
                x, columns = clipped(column, window[3], window[5], window[7], window[1], width)
                count = 1
            places = (
                target + column * lines[5], lines[5], live + column, count, full, waiting, 0,
                line + x * lines[2], window[3] * lines[2], row_step, column_step, rows, columns,
            )  # fmt: skip
            given = (gate[0], *numbers) + (np.float32(area if area > 0 else rows * columns),)  # noqa: RUF005 - Numba knows no other way
            if count > 1:
                write_strip(places, given, shape)
            else:
                write_strip(places, given, border)
            column += count


def bind(form: Pool, sources: tuple[Plane, ...], target: Plane, gate: Float | None, lanes: int) -> Kernel:
    """The kernel over these planes."""
    source, is_max, (rows, columns) = sources[0], form.mode == "max", form.window.kernel
    store = source.store
    is_raw = is_max and gate is None and store.kind == "u8" and store == target.store and store.scale > 0 and is_faithful(store)
    outline = Outline.of(target, gate, lanes, is_raw)
    taps = form.window.kernel if rows * columns <= UNROLLED_TAPS else (0, 0)
    shapes = [PoolShape(*(*outline.literals, code_of(store), is_max, *count)) for count in (taps, (0, 0))]
    lines = (source.values.ctypes.data, *source.values.strides[:2], *outline.lines)
    window = (*form.window.kernel, *form.window.stride, *form.window.dilation, *form.window.pad)
    size = (source.height, source.width, outline.channels, rows * columns if form.count_pad else 0)
    given = (*outline.numbers, *numbers(store)[:2])
    number, single = types.int64, types.float32
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 8), types.UniTuple(number, 8), types.UniTuple(number, 4), number,
        types.UniTuple(single, len(given)), single[::1], *(ShapeType(shape) for shape in shapes),
    )  # fmt: skip
    keep = (sources, target)

    return native(pool, signature, (lines, window, size, outline.full, given, outline.gate, None, None), keep)
