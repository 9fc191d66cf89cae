"""The `synthetic` source: a seeded factory line as a camera would give it. In: settings. Out: pictures. The line itself: `line/line.py`."""

from __future__ import annotations

import time
from collections.abc import Callable

from edgevision.capture.line.camera import EPOCH_S
from edgevision.capture.line.line import Line
from edgevision.capture.line.settings import SyntheticSettings
from edgevision.capture.line.truth import LABELS, PhysicalDefect, Truth, TruthDefect
from edgevision.errors import CameraError, EndOfStream
from edgevision.records import Image
from edgevision.registry import Registry

__all__ = ["LABELS", "Line", "PhysicalDefect", "SyntheticSettings", "SyntheticSource", "Truth", "TruthDefect"]


class SyntheticSource:
    """Gives the line's frames in order. In real time a reader that is too slow misses frames, as with any camera."""

    simulated = True

    def __init__(
        self, settings: SyntheticSettings, clock: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.finite = settings.frames is not None
        self.lossless = self.recorded = not settings.realtime
        self._settings = settings
        self._clock = clock
        self._sleep = sleep
        self._line: Line | None = None
        self._next = 0
        self._start_s = 0.0

    def open(self) -> None:
        """Build the line; its frame 0 is taken now (in real time) or at the start of the synthetic shift."""
        self._line = Line(self._settings)
        self._next = 0
        self._start_s = self._clock() if self._settings.realtime else float(EPOCH_S)

    def read(self) -> tuple[Image, float]:
        """The next picture and its time. EndOfStream after `frames` frames."""
        if self._line is None:
            raise CameraError("synthetic: read before open; open the source first")
        if self._settings.realtime:
            self._wait()
        if self._settings.frames is not None and self._next >= self._settings.frames:
            raise EndOfStream(f"synthetic: all {self._settings.frames} frames are given; set `frames` higher or leave it out")
        number = self._next
        self._next += 1
        return self._line.frame(number)[0], self._start_s + number / self._settings.fps

    def close(self) -> None:
        """Forget the line."""
        self._line = None

    def _wait(self) -> None:
        """Sleep until the next frame is due; skip the frames a slow reader has missed."""
        due = self._next / self._settings.fps
        now = self._clock() - self._start_s
        if now < due:
            self._sleep(due - now)
        else:
            self._next = max(self._next, int(now * self._settings.fps))


def register(registry: Registry) -> None:
    """Make this source known."""
    registry.register("source", "synthetic", SyntheticSource, SyntheticSettings)
