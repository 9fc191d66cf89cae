"""Stores: what the oracle rounds, and that compiled code rounds the same, scalar or vector, in every width."""

from __future__ import annotations

import numpy as np
import pytest
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from edgevision.kernels.compiled import store as compiled
from edgevision.kernels.compiled.activations import Arithmetic
from edgevision.kernels.forms import BF16, F32, Store
from edgevision.kernels.plain import store as plain

STORES = [F32, BF16, Store("u8", 0.0173, 0), Store("u8", 0.25, 128), Store("u8", 3.7e-3, 255)]
SPECIAL = np.array(
    [0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0x7F800000, 0xFF800000, 1, 0x80000000, 0x7F7FFFFF, 0x00018000, 0x00028000], np.uint32
)


def values() -> np.ndarray:
    """Numbers of every size, ties of both roundings, infinities, every sort of NaN."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 1 << 32, 4096, dtype=np.uint64).astype(np.uint32)
    ties = (bits & np.uint32(0xFFFF0000)) | np.uint32(0x8000)
    near = (random.integers(-600, 600, 4096) / 8).astype(np.float32)
    return np.concatenate(
        [bits.view(np.float32), ties.view(np.float32), near, random.standard_normal(4096).astype(np.float32), SPECIAL.view(np.float32)]
    )


def test_known_roundings():
    """Worked by hand: ties go to even, bytes are clamped, NaN is byte 0 and a quiet bf16."""
    got = plain.encode(np.array([0.125, 0.375, -99, 99, np.nan], np.float32), Store("u8", 0.25, 10))
    assert got.tolist() == [10, 12, 0, 255, 0]
    got = plain.encode(np.array([0x3F808000, 0x3F818000, 0x7F800001], np.uint32).view(np.float32), BF16)
    assert got.tolist() == [0x3F80, 0x3F82, 0x7FC0]


@intrinsic(prefer_literal=True)
def convert(context, source, target, scale, zero, kind, lanes, is_decode):
    """`lanes` values at one address, converted, to another address."""
    name, count = compiled.KINDS[kind.literal_value], lanes.literal_value

    def code(context, builder, signature, arguments):
        math = Arithmetic(builder, ir.VectorType(ir.FloatType(), count))
        held = compiled.held_type(name, count)
        read, work = (held, compiled.decode) if is_decode.literal_value else (math.kind, compiled.encode)
        value = builder.load(builder.inttoptr(arguments[0], read.as_pointer()), align=1)
        made = work(math, value, name, arguments[2], arguments[3])
        builder.store(made, builder.inttoptr(arguments[1], made.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.float32, types.float32, kind, lanes, is_decode), code


@njit
def convert_all(source, target, sizes, count, scale, zero, kind, lanes, is_decode):
    for place in range(0, count, lanes):
        convert(source + place * sizes[0], target + place * sizes[1], scale, zero, kind, lanes, is_decode)


@pytest.mark.parametrize("lanes", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("store", STORES, ids=str)
def test_vectors_are_coded_as_the_oracle_does(store, lanes):
    given = values()
    given = given[: len(given) // 16 * 16]
    want = plain.encode(given, store)
    scale, zero, inverse = compiled.numbers(store)
    kind, one, number = types.literal(compiled.KINDS.index(store.kind)), types.float32, types.int64

    def through(source: np.ndarray, target: np.ndarray, factor: np.float32, is_decode: int) -> np.ndarray:
        sizes = types.UniTuple(number, 2)
        signature = (number, number, sizes, number, one, one, kind, types.literal(lanes), types.literal(is_decode))
        convert_all.compile(signature)
        code = convert_all.overloads[signature].entry_point
        code(
            source.ctypes.data,
            target.ctypes.data,
            (source.itemsize, target.itemsize),
            len(source),
            factor,
            zero,
            kind.literal_value,
            lanes,
            is_decode,
        )
        return target

    held = through(given, np.zeros(len(given), store.dtype), inverse, 0)
    assert held.tobytes() == want.tobytes()
    assert through(want, np.zeros(len(given), np.float32), scale, 1).tobytes() == plain.decode(want, store).tobytes()


@njit
def there_and_back(given, held, back, scale, zero, inverse, kind):
    for place in range(len(given)):
        held[place] = compiled.encoded(given[place], inverse, zero, kind)
        back[place] = compiled.decoded(held[place], scale, zero, kind)


@pytest.mark.parametrize("store", STORES, ids=str)
def test_loops_code_as_the_oracle_does(store):
    given, kind = values(), compiled.KINDS.index(store.kind)
    held, back = np.zeros(len(given), store.dtype), np.zeros(len(given), np.float32)
    one = types.float32
    arrays = [types.Array(types.float32, 1, "C"), {"f32": one, "bf16": types.uint16, "u8": types.uint8}[store.kind][::1], one[::1]]
    signature = (*arrays, one, one, one, types.literal(kind))
    there_and_back.compile(signature)
    there_and_back.overloads[signature].entry_point(given, held, back, *compiled.numbers(store), kind)
    assert held.tobytes() == plain.encode(given, store).tobytes()
    assert back.tobytes() == plain.decode(held, store).tobytes()
