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


def apply(activation: Activation, v: Float) -> Float:
    """The activation of every value."""
    with np.errstate(over="ignore", invalid="ignore"):
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


def _clamp(v: Float, low: np.float32, high: np.float32) -> Float:
    v = np.where(v > low, v, low)
    return np.where(v < high, v, high)


def _sigmoid(v: Float) -> Float:
    return np.asarray(F(1) / (F(1) + exp(-v)))


_TABLE: Mapping[str, Callable[[Float, np.float32, np.float32], Float]] = MappingProxyType(
    {
        "none": lambda v, a, b: v,
        "relu": lambda v, a, b: np.where(v > 0, v, F(0)),
        "leaky": lambda v, a, b: np.where(v > 0, v, v * a),
        "clamp": _clamp,
        "sigmoid": lambda v, a, b: _sigmoid(v),
        "silu": lambda v, a, b: v * _sigmoid(v),
        "tanh": lambda v, a, b: F(2) * _sigmoid(v + v) - F(1),
        "hsigmoid": lambda v, a, b: _clamp(v + F(3), F(0), F(6)) / F(6),
        "hswish": lambda v, a, b: v * _clamp(v + F(3), F(0), F(6)) / F(6),
    }
)
