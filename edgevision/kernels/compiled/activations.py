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

_TINY = 1.1754943508222875e-38
_LOG = (
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_ERF = (-1.453152027, 1.421413741, -0.284496736, 0.254829592)


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
        return self.exp_below(self.clamp(v, -87.0, 87.0))

    def exp_below(self, v: Any) -> Any:
        """e^v where -87 <= v <= 87; anything else elsewhere."""
        builder = self.builder
        n = self.call("floor", self.call("fma", v, self.number(1.44269504), self.number(0.5)))
        r = self.call("fma", n, self.number(-0.693359375), v)
        r = self.call("fma", n, self.number(2.12194440e-4), r)
        p = self.number(1.9875691500e-4)
        for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1.0, 1.0):
            p = self.call("fma", p, r, self.number(c))
        power = builder.shl(builder.add(builder.fptosi(n, self.whole), self.integer(127)), self.integer(23))
        return builder.fmul(p, builder.bitcast(power, self.kind))

    def add(self, v: Any, constant: float) -> Any:
        """v + constant."""
        return self.builder.fadd(v, self.number(constant))

    def times(self, v: Any, constant: float) -> Any:
        """v * constant."""
        return self.builder.fmul(v, self.number(constant))

    def exp_wide(self, v: Any) -> Any:
        """The square of e^(v/2)."""
        half = self.exp(self.times(v, 0.5))
        return self.builder.select(self.builder.fcmp_unordered("uno", v, v), v, self.builder.fmul(half, half))

    def log(self, v: Any) -> Any:
        """2^n times m, and a polynomial of m - 1; see the plain one."""
        b, zero, infinity = self.builder, self.number(0.0), self.number(float("inf"))
        is_tiny = b.fcmp_ordered("<", v, self.number(_TINY))
        bits = b.bitcast(b.select(is_tiny, self.times(v, 8388608.0), v), self.whole)
        exponent = b.and_(b.ashr(bits, self.integer(23)), self.integer(255))
        n = b.fadd(b.select(is_tiny, self.number(-149.0), self.number(-126.0)), b.sitofp(exponent, self.kind))
        m = b.bitcast(b.or_(b.and_(bits, self.integer(0x7FFFFF)), self.integer(0x3F000000)), self.kind)
        is_low = b.fcmp_ordered("<", m, self.number(0.70710678))
        n = b.select(is_low, b.fsub(n, self.number(1.0)), n)
        r = b.fsub(b.select(is_low, b.fadd(m, m), m), self.number(1.0))
        p = self.number(7.0376836292e-2)
        for c in _LOG:
            p = self.call("fma", p, r, self.number(c))
        square = b.fmul(r, r)
        p = b.fmul(p, b.fmul(r, square))
        p = self.call("fma", n, self.number(-2.12194440e-4), p)
        p = self.call("fma", square, self.number(-0.5), p)
        p = self.call("fma", n, self.number(0.693359375), b.fadd(r, p))
        p = b.select(b.fcmp_ordered("==", v, zero), self.number(float("-inf")), p)
        beyond = b.select(b.fcmp_ordered("==", v, infinity), v, self.number(float("nan")))
        return b.select(b.and_(b.fcmp_ordered(">=", v, zero), b.fcmp_ordered("<", v, infinity)), p, beyond)

    def erf(self, v: Any) -> Any:
        """The error function; see the plain one."""
        b, x, one = self.builder, self.call("fabs", v), self.number(1.0)
        t = b.fdiv(one, self.call("fma", x, self.number(0.3275911), one))
        p = self.number(1.061405429)
        for c in _ERF:
            p = self.call("fma", p, t, self.number(c))
        return self.call("copysign", b.fsub(one, b.fmul(b.fmul(p, t), self.exp(b.fneg(b.fmul(x, x))))), v)

    def tanh(self, v: Any) -> Any:
        """2 / (1 + e^-2v) - 1."""
        return self.builder.fsub(self.builder.fmul(self.number(2.0), self.sigmoid(self.builder.fadd(v, v))), self.number(1.0))

    def sigmoid(self, v: Any) -> Any:
        """1 / (1 + e^-v)."""
        one = self.number(1.0)
        return self.builder.fdiv(one, self.builder.fadd(one, self.exp(self.builder.fneg(v))))


Emitter = Callable[[Arithmetic, Any, Any, Any], Any]


def _leaky(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    is_positive = m.builder.fcmp_ordered(">", v, m.number(0.0))
    return m.builder.select(is_positive, v, m.builder.fmul(v, alpha))


def _elu(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    is_positive = m.builder.fcmp_ordered(">", v, m.number(0.0))
    return m.builder.select(is_positive, v, m.builder.fmul(alpha, m.builder.fsub(m.exp(v), m.number(1.0))))


def _softplus(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    rest = m.log(m.builder.fadd(m.number(1.0), m.exp(m.builder.fneg(m.call("fabs", v)))))
    return m.builder.fadd(m.larger(v, m.number(0.0)), rest)


def _mish(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    e = m.exp(m.smaller(v, m.number(30.0)))
    n = m.builder.fmul(e, m.add(e, 2.0))
    return m.builder.fmul(v, m.builder.fdiv(n, m.add(n, 2.0)))


def _gelu(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    return m.builder.fmul(m.times(v, 0.5), m.add(m.erf(m.times(v, 0.70710678)), 1.0))


def _gelu_tanh(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    cube = m.builder.fmul(m.builder.fmul(v, v), v)
    inner = m.times(m.builder.fadd(v, m.times(cube, 0.044715)), 0.79788456)
    return m.builder.fmul(m.times(v, 0.5), m.add(m.tanh(inner), 1.0))


def _sign(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    b, zero = m.builder, m.number(0.0)
    not_positive = b.select(b.fcmp_ordered("<", v, zero), m.number(-1.0), b.fmul(v, zero))
    return b.select(b.fcmp_ordered(">", v, zero), m.number(1.0), not_positive)


def _hard(m: Arithmetic, v: Any, alpha: Any, beta: Any) -> Any:
    return m.clamp(m.builder.fadd(m.builder.fmul(alpha, v), beta), 0.0, 1.0)


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
        "tanh": lambda m, v, a, b: m.tanh(v),
        "hsigmoid": _hard_sigmoid,
        "hswish": _hard_swish,
        "elu": _elu,
        "selu": lambda m, v, a, b: m.builder.fmul(b, _elu(m, v, a, b)),
        "softplus": _softplus,
        "mish": _mish,
        "gelu": _gelu,
        "gelu_tanh": _gelu_tanh,
        "erf": lambda m, v, a, b: m.erf(v),
        "softsign": lambda m, v, a, b: m.builder.fdiv(v, m.add(m.call("fabs", v), 1.0)),
        "hard": _hard,
        "swish": lambda m, v, a, b: m.builder.fmul(v, m.sigmoid(m.builder.fmul(a, v))),
        "above": lambda m, v, a, b: m.builder.select(m.builder.fcmp_ordered(">", v, a), m.number(1.0), m.number(0.0)),
        "below": lambda m, v, a, b: m.builder.select(m.builder.fcmp_ordered("<", v, a), m.number(1.0), m.number(0.0)),
        "abs": lambda m, v, a, b: m.call("fabs", v),
        "neg": lambda m, v, a, b: m.builder.fneg(v),
        "exp": lambda m, v, a, b: m.exp_wide(v),
        "log": lambda m, v, a, b: m.log(v),
        "sqrt": lambda m, v, a, b: m.call("sqrt", v),
        "square": lambda m, v, a, b: m.builder.fmul(v, v),
        "cube": lambda m, v, a, b: m.builder.fmul(m.builder.fmul(v, v), v),
        "reciprocal": lambda m, v, a, b: m.builder.fdiv(m.number(1.0), v),
        "floor": lambda m, v, a, b: m.call("floor", v),
        "ceil": lambda m, v, a, b: m.call("ceil", v),
        "round": lambda m, v, a, b: m.call("rint", v),
        "sign": _sign,
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
