"""What follows the sum, in registers: bias, residual, activation; then the values as the target holds them are compared with what is there,
stored if they differ, and the pixel is marked live. The last vector touches only the channels it has.
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
        self.pieces = self._pieces()

    def at(self, address: Any, offset: int) -> Any:
        """address + offset."""
        return self.b.add(address, ir.Constant(I64, offset)) if offset else address

    def load(self, address: Any, kind: Any) -> Any:
        """A value of `kind` at an address."""
        single = kind.element if isinstance(kind, ir.VectorType) else kind
        return self.b.load(self.b.inttoptr(address, kind.as_pointer()), align=max(1, getattr(single, "width", 32) // 8))

    def _pieces(self) -> list[tuple[int, int, int]]:
        """(vector, first lane, lanes): what is stored at once. The tail in powers of two, or as one where stores can be masked."""
        last, lanes, tail = self.shape.vectors - 1, self.shape.lanes, self.shape.tail
        pieces = [(vector, 0, lanes) for vector in range(last)]
        if self.shape.is_masked:
            return [*pieces, (last, 0, lanes)]
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
        values = [self._cut(self._weighted(sums[vector], vector), first, size) for vector, first, size in self.pieces]
        if shape.residual:
            values = [self.b.fadd(value, self._residual(place, residual)) for place, value in enumerate(values)]
        held = [self._encoded(self._activated(value)) for value in values]
        if shape.mode == STORE_ALL:
            self._store(held, target)
            return
        with self.b.if_then(self._moved(held, target)):
            self._store(held, target)
            self.b.store(ir.Constant(BYTE, 1), self.b.inttoptr(mark, BYTE.as_pointer()))

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
        return store.encode(Arithmetic(self.b, value.type), value, self.shape.target, self.numbers["inverse"], self.numbers["zero"])

    def _residual(self, place: int, address: Any) -> Any:
        kind, size = self.shape.residual, self.pieces[place][2]
        math = Arithmetic(self.b, ir.VectorType(FLOAT, size))
        held = self._read(place, address, kind)
        return store.decode(math, held, kind, self.numbers["residual_scale"], self.numbers["residual_zero"])

    def _moved(self, held: list[Any], target: Any) -> Any:
        """Whether any lane differs from what is stored, in its bits or by more than the gate (or not a number)."""
        b = self.b
        hits: dict[int, Any] = {}
        for place, new in enumerate(held):
            size = new.type.count
            old = self._read(place, target, self.shape.target)
            hit = self._other_bits(new, old)
            if self.shape.mode == COMPARE_GATE:
                hit = self._beyond_gate(new, old, hit)
            if self._is_partial(place):
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
        for place, value in enumerate(held):
            address = self._address(place, target, self.shape.target, value.type)
            if self._is_partial(place):
                self._masked("store", ir.VoidType(), value.type, [value, address])
            else:
                self.b.store(value, address, align=store.BYTES[self.shape.target])

    def _read(self, place: int, address: Any, kind: str) -> Any:
        held = store.held_type(kind, self.pieces[place][2])
        pointer = self._address(place, address, kind, held)
        if self._is_partial(place):
            return self._masked("load", held, held, [pointer])
        return self.b.load(pointer, align=store.BYTES[kind])

    def _address(self, place: int, address: Any, kind: str, held: Any) -> Any:
        vector, first, _ = self.pieces[place]
        return self.b.inttoptr(self.at(address, (vector * self.shape.lanes + first) * store.BYTES[kind]), held.as_pointer())

    def _is_partial(self, place: int) -> bool:
        return self.shape.is_masked and place == len(self.pieces) - 1 and self.shape.tail < self.shape.lanes

    def _mask(self) -> Any:
        width = self.shape.lanes
        return ir.Constant(ir.VectorType(ir.IntType(1), width), [int(lane < self.shape.tail) for lane in range(width)])

    def _masked(self, what: str, result: Any, held: Any, values: list[Any]) -> Any:
        """A load or store of the last vector's own lanes; the others read as 0."""
        extra = [ir.Constant(held, [0] * held.count)] if what == "load" else []
        single = "f32" if held.element == FLOAT else f"i{held.element.width}"
        align = ir.Constant(I32, store.BYTES[self.shape.target] if what == "store" else 1)
        arguments = [*values, align, self._mask(), *extra]
        signature = ir.FunctionType(result, [value.type for value in arguments])
        name = f"llvm.masked.{what}.v{held.count}{single}.p0"
        return self.b.call(cgutils.get_or_insert_function(self.b.module, signature, name), arguments)
