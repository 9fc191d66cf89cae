"""The elementwise functions as LLVM code over a float or a vector of floats, in the very operations of `plain/activations.py`.

To add one: write it here and there, and enter it in both tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


class Arithmetic:
    """Emits float operations for one type: `ir.FloatType()` or a vector of it. No operation is fused or reordered unless it says so."""

    def __init__(self, builder: Any, kind: Any) -> None:
        self.builder, self.kind = builder, kind
        self.lanes = kind.count if isinstance(kind, ir.VectorType) else 0
        whole = ir.IntType(32)
        self.whole = ir.VectorType(whole, self.lanes) if self.lanes else whole

    def number(self, value: float) -> Any:
        """A constant in every lane."""
        return ir.Constant(self.kind, [value] * self.lanes if self.lanes else value)

    def integer(self, value: int) -> Any:
        """The same for 32-bit integers."""
        return ir.Constant(self.whole, [value] * self.lanes if self.lanes else value)

    def splat(self, scalar: Any) -> Any:
        """A float in every lane."""
        if not self.lanes:
            return scalar
        undefined, index = ir.Constant(self.kind, ir.Undefined), ir.IntType(32)
        first = self.builder.insert_element(undefined, scalar, ir.Constant(index, 0))
        return self.builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(index, self.lanes), [0] * self.lanes))

    def call(self, name: str, *values: Any) -> Any:
        """An LLVM intrinsic of this type, for instance `fma`."""
        suffix = f"v{self.lanes}f32" if self.lanes else "f32"
        signature = ir.FunctionType(self.kind, [self.kind] * len(values))
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, signature, f"llvm.{name}.{suffix}"), values)

    def larger(self, a: Any, b: Any) -> Any:
        """a if a > b, else b."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def smaller(self, a: Any, b: Any) -> Any:
        """a if a < b, else b."""
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def clamp(self, v: Any, low: float, high: float) -> Any:
        """Within constants."""
        return self.smaller(self.larger(v, self.number(low)), self.number(high))

    def exp(self, v: Any) -> Any:
        """2^n times a polynomial; see the plain one."""
        builder = self.builder
        v = self.clamp(v, -87.0, 87.0)
        n = self.call("floor", self.call("fma", v, self.number(1.44269504), self.number(0.5)))
        r = self.call("fma", n, self.number(-0.693359375), v)
        r = self.call("fma", n, self.number(2.12194440e-4), r)
        p = self.number(1.9875691500e-4)
        for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1.0, 1.0):
            p = self.call("fma", p, r, self.number(c))
        power = builder.shl(builder.add(builder.fptosi(n, self.whole), self.integer(127)), self.integer(23))
        return builder.fmul(p, builder.bitcast(power, self.kind))

    def sigmoid(self, v: Any) -> Any:
        """1 / (1 + e^-v)."""
        one = self.number(1.0)
        return self.builder.fdiv(one, self.builder.fadd(one, self.exp(self.builder.fneg(v))))


Emitter = Callable[[Arithmetic, Any, Any, Any], Any]


def _leaky(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    is_positive = m.builder.fcmp_ordered(">", v, m.number(0.0))
    return m.builder.select(is_positive, v, m.builder.fmul(v, alpha))


def _tanh(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    twice = m.builder.fmul(m.number(2.0), m.sigmoid(m.builder.fadd(v, v)))
    return m.builder.fsub(twice, m.number(1.0))


def _hard_sigmoid(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    return m.builder.fdiv(m.clamp(m.builder.fadd(v, m.number(3.0)), 0.0, 6.0), m.number(6.0))


def _hard_swish(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    return m.builder.fdiv(m.builder.fmul(v, m.clamp(m.builder.fadd(v, m.number(3.0)), 0.0, 6.0)), m.number(6.0))


EMITTERS: Mapping[str, Emitter] = MappingProxyType(
    {
        "none": lambda m, v, a, b: v,
        "relu": lambda m, v, a, b: m.larger(v, m.number(0.0)),
        "leaky": _leaky,
        "clamp": lambda m, v, a, b: m.smaller(m.larger(v, a), b),
        "sigmoid": lambda m, v, a, b: m.sigmoid(v),
        "silu": lambda m, v, a, b: m.builder.fmul(v, m.sigmoid(v)),
        "tanh": _tanh,
        "hsigmoid": _hard_sigmoid,
        "hswish": _hard_swish,
    }
)
KINDS = tuple(EMITTERS)


@intrinsic(prefer_literal=True)
def activate(context, value, alpha, beta, kind):
    """The activation of one float, KINDS[kind]; LLVM turns a loop of it into vectors."""
    if not isinstance(kind, types.IntegerLiteral):
        return None
    emitter = EMITTERS[KINDS[kind.literal_value]]

    def code(context, builder, signature, arguments):
        return emitter(Arithmetic(builder, ir.FloatType()), *arguments[:3])

    return types.float32(types.float32, types.float32, types.float32, kind), code
