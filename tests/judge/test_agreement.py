"""Two answers to one frame: alike while each defect is at least marked by the other."""

from __future__ import annotations

import pytest

from edgevision.judge.agreement import unlike
from edgevision.records import Defect, Region, Verdict


def region(x, score=0.9, label="hole"):
    return Region(label, score, (x, 10, x + 10, 20), 60, ((x, 10), (x + 10, 10), (x + 10, 20)), (x + 5.0, 15.0))


def defect(found, level=Verdict.NG):
    return Defect(found, level, 0.7, "area_score")


@pytest.mark.parametrize("swapped", [False, True])
def test_a_defect_that_only_one_shows_is_named(swapped):
    shows = ("A", [defect(region(10)), defect(region(100, 0.95, "scratch"))], [region(10), region(100, 0.95, "scratch")])
    other = ("B", [], [region(10, 0.1)])
    found = unlike(*((other, shows) if swapped else (shows, other)), 1.0)
    assert found == ("A shows scratch 0.95 at [100, 10, 110, 20], B nothing there", False)


def test_a_defect_near_its_limit_is_a_close_call():
    """Odds of 0.7 are 2.33; e times that are those of 0.864."""
    answers = [unlike(("A", [defect(region(10, score))], [region(10, score)]), ("B", [], []), 1.0) for score in (0.71, 0.86, 0.87, 0.99)]
    assert [answer.is_close for answer in answers] == [True, True, False, False]
    assert not unlike(("A", [defect(region(10, 0.71))], [region(10, 0.71)]), ("B", [], []), 0.0).is_close


def test_near_a_threshold_or_beside_by_a_pixel_is_alike():
    assert unlike(("A", [defect(region(10))], [region(10)]), ("B", [], [region(22, 0.5)]), 1.0) is None
    assert unlike(("A", [defect(region(10))], [region(10)]), ("B", [], [region(27, 0.5)]), 1.0) is not None
    assert unlike(("A", [defect(region(10), Verdict.WARN)], [region(10)]), ("B", [], []), 1.0) is None
    assert unlike(("A", [], []), ("B", [], []), 1.0) is None
