"""A pixel's channels moved to mean 0 and scaled to variance 1, over runs; see `plain/normalise.py` for the order of the sums.

A pixel is read three times, from the nearest cache: for its mean, its variance, and its new values, which are compared and stored at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import native
from edgevision.kernels.compiled.store import code_of, numbers
from edgevision.kernels.compiled.strip import I32, I64, Outline, Piece, Shape, ShapeType, Writer, write_strip
from edgevision.kernels.forms import Across, Float, Kernel, Plane
from edgevision.kernels.plain.normalise import LANES


@dataclass(frozen=True)
class NormaliseShape(Shape):
    """`source`: its store; `rest`: channels beyond the last whole LANES."""

    source: str
    rest: int

    places: ClassVar[tuple[str, ...]] = (*Shape.places, "x", "x_step", "chunks")
    numbers: ClassVar[tuple[str, ...]] = (*Shape.numbers, "scale", "zero", "count", "epsilon")

    def writer(self, builder: Any, places: list[Any], numbers: list[Any]) -> Writer:
        """What emits it."""
        return NormaliseWriter(builder, self, places, numbers)


class NormaliseWriter(Writer):
    """Emits the sums of a pixel, then its values."""

    shape: NormaliseShape

    def begin(self, pixel: Any) -> None:
        """Mean, and 1 over the deviation."""
        b, single = self.b, ir.FloatType()
        self.x = self.step("x", "x_step", pixel)
        self.mean = b.fdiv(self.total(lambda seen, piece: seen), self.number["count"])
        spread = b.fadd(b.fdiv(self.total(self.squared), self.number["count"]), self.number["epsilon"])
        root = cgutils.get_or_insert_function(b.module, ir.FunctionType(single, [single]), "llvm.sqrt.f32")
        self.inverse = b.fdiv(single(1.0), b.call(root, [spread]))

    def squared(self, seen: Any, piece: Piece) -> Any:
        """Of how far each channel lies from the mean; 0 in lanes that are no channel."""
        b, math = self.b, self.math(piece)
        apart = b.fsub(seen, math.splat(self.mean))
        squares = b.fmul(apart, apart)
        return squares if piece.used == piece.lanes else b.select(self.mask(piece), squares, math.number(0.0))

    def total(self, of: Any) -> Any:
        """The sum over the channels of what `of` makes of them."""
        b, whole = self.b, Piece(LANES, LANES)
        lanes = cgutils.alloca_once(b, ir.VectorType(ir.FloatType(), LANES))
        b.store(ir.Constant(lanes.allocated_type, [0.0] * LANES), lanes)
        with cgutils.for_range(b, self.place["chunks"], intp=I64) as over:
            self.add(lanes, b.mul(over.index, ir.Constant(I64, LANES)), whole, of)
        if self.shape.rest:
            self.add(lanes, b.mul(self.place["chunks"], ir.Constant(I64, LANES)), Piece(LANES, self.shape.rest), of)
        return self.halved(b.load(lanes))

    def add(self, lanes: Any, channel: Any, piece: Piece, of: Any) -> None:
        """LANES channels more."""
        seen = self.decoded(self.x, channel, piece, self.shape.source, (self.number["scale"], self.number["zero"]))
        if piece.used < piece.lanes:
            seen = self.b.select(self.mask(piece), seen, self.math(piece).number(0.0))
        self.b.store(self.b.fadd(self.b.load(lanes), of(seen, piece)), lanes)

    def halved(self, lanes: Any) -> Any:
        """Lane to lane until one is left."""
        half = LANES // 2
        while half:
            upper, lower = (
                self.b.shuffle_vector(lanes, lanes, ir.Constant(ir.VectorType(I32, half), [start + lane for lane in range(half)]))
                for start in (half, 0)
            )
            lanes, half = self.b.fadd(lower, upper), half // 2
        return self.b.extract_element(lanes, ir.Constant(I32, 0))

    def values(self, channel: Any, piece: Piece, pixels: int) -> list[Any]:
        """(v - mean) * (1 / deviation)."""
        math = self.math(piece)
        seen = self.decoded(self.x, channel, piece, self.shape.source, (self.number["scale"], self.number["zero"]))
        return [self.b.fmul(self.b.fsub(seen, math.splat(self.mean)), math.splat(self.inverse))]


@kernel
def normalise(runs, begin, end, lines, sizes, numbers, gate, shape):
    """runs[begin:end]. `lines`: (address, bytes a row, bytes a pixel) of source and target, (address, bytes a row) of the live bytes.
    `sizes`: full vectors, channels, whole LANES.
    """
    scratch = np.empty(sizes[1], np.float32)
    waiting = np.int64(scratch.ctypes.data)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        x = lines[0] + row * lines[1] + start * lines[2]
        target, live = lines[3] + row * lines[4] + start * lines[5], lines[6] + row * lines[7] + start
        places = (target, lines[5], live, stop - start, sizes[0], waiting, 0, x, lines[2], sizes[2])
        write_strip(places, (gate[0], *numbers), shape)


def bind(form: Across, sources: tuple[Plane, ...], target: Plane, gate: Float | None, lanes: int) -> Kernel:
    """The kernel over these planes."""
    source, channels = sources[0], target.padded.shape[2]
    outline = Outline.of(target, gate, lanes)
    shape = NormaliseShape(*(*outline.literals, code_of(source.store), channels % LANES))
    lines = (source.values.ctypes.data, *source.values.strides[:2], *outline.lines)
    given = (*outline.numbers, *numbers(source.store)[:2], np.float32(channels), np.float32(form.epsilon))
    number, single = types.int64, types.float32
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 8), types.UniTuple(number, 3), types.UniTuple(single, len(given)),
        single[::1], ShapeType(shape),
    )  # fmt: skip
    sizes, keep = (outline.full, channels, channels // LANES), (sources, target)

    return native(normalise, signature, (lines, sizes, given, outline.gate, None), keep)
