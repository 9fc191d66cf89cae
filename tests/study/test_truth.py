from __future__ import annotations

from dataclasses import replace

import pytest

from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.records import Defect, Event, Phase, Region, Verdict
from edgevision.study.truth import score_events

FRAMES = 240


@pytest.fixture(scope="module")
def line():
    return Line(SyntheticSettings(seed=5, defect_rate=1.0))


def event_at(x, y):
    region = Region("hole", 0.9, (int(x) - 3, int(y) - 3, int(x) + 3, int(y) + 3), 36, (), (x, y))
    return Event("e", "t", Phase.NEW, 0.0, 0.0, 3, Verdict.NG, None, Defect(region, Verdict.NG, 0.7, "area_score"))


def hits(line):
    found = []
    for defect in line.inspected(FRAMES):
        number = defect.frames[0] + 5
        seen = next(one for one in line.truth(number).defects if one.id == defect.id)
        x1, y1, x2, y2 = seen.box_px
        found.append((number, event_at((x1 + x2) / 2, (y1 + y2) / 2)))
    return found


def test_an_event_on_each_defect_finds_all(line):
    score = score_events(line, FRAMES, hits(line))
    assert score.truth
    assert (score.found, score.missed, score.false_alarms, score.repeated) == (score.truth, (), 0, 0)


def test_nothing_told_misses_all(line):
    score = score_events(line, FRAMES, [])
    assert (score.missed, score.false_alarms) == (score.truth, 0)


def test_the_same_defect_told_twice_is_repeated(line):
    events = hits(line)
    assert score_events(line, FRAMES, [*events, events[0]]).repeated == 1


def test_an_event_on_the_bare_belt_is_a_false_alarm(line):
    number, event = hits(line)[0]
    stray = replace(event, defect=event_at(40.0, 600.0).defect)
    assert score_events(line, FRAMES, [(number, stray)]).false_frames == (number,)
