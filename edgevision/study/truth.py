"""Events against the synthetic line's truth: found, missed, repeated, false. In: the line, events with their frame. Keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgevision.capture.synthetic import Line, PhysicalDefect
from edgevision.records import Box, Event

REACH_PX = 12  # how far an event's middle may lie outside a true defect's box and still mean it


@dataclass(frozen=True)
class Score:
    """`truth` are the defects that stood in the station; an event on one that did not (yet) stand there is neither found nor false."""

    truth: tuple[PhysicalDefect, ...]
    found: tuple[PhysicalDefect, ...]
    missed: tuple[PhysicalDefect, ...]
    false_alarms: int
    repeated: int
    false_frames: tuple[int, ...]


def score_events(line: Line, frames: int, events: Sequence[tuple[int, Event]]) -> Score:
    """Match each `new` event, given with its frame number, to the physical defect it lies on."""
    hit: dict[str, int] = {}
    false_frames = []
    for number, event in events:
        name = defect_at(line, number, event)
        if name is None:
            false_frames.append(number)
        else:
            hit[name] = hit.get(name, 0) + 1
    truth = line.inspected(frames)
    found = tuple(defect for defect in truth if defect.id in hit)
    missed = tuple(defect for defect in truth if defect.id not in hit)
    return Score(truth, found, missed, len(false_frames), sum(count - 1 for count in hit.values()), tuple(false_frames))


def defect_at(line: Line, number: int, event: Event) -> str | None:
    """The id of the true defect under the event's middle in that frame, None when there is none."""
    x, y = event.defect.region.centroid_px
    near = [(_distance(defect.box_px, x, y), defect.id) for defect in line.truth(number).defects]
    distance, name = min(near, default=(REACH_PX + 1.0, None))
    return name if distance <= REACH_PX else None


def _distance(box: Box, x: float, y: float) -> float:
    x1, y1, x2, y2 = box
    return max(x1 - x, x - x2, y1 - y, y - y2, 0.0)
