"""How far a network sees: known from its steps, and true of what it answers."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.recompute.load import load_for_frames
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Region
from edgevision.segment.places import around

SIZE = (96, 160)


@pytest.fixture(scope="module")
def network():
    """The one that ships."""
    return load_for_frames(RecomputeSettings(), *SIZE)


def test_what_lies_beyond_is_not_seen_and_all_within_is_enough(network):
    far = network.sight_px
    assert far == 36
    random = np.random.default_rng(3)
    one, other = (random.integers(0, 256, (*SIZE, 3), np.uint8) for _ in range(2))
    spot = Region("spot", 1.0, (70, 40, 80, 50), 100, (), (75.0, 45.0))
    network.first(one)
    outputs = network.next(other, around((spot,), far, SIZE))
    part = {name: value[:, :, 20:25, 35:40].copy() for name, value in outputs.items()}
    too_little = {name: value[:, :, 20:25, 35:40].copy() for name, value in _partly(network, one, other, spot, far - 12).items()}
    whole = network.first(other)
    assert all(np.array_equal(part[name], value[:, :, 20:25, 35:40]) for name, value in whole.items())
    assert any(not np.array_equal(too_little[name], value[:, :, 20:25, 35:40]) for name, value in whole.items())


def _partly(network, one, other, spot, far):
    network.first(one)
    return network.next(other, around((spot,), far, SIZE))
