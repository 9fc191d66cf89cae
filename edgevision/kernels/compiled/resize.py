"""Resize over runs: nearest copies one pixel; bilinear mixes columns first, then rows. In one pass, vectors along the channels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import types

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import native
from edgevision.kernels.compiled.store import code_of, is_faithful, numbers
from edgevision.kernels.compiled.strip import I64, Outline, Piece, Shape, ShapeType, Writer, write_strip
from edgevision.kernels.forms import Float, Kernel, Plane, Resize


@dataclass(frozen=True)
class ResizeShape(Shape):
    """`source`: its store. Of every column (place `columns`, two arrays of bytes from the row's start) and its share (place `shares`)."""

    source: str
    is_nearest: bool

    places: ClassVar[tuple[str, ...]] = (*Shape.places, "top", "bottom", "lefts", "rights", "shares")
    numbers: ClassVar[tuple[str, ...]] = (*Shape.numbers, "scale", "zero", "down")

    def writer(self, builder: Any, places: list[Any], numbers: list[Any]) -> Writer:
        """What emits it."""
        return ResizeWriter(builder, self, places, numbers)


class ResizeWriter(Writer):
    """Emits copies, or mixtures of four pixels."""

    shape: ResizeShape

    def begin(self, pixel: Any) -> None:
        """Where the pixels to mix are."""
        left = self.entry("lefts", pixel, I64)
        self.corners = [self.b.add(self.place["top"], left)]
        if not self.shape.is_nearest:
            right = self.entry("rights", pixel, I64)
            self.corners = [self.b.add(self.place[row], column) for row in ("top", "bottom") for column in (left, right)]
            self.across = self.entry("shares", pixel, ir.FloatType())

    def entry(self, table: str, pixel: Any, kind: Any) -> Any:
        """An array's value for a pixel of the run."""
        size = 8 if kind is I64 else 4
        address = self.b.add(self.place[table], self.b.mul(pixel, ir.Constant(I64, size)))
        return self.b.load(self.b.inttoptr(address, kind.as_pointer()), align=size)

    def values(self, channel: Any, piece: Piece, pixels: int) -> list[Any]:
        """One pixel's."""
        shape, math, b = self.shape, self.math(piece), self.b
        if shape.is_raw:
            return [self.read(self.corners[0], channel, piece, shape.kind)]
        store = (self.number["scale"], self.number["zero"])
        seen = [self.decoded(corner, channel, piece, shape.source, store) for corner in self.corners]
        if shape.is_nearest:
            return seen
        across, down = math.splat(self.across), math.splat(self.number["down"])
        above, below = (math.call("fma", across, b.fsub(right, left), left) for left, right in (seen[:2], seen[2:]))
        return [math.call("fma", down, b.fsub(below, above), above)]


@kernel
def resize(runs, begin, end, lines, full, channels, rows, row_share, columns, numbers, gate, shape):
    """runs[begin:end]. `rows` (2, outputs): bytes to the first and second input row; `columns`: where the columns' are, and the shares."""
    scratch = np.empty(channels, np.float32)
    lefts, rights, shares = columns
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        target, live = lines[1] + row * lines[2] + start * lines[3], lines[4] + row * lines[5] + start
        places = (
            target, lines[3], live, stop - start, full, np.int64(scratch.ctypes.data), 0,
            lines[0] + rows[0, row], lines[0] + rows[1, row], lefts + start * 8, rights + start * 8, shares + start * 4,
        )  # fmt: skip
        write_strip(places, (gate[0], *numbers) + (row_share[row],), shape)  # noqa: RUF005 - Numba knows no other way


def bind(form: Resize, sources: tuple[Plane, ...], target: Plane, gate: Float | None, lanes: int) -> Kernel:
    """The kernel over these planes."""
    source = sources[0]
    is_raw = form.is_nearest and gate is None and source.store == target.store and is_faithful(target.store)
    outline = Outline.of(target, gate, lanes, is_raw)
    shape = ResizeShape(*(*outline.literals, code_of(source.store), form.is_nearest))
    lines = (source.values.ctypes.data, *outline.lines)
    row_bytes, pixel_bytes = source.values.strides[:2]
    rows = np.stack([form.rows.first, form.rows.second]).astype(np.int64) * row_bytes
    columns = np.stack([form.columns.first, form.columns.second]).astype(np.int64) * pixel_bytes
    shares = [np.ascontiguousarray(axis.share, np.float32) for axis in (form.rows, form.columns)]
    tables = (columns[0].ctypes.data, columns[1].ctypes.data, shares[1].ctypes.data)
    given = (*outline.numbers, *numbers(source.store)[:2])
    number, single = types.int64, types.float32
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 6), number, number, types.int64[:, ::1], single[::1],
        types.UniTuple(number, 3), types.UniTuple(single, len(given)), single[::1], ShapeType(shape),
    )  # fmt: skip
    keep = (columns, shares, sources, target)

    return native(resize, signature, (lines, outline.full, outline.channels, rows, shares[0], tables, given, outline.gate, None), keep)
