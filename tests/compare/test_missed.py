"""A change that was left is found by another way than the map's own; specks, edges, what is live and what does not count are none."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.compare.background import ChangeDetector
from edgevision.compare.missed import in_runs, missed_share
from edgevision.compare.settings import ChangeSettings


def test_runs_are_counted_by_their_beginnings():
    marks = np.zeros((2, 12), bool)
    marks[0, 1:10] = True  # nine: runs begin at 1 and 2
    marks[1, :7] = True
    assert in_runs(marks) == 2


def share(image, used, allowed=None, live=None, light=(1.0, 0.0), shake_px=0):
    shape = image.shape[:2]
    masks = np.ones(shape, np.uint8) if allowed is None else allowed, np.zeros(shape, bool) if live is None else live
    return missed_share((image, used), light, masks, (32, shake_px), np.random.default_rng(0))


def test_only_what_plainly_differs_counts_and_is_not_live():
    used = np.full((32, 100, 3), 100, np.uint8)
    image = used.copy()
    image[:, 20:40, 1] = 140
    image[:, 60:64] = 200  # as narrow as an edge that shakes
    assert share(image, used) == pytest.approx(13 / 100)
    live = np.zeros((32, 100), bool)
    live[:, 20:40] = True
    assert share(image, used, live=live) == 0
    assert share(image, used, allowed=(~live).astype(np.uint8)) == 0
    assert share(np.full_like(used, 131), used) == 0
    assert share(np.full_like(used, 50), used, light=(2.0, 0.0)) == 0


def test_the_detector_leaves_nothing_and_a_blind_one_does():
    random = np.random.default_rng(0)
    detector = ChangeDetector(ChangeSettings(settle_frames=0))
    still = np.clip(random.normal(100, 2, (96, 128, 3)), 0, 255).astype(np.uint8)
    detector.update(still)
    image = still.copy()
    image[20:80, 30:90] = 200
    change = detector.measure(image)
    assert detector.missed(change, change.live, 32, np.random.default_rng(0)) == 0
    assert detector.missed(change, np.zeros_like(change.live), 32, np.random.default_rng(0)) > 0.2


def test_an_edge_that_shakes_is_forgiven_as_far_as_the_map_forgives_it():
    used = np.full((64, 40), 50, np.uint8)
    used[::2] = 200  # every row is an edge
    image = np.roll(used, 1, axis=0)
    assert share(image, used) > 0.5
    assert share(image, used, shake_px=1) == 0
    assert share(np.full_like(used, 240), used, shake_px=1) > 0.5
