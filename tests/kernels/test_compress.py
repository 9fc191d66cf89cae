"""Measurements in whole numbers: the compiled sums against plain ones, and updates against measuring anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels.compiled.compress import Measurements, spread
from edgevision.kernels.compiled.crew import Crew
from edgevision.kernels.forms import Plane
from edgevision.kernels.plain import compress as plain


def plane(values):
    height, width, _ = values.shape
    return Plane(values, 0, 0, height, width, np.zeros((height, width), np.uint8), np.zeros((height, 2), np.int32))


def test_a_hand_worked_case():
    weights, worth = plain.weights_of(np.array([[0.5, 0.5, 0.0], [1.0, -1.0, 0.5]]))
    tokens = plain.whole(np.array([[1.0, -2.0], [3.0, 100.0], [0.25, np.nan]], np.float32), 0.25)
    assert tokens.tolist() == [[4, -8], [12, 400], [1, plain.MOST]]
    made = plain.measured(weights, tokens) * worth[:, None] * 0.25
    assert made[:, 0] == pytest.approx([2.0, 1 - 3 + 0.125], abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 90), st.integers(1, 20), st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_updates_are_bit_for_bit_what_measuring_anew_gives(rows, columns, channels, count, threads, seed):
    random = np.random.default_rng(seed)
    phi = random.standard_normal((count, rows * columns)) * random.choice([1e-3, 1.0, 1e3])
    weights, worth = plain.weights_of(np.where(random.random(phi.shape) < random.choice([0.02, 1.0]), phi, 0))
    assert np.abs(weights.astype(np.int64)).sum(axis=1).max() <= plain.ROW_WEIGHT
    values = random.standard_normal((rows, columns, channels)).astype(np.float32)
    kept = Measurements(weights, channels, 0.01, Crew(threads))
    kept.take_all(plane(values))
    gate = float(random.choice([0.0, 0.5]))
    ours, theirs = (np.zeros((count, channels), np.float32) for _ in range(2))
    by, their_by = (np.zeros(count, np.float32) for _ in range(2))
    for turn in range(5):
        limit = gate if turn else -1.0
        spread(kept.sums, worth, np.float32(limit), ours, by, kept.touched)
        plain.spread(kept.sums, worth, limit, theirs, their_by, np.ones(count, np.uint8))
        assert np.array_equal(ours, theirs)
        assert np.array_equal(by, their_by), "what was not touched cannot have moved"
        chosen = np.flatnonzero(random.random(rows * columns) < 0.4)
        values.reshape(-1, channels)[chosen] = random.standard_normal((len(chosen), channels)) * random.choice([1, 1e6])
        kept.take(plane(values), chosen)
    assert np.array_equal(kept.sums, plain.measured(weights, plain.whole(values.reshape(-1, channels), 0.01)))


def test_the_worst_tokens_do_not_run_over():
    weights, _ = plain.weights_of(np.ones((1, 4096)))
    values = np.full((64, 64, 1), np.inf, np.float32)
    kept = Measurements(weights, 1, 1.0, Crew(1))
    kept.take_all(plane(values))
    assert kept.sums[0, 0] == int(weights.sum()) * plain.MOST > 2**29
    values[...] = -np.inf
    kept.take(plane(values), np.arange(4096))
    assert kept.sums[0, 0] == -int(weights.sum(dtype=np.int64)) * plain.MOST


def test_ten_thousand_updates_leave_no_trace():
    random = np.random.default_rng(5)
    weights, _ = plain.weights_of(random.standard_normal((8, 64)))
    values = random.standard_normal((8, 8, 16)).astype(np.float32)
    kept = Measurements(weights, 16, 0.001, Crew(1))
    kept.take_all(plane(values))
    for _ in range(10_000):
        token = int(random.integers(64))
        values[token // 8, token % 8] = random.standard_normal(16)
        kept.take(plane(values), np.array([token]))
    anew = Measurements(weights, 16, 0.001, Crew(1))
    anew.take_all(plane(values))
    assert np.array_equal(kept.sums, anew.sums)
