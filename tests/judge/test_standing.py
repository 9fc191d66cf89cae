"""Defects at one place on part after part: the template is doubted, and the verdicts stay."""

from __future__ import annotations

from edgevision.judge.standing import Standing, overlap
from edgevision.records import Box, Defect, Region, Verdict


def defect(box_px: Box, label: str = "copper") -> Defect:
    x1, y1, x2, y2 = box_px
    region = Region(label, 0.9, box_px, (x2 - x1) * (y2 - y1), ((x1, y1), (x2, y1), (x2, y2)), ((x1 + x2) / 2, (y1 + y2) / 2))
    return Defect(region, Verdict.NG, 0.8, "area_score")


HERE, NEAR, ELSEWHERE = defect((10, 10, 30, 30)), defect((12, 9, 32, 29), "spur"), defect((100, 10, 120, 30))


def test_a_defect_on_part_after_part_is_said_once_with_what_it_may_mean_and_taken_back():
    standing = Standing(3)
    first, second, third, fourth, last, after = (
        standing.note(f"part-{number}", found)
        for number, found in enumerate([(HERE,), (NEAR, ELSEWHERE), (HERE,), (HERE,), (ELSEWHERE,), (HERE,)])
    )
    assert (first, second) == ((None, ()), (None, ()))
    assert third.reason is not None
    assert "the last 3 parts all show 'copper' at 20, 20" in third.reason
    assert "exchanged" in third.reason
    assert "or are all parts made so" in third.reason
    assert [(notice.kind, notice.is_over) for notice in third.notices] == [("template", False)]
    assert fourth.reason is not None
    assert "the last 4 parts" in fourth.reason
    assert fourth.notices == ()
    assert last.reason is None
    assert [notice.is_over for notice in last.notices] == [True]
    assert after == (None, ())


def test_the_same_part_seen_again_and_frames_of_no_part_do_not_count():
    standing = Standing(2)
    assert standing.note("a", (HERE,)) == standing.note("a", (HERE,)) == standing.note(None, (HERE,)) == (None, ())
    assert standing.note("b", (HERE,)).reason is not None


def test_a_good_part_between_begins_the_count_anew():
    standing = Standing(2)
    said = [standing.note(str(number), found).reason for number, found in enumerate([(HERE,), (), (HERE,), (ELSEWHERE,)])]
    assert said == [None] * 4


def test_another_template_is_counted_anew_and_what_was_said_of_the_old_one_is_taken_back():
    standing = Standing(1)
    assert standing.note("a", (HERE,)).notices[0].is_over is False
    standing.reset()
    assert [notice.is_over for notice in standing.note("b", ()).notices] == [True]
    other = Standing(1)
    other.reset(has_said=True)
    assert [notice.is_over for notice in other.note("c", ()).notices] == [True]


def test_zero_never_doubts():
    assert Standing(0).note("a", (HERE,)) == (None, ())


def test_how_much_two_boxes_share():
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == 1 / 3
    assert overlap((0, 0, 2, 2), (2, 0, 4, 2)) == 0
