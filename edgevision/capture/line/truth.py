"""What is really on the line: the exact answer that tests, the demo's table and training compare with."""

from __future__ import annotations

from dataclasses import dataclass

from edgevision.records import Box, Mask

LABELS = ("scratch", "stain", "hole", "dent")


@dataclass(frozen=True, slots=True)
class TruthDefect:
    """One physical defect in one frame. `mask` covers `box_px` and is read-only; `id` stays the same on every frame.

    `contrast` is the strongest visible difference in gray levels before lamp and noise. `is_whole` is False while the frame's edge cuts it.
    """

    id: str
    part: int
    label: str
    box_px: Box
    mask: Mask
    contrast: float
    area_px: int
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Truth:
    """One frame: boxes of the visible parts, whether the belt moves, which part stands in the station, and the defects in view."""

    frame: int
    parts_px: tuple[Box, ...]
    is_moving: bool
    station: int | None
    defects: tuple[TruthDefect, ...]


@dataclass(frozen=True, slots=True)
class PhysicalDefect:
    """One defect of a part that was inspected: where it stood, and in which frames [first, last) it stood there."""

    id: str
    part: int
    label: str
    box_px: Box
    contrast: float
    area_px: int
    frames: tuple[int, int]
