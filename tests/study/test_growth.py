"""How soon something that grows is found: one group worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgevision.judge.rules import JudgeSettings
from edgevision.judge.tracks import Tracks
from edgevision.records import Box, Defect, Inspection, Region, Verdict
from edgevision.study.growth import courses, figures, lines
from edgevision.study.sets import Case, Labelled

PIT, FLAKE, STAIN = (10, 10, 20, 20), (200, 10, 210, 20), (300, 90, 310, 100)
LABELLED_FROM = 4


@dataclass
class Answer:
    case: Case
    inspection: Inspection


def defect(box: Box) -> Defect:
    x1, y1, x2, y2 = box
    outline = ((x1, y1), (x2, y1), (x2, y2), (x1, y2))
    region = Region("pitting", 0.9, box, 100, outline, ((x1 + x2) / 2, (y1 + y2) / 2))
    return Defect(region, Verdict.NG, 0.7, "area_score")


def answers(seen: list[list[Box]]) -> list[Answer]:
    """One picture a second, each with what was found on it; told on the second picture in a row."""
    tracks, told = Tracks(JudgeSettings(k_of_n=(2, 2))), []
    for number, found in enumerate(seen):
        boxes = (Labelled("pitting", PIT),) if number >= LABELLED_FROM else ()
        defects = tuple(defect(box) for box in found)
        said = Inspection.not_made("camera", "", float(number), 0.7, defects=defects, events=tracks.update(defects, float(number)))
        told.append(Answer(Case(f"{number}", "spindle", Path("none.png"), bool(boxes), boxes=boxes), said))
    return told


def test_events_are_true_or_false_by_place_and_counted_before_the_first_label():
    (course,) = courses(answers([[], [FLAKE], [FLAKE], [], [], [PIT], [PIT, STAIN], [PIT, STAIN]]))
    assert (course.first_label, course.found_after, course.told_after) == (LABELLED_FROM, 1, 2)
    assert (course.false_alarms, course.false_before) == (2, 1)


def test_what_is_never_found_has_no_delay():
    report = figures(courses(answers([[]] * 6)))
    assert (report["found_within"], report["false_alarms"]) == (None, 0)
    assert "never found" in lines(report)[0]
