"""On which regions a verdict hangs: by hand, for rules of any kind."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgevision.judge.close import hangs_on
from edgevision.records import Candidate, Defect, Region, Verdict

BOX = (10, 10, 30, 30)
HOLE = Region("hole", 0.9, BOX, 100, ((10, 10), (29, 10), (29, 29)), (20.0, 20.0))


def judge(regions):
    """NG from 0.9 and 50 px on, in the left 100 px."""
    found = tuple(
        Defect(one, Verdict.NG, 0.9, "hand") for one in regions if one.score >= 0.9 and one.area_px >= 50 and one.centroid_px[0] < 100
    )
    return (Verdict.NG if found else Verdict.OK), found


def hangs(region, margin=0.5, excess=1.0):
    candidates = (Candidate(region, excess),)
    said = judge((region,) if excess >= 0 else ())[0]
    return hangs_on(candidates, said, judge, margin)


@pytest.mark.parametrize(
    ("score", "is_close"),
    [(0.9, True), (0.93, True), (0.86, True), (0.95, False), (0.8, False), (1.0, False), (0.0, False)],
)
def test_a_score_within_the_margin_of_its_limit_is_close(score, is_close):
    assert bool(hangs(replace(HOLE, score=score))) is is_close  # 0.9 is 9 to 1; e^0.5 less 0.845, more 0.937


@pytest.mark.parametrize(("area_px", "is_close"), [(50, True), (46, True), (70, False)])
def test_so_is_an_area(area_px, is_close):
    assert bool(hangs(replace(HOLE, score=0.97, area_px=area_px))) is is_close


@pytest.mark.parametrize(("x", "is_close"), [(99.0, True), (101.0, True), (95.0, False), (120.0, False)])
def test_so_is_a_place(x, is_close):
    assert bool(hangs(replace(HOLE, score=0.99, centroid_px=(x, 20.0)))) is is_close


@pytest.mark.parametrize(("excess", "is_close"), [(-0.4, True), (-0.6, False), (0.4, True), (0.6, False)])
def test_what_the_decoder_nearly_shows_or_hardly_shows_is_close(excess, is_close):
    assert bool(hangs(replace(HOLE, score=0.99), excess=excess)) is is_close


def test_beside_a_sure_defect_nothing_is_close_and_only_what_decides_is_named():
    sure, faint = Candidate(replace(HOLE, score=0.99, box_px=(50, 50, 60, 60)), 3.0), Candidate(HOLE, 1.0)
    assert hangs_on((sure, faint), Verdict.NG, judge, 0.5) == ()
    spot = Candidate(replace(HOLE, score=0.3, box_px=(70, 70, 80, 80)), 1.0)
    assert hangs_on((spot, faint), Verdict.NG, judge, 0.5) == (HOLE,)


def test_what_the_verdict_would_hang_on_once_the_first_is_settled_is_named_too():
    """The first makes it NG, and may not be there; then it is NG only if the second is, which hardly falls short."""
    second = replace(HOLE, box_px=(50, 50, 60, 60))
    assert hangs_on((Candidate(HOLE, 0.1), Candidate(second, -0.1)), Verdict.NG, judge, 0.5) == (HOLE, second)


def test_a_rule_that_counts_hangs_on_all_that_it_may_count():
    def count(regions):
        missing = sum(one.score >= 0.9 for one in regions) < 2
        zone = replace(HOLE, label="hole 1/2", score=1.0, box_px=(0, 0, 200, 200))
        return (Verdict.NG, (Defect(zone, Verdict.NG, 2.0, "count"),)) if missing else (Verdict.OK, ())

    two = (Candidate(replace(HOLE, score=0.99), 1.0), Candidate(replace(HOLE, score=0.91, box_px=(50, 50, 60, 60)), 1.0))
    assert len(hangs_on(two, Verdict.OK, count, 0.5)) == 2
    assert hangs_on(two, Verdict.OK, lambda regions: (Verdict.OK, ()), 0.5) == ()
