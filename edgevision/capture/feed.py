"""A camera as its worker sees it: the next thing to inspect, be that any frame or a part that somebody asked for.

In: a Camera, trigger settings, requests from any thread. Out, one by one: frames; parts, as frames that carry a `part_id`; refusals, for
the parts that got no frame. Kept: the camera, the queue of parts, and with a trigger a thread that takes every frame of the camera, so that
a part is paired with the first frame after its request however long the inspection of the part before it takes.

Free running, the camera itself lets the newest frame win, and no thread is needed. A lossless source (a replay) is held back while two
parts wait, so none is refused for overload; its parts are due on the recording's own clock.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from edgevision.capture.camera import Camera
from edgevision.capture.parts import PartRequest, Refusal
from edgevision.capture.trigger import TriggerSettings, build_queue, build_trigger, parse_request
from edgevision.capture.wire import one_line
from edgevision.errors import BadFrame, CameraError
from edgevision.records import Frame

_SLICE_S = 0.05
_HELD_PARTS = 2
_JOIN_S = 10.0


class Feed:
    """Frames and parts of one camera. `offer` from any thread, the rest from the worker's. Each part comes from `next` exactly once."""

    def __init__(
        self,
        camera: Camera,
        settings: TriggerSettings | None = None,
        clock: Callable[[], float] = time.time,
        on_part: Callable[[PartRequest], None] = lambda request: None,
    ) -> None:
        """`on_part` is told, before anything else is done for it, of each part that this feed's own trigger asks for."""
        self.camera = camera
        self._on_part = on_part
        self.settings = settings or TriggerSettings()
        self._clock = clock
        self._trigger = build_trigger(self.settings, camera.camera_id)
        self._queue = build_queue(self.settings)
        self._refused: deque[Refusal] = deque()
        self._moved = threading.Condition()
        self._stopping = threading.Event()
        self._over: CameraError | None = None
        self._stream_ts: float | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_triggered(self) -> bool:
        """Only parts come, no other frames."""
        return self.settings.type != "free_run"

    def open(self) -> None:
        """Start the camera; with a trigger, in a thread of its own."""
        self._over = None
        if not self.is_triggered:
            self.camera.open()
        elif self._thread is None:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._pump, name=f"feed-{self.camera.camera_id}", daemon=True)
            self._thread.start()

    def next(self, timeout_s: float) -> Frame | Refusal | None:
        """What is to be told next; None when nothing came in time.

        Raises as Camera.next does. With a trigger, bad frames are left out (the next one shows the part), and the end comes after the
        last part. Free running, a part that is asked for all the same is shown by the next frame.
        """
        if not self.is_triggered:
            return self._next_free(timeout_s)
        with self._moved:
            self._moved.wait_for(lambda: self._has_news() or self._over is not None, timeout_s)
            self._refused.extend(self._queue.refusals(self._now()))
            if self._refused:  # they cost next to nothing, and an overload that hides them would pile them up
                return self._refused.popleft()
            frame = self._queue.take()
            self._moved.notify_all()
        if frame is not None:
            return frame
        if self._over is not None:
            raise self._over
        return None

    def offer(self, message: bytes | str | Mapping[str, Any] | PartRequest) -> bool:
        """Take a request for a part, from any thread. False when the part waits already, or when the queue is full and it is refused.

        Raises InputError for a bad message, CameraError when the camera is over: nobody would tell of the part any more.
        """
        request = message if isinstance(message, PartRequest) else parse_request(message, self._now())
        with self._moved:
            if self._stream_ts is not None:
                request = replace(request, ts=self._stream_ts)
            if self._over is not None:
                raise CameraError(str(self._over))
            taken = self._queue.offer(request)
            self._moved.notify_all()
        return taken

    def refuse_all(self, reason: str) -> tuple[Refusal, ...]:
        """Give up every part that waits, and say which: the program ends, or the camera is switched off."""
        self._queue.refuse_all(reason)
        refused = (*self._refused, *self._queue.refusals(self._now()))
        self._refused.clear()
        return refused

    def close(self) -> None:
        """Stop the camera. Parts that wait stay, for `next` or `refuse_all`."""
        self._stopping.set()
        with self._moved:
            self._moved.notify_all()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
            self._thread = None
        else:
            self.camera.close()
            with self._moved:
                self._over = self._over or CameraError(f"{self.camera.camera_id}: the camera is closed")

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _next_free(self, timeout_s: float) -> Frame | Refusal | None:
        """Every frame; one that should show a part the source has named, and cannot, is that part's refusal."""
        self._refused.extend(self._queue.refusals(self._now()))
        if self._refused:
            return self._refused.popleft()
        try:
            frame = self.camera.next(timeout_s)
        except BadFrame as error:
            if error.part_id is None:
                raise
            return Refusal(PartRequest(error.part_id, self._now()), str(error))
        except CameraError as error:
            with self._moved:
                self._over = error
            raise
        if frame is None:
            return None
        self._follow(frame)
        return self._queue.take() if self._queue.show(frame) else frame

    def _follow(self, frame: Frame) -> None:
        """Learn the recording's time from its frame."""
        if self.camera.is_recorded:
            if self._stream_ts is None:
                self._queue.restamp(frame.ts)
            self._stream_ts = frame.ts

    def _has_news(self) -> bool:
        """Under the lock: is there something for the worker?"""
        self._refused.extend(self._queue.refusals(self._now()))
        return bool(self._refused) or self._queue.paired > 0

    def _pump(self) -> None:
        """The thread: every frame of the camera meets the parts that wait."""
        over = CameraError(f"{self.camera.camera_id}: the camera is closed")
        try:
            with self.camera:
                while not self._stopping.is_set():
                    self._step()
        except CameraError as error:
            over = error
        except Exception as error:  # a fault of ours: it must end the worker, not leave it waiting
            over = CameraError(f"{self.camera.camera_id}: {type(error).__name__}: {one_line(error)}; please report this")
        with self._moved:
            self._over = over
            if not self._stopping.is_set():
                self._queue.refuse_waiting(str(over))
            self._moved.notify_all()

    def _step(self) -> None:
        try:
            frame = self.camera.next(_SLICE_S)
        except BadFrame as error:
            frame, self._queue.trouble = None, str(error)
        if frame is not None:
            self._queue.trouble = None
            self._follow(frame)
        if self._stream_ts is not None or self.camera.is_recorded is False:
            due = self._trigger.due(self._now())
            for request in due:
                self._on_part(request)
            self._queue.offer_all(due)
        if frame is None or not self._queue.show(frame):
            return
        with self._moved:
            self._moved.notify_all()
            if self.camera.is_lossless:
                self._moved.wait_for(lambda: self._queue.paired < _HELD_PARTS or self._stopping.is_set())

    def _now(self) -> float:
        """The time on the clock of the frames: ours, or that of the recording."""
        return self._clock() if self._stream_ts is None else self._stream_ts
