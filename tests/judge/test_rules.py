"""The rule that ships and the verdict."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edgevision.interfaces import Rule
from edgevision.judge.rules import AreaScoreRule, JudgeSettings, share_of, verdict, zone_at
from edgevision.records import ChangeMap, Defect, Frame, Region, Scene, Verdict

SQUARE = {"station": ((100, 100), (200, 100), (200, 200), (100, 200))}
FRAME = Frame(np.zeros((300, 400, 3), np.uint8), 0.0, 0)


def region(score: float = 0.9, at: tuple[float, float] = (150.0, 150.0), area_px: int = 100) -> Region:
    x, y = round(at[0]), round(at[1])
    return Region("scratch", score, (x - 5, y - 5, x + 5, y + 5), area_px, ((x - 5, y - 5), (x + 4, y - 5), (x, y + 4)), at)


def change(scene: Scene = Scene.NORMAL, full_reason: str | None = None) -> ChangeMap:
    still = np.zeros((300, 400), bool)
    return ChangeMap(still, still, 0.0, 1.0, 0.0, scene, FRAME.image, full_reason)


def judged(settings: JudgeSettings, *regions: Region) -> tuple[Defect, ...]:
    rule = AreaScoreRule(settings)
    assert isinstance(rule, Rule)
    return rule.judge(regions, FRAME, change())


def test_score_chooses_the_level():
    found = judged(JudgeSettings(warn=0.5, ng=0.8), region(0.49), region(0.5), region(0.8))
    assert [(defect.level, defect.threshold) for defect in found] == [(Verdict.WARN, 0.5), (Verdict.NG, 0.8)]
    assert found[0].rule == "area_score"
    assert found[0].roi is None


def test_small_regions_are_no_defects():
    assert judged(JudgeSettings(min_area_px=50), region(area_px=49)) == ()
    assert len(judged(JudgeSettings(min_area_px=50), region(area_px=50))) == 1


def test_the_middle_decides_the_zone():
    settings = JudgeSettings(zones=SQUARE)
    (found,) = judged(settings, region(at=(199.0, 150.0)), region(at=(201.0, 150.0)))
    assert found.roi == "station"
    both = {**SQUARE, "all": ((0, 0), (400, 0), (400, 300), (0, 300))}
    assert [zone_at(point, both) for point in ((150, 150), (50, 50), (500, 50))] == ["station", "all", None]


def test_only_what_differs_from_the_reference_counts():
    foreground = np.zeros((300, 400), bool)
    foreground[145:150, 140:160] = True  # the upper half of the region at (150, 150), and more beside it
    seen = ChangeMap(foreground, foreground, 0.1, 1.0, 0.0, Scene.NORMAL, FRAME.image)
    wide = Region("pit", 0.9, (145, 145, 155, 155), 100, ((145, 145), (154, 145), (154, 154), (145, 154)), (150.0, 150.0))
    assert share_of(wide, foreground) == 0.5
    for least, count in ((0.0, 1), (0.5, 1), (0.51, 0)):
        assert len(AreaScoreRule(JudgeSettings(min_foreground=least)).judge((wide,), FRAME, seen)) == count


def test_regions_at_the_edge_do_not_count():
    settings = JudgeSettings(edge_margin_px=20)
    assert judged(settings, region(at=(19.0, 150.0)), region(at=(150.0, 281.0))) == ()
    assert len(judged(settings, region(at=(21.0, 150.0)))) == 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"warn": 0.8, "ng": 0.5}, "must not exceed ng"),
        ({"k_of_n": (4, 3)}, "1 <= k <= n"),
        ({"k_of_n": (2, 4), "grown_k": 3}, "at most 2"),
        ({"zones": {"Station 1": SQUARE["station"]}}, "zone's name"),
        ({"zones": {"a": ((0, 0), (1, 1))}}, "at least 3"),
    ],
)
def test_settings_are_refused_with_a_remedy(wrong, says):
    with pytest.raises(ValidationError, match=says):
        JudgeSettings(**wrong)


def test_raise_and_clear_are_named_as_in_the_file():
    settings = JudgeSettings.model_validate({"raise": 0.5, "clear": 2.0})
    assert (settings.raise_s, settings.clear_s) == (0.5, 2.0)


def defects(level: Verdict) -> tuple[Defect, ...]:
    return (Defect(region(0.93), level, 0.7, "area_score", "station"),)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (((), change()), (Verdict.OK, None)),
        ((defects(Verdict.WARN), change()), (Verdict.WARN, "scratch 0.93 >= 0.7 in station")),
        ((defects(Verdict.NG), change()), (Verdict.NG, "scratch 0.93 >= 0.7 in station")),
        ((defects(Verdict.WARN) + defects(Verdict.NG), change(Scene.LIGHT_CHANGE)), (Verdict.NG, "scratch 0.93 >= 0.7 in station")),
        (((), change(Scene.LIGHT_CHANGE)), (Verdict.WARN, "light_change")),
        (((), change(full_reason="global")), (Verdict.WARN, "global_change")),
        (((), change(full_reason="first")), (Verdict.OK, None)),
        (((), change(Scene.FALLBACK_DENSE)), (Verdict.OK, None)),
        (((), change(), True), (Verdict.NOT_INSPECTED, "deferred")),
        ((defects(Verdict.WARN), change(), True), (Verdict.NOT_INSPECTED, "deferred")),
        ((defects(Verdict.NG), change(), True), (Verdict.NG, "scratch 0.93 >= 0.7 in station")),
        ((defects(Verdict.NG), change(Scene.MISALIGNED)), (Verdict.NOT_INSPECTED, "misaligned")),
        (((), change(Scene.CALIBRATING)), (Verdict.NOT_INSPECTED, "calibrating")),
        ((defects(Verdict.NG), change(), False, "stale"), (Verdict.NOT_INSPECTED, "stale")),
        (((), None), (Verdict.NOT_INSPECTED, "no_change_map")),
    ],
)
def test_verdict(arguments, expected):
    assert verdict(*arguments) == expected


def test_a_rule_that_counts_is_explained_by_its_label():
    missing = Defect(Region("hole 3/4", 1.0, (0, 0, 9, 9), 81, ((0, 0), (9, 0), (9, 9)), (4.5, 4.5)), Verdict.NG, 4.0, "count", "plate")
    assert verdict((missing,), change()) == (Verdict.NG, "count: hole 3/4 in plate")
