"""The micro-kernel: a few neighbouring pixels times a few vectors of output channels, all in registers from the first product to the store.

One call sums P pixels x V vectors over kernel rows, kernel columns and input channels (a fused multiply-add each, in that order), adds
the bias, perhaps the residual, applies the activation, compares with what it will overwrite, stores what differs and marks it live.
Addresses are plain integers; what shapes the code (P, V, lanes, tail, steps, activation, mode) are literals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from edgevision.kernels.compiled.activations import EMITTERS, KINDS, Arithmetic

FLOAT, BYTE, I64, FLOAT_BYTES = ir.FloatType(), ir.IntType(8), ir.IntType(64), 4
COMPARE_BITS, COMPARE_GATE, STORE_ALL = 0, 1, 2


@dataclass(frozen=True)
class Shape:
    """The literals: `tail` lanes of the last vector are used; `step` bytes lie between neighbouring windows, `out` between outputs."""

    lanes: int
    pixels: int
    vectors: int
    tail: int
    step: int
    out: int
    activation: int
    residual: int
    mode: int

    def pieces(self) -> list[tuple[int, int, int]]:
        """(vector, first lane, lanes): what is stored at once; the tail in powers of two, so that nothing beyond it is touched."""
        pieces = [(vector, 0, self.lanes) for vector in range(self.vectors - 1)]
        start, size = 0, self.lanes
        while start < self.tail:
            while size > self.tail - start:
                size //= 2
            pieces.append((self.vectors - 1, start, size))
            start += size
        return pieces


class Emitter:
    """Writes one tile's code."""

    def __init__(self, builder: Any, shape: Shape, arguments: Sequence[Any]) -> None:
        self.b, self.shape = builder, shape
        (self.x, self.tap_row, self.tap_column, self.rows, self.columns, self.channels, self.weights, self.bias) = arguments[:8]
        (self.target, self.live, self.residual, self.residual_step, self.gate, self.alpha, self.beta) = arguments[8:15]
        self.vector = ir.VectorType(FLOAT, shape.lanes)
        self.math = Arithmetic(builder, self.vector)

    def at(self, address: Any, offset: int) -> Any:
        """address + offset."""
        return self.b.add(address, ir.Constant(I64, offset)) if offset else address

    def load(self, address: Any, kind: Any) -> Any:
        """A value of `kind` at an address."""
        return self.b.load(self.b.inttoptr(address, kind.as_pointer()), align=FLOAT_BYTES)

    def emit(self) -> None:
        """The whole tile."""
        sums = self.sums()
        bias = [self.load(self.at(self.bias, j * self.shape.lanes * FLOAT_BYTES), self.vector) for j in range(self.shape.vectors)]
        for pixel in range(self.shape.pixels):
            self.finish(pixel, [self.b.fadd(self.b.load(total), base) for total, base in zip(sums[pixel], bias, strict=True)])

    def sums(self) -> list[list[Any]]:
        """Accumulators [pixel][vector] after the chain of multiply-adds."""
        shape, b = self.shape, self.b
        zero = self.math.number(0.0)
        sums = [[cgutils.alloca_once(b, self.vector) for _ in range(shape.vectors)] for _ in range(shape.pixels)]
        for row in sums:
            for total in row:
                b.store(zero, total)
        weights = cgutils.alloca_once_value(b, self.weights)
        with cgutils.for_range(b, self.rows) as over_rows:
            row_start = b.add(self.x, b.mul(over_rows.index, self.tap_row))
            with cgutils.for_range(b, self.columns) as over_columns:
                tap = b.add(row_start, b.mul(over_columns.index, self.tap_column))
                with cgutils.for_range(b, self.channels) as over_channels:
                    self.multiply_add(b.add(tap, b.shl(over_channels.index, ir.Constant(I64, 2))), weights, sums)
        return sums

    def multiply_add(self, x: Any, weights: Any, sums: list[list[Any]]) -> None:
        """One input channel of one tap into all accumulators."""
        shape, b = self.shape, self.b
        here = b.load(weights)
        factors = [self.load(self.at(here, j * shape.lanes * FLOAT_BYTES), self.vector) for j in range(shape.vectors)]
        for pixel, row in enumerate(sums):
            value = self.math.splat(self.load(self.at(x, pixel * shape.step), FLOAT))
            for factor, total in zip(factors, row, strict=True):
                b.store(self.math.call("fma", value, factor, b.load(total)), total)
        b.store(self.at(here, shape.vectors * shape.lanes * FLOAT_BYTES), weights)

    def finish(self, pixel: int, values: list[Any]) -> None:
        """Residual, activation, comparison and store of one pixel."""
        shape, b = self.shape, self.b
        target = self.at(self.target, pixel * shape.out)
        pieces = [self.cut(values[vector], first, size) for vector, first, size in shape.pieces()]
        places = [(vector * shape.lanes + first) * FLOAT_BYTES for vector, first, _ in shape.pieces()]
        if shape.residual:
            source = b.add(self.residual, b.mul(ir.Constant(I64, pixel), self.residual_step))
            pieces = [b.fadd(piece, self.load(self.at(source, place), piece.type)) for piece, place in zip(pieces, places, strict=True)]
        pieces = [self.activated(piece) for piece in pieces]
        if shape.mode == STORE_ALL:
            self.store(pieces, places, target)
            return
        with b.if_then(self.moved(pieces, places, target)):
            self.store(pieces, places, target)
            b.store(ir.Constant(BYTE, 1), b.inttoptr(self.at(self.live, pixel), BYTE.as_pointer()))

    def cut(self, value: Any, first: int, size: int) -> Any:
        """Some lanes of a vector."""
        if size == self.shape.lanes:
            return value
        lanes = ir.Constant(ir.VectorType(ir.IntType(32), size), list(range(first, first + size)))
        return self.b.shuffle_vector(value, ir.Constant(self.vector, ir.Undefined), lanes)

    def activated(self, piece: Any) -> Any:
        """The activation, lane by lane."""
        math = Arithmetic(self.b, piece.type)
        return EMITTERS[KINDS[self.shape.activation]](math, piece, math.splat(self.alpha), math.splat(self.beta))

    def moved(self, pieces: list[Any], places: list[int], target: Any) -> Any:
        """Whether any lane differs from what is stored, in its bits or by more than the gate (or not a number)."""
        hits: dict[int, Any] = {}
        for piece, place in zip(pieces, places, strict=True):
            old, size = self.load(self.at(target, place), piece.type), piece.type.count
            hit = self.beyond_gate(piece, old) if self.shape.mode == COMPARE_GATE else self.other_bits(piece, old)
            hits[size] = self.b.or_(hits[size], hit) if size in hits else hit
        flags = []
        for size, hit in hits.items():
            bits = ir.IntType(size)
            flags.append(self.b.icmp_unsigned("!=", self.b.bitcast(hit, bits), ir.Constant(bits, 0)))
        anywhere = flags[0]
        for flag in flags[1:]:
            anywhere = self.b.or_(anywhere, flag)
        return anywhere

    def other_bits(self, new: Any, old: Any) -> Any:
        """Lanes whose bits differ: -0 and NaN are changes."""
        whole = ir.VectorType(ir.IntType(32), new.type.count)
        return self.b.icmp_unsigned("!=", self.b.bitcast(new, whole), self.b.bitcast(old, whole))

    def beyond_gate(self, new: Any, old: Any) -> Any:
        """Lanes that moved by more than the gate."""
        math = Arithmetic(self.b, new.type)
        return self.b.fcmp_unordered(">", math.call("fabs", self.b.fsub(new, old)), math.splat(self.gate))

    def store(self, pieces: list[Any], places: list[int], target: Any) -> None:
        """All of the pixel's values."""
        for piece, place in zip(pieces, places, strict=True):
            self.b.store(piece, self.b.inttoptr(self.at(target, place), piece.type.as_pointer()), align=FLOAT_BYTES)


class ShapeType(types.Opaque):  # type: ignore[misc]
    """A Shape as a Numba type: the value is nothing, the type says all, so each Shape gets code of its own, which the cache finds again."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        super().__init__(name=str(shape))


register_model(ShapeType)(models.OpaqueModel)


@unbox(ShapeType)
def _unbox_shape(kind, value, context):
    return NativeValue(context.context.get_dummy_value())


@intrinsic
def pixels_of(context, shape):
    """P, as a constant."""

    def code(context, builder, signature, arguments):
        return ir.Constant(I64, shape.shape.pixels)

    return types.int64(shape), code


@intrinsic
def tile(context, x, taps, weights, bias, target, live, residual, residual_step, numbers, shape):
    """Emit a tile. `taps`: (row bytes, column bytes, rows, columns, channels); `numbers`: (gate, alpha, beta)."""
    signature = types.void(types.int64, taps, *[types.int64] * 6, numbers, shape)

    def code(context, builder, signature, arguments):
        x, taps, weights, bias, target, live, residual, residual_step, numbers, _ = arguments
        scalars = [
            *cgutils.unpack_tuple(builder, taps),
            weights,
            bias,
            target,
            live,
            residual,
            residual_step,
            *cgutils.unpack_tuple(builder, numbers),
        ]
        Emitter(builder, shape.shape, [x, *scalars]).emit()
        return context.get_dummy_value()

    return signature, code
