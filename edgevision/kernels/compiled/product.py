"""The micro-kernel of attention: rows of numbers times a block of vectors, in registers, and what a row of scores becomes.

`multiply`: C[row] = (C[row] +) sum over k, in order, of A[row, k] * B[k]; fused. `peak` and `weigh` are the two passes of a softmax over
one block of scores. All go by addresses; what shapes the code is in a `Shape`, a type of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from edgevision.kernels.blocks import LINE
from edgevision.kernels.compiled.activations import Arithmetic

I64, FLOAT = ir.IntType(64), ir.FloatType()
TALL, SHORT = 6, 2
LOWEST, SMALLEST = -87.0, float("-inf")


@dataclass(frozen=True)
class Shape:
    """`lanes` floats fit a vector; a tile is TALL or SHORT rows of at most `most` vectors. `adds`: to what C holds."""

    lanes: int
    adds: bool = False

    @property
    def most(self) -> int:
        """As many as leave registers for the factors."""
        return 4 if self.lanes == LINE else 2


class Emitter:
    """What both passes share."""

    def __init__(self, builder: Any, shape: Shape) -> None:
        self.b, self.shape = builder, shape
        self.kind = ir.VectorType(FLOAT, shape.lanes)
        self.math = Arithmetic(builder, self.kind)

    def number(self, value: int) -> Any:
        """An int64."""
        return ir.Constant(I64, value)

    def load(self, address: Any, kind: Any) -> Any:
        """A value of `kind` at an address."""
        return self.b.load(self.b.inttoptr(address, kind.as_pointer()), align=4)

    def store(self, value: Any, address: Any) -> None:
        """The other way round."""
        self.b.store(value, self.b.inttoptr(address, value.type.as_pointer()), align=4)

    def after(self, address: Any, count: Any, size: Any) -> Any:
        """address + count * size."""
        return self.b.add(address, self.b.mul(count, size))


class Product(Emitter):
    """Emits `multiply`."""

    def emit(self, a: Any, a_step: Any, rows: Any, b: Any, b_step: Any, vectors: Any, c: Any, c_step: Any, count: Any) -> None:
        """Vectors in groups of `most`, 2 and 1; in each, rows in tiles of TALL, then SHORT (their number is even)."""
        self.a, self.a_step, self.rows, self.b_step, self.c_step, self.count = a, a_step, rows, b_step, c_step, count
        done, left = self.number(0), vectors
        for size in sorted({self.shape.most, 2, 1}, reverse=True):
            groups = self.b.sdiv(left, self.number(size))
            with cgutils.for_range(self.b, groups, intp=I64) as over:
                vector = self.after(done, over.index, self.number(size))
                shift = self.b.mul(vector, self.number(4 * self.shape.lanes))
                self._rows(self.b.add(b, shift), self.b.add(c, shift), size)
            done = self.after(done, groups, self.number(size))
            left = self.b.sub(vectors, done)

    def _rows(self, b: Any, c: Any, vectors: int) -> None:
        done, left = self.number(0), self.rows
        for size in (TALL, SHORT):
            tiles = self.b.sdiv(left, self.number(size))
            with cgutils.for_range(self.b, tiles, intp=I64) as over:
                self._tile(self.after(done, over.index, self.number(size)), size, b, c, vectors)
            done = self.after(done, tiles, self.number(size))
            left = self.b.sub(self.rows, done)

    def _tile(self, first: Any, rows: int, b: Any, c: Any, vectors: int) -> None:
        builder, bytes_each = self.b, 4 * self.shape.lanes
        places = [builder.add(first, self.number(row)) for row in range(rows)]
        sources = [self.after(self.a, place, self.a_step) for place in places]
        targets = [self.after(c, place, self.c_step) for place in places]
        sums = [[cgutils.alloca_once(builder, self.kind) for _ in range(vectors)] for _ in range(rows)]
        for target, row in zip(targets, sums, strict=True):
            for j, total in enumerate(row):
                start = self.load(builder.add(target, self.number(j * bytes_each)), self.kind) if self.shape.adds else self.math.number(0.0)
                builder.store(start, total)
        with cgutils.for_range(builder, self.count, intp=I64) as over:
            line = self.after(b, over.index, self.b_step)
            factors = [self.load(builder.add(line, self.number(j * bytes_each)), self.kind) for j in range(vectors)]
            for source, row in zip(sources, sums, strict=True):
                value = self.math.splat(self.load(self.after(source, over.index, self.number(4)), FLOAT))
                for factor, total in zip(factors, row, strict=True):
                    builder.store(self.math.call("fma", value, factor, builder.load(total)), total)
        for target, row in zip(targets, sums, strict=True):
            for j, total in enumerate(row):
                self.store(builder.load(total), builder.add(target, self.number(j * bytes_each)))


class Passes(Emitter):
    """Emits `peak` and `weigh` over LINE floats at a time."""

    @property
    def parts(self) -> int:
        """Vectors in LINE floats."""
        return LINE // self.shape.lanes

    def peak(self, scores: Any, lines: Any) -> Any:
        """The largest; NaN counts for nothing."""
        tops = self._each(scores, lines, SMALLEST, lambda value, top, _: self.math.larger(value, top))
        return self._folded(tops, self._larger)

    def weigh(self, scores: Any, lines: Any, top: Any) -> Any:
        """e^(score - top) in their place; their sum."""
        top = self.math.splat(top)

        def weight(value: Any, total: Any, address: Any) -> Any:
            below = self.b.fsub(value, top)
            power = self.math.exp_below(below)
            made = self.b.select(self.b.fcmp_ordered("<", below, self.math.number(LOWEST)), self.math.number(0.0), power)
            made = self.b.select(self.b.fcmp_unordered("uno", below, below), below, made)
            self.store(made, address)
            return self.b.fadd(total, made)

        return self._folded(self._each(scores, lines, 0.0, weight), self.b.fadd)

    def _larger(self, a: Any, b: Any) -> Any:
        return self.b.select(self.b.fcmp_ordered(">", a, b), a, b)

    def _each(self, scores: Any, lines: Any, start: float, step: Any) -> list[Any]:
        held = [cgutils.alloca_once_value(self.b, self.math.number(start)) for _ in range(self.parts)]
        with cgutils.for_range(self.b, lines, intp=I64) as over:
            line = self.after(scores, over.index, self.number(4 * LINE))
            for place, one in enumerate(held):
                address = self.b.add(line, self.number(4 * self.shape.lanes * place))
                self.b.store(step(self.load(address, self.kind), self.b.load(one), address), one)
        return [self.b.load(one) for one in held]

    def _folded(self, vectors: list[Any], fold: Any) -> Any:
        """Lane to lane in halves."""
        while len(vectors) > 1:
            half = len(vectors) // 2
            vectors = [fold(low, high) for low, high in zip(vectors[:half], vectors[half:], strict=True)]
        value, lanes = vectors[0], self.shape.lanes
        while lanes > 1:
            lanes //= 2
            low, high = (ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(s, s + lanes))) for s in (0, lanes))
            none = ir.Constant(value.type, ir.Undefined)
            value = fold(self.b.shuffle_vector(value, none, low), self.b.shuffle_vector(value, none, high))
        return self.b.extract_element(value, ir.Constant(ir.IntType(32), 0))


class ShapeType(types.Opaque):  # type: ignore[misc]
    """A Shape as a Numba type: the value is nothing, the type says all."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        super().__init__(name=f"product {shape}")


register_model(ShapeType)(models.OpaqueModel)


@unbox(ShapeType)
def _unbox_shape(kind, value, context):
    return NativeValue(context.context.get_dummy_value())


@intrinsic
def multiply(context, a, a_step, rows, b, b_step, vectors, c, c_step, count, shape):
    """`rows` rows (an even number) of `count` numbers at `a` times `count` rows of vectors at `b`, into rows at `c`; steps in bytes."""

    def code(context, builder, signature, arguments):
        Product(builder, shape.shape).emit(*arguments[:9])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 9, shape), code


@intrinsic
def peak(context, scores, lines, shape):
    """The largest of `lines` times LINE floats."""

    def code(context, builder, signature, arguments):
        return Passes(builder, shape.shape).peak(*arguments[:2])

    return types.float32(types.int64, types.int64, shape), code


@intrinsic
def weigh(context, scores, lines, top, shape):
    """Scores become weights; their sum."""

    def code(context, builder, signature, arguments):
        return Passes(builder, shape.shape).weigh(*arguments[:3])

    return types.float32(types.int64, types.int64, types.float32, shape), code
