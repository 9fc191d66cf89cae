"""Layer normalisation's arithmetic: against float64, then plain against compiled, the same bits for any vectors, stores and gate."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.kernels import open_backend
from edgevision.kernels.forms import Across
from tests.kernels.test_rearranging import STORES, full, run

FORM = Across("normalise", 1e-6)


def test_mean_0_and_variance_1_whatever_the_channels():
    values = np.random.default_rng(0).standard_normal((1, 3, 67)).astype(np.float32) * 5 + 2
    made = run(open_backend("plain"), FORM, [values], np.zeros_like(values), full(1, 3)).values
    wide = values.astype(np.float64)
    exact = (wide - wide.mean(2, keepdims=True)) / np.sqrt(wide.var(2, keepdims=True) + 1e-6)
    assert np.abs(made - exact).max() < 1e-5


@pytest.mark.parametrize("lanes", [8, 16])
@pytest.mark.parametrize(("channels", "store", "gate"), [(1, 0, None), (19, 1, 0.5), (40, 2, 0.0), (64, 0, 0.5), (67, 1, None)])
def test_compiled_equals_plain(channels, store, gate, lanes):
    random = np.random.default_rng(channels)
    values, before = (random.standard_normal((2, 5, channels)).astype(np.float32) for _ in range(2))
    values[0, 2, 0] = np.inf
    runs, stores = np.array([(0, 1, 4), (1, 0, 5)], np.int32), (STORES[0], STORES[store], STORES[0])
    backends = open_backend("plain"), open_backend("compiled", lanes)
    made = [run(backend, FORM, [values], before, runs, gate, stores) for backend in backends]
    assert made[0].padded.tobytes() == made[1].padded.tobytes()
    assert np.array_equal(made[0].live != 0, made[1].live != 0)
