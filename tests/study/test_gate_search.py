"""The search, on made-up networks whose costs are known; no network runs."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.study.gate_search import LARGEST, Point, find_gates, scaled, scaled_to


class Model:
    """Step k costs `harm[k]` x gate of disagreement and saves work with the gate's logarithm, `gain[k]` at most."""

    def __init__(self, harm, gain):
        self.harm, self.gain = np.array(harm), np.array(gain)
        self.steps = [f"step{k}" for k in range(len(harm))]
        self.asked = []

    def __call__(self, gates):
        values = np.array([gates[name] for name in self.steps])
        disagreement = float((self.harm * values).sum())
        macs = 1 - float((self.gain * np.log1p(values / 1e-4) / np.log1p(LARGEST / 1e-4)).sum())
        self.asked.append(Point(dict(gates), disagreement, disagreement, macs))
        return self.asked[-1]


def test_gates_go_where_they_save_and_do_not_harm():
    model = Model(harm=[1.0, 0.02, 0.02, 1.0], gain=[0.05, 0.4, 0.02, 0.3])
    found = find_gates(model.steps, model, 0.01)
    gates = found.tuned.gates
    assert found.tuned.disagreement <= 0.01
    assert found.tuned.macs < found.uniform.macs - 0.02
    assert gates["step1"] > 10 * gates["step0"]
    assert gates["step3"] > gates["step0"]
    assert len(model.asked) <= 3 * (4 + 6) + 7


def test_the_answer_was_measured_and_is_the_best_one_within_the_limit_that_was_scaled_to_it():
    model = Model(harm=[0.5, 0.1, 2.0], gain=[0.3, 0.2, 0.1])
    found = find_gates(model.steps, model, 0.02)
    assert found.tuned in model.asked
    assert found.uniform in model.asked
    assert len(set(found.uniform.gates.values())) == 1


@pytest.mark.parametrize("limit", [1e-4, 0.003, 0.05])
def test_scaling_ends_just_below_the_limit(limit):
    model = Model(harm=[0.7, 0.3], gain=[0.2, 0.2])
    point = scaled_to({"step0": 0.01, "step1": 0.01}, model, limit)
    assert 0.8 * limit < point.disagreement <= limit
    assert len(model.asked) <= 6


def test_a_limit_that_nothing_meets_leaves_the_network_exact():
    def measure(gates):
        wrong = 1.0 if any(gates.values()) else 0.0
        return Point(dict(gates), wrong, wrong, 1.0 - 0.5 * wrong)

    found = find_gates(["a", "b"], measure, 0.01)
    assert found.tuned.gates == {"a": 0.0, "b": 0.0}
    assert found.tuned.disagreement == 0.0


def test_no_gate_is_coarser_than_the_largest_even_where_nothing_disagrees():
    model = Model(harm=[0.0, 0.0], gain=[0.4, 0.4])
    found = find_gates(model.steps, model, 0.01)
    assert set(found.tuned.gates.values()) == {LARGEST}


def test_what_is_measured_is_what_can_be_written():
    assert scaled({"a": 0.0123456, "b": 0.09}, 2.0) == {"a": 0.0247, "b": LARGEST}
