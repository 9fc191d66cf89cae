"""The micro-kernel: a few pixels, wherever they lie, times a few vectors of output channels, in registers from first product to store.

A tile sums P pixels x V vectors over kernel rows, kernel columns and words of the input (see `dot`), in that order; `finish` does the rest.
`tiles` emits the tiles of one block of channels over a list of pixels. What shapes the code is in a `Shape`, a type of its own; all else
(addresses, steps, counts) is read from a table of 64-bit integers, the job, so that layers alike in shape share their code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import NativeValue, intrinsic, models, register_model, unbox

from edgevision.kernels.compiled.dot import WEIGHTS, Dot
from edgevision.kernels.compiled.finish import Finish
from edgevision.kernels.compiled.store import BYTES

I64, I32 = ir.IntType(64), ir.IntType(32)
_LINE_BYTES = 64
JOB = (
    "sources", "targets", "marks", "residuals", "count",  # tables with an address for each pixel, and how many pixels
    "source_shift", "target_shift", "residual_shift",  # what a block adds to these addresses
    "row_step", "column_step", "rows", "columns", "words",  # of the window: bytes between taps, taps, and words in one
    "extras", "extra_count", "extra_weights",  # steps besides: a table of what to add to a pixel's address
    "weights", "starts", "bias", "factors", "numbers", "gate",  # addresses; `numbers`: see `finish`
)  # fmt: skip
FIELDS: Mapping[str, int] = MappingProxyType({name: place for place, name in enumerate(JOB)})


@dataclass(frozen=True)
class Shape:
    """The literals: `vectors` of `lanes` floats, of the last only `tail` are channels; `pixels` of the wide and the short tile.

    `dot`: the kind of sum; `words` of a tap where they are few, else 0; `is_odd`: a last one is cut to its first half;
    `has_columns`: more than one tap a kernel row.
    `target`, `residual`: kinds of store, "" for none. `fetches`: the sum is long enough for what is compared and added after it to
    come from memory meanwhile.
    """

    lanes: int
    vectors: int
    tail: int
    pixels: tuple[int, int]
    dot: str
    words: int
    is_odd: bool
    has_columns: bool
    activation: int
    target: str
    has_zero: bool
    residual: str
    mode: int
    is_masked: bool
    fetches: bool


class Emitter:
    """Writes the tiles' code."""

    def __init__(self, builder: Any, shape: Shape, job: Any) -> None:
        self.b, self.shape = builder, shape
        self.dot = Dot(builder, shape.dot)
        self.fields = {name: self.load(self.at(job, 8 * place), I64) for name, place in FIELDS.items()}
        self.finish = Finish(builder, shape, self.fields)

    def at(self, address: Any, offset: int) -> Any:
        """address + offset."""
        return self.b.add(address, ir.Constant(I64, offset)) if offset else address

    def load(self, address: Any, kind: Any) -> Any:
        """A value of `kind` at an address that is a multiple of nothing in particular."""
        return self.b.load(self.b.inttoptr(address, kind.as_pointer()), align=1)

    def emit(self) -> None:
        """Wide tiles as long as they fit, then short ones; the last of those takes its last pixel again and again."""
        count, (wide, short) = self.fields["count"], self.shape.pixels
        at = cgutils.alloca_once_value(self.b, ir.Constant(I64, 0))
        last = self.at(count, -1)
        with self.until(at, self.at(count, -wide), wide) as first:
            self.tile([self.at(first, pixel) for pixel in range(wide)])
        with self.until(at, last, short) as first:
            places = [self.at(first, pixel) for pixel in range(short)]
            self.tile([self.b.select(self.b.icmp_signed("<", place, last), place, last) for place in places])

    @contextmanager
    def until(self, at: Any, end: Any, step: int) -> Iterator[Any]:
        """A loop while `at` <= `end`, by `step`."""
        b = self.b
        head, body, done = (b.append_basic_block(name) for name in ("head", "body", "done"))
        b.branch(head)
        b.position_at_end(head)
        here = b.load(at)
        b.cbranch(b.icmp_signed("<=", here, end), body, done)
        b.position_at_end(body)
        yield here
        b.store(self.at(here, step), at)
        b.branch(head)
        b.position_at_end(done)

    def entry(self, table: str, place: Any) -> Any:
        """What a table of addresses holds for a pixel."""
        return self.load(self.b.add(self.fields[table], self.b.shl(place, ir.Constant(I64, 3))), I64)

    def tile(self, places: list[Any]) -> None:
        """The pixels at these places of the list."""
        b, fields = self.b, self.fields
        sources = [b.add(self.entry("sources", place), fields["source_shift"]) for place in places]
        if self.shape.fetches:
            self.fetch(places)
        sums = self.sums(sources)
        for place, row in zip(places, sums, strict=True):
            target = b.add(self.entry("targets", place), fields["target_shift"])
            residual = b.add(self.entry("residuals", place), fields["residual_shift"]) if self.shape.residual else None
            self.finish.pixel([b.load(total) for total in row], target, self.entry("marks", place), residual)

    def fetch(self, places: list[Any]) -> None:
        """Ask for the lines of target and residual that these pixels will need."""
        shape, b = self.shape, self.b
        channels = (shape.vectors - 1) * shape.lanes + shape.tail
        word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        code = cgutils.get_or_insert_function(b.module, ir.FunctionType(ir.VoidType(), [byte, word, word, word]), "llvm.prefetch.p0")
        for table, kind, is_written in (("target", shape.target, 1), ("residual", shape.residual, 0)):
            for place in places if kind else ():
                first = b.add(self.entry(f"{table}s", place), self.fields[f"{table}_shift"])
                for offset in range(0, channels * BYTES[kind], _LINE_BYTES):
                    address = b.inttoptr(self.at(first, offset), byte)
                    b.call(code, [address, ir.Constant(word, is_written), ir.Constant(word, 3), ir.Constant(word, 1)])

    def sums(self, sources: list[Any]) -> list[list[Any]]:
        """Accumulators [pixel][vector] after all steps."""
        b, fields, sums = self.b, self.fields, self.started(len(sources))
        weights = cgutils.alloca_once(b, I64)
        b.store(fields["weights"], weights)
        with cgutils.for_range(b, fields["rows"]) as over_rows:
            row_start = b.mul(over_rows.index, fields["row_step"])
            if self.shape.has_columns:
                with cgutils.for_range(b, fields["columns"]) as over_columns:
                    self.tap(sources, b.add(row_start, b.mul(over_columns.index, fields["column_step"])), weights, sums)
            else:
                self.tap(sources, row_start, weights, sums)
        if self.shape.dot == "quads":
            b.store(fields["extra_weights"], weights)
            with cgutils.for_range(b, fields["extra_count"]) as over_extras:
                place = b.add(fields["extras"], b.shl(over_extras.index, ir.Constant(I64, 3)))
                self.step(sources, self.load(place, I64), weights, sums, False)
        return sums

    def tap(self, sources: list[Any], offset: Any, weights: Any, sums: list[list[Any]]) -> None:
        """All words of one tap."""
        b, words = self.b, self.fields["words"]
        if self.shape.words:
            for word in range(self.shape.words):
                self.step(sources, self.at(offset, 4 * word), weights, sums, False)
        else:
            with cgutils.for_range(b, words) as over_words:
                self.step(sources, b.add(offset, b.shl(over_words.index, ir.Constant(I64, 2))), weights, sums, False)
        if self.shape.is_odd:
            self.step(sources, b.add(offset, b.shl(words, ir.Constant(I64, 2))), weights, sums, True)

    def started(self, pixels: int) -> list[list[Any]]:
        """Accumulators at 0, or at a start of their own."""
        b, shape, sums = self.b, self.shape, []
        kind = self.dot.sum_type(shape.lanes)
        if self.dot.is_whole:
            starts = [self.load(self.at(self.fields["starts"], 4 * shape.lanes * j), kind) for j in range(shape.vectors)]
        else:
            starts = [ir.Constant(kind, [0.0] * shape.lanes)] * shape.vectors
        for _ in range(pixels):
            row = [cgutils.alloca_once(b, kind) for _ in starts]
            for total, start in zip(row, starts, strict=True):
                b.store(start, total)
            sums.append(row)
        return sums

    def step(self, sources: list[Any], offset: Any, weights: Any, sums: list[list[Any]], is_half: bool) -> None:
        """One word of every pixel into all accumulators."""
        shape, b, dot = self.shape, self.b, self.dot
        here, each, bytes_each = b.load(weights), WEIGHTS[shape.dot], 4 * shape.lanes
        kind = dot.factor_type(shape.lanes)
        factors = [[self.load(self.at(here, (j * each + k) * bytes_each), kind) for k in range(each)] for j in range(shape.vectors)]
        for source, row in zip(sources, sums, strict=True):
            word = self.load(b.add(source, offset), I32)
            if is_half:
                word = b.and_(word, ir.Constant(I32, 0xFFFF))
            parts = dot.parts(dot.splat(word, shape.lanes))
            for total, own in zip(row, factors, strict=True):
                value = b.load(total)
                for part, factor in zip(parts, own, strict=True):
                    value = dot.add(value, part, factor)
                b.store(value, total)
        b.store(self.at(here, shape.vectors * each * bytes_each), weights)


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
def tiles(context, job, shape):
    """All tiles of one block of channels; `job` is the address of its table (see JOB)."""

    def code(context, builder, signature, arguments):
        Emitter(builder, shape.shape, arguments[0]).emit()
        return context.get_dummy_value()

    return types.void(types.int64, shape), code
