"""What good and bad pictures of a camera look like to its thresholds. In: recordings, the camera's settings. Out: `Population`s.

Frames in order go through the change map with several thresholds at once, which tells what noise alone would set off. Pictures spread over
the recording are kept: they are compared with a reference taught from half of the good ones, and inspected by the camera's network.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare import measure
from edgevision.compare.align import Landmarks, Limits, Pose
from edgevision.compare.background import ChangeDetector, allowed_pixels
from edgevision.compare.golden import Golden, learn
from edgevision.compare.settings import ChangeSettings
from edgevision.compare.settle import TILE_PX
from edgevision.errors import BadFrame, InputError
from edgevision.pipeline import Pipeline
from edgevision.records import Frame, Image, Mask, Region
from edgevision.study.against import Teacher, strength
from edgevision.study.assess_race import scaled
from edgevision.study.recording import read_frames

MOST_READ = 3000
MOST_KEPT = 100
KEPT_BYTES = 400_000_000
LEAST_GOOD, LEAST_BAD = 8, 1
STEPS = (0.5, 0.7, 1.0, 1.4, 2.0)  # times a threshold, for the values around it
MOVES_LEVELS = 40.0  # a change that passes so many gray levels is movement, not noise
NEAR_PX = 25  # around a movement anything may change
AFTER_FRAMES = 15  # and for so long after it
REASONS = 3


@dataclass(slots=True)
class Kept:
    """Pictures spread evenly over a recording whose length is not known: every k-th, and every second of them is dropped when full."""

    most: int = MOST_KEPT
    frames: list[Frame] = field(default_factory=list)
    every: int = 1
    seen: int = 0

    def add(self, frame: Frame) -> None:
        """Perhaps keep it."""
        if self.seen % self.every == 0:
            if not self.frames:
                self.most = max(LEAST_GOOD, min(self.most, KEPT_BYTES // frame.image.nbytes))
            self.frames.append(frame)
            if len(self.frames) >= 2 * self.most:
                self.frames, self.every = self.frames[::2], 2 * self.every
        self.seen += 1


@dataclass(slots=True, eq=False)
class Seen:
    """One picture. How strongly it differs from the reference: in gray levels and in spreads, brighter and darker, where the other limit
    lets it pass; and as plain `change` in gray levels. None of a picture that could not be aligned, `problem` says why.
    """

    name: str
    image: Image
    levels: tuple[float, float] | None = None
    spreads: tuple[float, float] | None = None
    change: float | None = None
    regions: tuple[Region, ...] = ()
    is_taught: bool = False
    pose: Pose | None = None
    problem: str = ""

    def score(self, min_area_px: int) -> float:
        """The network's highest, of a region of at least that area; 0 where there is none."""
        return max((region.score for region in self.regions if region.area_px >= min_area_px), default=0.0)

    def area(self, least_score: float) -> int:
        """The largest region of at least that score."""
        return max((region.area_px for region in self.regions if region.score >= least_score), default=0)


@dataclass(slots=True)
class Flicker:
    """What one change threshold (gray levels, as `threshold` in the settings) sets off on good frames where nothing moves.

    `frames` with any such change, `groups` of them, `largest_px` of all, and the worst frame: picture and mask.
    """

    levels: float
    threshold: float | str
    frames: int = 0
    groups: int = 0
    largest_px: int = 0
    worst: tuple[int, Image, Mask] | None = None


@dataclass(slots=True, eq=False)
class Population:
    """What was measured of one recording."""

    path: Path
    kept: Kept = field(default_factory=Kept)
    frames: int = 0
    is_cut_short: bool = False
    lost: list[str] = field(default_factory=list)
    lost_frames: int = 0
    flicker: list[Flicker] = field(default_factory=list)
    noise: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    gains: list[float] = field(default_factory=list)
    means: list[tuple[float, float]] = field(default_factory=list)
    moving: list[float] = field(default_factory=list)
    light_changes: int = 0
    seen: list[Seen] = field(default_factory=list)

    def lose(self, error: BadFrame) -> None:
        """A frame that could not be used."""
        self.lost_frames += 1
        if len(self.lost) < REASONS:
            self.lost.append(str(error))


Told = Callable[[str, int], None]


def read(path: Path, what: str, settings: ChangeSettings, told: Told) -> Population:
    """Read a recording through the change map in force. `what` is good or bad.

    Raises InputError for a recording that is not there or holds too few frames, CameraError for one that cannot be read.
    """
    if not path.exists():
        raise InputError(f"--{what} {path}: no such file or folder; give a video file or a folder of pictures")
    population = Population(path)
    detector = ChangeDetector(plain_of(settings))
    for frame in read_frames(path, MOST_READ + 1, population.lose):
        if population.frames == MOST_READ:
            population.is_cut_short = True
            break
        try:
            change = detector.update(frame.image)
        except BadFrame as error:
            population.lose(error)
            continue
        if change.full_reason is None:
            population.gains.append(change.gain)
        elif population.frames:
            population.light_changes += 1
        population.frames += 1
        population.kept.add(frame)
        population.means.append((frame.ts, float(frame.image[::4, ::4].mean()) / (1 if frame.image.dtype == np.uint8 else 257)))
        told(f"reading {what}", population.frames)
    least = LEAST_GOOD if what == "good" else LEAST_BAD
    if population.frames < least:
        why = f"; {population.lost_frames} could not be used: {population.lost[0]}" if population.lost else ""
        remedy = "record a longer one, or give more pictures"
        raise InputError(
            f"--{what} {path}: {population.frames} pictures are too few to tune from; at least {least} are needed: {remedy}{why}"
        )
    population.noise = detector.noise
    return population


def plain_of(settings: ChangeSettings) -> ChangeSettings:
    """The same, judged against the stream alone."""
    return settings.model_copy(update={"hold_frames": 0, "reference": "running", "golden": None})


def flicker(good: Population, settings: ChangeSettings, told: Told) -> None:
    """Run the good recording once more, with thresholds around the one in force, and count what they set off where nothing moves."""
    lanes = _Lanes(plain_of(settings), good)
    for number, frame in enumerate(read_frames(good.path, good.frames), 1):
        with suppress(BadFrame):
            lanes.add(frame)
        told("trying thresholds", number)


class _Lanes:
    """One change map for each threshold, and a high one that tells movement from noise."""

    def __init__(self, settings: ChangeSettings, good: Population) -> None:
        image = good.kept.frames[0].image
        self._good, self._min_area = good, settings.min_area
        self._high = ChangeDetector(settings.model_copy(update={"pixel_threshold": MOVES_LEVELS}))
        self._since = np.full(image.shape[:2], AFTER_FRAMES, np.uint8)
        self._near = np.ones((2 * NEAR_PX + 1, 2 * NEAR_PX + 1), np.uint8)
        middle = int(np.median(image)) >> (8 if image.dtype == np.uint16 else 0)
        levels = float(measure.strong_levels(settings.pixel_threshold, good.noise)[middle])
        self._lanes: list[ChangeDetector] = []
        for step in STEPS:
            threshold = settings.pixel_threshold if step == 1.0 else scaled(settings.pixel_threshold, step, levels)
            self._lanes.append(ChangeDetector(settings.model_copy(update={"pixel_threshold": threshold})))
            good.flicker.append(Flicker(step * levels, threshold))

    def add(self, frame: Frame) -> None:
        """Raises BadFrame."""
        high = self._high.update(frame.image)
        moved = high.live
        if high.full_reason is None and moved.any():
            moved = cv2.dilate(np.ascontiguousarray(moved).view(np.uint8), self._near).astype(bool)
        self._since = np.where(moved, 0, np.minimum(self._since, AFTER_FRAMES - 1) + 1).astype(np.uint8)
        self._good.moving.append(1.0 if high.full_reason is not None else high.fraction)
        is_settled = len(self._good.moving) > AFTER_FRAMES
        for lane, one in zip(self._lanes, self._good.flicker, strict=True):
            change = lane.update(frame.image)
            if change.full_reason is None and is_settled:
                self._count(one, without_whole_tiles(change.live) & (self._since >= AFTER_FRAMES), frame)

    def _count(self, one: Flicker, live: Mask, frame: Frame) -> None:
        if not live.any():
            return
        count, _, stats, _ = cv2.connectedComponentsWithStats(live.view(np.uint8), connectivity=8)
        largest = int(stats[1:, cv2.CC_STAT_AREA].max())
        if largest < self._min_area:
            return
        one.frames += 1
        one.groups += count - 1
        if largest > one.largest_px:
            one.largest_px, one.worst = largest, (largest, frame.image, live.copy())


def without_whole_tiles(live: Mask) -> Mask:
    """The live pixels but for tiles that are live all over: those are taken anew once a movement near them has come to rest."""
    height, width = live.shape[0] // TILE_PX * TILE_PX, live.shape[1] // TILE_PX * TILE_PX
    tiles = live[:height, :width].reshape(height // TILE_PX, TILE_PX, width // TILE_PX, TILE_PX)
    whole = tiles.all(axis=(1, 3))
    kept = live.copy()
    kept[:height, :width] &= ~np.repeat(np.repeat(whole, TILE_PX, axis=0), TILE_PX, axis=1)
    return kept


def teach(good: Population, settings: ChangeSettings) -> Teacher:
    """A reference from every second good picture; the others are held out. Raises InputError where they cannot be aligned."""
    images = [frame.image for frame in good.kept.frames]
    limits = Limits(settings.align_px, settings.align_degrees)
    return Teacher(_taught(images[::2], limits), settings, allowed_pixels(settings, *images[0].shape[:2]))


def _taught(images: list[Image], limits: Limits) -> Golden:
    """From those that can be aligned with the first."""
    usable = [images[0]]
    for image in images[1:]:
        try:
            learn([images[0], image], limits)
        except InputError:
            continue
        usable.append(image)
    return learn(usable, limits)


def see(population: Population, teacher: Teacher | None, told: Told, has_taught: bool) -> None:
    """Compare the kept pictures with the reference; None: there is none. `has_taught`: every second one was taught from."""
    for number, frame in enumerate(population.kept.frames):
        seen = Seen(frame.part_id or f"frame {frame.seq}", frame.image, is_taught=has_taught and number % 2 == 0)
        population.seen.append(seen)
        if teacher is not None:
            _compare(seen, teacher)
        told(f"comparing {population.path.name}", number + 1)


def _compare(seen: Seen, teacher: Teacher) -> None:
    settings = teacher.settings
    area, despeckle = settings.min_area, settings.despeckle
    try:
        away = teacher.away(seen.image)
    except InputError as error:
        seen.problem = str(error).replace("image 2", "it")
        return
    parts = ((away.brighter, away.brighter_spreads, 0), (away.darker, away.darker_spreads, 1))
    levels, spreads = [], []
    for by_level, by_spread, sign in parts:
        levels.append(strength(np.where(by_spread > settings.var_threshold[sign], by_level, 0), area, despeckle))
        spreads.append(strength(np.where(by_level > settings.abs_threshold[sign], by_spread, 0), area, despeckle))
    seen.change = strength(np.maximum(away.brighter, away.darker), area, despeckle)
    seen.levels, seen.spreads = (levels[0], levels[1]), (spreads[0], spreads[1])


def place(population: Population, settings: ChangeSettings) -> None:
    """How each kept picture lies against the first: what vibration and placing come to."""
    landmarks = Landmarks(population.seen[0].image, None, Limits(settings.align_px, settings.align_degrees))
    for seen in population.seen:
        seen.pose = landmarks.locate(seen.image, Pose())


def inspect(population: Population, pipeline: Pipeline, told: Told) -> None:
    """What the camera's network finds in each kept picture. Raises InputError where it cannot read even one of them."""
    reasons = []
    for number, (seen, frame) in enumerate(zip(population.seen, population.kept.frames, strict=True)):
        found = pipeline.inspect(frame)
        seen.regions = found.regions
        if found.mode == "none" and found.reason:
            reasons.append(found.reason)
        told(f"inspecting {population.path.name}", number + 1)
    if len(reasons) == len(population.seen):
        raise InputError(f"{population.path}: not one picture could be inspected: {reasons[0]}")


def marks_of(seen: Seen, teacher: Teacher, settings: ChangeSettings) -> Mask:
    """Where a picture differs from the reference, by these settings; nothing where it cannot be aligned."""
    try:
        return teacher.away(seen.image).foreground(settings)
    except InputError:
        return np.zeros(seen.image.shape[:2], np.bool_)
