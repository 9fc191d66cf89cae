"""A run of pixels, vector by vector of channels: new values are made in registers, coded as the target holds them, compared with what they
replace, stored and marked live, in one pass over memory. An operation is a `Shape` that says how a vector of new values is made.

What shapes the code is in the Shape, a type of its own; addresses (`places`) and numbers are given at run time, by the names that the
Shape lists. With a gate a pixel's new values wait in a scratch pixel until all its channels have been compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from edgevision.kernels.compiled.activations import Arithmetic
from edgevision.kernels.compiled.store import BYTES, code_of, decode, encode, held_type, numbers
from edgevision.kernels.forms import Float, Plane

I64, I32, BIT, BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(1), ir.IntType(8)
UNROLLED = 2
AHEAD_BYTES = 1024  # in a row of pixels: as far on as memory takes to answer, and no farther than the cache holds
MASKING_LANES = 16  # vectors so wide come with an instruction set that can leave lanes out when it loads and stores


@dataclass(frozen=True)
class Piece:
    """A vector of `lanes` channels, of which the first `used` are there. A part of the last vector begins at its lane `start`."""

    lanes: int
    used: int
    start: int = 0


@dataclass(frozen=True)
class Shape(ABC):
    """The literals of a strip: `full` vectors of `lanes` channels a pixel (-1: as the place `full` says), then `tail` more channels.

    `is_masked`: the CPU can leave lanes out when it loads and stores. `kind` is the target's store. `is_gated`: a gate is given, which may
    be 0. `is_raw`: new values are made as the target holds them; never with a gate.
    """

    lanes: int
    full: int
    tail: int
    is_masked: bool
    kind: str
    is_gated: bool
    is_raw: bool

    places: ClassVar[tuple[str, ...]] = ("target", "target_step", "live", "count", "full", "scratch", "scratch_step")
    numbers: ClassVar[tuple[str, ...]] = ("gate", "target_scale", "target_zero", "target_inverse")

    @property
    def pixels(self) -> int:
        """Neighbouring pixels that are made together."""
        return 1

    @abstractmethod
    def writer(self, builder: Any, places: list[Any], numbers: list[Any]) -> Writer:
        """What emits the operation."""

    def tail_pieces(self) -> Iterator[Piece]:
        """What is left after the full vectors."""
        if self.tail and self.is_masked:
            yield Piece(1 << (self.tail - 1).bit_length(), self.tail)
            return
        start, size = 0, self.lanes
        while start < self.tail:
            while size > self.tail - start:
                size //= 2
            yield Piece(size, size, start)
            start += size


@dataclass(frozen=True, eq=False)
class Outline:
    """What strips into one plane have in common: `literals` of a Shape, the place `full`, `lines` (address, bytes a row, bytes a pixel of
    the target, address and bytes a row of its live bytes), `channels` of the scratch pixel, the gate as an array, the target's numbers."""

    literals: tuple[Any, ...]
    full: int
    lines: tuple[int, ...]
    channels: int
    gate: Float
    numbers: tuple[np.float32, np.float32, np.float32]

    @classmethod
    def of(cls, target: Plane, gate: Float | None, lanes: int, is_raw: bool = False) -> Outline:
        """`lanes` floats fit a vector."""
        kind, channels = code_of(target.store), target.padded.shape[2]
        wide = lanes * 4 // BYTES[kind] if is_raw else lanes
        full, tail = divmod(channels, wide)
        literals = (wide, full if full <= UNROLLED else -1, tail, lanes >= MASKING_LANES, kind, gate is not None, is_raw)
        values, live = target.values, target.live
        lines = (values.ctypes.data, *values.strides[:2], live.ctypes.data, live.strides[0])
        return cls(literals, full, lines, channels, np.zeros(1, np.float32) if gate is None else gate, numbers(target.store))


class Writer(ABC):
    """Emits a strip. An operation says what a block of pixels begins with and how a vector of each of their new values is made."""

    def __init__(self, builder: Any, shape: Shape, places: list[Any], numbers: list[Any]) -> None:
        self.b, self.shape = builder, shape
        self.place = dict(zip(shape.places, places, strict=True))
        self.number = dict(zip(shape.numbers, numbers, strict=True))
        width = ir.IntType(32 if shape.is_gated else 8 * BYTES[shape.kind])
        sizes = {piece.lanes for piece in shape.tail_pieces()} | ({shape.lanes} if shape.full else set())
        self.hits = [{lanes: cgutils.alloca_once(builder, ir.VectorType(width, lanes)) for lanes in sizes} for _ in range(shape.pixels)]

    @abstractmethod
    def begin(self, pixel: Any) -> None:
        """Before a block's vectors: its first pixel, counted from the first of the run."""

    @abstractmethod
    def values(self, channel: Any, piece: Piece, pixels: int) -> list[Any]:
        """Of each pixel of a block the new values from a channel on: float32, or as the target holds them in a raw strip."""

    def emit(self) -> None:
        """All pixels of the run in blocks, the last set back to end where the run does; one by one if it is shorter than a block.

        A pixel that is made twice is compared with itself, or with what was kept before, and nothing changes.
        """
        count, zero = self.place["count"], ir.Constant(I64, 0)
        done = zero
        if self.shape.pixels > 1:
            size = ir.Constant(I64, self.shape.pixels)
            last = self.b.sub(count, size)
            fits = self.b.icmp_signed(">=", last, zero)
            blocks = self.b.select(fits, self.b.sdiv(self.after(count, self.shape.pixels - 1), size), zero)
            with cgutils.for_range(self.b, blocks, intp=I64) as over:
                first = self.b.mul(over.index, size)
                first = self.b.select(self.b.icmp_signed("<", first, last), first, last)
                self.block(first, self.shape.pixels)
            done = self.b.select(fits, count, zero)
        with cgutils.for_range(self.b, count, start=done, intp=I64) as over:
            self.block(over.index, 1)

    def block(self, first: Any, pixels: int) -> None:
        """Some pixels, from their sources to their live bytes."""
        self.begin(first)
        targets = [self.step("target", "target_step", self.after(first, pixel)) for pixel in range(pixels)]
        for accumulators in self.hits[:pixels]:
            for accumulator in accumulators.values():
                self.b.store(ir.Constant(accumulator.allocated_type, None), accumulator)
        for channel, piece in self.vectors():
            for pixel, new in enumerate(self.values(channel, piece, pixels)):
                self.settle(pixel, targets[pixel], channel, piece, new)
        for pixel, target in enumerate(targets):
            live = self.b.inttoptr(self.b.add(self.place["live"], self.after(first, pixel)), BYTE.as_pointer())
            self.finish(pixel, target, live)

    def finish(self, pixel: int, target: Any, live: Any) -> None:
        """Mark a pixel that moved; with a gate its values have waited for this."""
        moved = self.moved(self.hits[pixel])
        if not self.shape.is_gated:
            self.b.store(self.b.or_(self.b.load(live), self.b.zext(moved, BYTE)), live)
            return
        with self.b.if_then(moved):
            for channel, piece in self.vectors():
                self.write(target, channel, piece, self.read(self.scratch(pixel), channel, piece, self.shape.kind))
            self.b.store(ir.Constant(BYTE, 1), live)

    def scratch(self, pixel: int) -> Any:
        """Where a pixel's new values wait."""
        return self.step("scratch", "scratch_step", ir.Constant(I64, pixel))

    def after(self, place: Any, count: int) -> Any:
        """place + count."""
        return self.b.add(place, ir.Constant(I64, count)) if count else place

    def step(self, address: str, size: str, count: Any) -> Any:
        """The place `address` and `count` times the place `size`."""
        return self.b.add(self.place[address], self.b.mul(count, self.place[size]))

    def vectors(self) -> Iterator[tuple[Any, Piece]]:
        """(first channel, piece), inside an emitted loop where the number of full vectors is not known."""
        shape, whole = self.shape, Piece(self.shape.lanes, self.shape.lanes)
        if shape.full >= 0:
            for place in range(shape.full):
                yield ir.Constant(I64, place * shape.lanes), whole
            after = ir.Constant(I64, shape.full * shape.lanes)
        else:
            with cgutils.for_range(self.b, self.place["full"], intp=I64) as over:
                yield self.b.mul(over.index, ir.Constant(I64, shape.lanes)), whole
            after = self.b.mul(self.place["full"], ir.Constant(I64, shape.lanes))
        for piece in shape.tail_pieces():
            yield self.after(after, piece.start), piece

    def settle(self, pixel: int, target: Any, channel: Any, piece: Piece, new: Any) -> None:
        """Code, compare and store one vector of new values."""
        kind, math = self.shape.kind, self.math(piece)
        if not self.shape.is_raw:
            new = encode(math, new, kind, self.number["target_inverse"], self.number["target_zero"])
        old = self.read(target, channel, piece, kind)
        self.fetch(target, channel, piece)
        self.note(
            self.hits[pixel][piece.lanes], self.beyond_gate(math, new, old) if self.shape.is_gated else self.other_bits(new, old), piece
        )
        self.write(self.scratch(pixel) if self.shape.is_gated else target, channel, piece, new)

    def fetch(self, target: Any, channel: Any, piece: Piece) -> None:
        """Ask for what the target holds a few pixels further on: nobody has looked at it since the last frame."""
        word, byte = I32, BYTE.as_pointer()
        code = cgutils.get_or_insert_function(self.b.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0")
        address = self.b.bitcast(self.pointer(self.after(target, AHEAD_BYTES), channel, piece, self.shape.kind), byte)
        self.b.call(code, [address, ir.Constant(word, 1), ir.Constant(word, 3), ir.Constant(word, 1)])

    def note(self, accumulator: Any, hit: Any, piece: Piece) -> None:
        """Remember which lanes moved: all bits 0 where none did."""
        if piece.used < piece.lanes:
            hit = self.b.and_(hit, ir.Constant(hit.type, [-1] * piece.used + [0] * (piece.lanes - piece.used)))
        self.b.store(self.b.or_(self.b.load(accumulator), hit), accumulator)

    def moved(self, accumulators: dict[int, Any]) -> Any:
        """Whether any lane of a pixel did."""
        flags = []
        for accumulator in accumulators.values():
            lanes = self.b.load(accumulator)
            differs = self.b.icmp_unsigned("!=", lanes, ir.Constant(lanes.type, None))
            bits = ir.IntType(lanes.type.count)
            flags.append(self.b.icmp_unsigned("!=", self.b.bitcast(differs, bits), ir.Constant(bits, 0)))
        anywhere = flags[0]
        for flag in flags[1:]:
            anywhere = self.b.or_(anywhere, flag)
        return anywhere

    def other_bits(self, new: Any, old: Any) -> Any:
        """Not 0 in lanes whose bits differ: -0 and NaN are changes."""
        bits = ir.VectorType(ir.IntType(8 * BYTES[self.shape.kind]), new.type.count)
        return self.b.xor(self.b.bitcast(new, bits), self.b.bitcast(old, bits))

    def beyond_gate(self, math: Arithmetic, new: Any, old: Any) -> Any:
        """Not 0 in lanes that moved by more than the gate, or in any bit if that is 0."""
        kind, scale, zero, gate = self.shape.kind, self.number["target_scale"], self.number["target_zero"], self.number["gate"]
        step = self.b.fsub(decode(math, new, kind, scale, zero), decode(math, old, kind, scale, zero))
        hit = self.b.sext(self.b.fcmp_unordered(">", math.call("fabs", step), math.splat(gate)), math.whole)
        bits = self.other_bits(new, old)
        bits = bits if bits.type == math.whole else self.b.zext(bits, math.whole)
        return self.b.select(self.b.fcmp_ordered(">", gate, gate.type(0.0)), hit, bits)

    def math(self, piece: Piece) -> Arithmetic:
        """Arithmetic on a piece's floats."""
        return Arithmetic(self.b, ir.VectorType(ir.FloatType(), piece.lanes))

    def decoded(self, address: Any, channel: Any, piece: Piece, kind: str, numbers: tuple[Any, Any]) -> Any:
        """A source's values from a channel on; `numbers`: its scale and zero."""
        return decode(self.math(piece), self.read(address, channel, piece, kind), kind, *numbers)

    def read(self, address: Any, channel: Any, piece: Piece, kind: str) -> Any:
        """What a pixel at an address holds from a channel on; 0 in lanes that are not used."""
        held, pointer = held_type(kind, piece.lanes), self.pointer(address, channel, piece, kind)
        if piece.used == piece.lanes:
            return self.b.load(pointer, align=BYTES[kind])
        arguments = [pointer, ir.Constant(I32, BYTES[kind]), self.mask(piece), ir.Constant(held, None)]
        return self.b.call(self.masked("load", held, held, [value.type for value in arguments]), arguments)

    def write(self, address: Any, channel: Any, piece: Piece, held: Any) -> None:
        """The other way round; lanes that are not used leave memory alone."""
        kind = self.shape.kind
        pointer = self.pointer(address, channel, piece, kind)
        if piece.used == piece.lanes:
            self.b.store(held, pointer, align=BYTES[kind])
            return
        arguments = [held, pointer, ir.Constant(I32, BYTES[kind]), self.mask(piece)]
        self.b.call(self.masked("store", held.type, ir.VoidType(), [value.type for value in arguments]), arguments)

    def pointer(self, address: Any, channel: Any, piece: Piece, kind: str) -> Any:
        """To a channel of the pixel at an address."""
        place = self.b.add(address, self.b.mul(channel, ir.Constant(I64, BYTES[kind])))
        return self.b.inttoptr(place, held_type(kind, piece.lanes).as_pointer())

    def mask(self, piece: Piece) -> Any:
        """True in the lanes that are used."""
        return ir.Constant(ir.VectorType(BIT, piece.lanes), [int(lane < piece.used) for lane in range(piece.lanes)])

    def masked(self, name: str, held: Any, result: Any, arguments: list[Any]) -> Any:
        """LLVM's load or store that leaves lanes out."""
        element = "f32" if isinstance(held.element, ir.FloatType) else f"i{held.element.width}"
        full_name = f"llvm.masked.{name}.v{held.count}{element}.p0"
        return cgutils.get_or_insert_function(self.b.module, ir.FunctionType(result, arguments), full_name)


class ShapeType(types.Opaque):  # type: ignore[misc]
    """A Shape as a Numba type: the value is nothing, the type says all, so each Shape gets code of its own, which the cache finds again."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        super().__init__(name=f"strip {shape}")


register_model(ShapeType)(models.OpaqueModel)


@unbox(ShapeType)
def _unbox_shape(kind, value, context):
    return NativeValue(context.context.get_dummy_value())


@intrinsic
def write_strip(context, places, numbers, shape):
    """A run of pixels as `shape` says; `places` and `numbers` in the order in which it names them."""

    def code(context, builder, signature, arguments):
        places, numbers = (cgutils.unpack_tuple(builder, argument) for argument in arguments[:2])
        shape.shape.writer(builder, places, numbers).emit()
        return context.get_dummy_value()

    return types.void(places, numbers, shape), code
