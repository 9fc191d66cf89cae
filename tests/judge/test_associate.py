"""Observations and their tracks: hand-worked cases."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.judge.associate import Expectation, associate, observe
from edgevision.records import Defect, Region, Verdict


def square(x: float, y: float, size: int = 12, score: float = 0.9, level: Verdict = Verdict.NG) -> Defect:
    x1, y1 = round(x - size / 2), round(y - size / 2)
    polygon = ((x1, y1), (x1 + size - 1, y1), (x1 + size - 1, y1 + size - 1), (x1, y1 + size - 1))
    return Defect(Region("stain", score, (x1, y1, x1 + size, y1 + size), size * size, polygon, (x, y)), level, 0.7, "area_score")


def resting(x: float, y: float, reach_px: float = 50.0, is_told: bool = True) -> Expectation:
    return Expectation((x, y), (x, y), (0.0, 0.0), (x, y), reach_px, is_told, True)


def test_pieces_are_joined_whatever_their_order():
    pieces = [square(100, 100, score=0.6, level=Verdict.WARN), square(118, 100, score=0.9), square(136, 100, score=0.7), square(200, 100)]
    for order in itertools.permutations(pieces):
        joined, alone = observe(order, 10.0)
        assert joined.defect.region.box_px == (94, 94, 142, 106)
        assert joined.defect.region.area_px == 3 * 144
        assert joined.defect.region.score == 0.9
        assert joined.defect.level is Verdict.NG
        assert joined.point == pytest.approx((118.0, 100.0))
        assert alone.defect == pieces[3]


def test_a_slanting_scratch_is_not_joined_with_what_lies_beside_it():
    line = Region("scratch", 0.9, (0, 0, 60, 60), 120, ((0, 0), (59, 57), (59, 59), (0, 2)), (30.0, 30.0))
    assert len(observe([Defect(line, Verdict.NG, 0.7, "r"), square(48, 12)], 10.0)) == 2
    assert len(observe([Defect(line, Verdict.NG, 0.7, "r"), square(34, 22)], 10.0)) == 1


def test_one_region_named_by_two_rules_counts_once():
    one = square(50, 50)
    (joined,) = observe([one, Defect(one.region, Verdict.WARN, 0.5, "other")], 10.0)
    assert joined.defect == one


def test_a_part_that_moves_by_the_distance_of_its_defects():
    expected = [resting(100, 100), resting(130, 100)]
    assert sorted(associate(expected, [(125, 100), (155, 100)], 18.0)) == [(0, 0), (1, 1)]


def test_rest_is_likelier_than_a_jump():
    assert associate([resting(100, 100)], [(140, 100), (103, 101)], 18.0) == [(0, 1)]


def test_one_alone_does_not_jump_unless_it_is_unproven():
    assert associate([resting(100, 100)], [(140, 100)], 18.0) == []
    assert associate([resting(100, 100, is_told=False)], [(140, 100)], 18.0) == [(0, 0)]


def test_a_moving_defect_may_go_on_or_have_stopped():
    moving = Expectation((100, 100), (120, 100), (20.0, 0.0), (180, 100), 20.0, True)
    for x in (100, 120, 140, 175):
        assert associate([moving], [(x, 100)], 18.0) == [(0, 0)]
    assert associate([moving], [(60, 100)], 18.0) == []
    assert associate([moving], [(140, 150)], 18.0) == []


def test_many_at_once_stay_cheap_and_unique():
    expected = [resting(30.0 * i, 20.0 * j) for i in range(8) for j in range(5)]
    points = [(one.point[0] + 12, one.point[1] + 3) for one in reversed(expected)]
    pairs = associate(expected, points, 18.0)
    assert sorted(pairs) == [(index, len(points) - 1 - index) for index in range(len(points))]


PLACE = st.tuples(st.integers(-30, 30), st.integers(-30, 30))


@settings(max_examples=60, deadline=None)
@given(PLACE, PLACE, st.integers(0, 30), st.booleans())
def test_only_what_is_out_of_reach_is_soon_seen_to_be(point, end, reach_px, is_resting):
    """The nearest of the way's places says the same; points of whole pixels lie at the limit, too."""
    length = math.hypot(*end)
    along = 0.0 if length == 0 else (point[0] * end[0] + point[1] * end[1]) / length
    held = min(length, max(0.0, along))
    nearest = (0.0, 0.0) if length == 0 else (end[0] / length * held, end[1] / length * held)
    far = math.dist(point, nearest)
    limit = 0.4 * reach_px if along < 0 and not is_resting else reach_px
    told = Expectation((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), end, reach_px, is_resting=is_resting).reaches(point)
    assert told == (far <= limit) or abs(far - limit) < 1e-9
