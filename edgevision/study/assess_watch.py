"""How much of a scene moves: a recording through the change map alone. In: a recording, compare settings. Out: a `Watched`.

Every frame is looked at, one after another, until the recording or the reading time ends: what is read is cheap, networks are not run.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
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
from edgevision.study.recording import read_frames

LEAST_FRAMES = 10
MOST_FRAMES = 1_000_000
REASONS = 5
BUSY_SHARE = 0.9  # the quantile of the changed share that is shown as a busy frame


@dataclass(slots=True)
class Watched:
    """What was seen. `shares` of the picture that changed and `ts` (seconds), of every frame but those taken whole.

    `heat` (H, W): share of the frames on which a pixel changed. `whole` counts frames taken whole for another light, `misaligned` those
    that did not fit the reference; `lost` says of frames that could not be used why, `levels` is the change threshold in gray levels.
    """

    picture: Image
    frames: int = 0
    shares: list[float] = field(default_factory=list)
    ts: list[float] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    foreground: list[float] = field(default_factory=list)
    heat: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 0)))
    heat_foreground: NDArray[Any] = field(default_factory=lambda: np.zeros((0, 0)))
    whole: int = 0
    misaligned: int = 0
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
        if change.scene is Scene.MISALIGNED:
            self.misaligned += 1
        self.foreground.append(float(change.foreground.mean()))
        self.heat_foreground += change.foreground
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
        why = f" ({problems.lost[0]})" if problems.lost else ""
        raise InputError(
            f"{recording}: {usable} frames could be compared; at least {LEAST_FRAMES} are needed: give a longer recording{why}"
        )
    watched.lost_frames, watched.lost, watched.is_cut_short = problems.lost_frames, problems.lost, is_cut_short
    watched.decode_s = max(0.0, _children_s() - children_s)
    watched.heat /= usable
    watched.heat_foreground /= watched.frames
    watched.fps = _fps(watched.ts)
    _note_levels(watched, detector, settings)
    return watched


def _begun(frame: Frame) -> Watched:
    shape = frame.image.shape[:2]
    return Watched(frame.image, heat=np.zeros(shape, np.float32), heat_foreground=np.zeros(shape, np.float32))


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


def _children_s() -> float:
    """CPU seconds of the decoders that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
