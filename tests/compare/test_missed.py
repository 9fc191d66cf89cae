"""A change that was left is found by another way than the map's own; specks, edges, what is live and what does not count are none."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.compare import measure
from edgevision.compare.background import ChangeDetector
from edgevision.compare.missed import Limits, in_runs, missed_share
from edgevision.compare.settings import ChangeSettings


def test_runs_are_counted_by_their_beginnings():
    marks = np.zeros((2, 12), bool)
    marks[0, 1:10] = True  # nine: runs begin at 1 and 2
    marks[1, :7] = True
    assert in_runs(marks) == 2
    assert in_runs(marks, 7) == 4


def share(image, used, allowed=None, live=None, shake_px=0, is_sampled=True):
    shape = image.shape[:2]
    masks = np.ones(shape, np.uint8) if allowed is None else allowed, np.zeros(shape, bool) if live is None else live
    limits = Limits(np.full(256, 32, np.int32), 0, shake_px)
    return missed_share(lambda rows: image[rows], used, masks, limits, np.random.default_rng(0) if is_sampled else None)


def test_only_what_plainly_differs_counts_and_is_not_live():
    used = np.full((32, 100, 3), 100, np.uint8)
    image = used.copy()
    image[:, 20:40, 1] = 140
    image[:, 60:64] = 200  # as narrow as an edge that shakes
    assert share(image, used) == share(image, used, is_sampled=False) == pytest.approx(13 / 100)
    live = np.zeros((32, 100), bool)
    live[:, 20:40] = True
    assert share(image, used, live=live) == 0
    assert share(image, used, allowed=(~live).astype(np.uint8)) == 0
    assert share(np.full_like(used, 131), used) == 0


def test_all_over_a_single_place_is_found():
    used = np.full((1000, 100), 100, np.uint8)
    image = used.copy()
    image[500, 20:40] = 140
    assert share(image, used) == 0
    assert share(image, used, is_sampled=False) == pytest.approx(13 / 100_000)


def test_what_is_plain_follows_from_the_threshold_that_was_asked_for():
    noise = np.full(256, 2.0)
    assert set(measure.plain_levels("auto", noise, 32.0)) == {28.0}
    assert set(measure.plain_levels("auto", noise, 20.0)) == {20.0}
    assert set(measure.plain_levels(120, noise, 32.0)) == {32.0}
    assert set(measure.plain_levels(0, noise, 32.0)) == {measure.PLAIN_LEAST_LEVELS}


def detector_of(still, **settings):
    detector = ChangeDetector(ChangeSettings(settle_frames=0, **settings))
    for _ in range(2):
        detector.update(still)
    return detector


def test_the_detector_leaves_nothing_and_a_blind_one_does():
    random = np.random.default_rng(0)
    still = np.clip(random.normal(100, 2, (96, 128, 3)), 0, 255).astype(np.uint8)
    detector = detector_of(still, noise_sigma=2.0)
    image = still.copy()
    image[20:80, 30:90] = 200
    change = detector.measure(image)
    assert detector.missed(change, change.live, 32, np.random.default_rng(0)) == 0
    assert detector.missed(change, np.zeros_like(change.live), 32, np.random.default_rng(0)) > 0.2


def test_thresholds_that_have_become_too_high_do_not_hide_what_they_leave():
    still = np.full((96, 128, 3), 100, np.uint8)
    detector, image = detector_of(still, noise_sigma=1.0), still.copy()
    image[20:80, 30:90] += 25
    detector.retune(detector.settings.model_copy(update={"pixel_threshold": 120}))
    detector._set_tolerances(detector._background, (0, 96))
    change = detector.measure(image)
    assert not change.live.any()
    assert detector.missed(change, change.live, 32, None) > 0.2
    asked = detector_of(still, pixel_threshold=60)
    change = asked.measure(image)
    assert asked.missed(change, change.live, 32, None) == 0  # so it was asked for


def test_a_light_that_differs_by_place_is_no_miss():
    random = np.random.default_rng(0)
    still = random.integers(60, 200, (24, 32)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    detector = detector_of(still)
    dim = np.rint(still * np.linspace(1.0, 0.75, 256)).astype(np.uint8)  # a quarter less on one side
    change = detector.measure(dim)
    assert change.fraction < 0.05
    assert detector.missed(change, change.live, 32, None) == 0


def test_an_edge_that_shakes_is_forgiven_as_far_as_the_map_forgives_it():
    used = np.full((64, 40), 50, np.uint8)
    used[::2] = 200  # every row is an edge
    image = np.roll(used, 1, axis=0)
    assert share(image, used) > 0.5
    assert share(image, used, shake_px=1) == 0
    assert share(np.full_like(used, 240), used, shake_px=1) > 0.5


@pytest.mark.parametrize(("thick_px", "despeckle", "is_missed"), [(1, 1, True), (1, 8, False), (2, 8, False), (3, 8, True), (1, 3, True)])
def test_what_the_map_takes_for_specks_however_long_is_not_missed(thick_px, despeckle, is_missed):
    used = np.full((60, 80), 20, np.uint8)
    image = used.copy()
    image[30 : 30 + thick_px, 10:70] = 200  # the edge of a board that lies a little off
    limits = Limits(np.full(256, 32, np.int32), 0, 0, despeckle=despeckle)
    masks = np.ones(used.shape, np.uint8), np.zeros(used.shape, np.bool_)
    assert (missed_share(lambda rows: image[rows], used, masks, limits, None) > 0) is is_missed
