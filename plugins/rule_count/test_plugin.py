"""The count rule: too few, enough, too many; where, how sure, and on which frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from edgevision.config import builtin_registry, load
from edgevision.interfaces import Rule
from edgevision.records import ChangeMap, Defect, Frame, Region, Scene, Verdict
from edgevision.registry import Registry

HERE = Path(__file__).parent
IMAGE = np.zeros((100, 200, 3), np.uint8)
STILL = np.zeros((100, 200), bool)
CHANGE = ChangeMap(STILL, STILL, 0.0, 1.0, 0.0, Scene.NORMAL, IMAGE)


def rule_of(**settings: Any) -> Rule:
    registry = Registry()
    registry.load_plugin(HERE)
    kind = registry.settings("rule", "count")
    assert kind is not None
    rule = registry.build("rule", "count", kind(**settings))
    assert isinstance(rule, Rule)
    return rule


def hole(x: float = 50.0, score: float = 0.9, label: str = "hole") -> Region:
    return Region(label, score, (int(x) - 5, 45, int(x) + 5, 55), 80, ((int(x), 45), (int(x) + 4, 54), (int(x) - 5, 54)), (x, 50.0))


def judged(rule: Rule, *regions: Region, part_id: str | None = "part-1") -> tuple[Defect, ...]:
    return rule.judge(regions, Frame(IMAGE, 0.0, 0, part_id), CHANGE)


def test_too_few_enough_too_many():
    rule = rule_of(label="hole", at_least=2, at_most=3)
    said = [[defect.region.label for defect in judged(rule, *[hole()] * count)] for count in range(5)]
    assert said == [["hole 0/2"], ["hole 1/2"], [], [], ["hole 4/3"]]


def test_only_what_is_meant_is_counted():
    rule = rule_of(label="hole", at_least=2, zone=((0, 0), (100, 0), (100, 100), (0, 100)), zone_name="left", level="WARN")
    (defect,) = judged(rule, hole(), hole(score=0.4), hole(label="dent"), hole(x=150.0))
    assert defect.region.label == "hole 1/2"
    assert defect.region.box_px == (0, 0, 100, 100)
    assert defect.region.area_px == 10_000
    assert (defect.level, defect.roi, defect.threshold, defect.rule) == (Verdict.WARN, "left", 2.0, "count")


def test_between_parts_nothing_is_missing():
    assert judged(rule_of(label="hole"), part_id=None) == ()
    (defect,) = judged(rule_of(label="hole", needs_part=False), part_id=None)
    assert defect.region.box_px == (0, 0, 200, 100)


def test_an_impossible_count_is_refused():
    with pytest.raises(ValidationError, match="must not be below at_least"):
        rule_of(label="hole", at_least=3, at_most=2)


def test_the_sample_loads():
    config = load(HERE / "sample.yaml", env={}, registry=builtin_registry())
    assert config.cameras["drill"].rules[0].type == "count"
