"""How much of a scene moves: a recording through the change map alone. In: a recording, compare settings. Out: a `Watched`.

Every frame is looked at, one after another, until the recording or the reading time ends: what is read is cheap, networks are not run.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.compare import measure
from edgevision.compare.background import ChangeDetector
from edgevision.compare.settings import ChangeSettings
from edgevision.errors import BadFrame, InputError
from edgevision.records import ChangeMap, Frame, Image, Mask, Scene
from edgevision.study.against import Teacher
from edgevision.study.recording import read_frames

LEAST_FRAMES = 10
MOST_FRAMES = 1_000_000
REASONS = 5


@dataclass(slots=True)
class Watched:
    """What was seen. `shares` of the picture that changed and `ts` (seconds), of every frame but those taken whole.

    `heat` (H, W): share of the frames on which a pixel changed. `whole` counts frames taken whole for another light;
    `lost` says of frames that could not be used why, `levels` is the change threshold in gray levels.
    """

    picture: Image
    frames: int = 0
    shares: list[float] = field(default_factory=list)
    ts: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    heat: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 0)))
    whole: int = 0
    lost_frames: int = 0
    lost: list[str] = field(default_factory=list)
    busiest: tuple[float, Image, Mask] | None = None
    gains: list[float] = field(default_factory=list)
    levels: float = 0.0
    noise_levels: float = 0.0
    decode_s: float = 0.0
    fps: float = 0.0
    is_cut_short: bool = False

    def note_lost(self, error: BadFrame) -> None:
        """One frame less."""
        self.lost_frames += 1
        reason = str(error)
        if len(self.lost) < REASONS and reason not in self.lost:
            self.lost.append(reason)

    def add(self, frame: Frame, change: ChangeMap) -> None:
        """Take one frame's change map."""
        if change.full_reason is not None:
            self.whole += change.scene is Scene.LIGHT_CHANGE
            return
        self.shares.append(change.fraction)
        self.ts.append(frame.ts)
        self.numbers.append(self.frames)
        self.gains.append(change.gain)
        self.heat += change.live
        if self.busiest is None or change.fraction > self.busiest[0]:
            self.busiest = change.fraction, frame.image, change.live.copy()


def watch(recording: Path, settings: ChangeSettings, limit_s: float, told: Callable[[int], None] = lambda number: None) -> Watched:
    """Look at the recording for at most `limit_s` seconds. `told` is called with the number of each frame.

    Raises InputError for a recording that is not there or has fewer than LEAST_FRAMES frames that can be used, CameraError for one that
    cannot be read.
    """
    if not recording.exists():
        raise InputError(f"{recording}: no such file or folder; give a video file or a folder of images")
    detector = ChangeDetector(settings)
    watched: Watched | None = None
    problems = Watched(np.zeros((0, 0), np.uint8))
    children_s, began_s = _children_s(), time.perf_counter()
    is_cut_short = False
    for frame in read_frames(recording, MOST_FRAMES, problems.note_lost):
        if watched is None:
            watched = _begun(frame)
            detector.prepare(frame.image)
            began_s = time.perf_counter()  # compiling is done once, and is not the recording's time
        watched.frames += 1
        try:
            change = detector.measure(frame.image, frame.ts)
        except BadFrame as error:
            problems.note_lost(error)
            continue
        watched.add(frame, change)
        detector.commit(change, change.live)
        told(watched.frames)
        if time.perf_counter() - began_s > limit_s:
            is_cut_short = True
            break
    usable = len(watched.shares) if watched is not None else 0
    if watched is None or usable < LEAST_FRAMES:
        read = watched.frames if watched is not None else 0
        if problems.lost_frames:
            raise InputError(f"{recording}: {usable} of {read} frames can be used, at least {LEAST_FRAMES} are needed: {problems.lost[0]}")
        raise InputError(
            f"{recording}: {read} frames, of which {usable} can be compared with the one before; at least {LEAST_FRAMES} are needed: give "
            "a longer recording, of a camera that stands still"
        )
    watched.lost_frames, watched.lost, watched.is_cut_short = problems.lost_frames, problems.lost, is_cut_short
    watched.decode_s = max(0.0, _children_s() - children_s)
    watched.heat /= usable
    watched.fps = _fps(watched.ts)
    _note_levels(watched, detector, settings)
    return watched


def _begun(frame: Frame) -> Watched:
    shape = frame.image.shape[:2]
    return Watched(frame.image, heat=np.zeros(shape, np.float32))


def _note_levels(watched: Watched, detector: ChangeDetector, settings: ChangeSettings) -> None:
    """The noise and the threshold at the gray level that is commonest in the picture."""
    noise = detector.noise
    middle = int(np.median(watched.picture)) >> (8 if watched.picture.dtype == np.uint16 else 0)
    watched.noise_levels = float(noise[middle])
    watched.levels = float(measure.strong_levels(settings.pixel_threshold, noise)[middle])


def _fps(ts: list[float]) -> float:
    gaps = np.diff(ts)
    gaps = gaps[gaps > 0]
    return 1.0 / float(np.median(gaps)) if gaps.size else 1.0


@dataclass(slots=True)
class Beside:
    """Frames held beside a reference: `shares` of the picture that differ, (frame, share); `heat` (H, W): share of the frames on which a
    pixel did; how many do not lie on it, and why the first does not.
    """

    heat: NDArray[Any]
    shares: list[tuple[int, float]] = field(default_factory=list)
    misaligned: int = 0
    problem: str = ""


def beside(frames: Iterable[tuple[int, Frame]], teacher: Teacher) -> Beside:
    """Hold numbered frames beside a reference."""
    found = Beside(np.zeros(teacher.golden.mean.shape[:2], np.float32))
    for number, frame in frames:
        try:
            marks = teacher.away(frame.image).foreground(teacher.settings)
        except InputError as error:
            found.misaligned += 1
            found.problem = found.problem or str(error).replace("image 2", "it").replace("the first", "the reference")
            continue
        found.shares.append((number, float(marks.mean())))
        found.heat += marks
    found.heat /= max(1, len(found.shares))
    return found


def _children_s() -> float:
    """CPU seconds of the decoders that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
