"""Defects that stand at one place on part after part: has the template them? In: parts' defects. Out: what to say. Keeps the places.

Each part is compared with one template. If that shows a defect - it was a bad part, or template and part were exchanged - every part that
is well made shows the opposite at that place. So does a row of parts that are all made wrong in the same way, and nobody can tell the two
apart from pictures: the verdicts stay as they are, and both are said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from edgevision.records import Box, Defect, Notice

KIND, ABOUT = "template", "places of the template"
SAME_IOU = 0.3


class Doubt(NamedTuple):
    """`reason` for this part's verdict, None for none; `notices` where what is to be said has changed."""

    reason: str | None = None
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Place:
    """Where so many parts in a row had a defect; the last one's box and label."""

    box_px: Box
    label: str
    parts: int


class Standing:
    """One camera's. `parts` in a row are too many to be chance; 0: never looked at."""

    def __init__(self, parts: int) -> None:
        self._limit = parts
        self._places: tuple[Place, ...] = ()
        self._part_id: str | None = None
        self._is_said = False

    def reset(self, has_said: bool | None = None) -> None:
        """Another template: count anew. What was said is taken back with the next part; `has_said` tells of another one that counted."""
        self._places, self._part_id = (), None
        self._is_said = self._is_said if has_said is None else has_said

    @property
    def has_said(self) -> bool:
        """Whether a doubt was said that is not over."""
        return self._is_said

    def note(self, part_id: str | None, defects: tuple[Defect, ...]) -> Doubt:
        """Call once an inspected frame. A frame that is no part, or the last part's again, is not counted."""
        if not self._limit or part_id is None or part_id == self._part_id:
            return Doubt()
        self._part_id = part_id
        self._places = tuple(self._place(defect) for defect in defects)
        standing = [place for place in self._places if place.parts >= self._limit]
        was_said, self._is_said = self._is_said, bool(standing)
        if not standing:
            return Doubt(
                None, (Notice(KIND, ABOUT, "parts in a row no longer show defects at one place", is_over=True),) if was_said else ()
            )
        text = words(standing)
        return Doubt(text, () if was_said else (Notice(KIND, ABOUT, text),))

    def _place(self, defect: Defect) -> Place:
        before = [place.parts for place in self._places if overlap(place.box_px, defect.region.box_px) >= SAME_IOU]
        return Place(defect.region.box_px, defect.region.label, 1 + max(before, default=0))


def words(standing: list[Place]) -> str:
    """For a person."""
    longest = max(standing, key=lambda place: place.parts)
    x1, y1, x2, y2 = longest.box_px
    where = f"'{longest.label}' at {(x1 + x2) // 2}, {(y1 + y2) // 2}"
    more = f" and defects at {len(standing) - 1} more places" if len(standing) > 1 else ""
    return (
        f"the last {longest.parts} parts all show {where}{more}: is it the template that is wrong there (a bad part, or exchanged with "
        "one), or are all parts made so? Look at the template; teach it anew from a good part"
    )


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    if one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]:  # most are far off, and that is soon seen
        return 0.0
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (both - width * height)
