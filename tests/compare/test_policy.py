"""The policies that ship: each keeps the promise of the interface."""

from dataclasses import replace

import numpy as np
import pytest

from edgevision.compare.policy import (
    AllPolicy,
    BudgetPolicy,
    BudgetSettings,
    NonePolicy,
    RandomPolicy,
    RandomSettings,
    ThresholdPolicy,
    register,
)
from edgevision.interfaces import Policy
from edgevision.records import ChangeMap, Scene
from edgevision.registry import Registry


@pytest.fixture
def change() -> ChangeMap:
    live = np.zeros((40, 50), bool)
    live[10:30, 10:40] = True
    return ChangeMap(live, live, 0.3, 1.0, 0.0, Scene.NORMAL, np.zeros((40, 50), np.uint8))


@pytest.mark.parametrize(
    "policy", [ThresholdPolicy(), AllPolicy(), NonePolicy(), RandomPolicy(), BudgetPolicy()], ids=lambda one: type(one).__name__
)
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
    assert registry.names("policy") == ("all", "budget", "none", "random", "threshold")
    assert registry.build("policy", "random", RandomSettings(fraction=1.0)).settings.fraction == 1.0


def waiting(tiles: dict[tuple[int, int], int], size=16, shape=(4, 4)) -> ChangeMap:
    """So many live pixels in each of these squares."""
    live = np.zeros((shape[0] * size, shape[1] * size), bool)
    for (row, column), count in tiles.items():
        block = np.zeros(size * size, bool)
        block[:count] = True
        live[row * size : (row + 1) * size, column * size : (column + 1) * size] = block.reshape(size, size)
    return ChangeMap(live, live, live.mean(), 1.0, 0.0, Scene.NORMAL, np.zeros(live.shape, np.uint8))


def test_a_budget_takes_the_worst_first_and_the_rest_next():
    policy = BudgetPolicy(BudgetSettings(budget_ms=1.0, tile_px=16))
    change = waiting({(0, 0): 100, (1, 1): 200, (3, 3): 150})
    assert policy.select(change) is change.live  # nothing is known of the cost yet
    policy.spent(2.25)  # 450 pixels: 0.005 ms each, so 200 fit
    first = policy.select(change)
    assert np.argwhere(first)[:, 0].min() // 16 == 1
    assert first.sum() == 200
    policy.spent(1.0)
    change = waiting({(0, 0): 100, (1, 1): 200, (3, 3): 150})  # (1, 1) moved again, the others wait
    second = policy.select(change)
    assert {(int(r) // 16, int(x) // 16) for r, x in np.argwhere(second)} == {(3, 3)}
    policy.spent(0.75)
    third = policy.select(waiting({(0, 0): 100, (1, 1): 200}))
    assert {(int(r) // 16, int(x) // 16) for r, x in np.argwhere(third)} == {(0, 0)}


def test_one_square_is_always_taken_and_a_whole_run_is_not_cut():
    policy = BudgetPolicy(BudgetSettings(budget_ms=0.01, tile_px=16))
    change = waiting({(0, 0): 256, (2, 2): 250})
    policy.select(change)
    policy.spent(100.0)
    assert policy.select(change).sum() == 256
    assert policy.select(change).sum() == 250
    whole = replace(change, full_reason="global_change")
    assert policy.select(whole) is whole.live


def test_what_a_pixel_costs_is_the_dearer_of_the_last_and_the_usual():
    policy = BudgetPolicy(BudgetSettings(budget_ms=1.0, tile_px=16))
    change = waiting({(row, column): 256 for row in range(4) for column in range(4)})
    policy.select(change)
    policy.spent(4.096)  # 0.001 ms a pixel
    assert 3 <= policy.select(change).sum() / 256 < 4
    policy.spent(7.68)  # 0.01 ms a pixel: a slow frame counts at once
    assert policy.select(change).sum() == 256
