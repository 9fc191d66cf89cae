"""Generated ball screws: grease lies beside the track and is no pitting."""

from __future__ import annotations

import cv2
import numpy as np

from edgevision.study.parts import wear


def test_thick_grease_lies_beside_the_track_and_not_on_it():
    screw = wear.random_screw(np.random.default_rng(3), (160, 200))
    after = wear.filled(screw, np.random.default_rng(4))
    inside = cv2.erode((screw.track > 0.99).astype(np.uint8), np.ones((31, 31), np.uint8)) > 0
    beside = screw.track < 0.01
    moved = np.abs(after.albedo - screw.albedo)
    assert inside.any()
    assert np.median(moved[inside]) < 0.05 * np.median(moved[beside])
    assert (after.track == screw.track).all()


def test_the_same_generator_draws_the_same_screw_and_good_ones_bear_no_mark():
    one, other = (wear.make(np.random.default_rng(5), (96, 96), is_bad=False) for _ in range(2))
    assert (one.image == other.image).all()
    assert not one.marks.any()
    assert wear.make(np.random.default_rng(5), (96, 96), is_bad=True).marks.any()
