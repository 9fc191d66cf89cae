"""A rule that counts: so many regions of a label must be on a part, no more and no fewer.

For networks that find what must be there - drilled holes, screws, labels - rather than what must not. In: regions. Out: one defect where
the count is wrong, with the zone as its place. Keeps nothing.
"""

from __future__ import annotations

import math
from typing import Literal, Self

import cv2
import numpy as np
from pydantic import Field, model_validator

from edgevision.judge.rules import Zone, zone_at
from edgevision.records import ChangeMap, Defect, Frame, Polygon, Region, Settings, Verdict
from edgevision.registry import Registry


class CountSettings(Settings):
    """What must be there."""

    type: Literal["count"] = Field("count", description="Names this rule.")
    label: str = Field(description="The label that is counted.", min_length=1, max_length=64)
    at_least: int = Field(1, ge=0, le=10_000, description="Fewer regions of this label are a defect.")
    at_most: int | None = Field(None, ge=0, le=10_000, description="More regions of this label are a defect; left out: no limit.")
    min_score: float = Field(0.5, ge=0, le=1, description="Regions of a lower score are not counted.")
    zone: Zone | None = Field(None, description="Polygon [[x, y], ...] in frame pixels in which is counted; left out: the whole frame.")
    zone_name: str = Field("count", pattern=r"[a-z0-9_-]{1,32}", description="Name of that zone in events.")
    level: Literal["NG", "WARN"] = Field("NG", description="Level of the defect.")
    needs_part: bool = Field(True, description="Count only on frames that a trigger asked for; between parts there is nothing to count.")

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(f"at_most is {self.at_most}; it must not be below at_least ({self.at_least}); raise it")
        return self


class CountRule:
    """interfaces.Rule. The defect's label says what was found: `hole 3/4`."""

    name = "count"

    def __init__(self, settings: CountSettings) -> None:
        self.settings = settings

    def judge(self, regions: tuple[Region, ...], frame: Frame, change: ChangeMap) -> tuple[Defect, ...]:
        settings = self.settings
        if settings.needs_part and frame.part_id is None:
            return ()
        found = sum(self._counts(region) for region in regions)
        if found < settings.at_least:
            wanted = settings.at_least
        elif settings.at_most is not None and found > settings.at_most:
            wanted = settings.at_most
        else:
            return ()
        height, width = frame.image.shape[:2]
        place = settings.zone or ((0, 0), (width, 0), (width, height), (0, height))
        region = _region(f"{settings.label} {found}/{wanted}", place)
        return (Defect(region, Verdict(settings.level), float(wanted), self.name, roi=settings.zone_name if settings.zone else None),)

    def _counts(self, region: Region) -> bool:
        settings = self.settings
        if region.label != settings.label or region.score < settings.min_score:
            return False
        return settings.zone is None or zone_at(region.centroid_px, {settings.zone_name: settings.zone}) is not None


def _region(label: str, polygon: Polygon) -> Region:
    """The zone as a region: what is missing is nowhere in particular."""
    corners = np.asarray(polygon, np.float32)
    (x1, y1), (x2, y2) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    box = (math.floor(x1), math.floor(y1), math.ceil(x2), math.ceil(y2))
    return Region(label, 1.0, box, round(float(cv2.contourArea(corners))), polygon, ((x1 + x2) / 2, (y1 + y2) / 2))


def register(registry: Registry) -> None:
    registry.register("rule", "count", CountRule, CountSettings)
