"""Depthwise convolution over runs: each channel from itself alone. A few neighbouring outputs are made together, one vector of channels at
a time, so that what two of them see is loaded and converted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from edgevision.kernels.compiled.activations import EMITTERS, Arithmetic
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import native
from edgevision.kernels.compiled.store import numbers, steps
from edgevision.kernels.compiled.strip import I64, MASKING_LANES, Outline, Piece, Shape, ShapeType, Writer, write_strip
from edgevision.kernels.forms import Convolve, Float, Kernel, Plane

UNROLLED_ROWS = 5
WHOLE_TAPS = 256  # up to so many taps -zero * (sum of the weights) + (sum of weight * byte) stays a whole number that a float holds


@dataclass(frozen=True)
class DepthwiseShape(Shape):
    """`block` outputs together; `rows`, `columns` of the kernel; input pixels between outputs (`stride`) and taps (`dilation`) of a row.

    `has_factors`: int8 weights on bytes; `is_shifted`: their zero is taken from every byte, not from the sum.
    """

    block: int
    rows: int
    columns: int
    stride: int
    dilation: int
    source: str
    has_factors: bool
    is_shifted: bool
    activation: str

    places: ClassVar[tuple[str, ...]] = (*Shape.places, "x", "x_step", "pixel_step", "tap_row", "weights", "ends", "ends_step")
    numbers: ClassVar[tuple[str, ...]] = (*Shape.numbers, "scale", "zero", "alpha", "beta")

    @property
    def pixels(self) -> int:
        """Outputs together."""
        return self.block

    def writer(self, builder: Any, places: list[Any], numbers: list[Any]) -> Writer:
        """What emits it."""
        return DepthwiseWriter(builder, self, places, numbers)


class DepthwiseWriter(Writer):
    """Emits the sums of a block of outputs, row after row of the kernel."""

    shape: DepthwiseShape

    def begin(self, pixel: Any) -> None:
        """Where the first output's window is."""
        self.x = self.step("x", "x_step", pixel)

    def values(self, channel: Any, piece: Piece, pixels: int) -> list[Any]:
        """Sums, bias, activation."""
        math, shape = self.math(piece), self.shape
        first = math.number(0.0) if not shape.has_factors else self.end(2, channel, piece)
        sums = [cgutils.alloca_once(self.b, math.kind) for _ in range(pixels)]
        for total in sums:
            self.b.store(first, total)
        for row in self.kernel_rows():
            self.add_row(row, channel, piece, sums)
        totals = [self.b.load(total) for total in sums]
        bias = self.end(0, channel, piece)
        if shape.has_factors:
            factors = self.end(1, channel, piece)
            totals = [math.call("fma", total, factors, bias) for total in totals]
        else:
            totals = [self.b.fadd(total, bias) for total in totals]
        numbers = [math.splat(self.number[name]) for name in ("alpha", "beta")]
        return [EMITTERS[shape.activation](math, total, *numbers) for total in totals]

    def kernel_rows(self) -> Any:
        """Row numbers, inside an emitted loop where there are many."""
        if self.shape.rows <= UNROLLED_ROWS:
            yield from (ir.Constant(I64, row) for row in range(self.shape.rows))
            return
        with cgutils.for_range(self.b, ir.Constant(I64, self.shape.rows), intp=I64) as over:
            yield over.index

    def add_row(self, row: Any, channel: Any, piece: Piece, sums: list[Any]) -> None:
        """One row of the kernel into all sums, column by column."""
        shape, math, b = self.shape, self.math(piece), self.b
        line = b.add(self.x, b.mul(row, self.place["tap_row"]))
        seen: dict[int, Any] = {}
        for column in range(shape.columns):
            factor = self.weight(row, column, channel, piece)
            for pixel, total in enumerate(sums):
                place = pixel * shape.stride + column * shape.dilation
                if place not in seen:
                    seen[place] = self.taken(math, b.add(line, b.mul(ir.Constant(I64, place), self.place["pixel_step"])), channel, piece)
                b.store(math.call("fma", seen[place], factor, b.load(total)), total)

    def taken(self, math: Arithmetic, address: Any, channel: Any, piece: Piece) -> Any:
        """A vector of the source, in the units of the sum."""
        kind = self.shape.source
        if not self.shape.has_factors:
            return self.decoded(address, channel, piece, kind, (self.number["scale"], self.number["zero"]))
        held = self.read(address, channel, piece, kind)
        if self.shape.is_shifted:
            return steps(math, held, self.number["zero"])
        return self.b.sitofp(self.b.zext(held, math.whole), math.kind)

    def weight(self, row: Any, column: int, channel: Any, piece: Piece) -> Any:
        """Of one tap: a vector's weights lie tap after tap."""
        shape, b = self.shape, self.b
        vector = b.mul(self.after(channel, -piece.start), ir.Constant(I64, shape.rows * shape.columns))
        tap = b.mul(self.after(b.mul(row, ir.Constant(I64, shape.columns)), column), ir.Constant(I64, shape.lanes))
        return self.whole(self.place["weights"], b.add(vector, self.after(tap, piece.start)), piece)

    def end(self, line: int, channel: Any, piece: Piece) -> Any:
        """Of the three lines bias, factors, first sums."""
        address = self.b.add(self.place["ends"], self.b.mul(ir.Constant(I64, line), self.place["ends_step"]))
        return self.whole(address, channel, piece)

    def whole(self, address: Any, channel: Any, piece: Piece) -> Any:
        """Floats of an array that is filled up to whole vectors."""
        return self.read(address, channel, Piece(piece.lanes, piece.lanes), "f32")


@kernel
def depthwise(runs, begin, end, lines, taps, full, room, numbers, gate, shape):
    """runs[begin:end]. `lines`: (address, bytes an output row, bytes an output) of the input, and the target's. `taps`: the last places."""
    scratch = np.empty(room[0] * room[1], np.float32)
    waiting = np.int64(scratch.ctypes.data)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        x = lines[0] + row * lines[1] + start * lines[2]
        target, live = lines[3] + row * lines[4] + start * lines[5], lines[6] + row * lines[7] + start
        places = (target, lines[5], live, stop - start, full, waiting, room[0] * 4, x, lines[2], *taps)
        write_strip(places, (gate[0], *numbers), shape)


@dataclass(frozen=True, eq=False)
class Packed:
    """`weights` (vector, tap, lane); `ends` (bias, factors or 0, sum of the weights; channel), filled up with 0 to whole vectors."""

    weights: Float
    ends: Float
    lanes: int


def pack(form: Convolve, lanes: int) -> Packed:
    """The weights in the order of the sum."""
    channels = form.weights.shape[0]
    room = -(-channels // lanes) * lanes
    taps = np.zeros((room, form.weights[0, 0].size), np.float32)
    taps[:channels] = form.weights.reshape(channels, -1)
    weights = np.ascontiguousarray(taps.reshape(room // lanes, lanes, -1).transpose(0, 2, 1))
    ends = np.zeros((3, room), np.float32)
    ends[0, :channels] = form.bias
    if form.factors is not None:
        ends[1, :channels] = form.factors
        ends[2] = taps.sum(axis=1)
    return Packed(weights, ends, lanes)


def bind(form: Convolve, packed: Packed, sources: tuple[Plane, ...], target: Plane, gate: Float | None) -> Kernel:
    """The kernel over these planes."""
    source, window, lanes = sources[0], form.window, packed.lanes
    outline, ends = Outline.of(target, gate, lanes), packed.ends.copy()
    is_shifted = form.factors is not None and window.kernel[0] * window.kernel[1] > WHOLE_TAPS
    ends[2] = 0.0 - ends[2] * (0 if is_shifted else source.store.zero)  # never -0, as the sum begins with 0
    row, step, _ = source.padded.strides
    corner = source.padded.ctypes.data + (source.top - window.pad[0]) * row + (source.left - window.pad[1]) * step
    lines = (corner, row * window.stride[0], step * window.stride[1], *outline.lines)
    taps = (step, window.dilation[0] * row, packed.weights.ctypes.data, ends.ctypes.data, ends.strides[0])
    block = 2 if lanes < MASKING_LANES else 4 if source.store.kind == "f32" else 8  # as many as there are registers for
    work = (block, *window.kernel, window.stride[1], window.dilation[1], source.store.kind, form.factors is not None, is_shifted)
    shape = DepthwiseShape(*(*outline.literals, *work, form.activation.kind))
    given = (*outline.numbers, *numbers(source.store)[:2], np.float32(form.activation.alpha), np.float32(form.activation.beta))
    number, single = types.int64, types.float32
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 8), types.UniTuple(number, 5), number, types.UniTuple(number, 2),
        types.UniTuple(single, len(given)), single[::1], ShapeType(shape),
    )  # fmt: skip
    room, keep = (outline.channels, block), (packed, ends, sources, target)

    return native(depthwise, signature, (lines, taps, outline.full, room, given, outline.gate, None), keep)
