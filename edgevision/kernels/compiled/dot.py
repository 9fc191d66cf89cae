"""The sum of products, step by step: one 32-bit word of the input, in every lane, times a vector (or two) of weights for each accumulator.

A word holds one f32, two bf16 or four u8 channels. Kinds and what they keep as weights (per word, lane by lane):
  f32    one float: a fused multiply-add
  bf16   two bf16, by the CPU's own instruction: the second channel's product is added first
  halves two floats, the second channel's and the first's, in vectors of their own: the same sums where that instruction is missing
         (but the instruction takes what is below 2^-126 as 0)
  bytes  four s8, by the CPU's own instruction (VNNI): added up in int32
  quads  four s8, by `pmaddubsw`, which adds up two products in 16 bits: weights that might not fit are cut (`cut`), and what was cut off
         is added in steps of its own; whole sums may be taken in any order
  pairs  channels (0, 2) and (1, 3) as int16, in vectors of their own: the same sums from `pmaddwd`, which saturates nowhere
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numpy.typing import NDArray

from edgevision.kernels.compiled.cpu import Cpu
from edgevision.kernels.forms import BF16, Store
from edgevision.kernels.plain.store import encode

FLOAT, I8, I16, I32 = ir.FloatType(), ir.IntType(8), ir.IntType(16), ir.IntType(32)
CHANNELS: Mapping[str, int] = MappingProxyType({"f32": 1, "bf16": 2, "halves": 2, "bytes": 4, "quads": 4, "pairs": 4})
# vectors of them for each vector of accumulators
WEIGHTS: Mapping[str, int] = MappingProxyType({"f32": 1, "bf16": 1, "halves": 2, "bytes": 1, "quads": 1, "pairs": 2})


class _Bfloat(ir.Type):  # type: ignore[misc]
    """LLVM's bfloat, which llvmlite does not know."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Bfloat)

    def __hash__(self) -> int:
        return hash("bfloat")


def kind_for(store: Store, cpu: Cpu) -> str:
    """The kind of sum over a source held so."""
    if store.kind == "f32":
        return "f32"
    if store.kind == "bf16":
        return "bf16" if cpu.has_bf16 else "halves"
    return "bytes" if cpu.has_vnni else "quads" if cpu.lanes > 4 else "pairs"


def cut(weights: NDArray[np.int8]) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """`weights` (..., channel, output) as a sum of two: channels 2n and 2n + 1, times any bytes, fit 16 bits in each."""
    first = weights[..., 0::2, :].astype(np.int16)[..., : weights.shape[-2] // 2, :]
    second = weights[..., 1::2, :].astype(np.int16)
    over = np.where(first > 0, np.maximum(first + second - 128, 0), np.minimum(first + second + 128, 0))
    over = np.where((first > 0) == (second > 0), over, 0)
    rest = np.zeros_like(weights)
    rest[..., 1::2, :] = over.astype(np.int8)
    return weights - rest, rest


def arrange(weights: NDArray[Any], kind: str, lanes: int) -> NDArray[Any]:
    """`weights` (..., channel, output) in the order of the steps: (..., word, vector, of its weights, lane, channel of the word)."""
    size = CHANNELS[kind]
    *before, channels, outputs = weights.shape
    words = -(-channels // size)
    whole = np.zeros((*before, words * size, outputs), weights.dtype)
    whole[..., :channels, :] = weights
    split = whole.reshape(*before, words, size, outputs // lanes, lanes)
    if kind in ("f32", "halves"):
        return np.ascontiguousarray(np.moveaxis(split[..., ::-1, :, :], -3, -2))
    if kind == "pairs":
        pairs = np.stack([split[..., 0::2, :, :], split[..., 1::2, :, :]], -4)  # (..., word, 0 or 1, channel, vector, lane)
        return np.ascontiguousarray(np.moveaxis(np.moveaxis(pairs, -3, -1), -4, -3).astype(np.int16))
    together = np.ascontiguousarray(np.moveaxis(split, -3, -1))
    return encode(together, BF16) if kind == "bf16" else together


class Dot:
    """Emits the sums of one kind."""

    def __init__(self, builder: Any, kind: str) -> None:
        self.b, self.kind = builder, kind
        self.is_whole = kind in ("bytes", "quads", "pairs")

    def sum_type(self, lanes: int) -> Any:
        """Of an accumulator."""
        return ir.VectorType(I32 if self.is_whole else FLOAT, lanes)

    def splat(self, word: Any, lanes: int) -> Any:
        """A word in every lane."""
        undefined = ir.Constant(ir.VectorType(I32, lanes), ir.Undefined)
        first = self.b.insert_element(undefined, word, ir.Constant(I32, 0))
        return self.b.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))

    def parts(self, words: Any) -> list[Any]:
        """What of the splatted words is multiplied by each vector of weights."""
        lanes, b = words.type.count, self.b
        if self.kind == "halves":
            second = b.and_(words, ir.Constant(words.type, [0xFFFF0000] * lanes))
            first = b.shl(words, ir.Constant(words.type, [16] * lanes))
            return [b.bitcast(part, ir.VectorType(FLOAT, lanes)) for part in (second, first)]
        if self.kind == "pairs":
            even = b.and_(words, ir.Constant(words.type, [0x00FF00FF] * lanes))
            shorts = ir.VectorType(I16, 2 * lanes)
            odd = b.lshr(b.bitcast(words, shorts), ir.Constant(shorts, [8] * 2 * lanes))
            return [b.bitcast(even, shorts), odd]
        return [b.bitcast(words, self.factor_type(lanes))]

    def factor_type(self, lanes: int) -> Any:
        """Of a vector of weights, and of the inputs it is multiplied with."""
        if self.kind in ("f32", "halves"):
            return ir.VectorType(FLOAT, lanes)
        if self.kind == "bf16":
            return ir.VectorType(_Bfloat(), 2 * lanes)
        if self.kind == "quads":
            return ir.VectorType(I8, 4 * lanes)
        return ir.VectorType(I16, 2 * lanes) if self.kind == "pairs" else ir.VectorType(I32, lanes)

    def add(self, total: Any, part: Any, weights: Any) -> Any:
        """total + part x weights."""
        lanes, name = total.type.count, self.kind
        if name in ("f32", "halves"):
            return self._call(f"llvm.fma.v{lanes}f32", total.type, part, weights, total)
        if name == "bf16":
            return self._call(f"llvm.x86.avx512bf16.dpbf16ps.{lanes * 32}", total.type, total, part, weights)
        if name == "bytes":
            return self._call(f"llvm.x86.avx512.vpdpbusd.{lanes * 32}", total.type, total, part, weights)
        if name == "quads":
            intrinsic = {8: "avx2.pmadd.ub.sw", 16: "avx512.pmaddubs.w.512"}[lanes]
            part = self._call(f"llvm.x86.{intrinsic}", ir.VectorType(I16, 2 * lanes), part, weights)
            weights = ir.Constant(part.type, [1] * 2 * lanes)
        intrinsic = {4: "sse2.pmadd.wd", 8: "avx2.pmadd.wd", 16: "avx512.pmaddw.d.512"}[lanes]
        return self.b.add(total, self._call(f"llvm.x86.{intrinsic}", total.type, part, weights))

    def _call(self, name: str, result: Any, *values: Any) -> Any:
        signature = ir.FunctionType(result, [value.type for value in values])
        return self.b.call(cgutils.get_or_insert_function(self.b.module, signature, name), values)
