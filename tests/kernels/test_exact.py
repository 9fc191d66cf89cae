"""The oracle's own foundation: one rounding, as Fractions do it."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from edgevision.kernels.forms import Activation
from edgevision.kernels.plain.activations import apply, exp
from edgevision.kernels.plain.exact import fma


def nearest_float32(value: Fraction) -> np.float32:
    """Round to nearest, ties to even, by comparing neighbours exactly."""
    guess = np.float32(float(value))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    return min(around, key=lambda f: (abs(Fraction(float(f)) - value), int(f.view(np.uint32)) & 1))


def test_fma_rounds_once():
    random = np.random.default_rng(0)
    exponents = 2.0 ** random.integers(-20, 20, (3, 2000))
    a, b, c = (random.standard_normal((3, 2000)) * exponents).astype(np.float32)
    c[::2] = -(a[::2] * b[::2])
    for x, y, z, got in zip(a, b, c, fma(a, b, c), strict=True):
        assert got == nearest_float32(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)))


def test_fma_where_rounding_twice_goes_wrong():
    """1 + 2^-24 + 2^-60: float64 drops the last term, and the tie that is left goes to even."""
    a, b, c = np.float32(2.0**-12 * (1 + 2.0**-12)), np.float32(2.0**-12 * (1 - 2.0**-12 + 2.0**-24)), np.float32(1)
    assert np.float32(np.float64(a) * np.float64(b) + np.float64(c)) == 1
    assert fma(np.array([a]), np.array([b]), np.array([c]))[0] == np.nextafter(np.float32(1), np.float32(2))


def test_exp_is_close_over_its_range():
    x = np.linspace(-87, 87, 20001).astype(np.float32)
    true = np.exp(x.astype(np.float64))
    assert np.max(np.abs(exp(x) - true) / true) < 3e-7


@pytest.mark.parametrize(
    ("kind", "true"),
    [
        ("sigmoid", lambda x: 1 / (1 + np.exp(-x))),
        ("silu", lambda x: x / (1 + np.exp(-x))),
        ("tanh", np.tanh),
        ("hswish", lambda x: x * np.clip(x + 3, 0, 6) / 6),
        ("hsigmoid", lambda x: np.clip(x + 3, 0, 6) / 6),
        ("relu", lambda x: np.maximum(x, 0)),
        ("leaky", lambda x: np.where(x > 0, x, 0.25 * x)),
        ("clamp", lambda x: np.clip(x, 0.25, 6)),
    ],
)
def test_activations_are_what_they_are_called(kind, true):
    x = np.linspace(-30, 30, 3001).astype(np.float32)
    got = apply(Activation(kind, 0.25, 6.0), x)
    assert np.max(np.abs(got - true(x.astype(np.float64)))) < 1e-6 * 30
