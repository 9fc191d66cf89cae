"""Values between float32 and the way a tensor holds them, as LLVM code over one value or a vector; see `plain/store.py`.

A store's kind, KINDS[number], shapes the code; its `numbers` (scale, zero, inverse), three floats, are given at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from edgevision.kernels.compiled.activations import Arithmetic
from edgevision.kernels.forms import Store
from edgevision.kernels.plain import store as plain

KINDS = ("f32", "bf16", "u8")
HELD = (types.float32, types.uint16, types.uint8)  # what a value of KINDS[number] is held as
FROM_ZERO = "u8 from 0"  # u8 whose zero is 0: an addition less, the same values
BYTES: Mapping[str, int] = MappingProxyType({"f32": 4, "bf16": 2, "u8": 1, FROM_ZERO: 1})
_ROUNDER = 8388608.0  # 2^23: the sum with 0 .. 255 is rounded to a whole number, ties to even, which is in its last bits


def numbers(store: Store) -> tuple[np.float32, np.float32, np.float32]:
    """(scale, zero, inverse), as `decode` and `encode` take them."""
    return np.float32(store.scale), np.float32(store.zero), np.float32(store.inverse)


def is_faithful(store: Store) -> bool:
    """Whether what is held becomes itself again when it is decoded and encoded, so that it may be copied as it is."""
    held = np.arange(256, dtype=np.uint8)
    return store.kind == "f32" or (store.kind == "u8" and np.array_equal(plain.encode(plain.decode(held, store), store), held))


def code_of(store: Store) -> str:
    """The store's kind as `decode` and `encode` of vectors take it."""
    return FROM_ZERO if store.kind == "u8" and store.zero == 0 else store.kind


def held_type(kind: str, lanes: int) -> Any:
    """LLVM's type of `lanes` held values, 0 for a single one."""
    single = ir.FloatType() if kind == "f32" else ir.IntType(8 * BYTES[kind])
    return ir.VectorType(single, lanes) if lanes else single


def decode(math: Arithmetic, held: Any, kind: str, scale: Any, zero: Any) -> Any:
    """The float32 values of what is held; `scale` and `zero` are floats, splatted by `math`."""
    b = math.builder
    if kind == "f32":
        return held
    if kind == "bf16":
        return b.bitcast(b.shl(b.zext(held, math.whole), math.integer(16)), math.kind)
    if kind == FROM_ZERO:
        return b.fmul(b.sitofp(b.zext(held, math.whole), math.kind), math.splat(scale))
    return b.fmul(steps(math, held, zero), math.splat(scale))


def steps(math: Arithmetic, held: Any, zero: Any) -> Any:
    """byte - zero as float32, exact."""
    b = math.builder
    return b.fsub(b.sitofp(b.zext(held, math.whole), math.kind), math.splat(zero))


def encode(math: Arithmetic, value: Any, kind: str, inverse: Any, zero: Any) -> Any:
    """How these float32 values are held; `inverse` and `zero` are floats, splatted by `math`."""
    b = math.builder
    if kind == "f32":
        return value
    if kind == "bf16":
        return b.trunc(_upper_half(math, value), held_type(kind, math.lanes))
    scaled = b.fmul(value, math.splat(inverse))
    if kind != FROM_ZERO:
        scaled = b.fadd(scaled, math.splat(zero))
    rounded = b.fadd(math.clamp(scaled, 0.0, 255.0), math.number(_ROUNDER))
    return b.trunc(b.bitcast(rounded, math.whole), held_type(kind, math.lanes))


def _upper_half(math: Arithmetic, value: Any) -> Any:
    """In 32 bits; rounded to nearest even, NaN stays NaN and becomes quiet."""
    b = math.builder
    bits = b.bitcast(value, math.whole)
    half = b.lshr(bits, math.integer(16))
    up = b.add(b.add(bits, math.integer(0x7FFF)), b.and_(half, math.integer(1)))
    is_nan = b.fcmp_unordered("uno", value, value)
    return b.select(is_nan, b.or_(half, math.integer(0x40)), b.lshr(up, math.integer(16)))


@intrinsic(prefer_literal=True)
def decoded(context, held, scale, zero, kind):
    """The float32 of one held value (float32, uint16, uint8), KINDS[kind]; LLVM turns a loop of it into vectors."""
    if not isinstance(kind, types.IntegerLiteral):
        return None
    name = KINDS[kind.literal_value]

    def code(context, builder, signature, arguments):
        return decode(Arithmetic(builder, ir.FloatType()), arguments[0], name, arguments[1], arguments[2])

    return types.float32(held, types.float32, types.float32, kind), code


@intrinsic(prefer_literal=True)
def encoded(context, value, inverse, zero, kind):
    """How one float32 is held (float32, uint16, uint8), KINDS[kind]."""
    if not isinstance(kind, types.IntegerLiteral):
        return None
    name, held = KINDS[kind.literal_value], HELD[kind.literal_value]

    def code(context, builder, signature, arguments):
        return encode(Arithmetic(builder, ir.FloatType()), arguments[0], name, arguments[1], arguments[2])

    return held(types.float32, types.float32, types.float32, kind), code
