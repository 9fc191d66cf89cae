"""The share policy: within the budget, nobody starved, nothing invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgevision.config import builtin_registry, load
from edgevision.interfaces import Policy
from edgevision.records import ChangeMap, Scene
from edgevision.registry import Registry

HERE = Path(__file__).parent


def policy_of(**settings: float) -> Policy:
    registry = Registry()
    registry.load_plugin(HERE)
    kind = registry.settings("policy", "share")
    assert kind is not None
    policy = registry.build("policy", "share", kind(**settings))
    assert isinstance(policy, Policy)
    return policy


def change(live: np.ndarray, full_reason: str | None = None) -> ChangeMap:
    return ChangeMap(live, live, float(live.mean()), 1.0, 0.0, Scene.NORMAL, np.zeros(live.shape, np.uint8), full_reason)


def test_a_small_change_is_taken_as_it_is():
    live = np.zeros((100, 100), bool)
    live[10:20, 10:20] = True
    one = change(live)
    assert policy_of(share=0.02).select(one) is one.live
    whole = change(np.ones((100, 100), bool), "first")
    assert policy_of(share=0.02).select(whole) is whole.live


@pytest.mark.parametrize("band_px", [1, 7, 32, 200])
def test_law_within_budget_and_all_get_their_turn(band_px):
    rng = np.random.default_rng(band_px)
    live = rng.random((100, 60)) < 0.7
    policy = policy_of(share=0.2, band_px=band_px)
    waiting = live.copy()
    for _ in range(110):
        chosen = policy.select(change(live))
        assert not (chosen & ~live).any()
        assert chosen.any()
        assert chosen.sum() <= max(0.2 * live.size, band_px * 60)
        waiting &= ~chosen
    assert not waiting.any()


def test_the_sample_loads():
    config = load(HERE / "sample.yaml", env={}, registry=builtin_registry())
    assert config.cameras["line"].recompute.policy.type == "share"
