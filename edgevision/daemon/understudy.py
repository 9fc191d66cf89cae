"""A second pipeline in a thread of its own, that nobody has to wait for: what is slow, hangs or raises there costs the first one nothing.

In: frames, one at a time. Out: outcomes, to be asked for. Keeps the one that is under way. The thread runs below the worker's other ones;
kernels and OpenVINO let go of the interpreter while they compute.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgevision.records import Frame, Image, Inspection

NICE = 10  # below the worker's own threads
PRIORITY_LOWEST = 19


class Looks(Protocol):
    """What an understudy needs of a pipeline."""

    def prepare(self, image: Image) -> None:
        """Load and compile for frames like this one."""

    def look(self, frame: Frame) -> Inspection:
        """The finding on one frame, without events."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one frame: an inspection, or why there is none."""

    seq: int
    inspection: Inspection | None = None
    error: str | None = None


class Understudy:
    """One candidate. Every method is for the worker's main thread."""

    def __init__(self, build: Callable[[], Looks]) -> None:
        """`build` makes the pipeline, in the thread."""
        self._build = build
        self._moved = threading.Condition()
        self._frame: Frame | None = None
        self._is_busy = self._is_ready = self._is_over = False
        self._outcome: Outcome | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_ready(self) -> bool:
        """Whether it is loaded and may be offered frames."""
        with self._moved:
            return self._is_ready

    @property
    def is_busy(self) -> bool:
        """Whether a frame is under way."""
        with self._moved:
            return self._is_busy

    def start(self, image: Image) -> None:
        """Load for frames like this one, unless that was begun already; `take` tells what keeps it from being ready, if anything does."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(image.copy(),), name="candidate", daemon=True)
            self._thread.start()

    def offer(self, frame: Frame) -> bool:
        """Let it look at this frame, whose image must stay as it is; False while another is under way, or before it is ready."""
        with self._moved:
            if self._is_busy or self._is_over or not self._is_ready:
                return False
            self._frame, self._is_busy, self._outcome = frame, True, None
            self._moved.notify_all()
            return True

    def take(self, timeout_s: float = 0.0) -> Outcome | None:
        """What came of the last frame, once; None when that is not known within the time."""
        with self._moved:
            if timeout_s > 0:
                self._moved.wait_for(lambda: self._outcome is not None or not self._is_busy, timeout_s)
            outcome, self._outcome = self._outcome, None
            return outcome

    def close(self) -> None:
        """Take no more frames. One that is under way is left to itself."""
        with self._moved:
            self._is_over = True
            self._moved.notify_all()

    def _run(self, image: Image) -> None:
        """The thread. Whatever a candidate raises must not end the camera."""
        with contextlib.suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(PRIORITY_LOWEST, own + NICE))
        try:
            pipeline = self._build()
            pipeline.prepare(image)
        except Exception as error:
            self._settle(Outcome(-1, error=f"it cannot be loaded: {_one_line(error)}"))
            return
        with self._moved:
            self._is_ready = True
        while (frame := self._next()) is not None:
            try:
                self._settle(Outcome(frame.seq, pipeline.look(frame)))
            except Exception as error:
                self._settle(Outcome(frame.seq, error=_one_line(error)))

    def _next(self) -> Frame | None:
        with self._moved:
            self._moved.wait_for(lambda: self._frame is not None or self._is_over)
            frame, self._frame = self._frame, None
            return None if self._is_over else frame

    def _settle(self, outcome: Outcome) -> None:
        with self._moved:
            self._is_busy, self._outcome = False, outcome
            self._moved.notify_all()


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
