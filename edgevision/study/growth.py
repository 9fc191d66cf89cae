"""How soon something that grows is found, and how its area goes on: for sets whose pictures show one thing over time.

In: answers in order, each with its Case. Out: figures by group, charts. Keeps nothing. Found is a picture with a defect that lies where the
set says that one is; an alarm is a defect's `new` event, false where no picture of its group ever shows one within REACH_PX.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np

from edgevision.records import Box, Defect, Inspection, Phase, Verdict
from edgevision.study import chart
from edgevision.study.chart import Axis, Mark, Series
from edgevision.study.sets import Case

REACH_PX = 12  # how far from a true box a defect may lie and still mean it


class Told(Protocol):
    """What is looked at of an answer."""

    @property
    def case(self) -> Case:
        """Picture and truth."""

    @property
    def inspection(self) -> Inspection:
        """What was said of it."""


@dataclass(frozen=True, slots=True)
class Course:
    """One group. Numbers of pictures count from 0; None where it never came to that.

    `found_after` and `told_after`: how many pictures after the first labelled one a defect was found there, and its event sent; below 0
    where that was before anybody labelled it. Of the `false_alarms`, `false_before` came before the first label: later the surface around
    the defect is worn as well. `true_px`, `found_px`: area in each picture.
    """

    group: str
    pictures: int
    first_label: int | None
    found_after: int | None
    told_after: int | None
    false_alarms: int
    false_before: int
    not_inspected: tuple[int, ...]
    true_px: tuple[int, ...]
    found_px: tuple[int, ...]


def courses(told: Sequence[Told]) -> tuple[Course, ...]:
    """One for each group, in the order in which they come."""
    groups = tuple(dict.fromkeys(answer.case.group for answer in told))
    return tuple(_course(group, [answer for answer in told if answer.case.group == group]) for group in groups)


def figures(found: Sequence[Course]) -> dict[str, Any]:
    """What a report says of them: by group, and the worst. `found_within` is None where a group's defect was never found."""
    labelled = [course for course in found if course.first_label is not None]
    within = [course.found_after for course in labelled]
    told = [course.told_after for course in labelled]
    areas = ("true_px", "found_px")
    return {
        "found_within": None if None in within else max((n for n in within if n is not None), default=None),
        "told_within": None if None in told else max((n for n in told if n is not None), default=None),
        "false_alarms": sum(course.false_alarms for course in found),
        "false_before": sum(course.false_before for course in found),
        "courses": [{key: value for key, value in asdict(course).items() if key not in areas} for course in found],
    }


def lines(report: dict[str, Any]) -> list[str]:
    """The same, as a person reads it."""
    told = []
    for course in report["courses"]:
        after = (
            "never found" if course["found_after"] is None else f"found {course['found_after']:+d}, told {_signed(course['told_after'])}"
        )
        first = "nothing labelled" if course["first_label"] is None else f"first label at picture {course['first_label']}, {after}"
        false = f"false alarms {course['false_alarms']}, {course['false_before']} of them before that"
        told.append(f"  {course['group']:<14} {first}; {false}; not inspected {len(course['not_inspected'])}")
    return told


def plots(found: Sequence[Course]) -> list[tuple[str, str]]:
    """(SVG, caption) for each group: the area that is marked over the pictures, true and found."""
    made = []
    for course in found:
        true = Series("labelled", [(float(k), float(v)) for k, v in enumerate(course.true_px)], "area", chart.GRAY)
        seen = Series("found", [(float(k), float(v)) for k, v in enumerate(course.found_px)], "line", chart.BLUE)
        marks = [] if course.first_label is None else [Mark("first label", x=float(course.first_label), colour=chart.GRAY)]
        if course.first_label is not None and course.told_after is not None:
            marks.append(Mark("event", x=float(course.first_label + course.told_after)))
        svg = chart.chart([true, seen], Axis("picture", chart.number), Axis("area, px", chart.number), marks)
        made.append((svg, f"{course.group}: area of what grows, labelled and found"))
    return made


def _course(group: str, told: list[Told]) -> Course:
    boxes = [box.box_px for answer in told for box in answer.case.boxes or ()]
    first = next((number for number, answer in enumerate(told) if answer.case.is_bad), None)
    hits = [number for number, answer in enumerate(told) if any(is_near(defect, boxes) for defect in answer.inspection.defects)]
    new = [(number, event.defect) for number, answer in enumerate(told) for event in answer.inspection.events if event.phase is Phase.NEW]
    true_events = [number for number, defect in new if is_near(defect, boxes)]
    false_events = [number for number, defect in new if not is_near(defect, boxes)]
    return Course(
        group=group,
        pictures=len(told),
        first_label=first,
        found_after=_after(first, hits),
        told_after=_after(first, true_events),
        false_alarms=len(false_events),
        false_before=sum(first is None or number < first for number in false_events),
        not_inspected=tuple(number for number, answer in enumerate(told) if answer.inspection.verdict is Verdict.NOT_INSPECTED),
        true_px=tuple(_area_of(answer.case) for answer in told),
        found_px=tuple(sum(d.region.area_px for d in answer.inspection.defects if is_near(d, boxes)) for answer in told),
    )


def _after(first: int | None, numbers: list[int]) -> int | None:
    return numbers[0] - first if first is not None and numbers else None


def _area_of(case: Case) -> int:
    mask = case.true_mask() if case.is_bad else None
    return 0 if mask is None else int(np.count_nonzero(mask))


def is_near(defect: Defect, boxes: Sequence[Box]) -> bool:
    """Whether the defect's middle lies in one of the boxes, or within REACH_PX of it."""
    x, y = defect.region.centroid_px
    return any(x1 - REACH_PX <= x <= x2 + REACH_PX and y1 - REACH_PX <= y <= y2 + REACH_PX for x1, y1, x2, y2 in boxes)


def _signed(number: int | None) -> str:
    return "never" if number is None else f"{number:+d}"
