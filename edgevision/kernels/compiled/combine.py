"""Pixel by pixel over runs: arithmetic of two sources or of one and a channel vector, then the activation, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from edgevision.kernels.compiled.activations import EMITTERS, Arithmetic
from edgevision.kernels.compiled.jit import kernel
from edgevision.kernels.compiled.native import native
from edgevision.kernels.compiled.store import code_of, is_faithful, numbers
from edgevision.kernels.compiled.strip import Outline, Piece, Shape, ShapeType, Writer, write_strip
from edgevision.kernels.forms import F32, Combine, Float, Kernel, Plane

OPERATIONS = ("copy", "add", "sub", "mul", "div", "max", "min", "prelu")


def emit_operation(math: Arithmetic, name: str, a: Any, b: Any) -> Any:
    """One of OPERATIONS on floats."""
    builder = math.builder
    if name == "max":
        return math.larger(a, b)
    if name == "min":
        return math.smaller(a, b)
    if name == "prelu":
        return builder.select(builder.fcmp_ordered(">", a, math.number(0.0)), a, builder.fmul(a, b))
    return a if name == "copy" else getattr(builder, f"f{name}")(a, b)


@intrinsic(prefer_literal=True)
def operate(context, a, b, operation):
    """OPERATIONS[operation] of two floats, for loops."""
    if not isinstance(operation, types.IntegerLiteral):
        return None
    name = OPERATIONS[operation.literal_value]

    def code(context, builder, signature, arguments):
        return emit_operation(Arithmetic(builder, ir.FloatType()), name, *arguments[:2])

    return types.float32(types.float32, types.float32, operation), code


@dataclass(frozen=True)
class CombineShape(Shape):
    """`a_kind`, `b_kind`: the stores of both sides; a channel vector is held as f32, with 0 bytes from pixel to pixel."""

    operation: str
    activation: str
    a_kind: str
    b_kind: str

    places: ClassVar[tuple[str, ...]] = (*Shape.places, "a", "a_step", "b", "b_step")
    numbers: ClassVar[tuple[str, ...]] = (*Shape.numbers, "a_scale", "a_zero", "b_scale", "b_zero", "alpha", "beta")

    def writer(self, builder: Any, places: list[Any], numbers: list[Any]) -> Writer:
        """What emits it."""
        return CombineWriter(builder, self, places, numbers)


class CombineWriter(Writer):
    """Emits one operation and one activation."""

    shape: CombineShape

    def begin(self, pixel: Any) -> None:
        """Where the pixel's sources are."""
        self.a, self.b_side = (self.step(side, f"{side}_step", pixel) for side in ("a", "b"))

    def values(self, channel: Any, piece: Piece, pixels: int) -> list[Any]:
        """The operation and its activation."""
        shape, math = self.shape, self.math(piece)
        if shape.is_raw:
            return [self.read(self.a, channel, piece, shape.kind)]
        a = self.decoded(self.a, channel, piece, shape.a_kind, (self.number["a_scale"], self.number["a_zero"]))
        b = a
        if shape.operation != "copy":
            b = self.decoded(self.b_side, channel, piece, shape.b_kind, (self.number["b_scale"], self.number["b_zero"]))
        made = emit_operation(math, shape.operation, a, b)
        return [EMITTERS[shape.activation](math, made, math.splat(self.number["alpha"]), math.splat(self.number["beta"]))]


@kernel
def combine(runs, begin, end, lines, full, channels, numbers, gate, shape):
    """runs[begin:end]. `lines`: (address, bytes a row, bytes a pixel) of a, b, target and (address, bytes a row) of the live bytes."""
    scratch = np.empty(channels, np.float32)
    for run in range(begin, end):
        row, start, stop = np.int64(runs[run, 0]), np.int64(runs[run, 1]), np.int64(runs[run, 2])
        a = lines[0] + row * lines[1] + start * lines[2]
        b = lines[3] + row * lines[4] + start * lines[5]
        target = lines[6] + row * lines[7] + start * lines[8]
        live = lines[9] + row * lines[10] + start
        places = (target, lines[8], live, stop - start, full, np.int64(scratch.ctypes.data), 0, a, lines[2], b, lines[5])
        write_strip(places, (gate[0], *numbers), shape)


def bind(form: Combine, sources: tuple[Plane, ...], target: Plane, gate: Float | None, lanes: int) -> Kernel:
    """The kernel over these planes. A side that is the constant has a step of 0 bytes."""
    sides = [(plane.values.ctypes.data, *plane.values.strides[:2]) for plane in sources]
    stores = [plane.store for plane in sources]
    constant = np.zeros(0, np.float32) if form.constant is None else np.ascontiguousarray(form.constant, np.float32)
    if form.constant is not None:
        fixed = (constant.ctypes.data, 0, 0)
        sides, stores = ([fixed, *sides], [F32, *stores]) if form.swapped else ([*sides, fixed], [*stores, F32])
    is_copy = form.op == "copy" and form.activation.kind == "none" and stores[0] == target.store
    outline = Outline.of(target, gate, lanes, is_copy and gate is None and is_faithful(target.store))
    work = (form.op, form.activation.kind, code_of(stores[0]), code_of(stores[-1]))
    shape = CombineShape(*(*outline.literals, *work))
    lines = (*sides[0], *sides[-1], *outline.lines)
    ends = (np.float32(form.activation.alpha), np.float32(form.activation.beta))
    given = (*outline.numbers, *numbers(stores[0])[:2], *numbers(stores[-1])[:2], *ends)
    number, single = types.int64, types.float32
    signature = (
        types.int32[:, ::1], number, number, types.UniTuple(number, 11), number, number, types.UniTuple(single, len(given)), single[::1],
        ShapeType(shape),
    )  # fmt: skip
    keep = (constant, sources, target)

    return native(combine, signature, (lines, outline.full, outline.channels, given, outline.gate, None), keep)
