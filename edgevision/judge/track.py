"""One defect that is followed: where it is, how it moves, what was seen and what was told of it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from edgevision.judge.associate import Observation, Point, strength
from edgevision.records import Defect, Event, Phase, Region, Verdict

FRESH_SHARE = 0.7  # how much of the velocity is the last step's
FADING = 0.98  # a frame: pieces that stay apart for half a second are defects of their own
ALIKE_SHARE = 0.75
REST_PX = 2.0  # a shorter step is jitter of the outline, not motion


class Track:
    """Mutable; `Tracks` owns it. `ts_last` is when it was last seen, `ts_unseen` since when it is missed (later while held or restored)."""

    def __init__(self, observation: Observation, ts: float, velocity: Point, window: int):
        self.track_id = ""
        self.history: deque[bool] = deque([True], maxlen=window)
        self.defect = self.strongest = observation.defect
        self.level = observation.defect.level
        self.point = self.place = observation.point
        self.velocity = velocity
        self.step: Point | None = None  # its motion from the last frame to this one, where both showed it
        self.size_px = _size(observation.defect.region)
        self.area_px = float(observation.defect.region.area_px)  # the largest lately
        self.first_area_px = observation.defect.region.area_px
        self.ts_first = self.ts_last = self.ts_unseen = ts
        self.frames = 1
        self.missed = 0
        self.is_held = False
        self.is_restored = False
        self.told: Event | None = None
        self.ts_told = ts
        self.told_score = 0.0
        self.told_area_px = 0

    def see(self, observation: Observation, ts: float) -> None:
        """Move to where this frame shows it."""
        past_s = ts - self.ts_unseen
        x, y = observation.point[0] - self.point[0], observation.point[1] - self.point[1]
        self.step = None if self.missed else (x, y)
        if past_s > 0 and (self.told is None or self._is_alike(observation.defect)):
            fresh = (0.0, 0.0) if math.hypot(x, y) < REST_PX else (x / past_s, y / past_s)
            self.velocity = (
                FRESH_SHARE * fresh[0] + (1 - FRESH_SHARE) * self.velocity[0],
                FRESH_SHARE * fresh[1] + (1 - FRESH_SHARE) * self.velocity[1],
            )
        self.point = self.place = observation.point
        self.defect = observation.defect
        self.strongest = max(self.strongest, observation.defect, key=strength)
        self.level = self.strongest.level
        width, height = _size(observation.defect.region)
        self.size_px = (max(self.size_px[0], width), max(self.size_px[1], height))
        self.area_px = max(FADING * self.area_px, observation.defect.region.area_px)
        self.ts_last = self.ts_unseen = ts
        self.frames += 1
        self.missed = 0
        self.is_held = self.is_restored = False
        self.history.append(True)

    def _is_alike(self, defect: Defect) -> bool:
        """Nearly the area of before: the middle of a defect that breaks or joins jumps, and that is no motion."""
        before, now = self.defect.region.area_px, defect.region.area_px
        return ALIKE_SHARE * before <= now <= before / ALIKE_SHARE

    def miss(self, step: Point, velocity: Point) -> None:
        """This frame does not show it: reckon on, by the given motion."""
        self.place = (self.place[0] + step[0], self.place[1] + step[1])
        self.velocity = velocity
        self.step = None
        self.missed += 1
        self.is_held = False
        self.history.append(False)

    def hold(self, ts: float) -> None:
        """It is hidden in what this frame gives to another track: it is where it was reckoned to be, and not unseen."""
        self.point = self.place
        self.ts_unseen = ts
        self.missed = 0
        self.is_held = True

    def shift(self, seconds: float) -> None:
        """Move all its times: the camera's clock was set."""
        self.ts_first += seconds
        self.ts_last += seconds
        self.ts_unseen += seconds
        self.ts_told += seconds

    def step_in(self, seconds: float) -> Point:
        """How far it comes in that time if it keeps its speed."""
        return self.velocity[0] * seconds, self.velocity[1] * seconds

    def can_come_from(self, point: Point, seconds: float, gate_px: float, max_speed_px_s: float) -> bool:
        """Can it have been at `point` so long ago? Its way since then was along its present motion, or there was none."""
        x, y = self.point[0] - point[0], self.point[1] - point[1]
        speed = math.hypot(*self.velocity)
        if speed * seconds <= gate_px:
            return math.hypot(x, y) <= gate_px
        along = (x * self.velocity[0] + y * self.velocity[1]) / speed
        aside = abs(x * self.velocity[1] - y * self.velocity[0]) / speed
        return -gate_px <= along <= max_speed_px_s * seconds + gate_px and aside <= gate_px

    def take_over(self, later: Track) -> None:
        """Go on as the later track, which turned out to be this defect again."""
        self.point, self.place, self.velocity, self.step = later.point, later.place, later.velocity, later.step
        self.defect, self.strongest = later.defect, max(self.strongest, later.strongest, key=strength)
        self.level = self.strongest.level
        self.ts_last, self.ts_unseen = later.ts_last, later.ts_unseen
        self.frames += later.frames
        self.history, self.missed = later.history, later.missed
        self.is_held = self.is_restored = False

    def has_grown(self, step: float) -> bool:
        """Is its area larger by this share than when it was first seen?"""
        return self.defect.region.area_px >= self.first_area_px * (1.0 + step)

    def is_broken(self, share: float) -> bool:
        """Does the last frame show less than this share of the largest area seen lately?"""
        return self.defect.region.area_px < share * self.area_px

    def spans(self, observation: Observation, margin_px: float) -> bool:
        """Would the observation be a piece of this defect at its largest?"""
        x, y = observation.point
        width, height = self.size_px
        return abs(x - self.point[0]) <= width + margin_px and abs(y - self.point[1]) <= height + margin_px

    def tell(self, event: Event, ts: float) -> None:
        """Note what was said, so that only news is said again."""
        self.told = event
        self.ts_told = ts
        self.told_score = max(self.told_score, self.defect.region.score)
        self.told_area_px = max(self.told_area_px, self.defect.region.area_px)

    def to_plain(self) -> dict[str, Any]:
        """Plain values for JSON; only of a track that was told."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        plain |= {"defect": asdict(self.defect), "strongest": asdict(self.strongest), "history": list(self.history)}
        plain["told"] = None if self.told is None else asdict(self.told)
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any], window: int) -> Self:
        """The track of a snapshot, at rest. Raises KeyError, TypeError or ValueError for values that are none."""
        defect = _defect(plain["defect"])
        track = cls(Observation(defect, (defect.region.polygon,)), float(plain["ts_last"]), (0.0, 0.0), window)
        for name in _PLAIN:
            value = plain[name]
            setattr(track, name, tuple(value) if isinstance(value, list) else value)
        track.place = track.point
        told = dict(plain["told"])
        told |= {"phase": Phase(told["phase"]), "verdict": Verdict(told["verdict"]), "defect": _defect(told["defect"])}
        track.told = Event(**told)
        track.strongest = _defect(plain["strongest"])
        track.level = Verdict(plain["level"])
        track.history.extend(bool(seen) for seen in plain["history"])
        track.is_restored = True
        return track


_PLAIN = ("track_id", "level", "point", "size_px", "area_px", "ts_first", "ts_last", "ts_told", "frames", "told_score", "told_area_px")


def _size(region: Region) -> tuple[float, float]:
    return float(region.box_px[2] - region.box_px[0]), float(region.box_px[3] - region.box_px[1])


def _defect(plain: Mapping[str, Any]) -> Defect:
    region = dict(plain["region"])
    region |= {
        "box_px": tuple(region["box_px"]),
        "polygon": tuple(tuple(corner) for corner in region["polygon"]),
        "centroid_px": tuple(region["centroid_px"]),
    }
    return Defect(**{**plain, "region": Region(**region), "level": Verdict(plain["level"])})
