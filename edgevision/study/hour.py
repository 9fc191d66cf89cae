"""An hour of frames through the whole pipeline: what stays is still said, what drifts is followed, what leaves is gone.

In: a scene, the frames' numbers, a camera's settings. Out: `Told`, what was said of them. Keeps nothing. The pictures are a small
square of the synthetic line's station, without its own noise and lamp, so that every gray level of change is ours; noise is added. Beside
the pipeline, on every so many frames, the whole network looks at the raw frame: that is what ours is held against.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.line.line import Line
from edgevision.capture.line.settings import SyntheticSettings
from edgevision.compare.settings import ChangeSettings
from edgevision.config import CameraConfig, builtin_registry
from edgevision.judge.rules import AreaScoreRule, JudgeSettings
from edgevision.pipeline import Pipeline
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Box, Frame, Inspection, Phase, Verdict
from edgevision.registry import Chosen

Floats = NDArray[np.float32]

FPS = 25.0
SIDE_PX = 192
SIGMA = 2.0  # of the camera's noise, gray levels
DRIFT = 0.01  # gray levels a frame
LAMP_REACH = 30.0  # gray levels up and down that the lamp's light wanders, at the picture's mean
EMPTY_FRAMES = 250  # before a defect that stays
STANDS, AWAY = (30, 120), (10, 40)  # frames that a part stands, and that none does
NOISES = 32
STILL = MappingProxyType(
    {"noise_sigma": 0.0, "lamp_drift": 0.0, "flicker": 0.0, "vibration_px": 0.0, "jpeg_quality": 0, "clock": False, "dust": (0.0, 0.0)}
)
SCENES = MappingProxyType(
    {
        "stays": "a defect comes and stays to the end",
        "lamp, good part": "the light wanders by 0.01 gray levels a frame over a part without a defect",
        "lamp, bad part": "the same over a part with one",
        "fades in": "a defect grows by 0.01 gray levels a frame, again and again",
        "leaves": "parts with a defect stand for a while and leave",
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """(H, W, 3) in gray levels: the station with no part, with a part, with the same part and its defect, which lies in `box_px`."""

    empty: Floats
    good: Floats
    bad: Floats
    box_px: Box


@dataclass(slots=True)
class Told:
    """What was said. `differs` counts the checked frames on which the whole network's verdict on the raw frame was another.

    `wrong` counts the frames with another verdict than the scene calls for, where that is known. `lags` are, of each defect that faded in,
    by how many frames ours was called NG after the whole network's answer was (negative: before). `left` counts parts that left, `stayed`
    the frames on which something was still said of one.
    """

    frames: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)
    wrong: int = 0
    checked: int = 0
    differs: int = 0
    lags: list[int] = field(default_factory=list)
    left: int = 0
    stayed: int = 0
    new: int = 0
    ended: int = 0
    whole_runs: int = 0
    live: float = 0.0
    ms: float = 0.0

    def add(self, found: Inspection, due: Verdict | None) -> None:
        """Take in one frame, and what must be said of it, None where that is not known."""
        self.frames += 1
        self.verdicts[found.verdict.value] = self.verdicts.get(found.verdict.value, 0) + 1
        self.wrong += due is not None and found.verdict is not due
        self.live += found.live_fraction
        self.ms += found.timing_ms.get("total", 0.0)
        self.whole_runs += found.full_reason is not None
        self.new += sum(event.phase is Phase.NEW for event in found.events)
        self.ended += sum(event.phase is Phase.END for event in found.events)

    def row(self) -> dict[str, Any]:
        """For a table."""
        count = max(1, self.frames)
        return {
            "frames": self.frames,
            "verdicts": " ".join(f"{name} {number}" for name, number in sorted(self.verdicts.items())),
            "wrong": self.wrong,
            "checked": self.checked,
            "differs": self.differs,
            "lags": f"{min(self.lags)} to {max(self.lags)} ({len(self.lags)})" if self.lags else "-",
            "left": self.left,
            "stayed": self.stayed,
            "events": f"{self.new} new, {self.ended} end",
            "whole_runs": self.whole_runs,
            "live_mean": self.live / count,
            "ms_mean": self.ms / count,
        }


def views(seed: int = 0) -> Views:
    """A part with a defect that stands in the station of the synthetic line, seen through a square of SIDE_PX."""
    line = Line(SyntheticSettings(seed=seed, defect_rate=1.0, contrast=(26.0, 34.0), **STILL))
    number, truth = next(
        (k, truth)
        for k in range(0, 20_000, 5)
        if (truth := line.truth(k)).station is not None and not truth.is_moving and any(one.label == "scratch" for one in truth.defects)
    )
    defect = next(one for one in truth.defects if one.label == "scratch")
    shown = line.frame(number)[0]
    (x1, y1, x2, y2), (height, width) = defect.box_px, shown.shape[:2]
    left, top = (min(max(0, (low + high - SIDE_PX) // 2), most - SIDE_PX) for low, high, most in ((x1, x2, width), (y1, y2, height)))
    mask = np.zeros((height, width), np.uint8)
    for one in truth.defects:
        a, b, c, d = one.box_px
        mask[b:d, a:c] |= one.mask.astype(np.uint8)
    mended = cv2.inpaint(shown, cv2.dilate(mask, np.ones((7, 7), np.uint8)), 5, cv2.INPAINT_TELEA)
    alone = mended.copy()
    alone[y1 - 4 : y2 + 4, x1 - 4 : x2 + 4] = shown[y1 - 4 : y2 + 4, x1 - 4 : x2 + 4]
    square = (slice(top, top + SIDE_PX), slice(left, left + SIDE_PX))
    empty, good, bad = (np.asarray(picture[square], np.float32) for picture in (_empty(line, number, (left, top)), mended, alone))
    return Views(empty, good, bad, (x1 - left, y1 - top, x2 - left, y2 - top))


def _empty(line: Line, after: int, corner: tuple[int, int]) -> NDArray[np.uint8]:
    """The next frame on which no part reaches into the square."""
    x, y = corner
    for k in range(after, after + 2000):
        boxes = line.truth(k).parts_px
        if not any(x1 < x + SIDE_PX and x2 > x and y1 < y + SIDE_PX and y2 > y for x1, y1, x2, y2 in boxes):
            return np.asarray(line.frame(k)[0], np.uint8)
    return np.full((line.settings.height, line.settings.width, 3), 90, np.uint8)


class Scene:
    """One scene's pictures, frame by frame. `shown` says of the last one how strongly the defect shows, 0 to 1, and whether a part does."""

    def __init__(self, name: str, seen: Views, seed: int = 0) -> None:
        self.name, self._seen = name, seen
        self._random = np.random.default_rng(seed)
        self._noises = self._random.normal(0, SIGMA, (NOISES, *seen.good.shape)).astype(np.float32)
        self._peak = float(np.abs(seen.bad - seen.good).max())
        self._stands = True
        self._left = int(self._random.integers(*STANDS))
        self.shown = (0.0, True)

    @property
    def due(self) -> Verdict | None:
        """What must be said of the last frame; None while a defect is half faded in."""
        strength, has_part = self.shown
        if not has_part or strength == 0.0:
            return Verdict.OK
        return Verdict.NG if strength == 1.0 else None

    @property
    def fade_frames(self) -> int:
        """How many frames a defect takes to show at its full strength."""
        return round(self._peak / DRIFT)

    def frame(self, k: int) -> Frame:
        """Frame k; they come in order."""
        picture = self._noises[int(self._random.integers(NOISES))]
        picture = np.roll(picture, tuple(self._random.integers(0, SIDE_PX, 2)), (0, 1)) + self._picture(k)
        return Frame(picture.clip(0, 255).astype(np.uint8), 1_700_000_000.0 + k / FPS, k)

    def _picture(self, k: int) -> Floats:
        seen = self._seen
        strength, has_part = 0.0, True
        if self.name == "stays":
            strength = float(k >= EMPTY_FRAMES)
        elif self.name == "fades in":
            strength = (k % self.fade_frames) / self.fade_frames
        elif self.name == "leaves":
            if self._left == 0:
                self._stands = not self._stands
                self._left = int(self._random.integers(*(STANDS if self._stands else AWAY)))
            self._left -= 1
            strength, has_part = float(self._stands), self._stands
        elif self.name == "lamp, bad part":
            strength = 1.0
        self.shown = strength, has_part
        if not has_part:
            return seen.empty
        picture = seen.good + np.float32(strength) * (seen.bad - seen.good) if strength else seen.good
        return picture * np.float32(self._gain(k)) if self.name.startswith("lamp") else picture

    def _gain(self, k: int) -> float:
        """Up and down by DRIFT gray levels a frame at the picture's mean."""
        period = 4 * LAMP_REACH / DRIFT
        way = (k + period / 4) % period / period
        return 1 + LAMP_REACH * (1 - 4 * abs(way - 0.5)) / float(self._seen.good.mean())


def camera(**compare: Any) -> CameraConfig:
    """A camera with the default network, each frame judged by itself."""
    return CameraConfig(
        source=Chosen("synthetic"),
        compare=ChangeSettings(**compare),
        recompute=RecomputeSettings(foreign="never"),
        judge=JudgeSettings(warn=0.8, ng=0.9, k_of_n=(1, 1)),
    )


def whole(settings: CameraConfig) -> CameraConfig:
    """The same with the whole network on every raw frame."""
    recompute = settings.recompute.model_copy(
        update={"policy": Chosen("all"), "keyframe_s": 0.0, "audit_every": 0, "audit_engine_every": 0}
    )
    compare = settings.compare.model_copy(update={"photometric": "none", "steady_px": 0.0, "global_fraction": 1.0})
    return settings.model_copy(update={"recompute": recompute, "compare": compare})


def pipeline(settings: CameraConfig) -> Pipeline:
    """Of these settings."""
    policy = settings.recompute.policy
    return Pipeline("hour", settings, builtin_registry().build("policy", policy.type, policy.settings), (AreaScoreRule(settings.judge),))


def run(scene: Scene, numbers: range, check_every: int, settings: CameraConfig | None = None) -> Iterator[Told]:
    """One scene, its frames of these numbers; what was said so far is given after each, the same object each time."""
    settings = settings or camera()
    ours, dense, told = pipeline(settings), pipeline(whole(settings)), Told()
    watch = _Watch(scene, told)
    for k in numbers:
        frame = scene.frame(k)
        found = ours.inspect(frame)
        told.add(found, scene.due)
        exact = dense.inspect(frame) if k % check_every == 0 else None
        watch.look(k, found, exact)
        yield told


class _Watch:
    """What is looked for beside the verdicts: the first NG of a defect that fades in, and what is left of a part that has gone."""

    def __init__(self, scene: Scene, told: Told) -> None:
        self._scene, self._told = scene, told
        self._cycle = 0
        self._first: list[int | None] = [None, None]
        self._had_part = True

    def look(self, k: int, found: Inspection, exact: Inspection | None) -> None:
        """Take in a frame, and the whole network's inspection of it where there is one."""
        told, has_part = self._told, self._scene.shown[1]
        if exact is not None:
            told.checked += 1
            told.differs += found.verdict is not exact.verdict
        if self._scene.name == "fades in":
            self._note_fade(k, found, exact)
        if self._had_part and not has_part:
            told.left += 1
        if not has_part:
            told.stayed += bool(found.regions)
        self._had_part = has_part

    def _note_fade(self, k: int, found: Inspection, exact: Inspection | None) -> None:
        if k // self._scene.fade_frames != self._cycle:
            self._first, self._cycle = [None, None], k // self._scene.fade_frames
        for place, inspection in enumerate((found, exact)):
            if inspection is not None and inspection.verdict is Verdict.NG and self._first[place] is None:
                self._first[place] = k
                ours, other = self._first
                if ours is not None and other is not None:
                    self._told.lags.append(ours - other)
