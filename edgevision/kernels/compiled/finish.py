"""What follows the sum, in registers: bias, residual, activation; then the values as the target holds them are compared with what is there,
stored if they differ, and the pixel is marked live. The last vector touches only the channels it has: AVX-512 reads them through a mask
(it could write so, too, but that takes some CPUs as long as twenty stores), all else and all stores go by pieces of 8, 4, 2, 1 lanes.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from edgevision.kernels.compiled import store
from edgevision.kernels.compiled.activations import EMITTERS, KINDS, Arithmetic

FLOAT, BYTE, I32, I64 = ir.FloatType(), ir.IntType(8), ir.IntType(32), ir.IntType(64)
COMPARE_BITS, COMPARE_GATE, STORE_ALL = 0, 1, 2
NUMBERS = ("alpha", "beta", "scale", "zero", "inverse", "residual_scale", "residual_zero")  # floats, in this order


class Finish:
    """Emits it for one tile. `fields`: the job's."""

    def __init__(self, builder: Any, shape: Any, fields: dict[str, Any]) -> None:
        self.b, self.shape, self.fields = builder, shape, fields
        self.numbers = {name: self.load(self.at(fields["numbers"], 4 * place), FLOAT) for place, name in enumerate(NUMBERS)}
        if not shape.has_zero:
            self.numbers["zero"] = ir.Constant(FLOAT, -0.0)  # what is added, so nothing is
        if shape.mode == COMPARE_GATE:
            gate = self.load(fields["gate"], FLOAT)
            self.is_gated = builder.fcmp_ordered(">", gate, ir.Constant(FLOAT, 0.0))
            self.limit = builder.select(self.is_gated, gate, ir.Constant(FLOAT, -1.0))
        self.stored = self._pieces()
        whole = [(vector, 0, shape.lanes) for vector in range(shape.vectors)]
        self.read = whole if shape.is_masked else self.stored
        self.worked = self.read if shape.residual else whole

    def at(self, address: Any, offset: int) -> Any:
        """address + offset."""
        return self.b.add(address, ir.Constant(I64, offset)) if offset else address

    def load(self, address: Any, kind: Any) -> Any:
        """A value of `kind` at an address."""
        single = kind.element if isinstance(kind, ir.VectorType) else kind
        return self.b.load(self.b.inttoptr(address, kind.as_pointer()), align=max(1, getattr(single, "width", 32) // 8))

    def _pieces(self) -> list[tuple[int, int, int]]:
        """(vector, first lane, lanes), the tail in powers of two: together the channels of the block."""
        last, lanes, tail = self.shape.vectors - 1, self.shape.lanes, self.shape.tail
        pieces = [(vector, 0, lanes) for vector in range(last)]
        start, size = 0, lanes
        while start < tail:
            while size > tail - start:
                size //= 2
            pieces.append((last, start, size))
            start += size
        return pieces

    def pixel(self, sums: list[Any], target: Any, mark: Any, residual: Any) -> None:
        """One pixel, from its sums on; addresses of its first channel in target and residual, and of its live byte."""
        shape = self.shape
        values = [self._cut(self._weighted(sums[vector], vector), first, size) for vector, first, size in self.worked]
        if shape.residual:
            values = [self.b.fadd(value, self._residual(piece, residual)) for piece, value in zip(self.worked, values, strict=True)]
        held = [self._encoded(self._activated(value)) for value in values]
        if shape.mode == STORE_ALL:
            self._store(held, target)
            return
        with self.b.if_then(self._moved(held, target)):
            self._store(held, target)
            self.b.store(ir.Constant(BYTE, 1), self.b.inttoptr(mark, BYTE.as_pointer()))

    def _of(self, held: list[Any], piece: tuple[int, int, int]) -> Any:
        """A piece of the pixel's values."""
        vector, first, size = piece
        if piece in self.worked:
            return held[self.worked.index(piece)]
        return self._cut(held[vector], first, size)

    def _weighted(self, total: Any, vector: int) -> Any:
        """A sum in the output's units."""
        kind, offset = ir.VectorType(FLOAT, total.type.count), vector * self.shape.lanes * 4
        bias = self.load(self.at(self.fields["bias"], offset), kind)
        if total.type.element == FLOAT:
            return self.b.fadd(total, bias)
        factors = self.load(self.at(self.fields["factors"], offset), kind)
        return Arithmetic(self.b, kind).call("fma", self.b.sitofp(total, kind), factors, bias)

    def _cut(self, value: Any, first: int, size: int) -> Any:
        """Some lanes of a vector."""
        if size == value.type.count:
            return value
        lanes = ir.Constant(ir.VectorType(I32, size), list(range(first, first + size)))
        return self.b.shuffle_vector(value, ir.Constant(value.type, ir.Undefined), lanes)

    def _activated(self, value: Any) -> Any:
        math = Arithmetic(self.b, value.type)
        return EMITTERS[KINDS[self.shape.activation]](math, value, math.splat(self.numbers["alpha"]), math.splat(self.numbers["beta"]))

    def _encoded(self, value: Any) -> Any:
        if self.shape.target == "u8" and self.shape.is_masked:
            return self._bytes(value)
        return store.encode(Arithmetic(self.b, value.type), value, self.shape.target, self.numbers["inverse"], self.numbers["zero"])

    def _bytes(self, value: Any) -> Any:
        """What `store.encode` gives, by AVX-512's own conversions: one rounds to nearest even, the other stops at 255."""
        b, lanes, math = self.b, self.shape.lanes, Arithmetic(self.b, value.type)
        scaled = b.fadd(b.fmul(value, math.splat(self.numbers["inverse"])), math.splat(self.numbers["zero"]))
        whole = ir.VectorType(I32, lanes)
        all_lanes = ir.Constant(ir.IntType(lanes), -1)
        arguments = [math.larger(scaled, math.number(0.0)), ir.Constant(whole, ir.Undefined), all_lanes]
        rounds = [ir.Constant(I32, 4)] if lanes == 16 else []  # as the CPU is set, and nothing sets it
        name = "llvm.x86.avx512.mask.cvtps2dq.512" if lanes == 16 else "llvm.x86.avx512.mask.cvtps2dq.256"
        rounded = self._call(name, whole, [*arguments, *rounds])
        held = ir.VectorType(BYTE, max(lanes, 16))
        cut = self._call(
            f"llvm.x86.avx512.mask.pmovus.db.{lanes * 32}",
            held,
            [rounded, ir.Constant(held, ir.Undefined), ir.Constant(ir.IntType(max(lanes, 8)), -1)],
        )
        return self._cut(cut, 0, lanes)

    def _call(self, name: str, result: Any, arguments: list[Any]) -> Any:
        signature = ir.FunctionType(result, [argument.type for argument in arguments])
        return self.b.call(cgutils.get_or_insert_function(self.b.module, signature, name), arguments)

    def _residual(self, piece: tuple[int, int, int], address: Any) -> Any:
        kind, math = self.shape.residual, Arithmetic(self.b, ir.VectorType(FLOAT, piece[2]))
        held = self._read(piece, address, kind)
        return store.decode(math, held, kind, self.numbers["residual_scale"], self.numbers["residual_zero"])

    def _moved(self, held: list[Any], target: Any) -> Any:
        """Whether any lane differs from what is stored, in its bits or by more than the gate (or not a number)."""
        b = self.b
        hits: dict[int, Any] = {}
        for piece in self.read:
            new, size = self._of(held, piece), piece[2]
            old = self._read(piece, target, self.shape.target)
            hit = self._other_bits(new, old)
            if self.shape.mode == COMPARE_GATE:
                hit = self._beyond_gate(new, old, hit)
            if self._is_partial(piece):
                hit = b.and_(hit, self._mask())
            hits[size] = b.or_(hits[size], hit) if size in hits else hit
        flags = [b.icmp_unsigned("!=", b.bitcast(hit, ir.IntType(size)), ir.Constant(ir.IntType(size), 0)) for size, hit in hits.items()]
        anywhere = flags[0]
        for flag in flags[1:]:
            anywhere = b.or_(anywhere, flag)
        return anywhere

    def _other_bits(self, new: Any, old: Any) -> Any:
        """Lanes whose bits differ: -0 and NaN are changes."""
        if new.type.element == FLOAT:
            whole = ir.VectorType(I32, new.type.count)
            new, old = self.b.bitcast(new, whole), self.b.bitcast(old, whole)
        return self.b.icmp_unsigned("!=", new, old)

    def _beyond_gate(self, new: Any, old: Any, differs: Any) -> Any:
        """Lanes that moved by more than the gate; those that differ where it is 0 or open."""
        b, kind = self.b, self.shape.target
        math = Arithmetic(b, ir.VectorType(FLOAT, new.type.count))
        after, before = (store.decode(math, held, kind, self.numbers["scale"], self.numbers["zero"]) for held in (new, old))
        beyond = b.fcmp_unordered(">", math.call("fabs", b.fsub(after, before)), math.splat(self.limit))
        gated = b.insert_element(ir.Constant(differs.type, ir.Undefined), self.is_gated, ir.Constant(I32, 0))
        everywhere = b.shuffle_vector(gated, gated, ir.Constant(ir.VectorType(I32, new.type.count), [0] * new.type.count))
        return b.and_(beyond, b.or_(differs, everywhere))

    def _store(self, held: list[Any], target: Any) -> None:
        """All of the pixel's values."""
        for piece in self.stored:
            value = self._of(held, piece)
            self.b.store(value, self._address(piece, target, self.shape.target, value.type), align=store.BYTES[self.shape.target])

    def _read(self, piece: tuple[int, int, int], address: Any, kind: str) -> Any:
        """What is held there; 0 in lanes that are no channel."""
        held = store.held_type(kind, piece[2])
        pointer = self._address(piece, address, kind, held)
        if not self._is_partial(piece):
            return self.b.load(pointer, align=store.BYTES[kind])
        single = "f32" if kind == "f32" else f"i{held.element.width}"
        arguments = [pointer, ir.Constant(I32, 1), self._mask(), ir.Constant(held, [0] * held.count)]
        return self._call(f"llvm.masked.load.v{held.count}{single}.p0", held, arguments)

    def _address(self, piece: tuple[int, int, int], address: Any, kind: str, held: Any) -> Any:
        vector, first, _ = piece
        return self.b.inttoptr(self.at(address, (vector * self.shape.lanes + first) * store.BYTES[kind]), held.as_pointer())

    def _is_partial(self, piece: tuple[int, int, int]) -> bool:
        return self.shape.is_masked and piece == (self.shape.vectors - 1, 0, self.shape.lanes) and self.shape.tail < self.shape.lanes

    def _mask(self) -> Any:
        width = self.shape.lanes
        return ir.Constant(ir.VectorType(ir.IntType(1), width), [int(lane < self.shape.tail) for lane in range(width)])
