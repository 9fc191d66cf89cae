"""The elementwise functions, float32 in and out, each in the very operations the compiled ones use.

To add one: write it here and in `compiled/activations.py`, and enter it in both tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from edgevision.kernels.forms import Activation, Float
from edgevision.kernels.plain.exact import fma

F = np.float32
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


def apply(activation: Activation, v: Float) -> Float:
    """The activation of every value."""
    with np.errstate(all="ignore"):
        return np.asarray(_TABLE[activation.kind](v, F(activation.alpha), F(activation.beta)), np.float32)


def exp(v: Float) -> Float:
    """e^v for -87 <= v <= 87, beyond that e^-87 and e^87: 2^n times a polynomial, error below 2 units in the last place."""
    v = _clamp(v, F(-87.0), F(87.0))
    n = np.floor(fma(v, F(1.44269504), F(0.5)))
    r = fma(n, F(-0.693359375), v)
    r = fma(n, F(2.12194440e-4), r)
    p = np.full_like(r, F(1.9875691500e-4))
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 0.5, 1.0, 1.0):
        p = fma(p, r, F(c))
    return np.asarray(p * ((n.astype(np.int32) + 127) << 23).view(np.float32))


def exp_wide(v: Float) -> Float:
    """e^v for every v: the square of e^(v/2), so that it reaches infinity and 0."""
    half = exp(v * F(0.5))
    return np.where(np.isnan(v), v, half * half)


def log(v: Float) -> Float:
    """The natural logarithm, error below 2 units in the last place: v = 2^n * m, m between 0.7 and 1.4, and a polynomial of m - 1."""
    is_tiny = v < F(_TINY)
    scaled = np.where(is_tiny, v * F(8388608.0), v)
    bits = np.ascontiguousarray(scaled).view(np.int32)
    n = np.where(is_tiny, F(-149.0), F(-126.0)) + ((bits >> 23) & 255).astype(np.float32)
    m = ((bits & 0x7FFFFF) | 0x3F000000).view(np.float32)
    is_low = m < F(0.70710678)
    n = np.where(is_low, n - F(1), n)
    r = np.where(is_low, m + m, m) - F(1)
    p = np.full_like(r, F(7.0376836292e-2))
    for c in _LOG:
        p = fma(p, r, F(c))
    square = r * r
    p = p * (r * square)
    p = fma(n, F(-2.12194440e-4), p)
    p = fma(square, F(-0.5), p)
    p = fma(n, F(0.693359375), r + p)
    p = np.where(v == 0, F(-np.inf), p)
    return np.where((v >= 0) & (v < F(np.inf)), p, np.where(v == F(np.inf), v, F(np.nan)))


def erf(v: Float) -> Float:
    """The error function, off by at most 5e-7: Abramowitz and Stegun 7.1.26."""
    x = np.abs(v)
    t = F(1) / fma(x, F(0.3275911), F(1))
    p = np.full_like(t, F(1.061405429))
    for c in _ERF:
        p = fma(p, t, F(c))
    return np.asarray(np.copysign(F(1) - p * t * exp(-(x * x)), v))


def _clamp(v: Float, low: np.float32, high: np.float32) -> Float:
    v = np.where(v > low, v, low)
    return np.where(v < high, v, high)


def _sigmoid(v: Float) -> Float:
    return np.asarray(F(1) / (F(1) + exp(-v)))


def _elu(v: Float, a: np.float32) -> Float:
    return np.where(v > 0, v, a * (exp(v) - F(1)))


def _softplus(v: Float) -> Float:
    return np.where(v > 0, v, F(0)) + log(F(1) + exp(-np.abs(v)))


def _mish(v: Float) -> Float:
    """v * tanh(softplus(v)), as v * n / (n + 2) with n = e^v (e^v + 2)."""
    e = exp(np.where(v < F(30), v, F(30)))
    n = e * (e + F(2))
    return np.asarray(v * (n / (n + F(2))), np.float32)


def _tanh(v: Float) -> Float:
    return np.asarray(F(2) * _sigmoid(v + v) - F(1))


def _gelu_tanh(v: Float) -> Float:
    inner = F(0.79788456) * (v + F(0.044715) * (v * v * v))
    return np.asarray(F(0.5) * v * (F(1) + _tanh(inner)))


_TABLE: Mapping[str, Callable[[Float, np.float32, np.float32], Float]] = MappingProxyType(
    {
        "none": lambda v, a, b: v,
        "relu": lambda v, a, b: np.where(v > 0, v, F(0)),
        "leaky": lambda v, a, b: np.where(v > 0, v, v * a),
        "clamp": _clamp,
        "sigmoid": lambda v, a, b: _sigmoid(v),
        "silu": lambda v, a, b: v * _sigmoid(v),
        "tanh": lambda v, a, b: _tanh(v),
        "hsigmoid": lambda v, a, b: _clamp(v + F(3), F(0), F(6)) / F(6),
        "hswish": lambda v, a, b: v * _clamp(v + F(3), F(0), F(6)) / F(6),
        "elu": lambda v, a, b: _elu(v, a),
        "selu": lambda v, a, b: b * _elu(v, a),
        "softplus": lambda v, a, b: _softplus(v),
        "mish": lambda v, a, b: _mish(v),
        "gelu": lambda v, a, b: np.asarray(F(0.5) * v * (F(1) + erf(v * F(0.70710678))), np.float32),
        "gelu_tanh": lambda v, a, b: _gelu_tanh(v),
        "erf": lambda v, a, b: erf(v),
        "softsign": lambda v, a, b: np.asarray(v / (F(1) + np.abs(v)), np.float32),
        "hard": lambda v, a, b: _clamp(a * v + b, F(0), F(1)),
        "swish": lambda v, a, b: v * _sigmoid(a * v),
        "above": lambda v, a, b: np.where(v > a, F(1), F(0)),
        "below": lambda v, a, b: np.where(v < a, F(1), F(0)),
        "abs": lambda v, a, b: np.abs(v),
        "neg": lambda v, a, b: -v,
        "exp": lambda v, a, b: exp_wide(v),
        "log": lambda v, a, b: log(v),
        "sqrt": lambda v, a, b: np.sqrt(v),
        "square": lambda v, a, b: v * v,
        "cube": lambda v, a, b: v * v * v,
        "reciprocal": lambda v, a, b: F(1) / v,
        "floor": lambda v, a, b: np.floor(v),
        "ceil": lambda v, a, b: np.ceil(v),
        "round": lambda v, a, b: np.rint(v),
        "sign": lambda v, a, b: np.where(v > 0, F(1), np.where(v < 0, F(-1), v * F(0))),
    }
)
