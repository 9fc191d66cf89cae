"""Which regions are defects, and what is said of the whole frame.

In: regions, the change map. Out: defects; a verdict with its reason. Keeps nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Self

import cv2
import numpy as np
from pydantic import ConfigDict, Field, model_validator

from edgevision.judge.known import is_known
from edgevision.records import ChangeMap, Defect, Frame, Image, Mask, Polygon, Region, Scene, Settings, Verdict

Corner = Annotated[int, Field(ge=-100_000, le=100_000)]
Zone = Annotated[tuple[tuple[Corner, Corner], ...], Field(min_length=3, max_length=256)]

NAME = re.compile(r"[a-z0-9_-]{1,32}")
GLOBAL_CHANGE = "global"


class JudgeSettings(Settings):
    """When a region is a defect, and when a defect is told."""

    model_config = ConfigDict(populate_by_name=True)

    warn: float = Field(0.5, ge=0.0, le=1.0, description="A region of at least this score is a defect of level WARN.")
    ng: float = Field(0.7, ge=0.0, le=1.0, description="A region of at least this score is a defect of level NG.")
    min_area_px: int = Field(20, ge=0, le=100_000_000, description="Smaller regions are no defects; in frame pixels.")
    zones: Mapping[str, Zone] = Field(
        {}, description="Named polygons [[x, y], ...] in frame pixels; a region counts only where its middle lies in one. None: everywhere."
    )
    min_foreground: float = Field(
        0.0, ge=0.0, le=1.0, description="A region counts only where this share of it differs from compare.reference; 0: anywhere."
    )
    known_px: int = Field(
        0,
        ge=0,
        le=200,
        description="A region that looks like what compare.golden shows within so many pixels of it was there before, and is no defect; 0: "
        "not looked at.",
    )
    edge_margin_px: int = Field(0, ge=0, le=10_000, description="Regions whose middle is nearer to the frame's edge do not count.")
    k_of_n: tuple[int, int] = Field((3, 5), description="A defect is told once it was seen in k of its last n frames.")
    grown_k: int = Field(
        0,
        ge=0,
        le=64,
        description="A defect that has grown by area_step since it was first seen is told once it was seen in so many of its last n "
        "frames; 0: as any other.",
    )
    raise_s: float = Field(0.0, ge=0.0, le=3600.0, alias="raise", description="A defect is told once it has been there so many seconds.")
    clear_s: float = Field(0.6, ge=0.0, le=3600.0, alias="clear", description="A defect ends after so many seconds unseen.")
    clear_frames: int = Field(3, ge=1, le=10_000, description="A defect ends after so many inspected frames unseen, at the earliest.")
    update_s: float = Field(
        1.0, ge=0.0, le=3600.0, description="At most one `update` of a defect in so many seconds, except for a worse level."
    )
    score_step: float = Field(
        0.15, gt=0.0, le=1.0, description="An `update` is sent when the score has grown by so much since the last message."
    )
    area_step: float = Field(
        0.5, gt=0.0, le=100.0, description="An `update` is sent when the area has grown by this share since the last message."
    )
    max_speed_px_s: float = Field(1000.0, ge=0.0, le=100_000.0, description="Parts move no faster than this, in frame pixels a second.")
    gate_px: float = Field(
        18.0, gt=0.0, le=1000.0, description="How far a defect may lie from its expected place and still be the same one."
    )
    standing_parts: int = Field(
        5,
        ge=0,
        le=1000,
        description="With recompute.template: after so many parts in a row with a defect at one place the template is doubted, in a notice "
        "and in the results; 0: never.",
    )
    merge_gap_px: float = Field(10.0, ge=0.0, le=1000.0, description="Regions closer than this are pieces of one defect.")
    restart_s: float = Field(10.0, ge=0.0, le=86_400.0, description="After a longer stop every open defect ends with reason `restart`.")

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.warn > self.ng:
            raise ValueError(f"warn is {self.warn:g}; it must not exceed ng ({self.ng:g}); lower it")
        k, n = self.k_of_n
        if not 1 <= k <= n <= 64:
            raise ValueError(f"k_of_n is [{k}, {n}]; it must be 1 <= k <= n <= 64")
        if self.grown_k > k:
            raise ValueError(f"grown_k is {self.grown_k} and k_of_n is [{k}, {n}]; what grows is told sooner: set it to at most {k}")
        for name in self.zones:
            if not NAME.fullmatch(name):
                raise ValueError(f"zones has {name!r}; a zone's name is 1 to 32 of a-z, 0-9, _ and -; rename it")
        return self


class AreaScoreRule:
    """The rule that ships: large enough, likely enough, and with its middle inside a zone.

    The middle decides, not the overlap: a moving defect then enters and leaves a zone at one moment, and belongs to one zone only.
    """

    name = "area_score"

    def __init__(self, settings: JudgeSettings):
        self.settings = settings

    def judge(self, regions: tuple[Region, ...], frame: Frame, change: ChangeMap) -> tuple[Defect, ...]:
        """The defects among the regions, in their order."""
        return tuple(defect for region in regions if (defect := self._defect(region, frame.image, change)) is not None)

    def level_of(self, region: Region, frame_px: tuple[int, int]) -> Verdict | None:
        """The level by score, area and middle, in a frame of (height, width); None: no defect. What else counts is the outline alone."""
        if region.score < self.settings.warn or region.area_px < self.settings.min_area_px:
            return None
        x, y = region.centroid_px
        height, width = frame_px
        margin = self.settings.edge_margin_px
        if not (margin <= x <= width - margin and margin <= y <= height - margin):
            return None
        if self.settings.zones and zone_at(region.centroid_px, self.settings.zones) is None:
            return None
        return Verdict.NG if region.score >= self.settings.ng else Verdict.WARN

    def _defect(self, region: Region, image: Image, change: ChangeMap) -> Defect | None:
        level = self.level_of(region, (image.shape[0], image.shape[1]))
        if level is None:
            return None
        if self.settings.min_foreground and share_of(region, change.foreground) < self.settings.min_foreground:
            return None
        if self.settings.known_px and change.golden is not None and is_known(region.box_px, image, change.golden, self.settings.known_px):
            return None
        limit = self.settings.ng if level is Verdict.NG else self.settings.warn
        return Defect(region, level, limit, self.name, roi=zone_at(region.centroid_px, self.settings.zones))


def share_of(region: Region, mask: Mask) -> float:
    """Which share of the region's outline, filled, lies on the mask (H, W)."""
    x1, y1, x2, y2 = region.box_px
    inside = np.zeros((y2 - y1, x2 - x1), np.uint8)
    cv2.fillPoly(inside, [np.asarray(region.polygon, np.int32)], 1, offset=(-x1, -y1))
    shown = inside.view(np.bool_)
    return float(mask[y1:y2, x1:x2][shown].mean()) if shown.any() else 0.0


def zone_at(point_px: tuple[float, float], zones: Mapping[str, Polygon]) -> str | None:
    """The first zone that holds the point, border included; None where no zone does."""
    for name, corners in zones.items():
        if cv2.pointPolygonTest(np.asarray(corners, np.float32), point_px, False) >= 0:
            return name
    return None


def verdict(
    defects: Iterable[Defect], change: ChangeMap | None, is_deferred: bool = False, failure: str | None = None
) -> tuple[Verdict, str | None]:
    """What is said of a frame, and why. Only a completed inspection without a finding is OK.

    `failure`: why the frame could not be inspected at all (bad, stale, lost), None where it was; without a `change` there was no
    inspection either. `is_deferred`: live pixels inside a zone still wait for the network. From the strongest to the weakest:
    a frame that cannot be judged is NOT_INSPECTED, whatever was seen on it; a defect of level NG makes NG, even when pixels wait;
    waiting pixels make NOT_INSPECTED, for they may hide one; then come WARN for a defect or for a changed light, and OK.
    """
    if failure is not None:
        return Verdict.NOT_INSPECTED, failure
    if change is None:
        return Verdict.NOT_INSPECTED, "no_change_map"
    if change.scene in (Scene.MISALIGNED, Scene.CALIBRATING):
        return Verdict.NOT_INSPECTED, change.scene.value
    worst = max(defects, key=lambda defect: (defect.level is Verdict.NG, defect.region.score), default=None)
    if worst is not None and worst.level is Verdict.NG:
        return Verdict.NG, explain(worst)
    if is_deferred:
        return Verdict.NOT_INSPECTED, "deferred"
    if worst is not None:
        return Verdict.WARN, explain(worst)
    if change.scene is Scene.LIGHT_CHANGE:
        return Verdict.WARN, change.scene.value
    if (change.full_reason or "").startswith(GLOBAL_CHANGE):
        return Verdict.WARN, "global_change"
    return Verdict.OK, None


def explain(defect: Defect) -> str:
    """One line on why a defect is one: `scratch 0.93 >= 0.7 in station`; of a rule that does not go by scores `count: hole 3/4`."""
    where = f" in {defect.roi}" if defect.roi else ""
    if defect.rule != AreaScoreRule.name:
        return f"{defect.rule}: {defect.region.label}{where}"
    return f"{defect.region.label} {defect.region.score:.2f} >= {defect.threshold:g}{where}"
