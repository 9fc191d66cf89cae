"""The policies that ship: each keeps the promise of the interface."""

import numpy as np
import pytest

from edgevision.compare.policy import AllPolicy, NonePolicy, RandomPolicy, RandomSettings, ThresholdPolicy, register
from edgevision.interfaces import Policy
from edgevision.records import ChangeMap, Scene
from edgevision.registry import Registry


@pytest.fixture
def change() -> ChangeMap:
    live = np.zeros((40, 50), bool)
    live[10:30, 10:40] = True
    return ChangeMap(live, live, 0.3, 1.0, 0.0, Scene.NORMAL, np.zeros((40, 50), np.uint8))


@pytest.mark.parametrize("policy", [ThresholdPolicy(), AllPolicy(), NonePolicy(), RandomPolicy()], ids=lambda one: type(one).__name__)
def test_every_policy_gives_a_mask_of_the_frame(policy, change):
    assert isinstance(policy, Policy)
    mask = policy.select(change)
    assert mask.dtype == np.bool_
    assert mask.shape == change.live.shape


def test_what_each_takes(change):
    assert ThresholdPolicy().select(change) is change.live
    assert AllPolicy().select(change).all()
    assert not NonePolicy().select(change).any()
    some = RandomPolicy(RandomSettings(seed=3, fraction=0.25)).select(change)
    assert not (some & ~change.live).any()
    assert some.sum() == pytest.approx(150, abs=45)


def test_random_is_seeded(change):
    first, again, other = (RandomPolicy(RandomSettings(seed=seed)).select(change) for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()


def test_register_names_all():
    registry = Registry()
    register(registry)
    assert registry.names("policy") == ("all", "none", "random", "threshold")
    assert registry.build("policy", "random", RandomSettings(fraction=1.0)).settings.fraction == 1.0
