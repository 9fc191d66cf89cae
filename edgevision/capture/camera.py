"""One camera kept alive: its decoder child started, watched, killed when it hangs, started again after a growing pause.

In: a source by name with its settings. Out: Frames, in order; a finite source (a file, a folder) gives every frame exactly once, a live one
its newest. Kept: the child, the place in the stream, the size of the pictures, counters.

A child may be lost in three ways: it died (a crash in a library), it hung (missed its deadline and was killed), it failed (the source said
why). A live source is retried for ever. A finite one goes on behind the last frame that arrived, in another child and by another reader
where the source has one; a frame that kills its reader twice is passed over as a BadFrame, and after `max_restarts` losses without a new
frame the camera gives up.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import Field

from edgevision.capture.child import DecoderChild
from edgevision.capture.redact import redact
from edgevision.capture.repeats import Repeats
from edgevision.capture.wire import Built, Ended, Failed, FrameBad, FrameReady, Job, Note, Warned, one_line
from edgevision.errors import BadFrame, CameraError, EndOfStream
from edgevision.records import Frame, Image, Settings

_SLICE_S = 0.2
_EXIT_PATIENCE_S = 2.0


class CameraSettings(Settings):
    """How a camera's decoder is watched and retried."""

    deadline_s: float = Field(4.0, ge=0.1, le=3600, description="A decoder that takes longer than this over one frame is killed.")
    start_s: float = Field(30.0, ge=1, le=600, description="A decoder that takes longer than this to start and open its source is killed.")
    backoff_min_s: float = Field(0.5, ge=0.01, le=60, description="Longest pause before the first new attempt after a loss.")
    backoff_max_s: float = Field(5.0, ge=0.01, le=3600, description="Longest pause between attempts; the pause doubles from loss to loss.")
    settle_s: float = Field(10.0, ge=0, le=3600, description="A live source that has run so long starts again from the shortest pause.")
    max_restarts: int = Field(3, ge=0, le=1000, description="Losses without a new frame after which a file or folder is given up.")
    stale_s: float = Field(2.0, ge=0.05, le=3600, description="A live frame older than this when it is taken is not inspected.")
    frozen_s: float = Field(
        10.0,
        ge=0,
        le=86400,
        description="A live picture that repeats bit for bit for longer is not inspected, as the camera is frozen; 0: it is.",
    )
    lossless: bool | None = Field(None, description="Drop no frame and make the source wait; null leaves it to the source.")
    size_change: str = Field(
        "refuse",
        pattern="^(refuse|follow)$",
        description="What to do with a frame of another size than the first: refuse it as not inspected, or follow it.",
    )
    max_pixels: int = Field(50_000_000, ge=1, le=2_000_000_000, description="A picture of more pixels than this is not inspected.")
    scene_check: str = Field(
        "warn",
        pattern="^(off|warn|refuse)$",
        description="When the scene is not the one that this camera showed before: warn in every verdict, refuse to inspect, or off.",
    )
    scene_likeness: float = Field(
        0.4, gt=0, lt=1, description="Share of the scene's patterned places that must be seen again for it to be the same one."
    )
    memory_limit_mb: int = Field(4096, ge=256, le=1_048_576, description="Memory that the decoder process may use.")


class CameraState(StrEnum):
    """Where a camera stands."""

    CLOSED = "closed"
    STARTING = "starting"
    ONLINE = "online"
    FROZEN = "frozen"  # pictures come, and they are all the same one
    WAITING = "waiting"
    ENDED = "ended"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class CameraCounters:
    """What has happened since the camera was made.

    `restarts` counts decoders lost: died, hung, or failed after they had given a frame. `attempts_failed` counts those that failed before.
    """

    frames: int = 0
    dropped: int = 0
    bad_frames: int = 0
    stale_frames: int = 0
    frozen_frames: int = 0
    restarts: int = 0
    died: int = 0
    hung: int = 0
    attempts_failed: int = 0
    last_error: str | None = None


class Backoff:
    """The pause before the next attempt: doubled from loss to loss, capped, between half and all of it by chance."""

    def __init__(self, min_s: float, max_s: float, chance: Callable[[], float]) -> None:
        self._min_s = min_s
        self._max_s = max_s
        self._chance = chance
        self._ready_s = 0.0
        self.losses = 0

    def lose(self, now_s: float) -> float:
        """Note a loss; the pause that begins now."""
        pause_s = min(self._max_s, self._min_s * 2.0 ** min(self.losses, 60)) * (0.5 + 0.5 * self._chance())
        self.losses += 1
        self._ready_s = now_s + pause_s
        return pause_s

    def wait_s(self, now_s: float) -> float:
        """How long until the next attempt is due; 0.0 when it is."""
        return max(0.0, self._ready_s - now_s)

    def reset(self) -> None:
        """The camera is well again."""
        self.losses = 0


class Camera:
    """Frames of one camera. Used from one thread, which must live as long as the camera is open (the decoder dies with it)."""

    def __init__(
        self,
        camera_id: str,
        source: str,
        source_settings: Settings | Mapping[str, Any] | None = None,
        settings: CameraSettings | None = None,
        plugin: Path | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """`source` is a registered name, `plugin` the folder that registers it (`registry.origin`), None for what ships with edgevision."""
        plain = source_settings.model_dump(mode="json") if isinstance(source_settings, Settings) else dict(source_settings or {})
        self.camera_id = camera_id
        self.settings = settings or CameraSettings()
        self.counters = CameraCounters()
        self.state = CameraState.CLOSED
        self.warnings: tuple[str, ...] = ()  # what the source said of itself when it was opened last
        limits = {"max_pixels": self.settings.max_pixels, "memory_mb": self.settings.memory_limit_mb, "lossless": self.settings.lossless}
        self._job = Job(camera_id, source, plain, plugin=None if plugin is None else str(plugin), **limits)  # type: ignore[arg-type]
        self._backoff = Backoff(self.settings.backoff_min_s, self.settings.backoff_max_s, chance)
        self._child: DecoderChild | None = None
        self._built: Built | None = None
        self._died_at: int | None = None
        self._online_since_s = 0.0
        self._picture: tuple[tuple[int, ...], str] | None = None
        self._repeats = Repeats()
        self._over: CameraError | None = None

    @property
    def is_over(self) -> bool:
        """No frame will come any more: the source has ended or the camera has given up."""
        return self._over is not None

    @property
    def is_lossless(self) -> bool | None:
        """Does the source wait for us and drop nothing? None until its decoder has said so."""
        return None if self._built is None else self._built.lossless

    @property
    def is_recorded(self) -> bool | None:
        """Are the frames' time stamps a recording's own, not the clock's? None until its decoder has said so."""
        return None if self._built is None else self._built.recorded

    @property
    def is_finite(self) -> bool:
        """Does the source have an end, so that a new decoder begins it anew? False until its decoder has said so."""
        return self._built is not None and self._built.finite

    @property
    def pid(self) -> int | None:
        """The decoder's process id, None between two of them."""
        return None if self._child is None else self._child.pid

    def open(self) -> None:
        """Start the decoder; does not wait for it. `next` tells how it went."""
        if self._child is None and self._over is None:
            self._start()

    def next(self, timeout_s: float) -> Frame | None:
        """The next frame; None when none came in time or the camera is between two attempts (`state` and `counters.last_error` say why).

        Raises BadFrame for a frame that must not be inspected (go on), EndOfStream at the end, CameraError when the camera has given up.
        """
        until_s = time.monotonic() + timeout_s
        while True:
            if self._over is not None:
                raise self._over
            if self.state is CameraState.CLOSED:
                raise CameraError(f"{self.camera_id}: the camera is closed; open it first")
            note = self._receive(until_s) if self._revive(until_s) else None
            if isinstance(note, FrameReady | FrameBad):
                return self._take(note)
            if isinstance(note, Built):
                self._built = note
            elif isinstance(note, Warned):
                self.warnings = note.texts
            elif isinstance(note, Ended):
                self._end(note)
            elif isinstance(note, Failed):
                self._fail(note)
            elif note is None and time.monotonic() >= until_s:
                return None

    def close(self) -> None:
        """Kill the decoder and free its memory. May be called twice; may be opened again, then it goes on where it was."""
        self._drop_child()
        if self._over is None:
            self.state = CameraState.CLOSED

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self) -> None:
        self.state = CameraState.STARTING
        try:
            self._child = DecoderChild(self._job)
        except OSError as error:
            self._lose("attempts_failed", f"the decoder cannot be started: {error.strerror}")

    def _revive(self, until_s: float) -> bool:
        """See that there is a child, waiting out the pause; False when the time is up before."""
        if self._child is None:
            now_s = time.monotonic()
            pause_s = self._backoff.wait_s(now_s)
            time.sleep(max(0.0, min(pause_s, until_s - now_s)))
            if now_s + pause_s > until_s and pause_s > 0:
                return False
            self._start()
        return self._child is not None

    def _receive(self, until_s: float) -> Note | None:
        """A note of the child, None when none came in time or the child was lost meanwhile."""
        child = self._child
        if child is None:
            return None
        child.request()
        try:
            note = child.receive(min(_SLICE_S, until_s - time.monotonic()))
        except ConnectionError:
            cause = child.end(_EXIT_PATIENCE_S) or "it left without a word"
            self._lose("died", f"the decoder died ({cause})")
            return None
        except (ValueError, KeyError, TypeError) as error:
            self._lose("died", f"the decoder sent what cannot be read ({one_line(error)})")
            return None
        if note is None and child.overdue_s(self.settings.deadline_s, self.settings.start_s) > 0:
            has_begun = child.beat.look()[2] > 0
            limit = f"deadline_s={self.settings.deadline_s:g}" if has_begun else f"start_s={self.settings.start_s:g}"
            self._lose("hung", f"the decoder hung and was killed: no frame within {limit}")
        return note

    def _take(self, note: FrameReady | FrameBad) -> Frame:
        self._job = replace(self._job, position=note.seq + 1, place=note.place)
        self._count(dropped=note.dropped)
        now_s = time.monotonic()
        if self.state not in (CameraState.ONLINE, CameraState.FROZEN):
            self.state = CameraState.ONLINE
            self._online_since_s = now_s
        if self.is_finite or now_s - self._online_since_s >= self.settings.settle_s:
            self._backoff.reset()
        if isinstance(note, FrameBad):
            raise self._bad(note, note.text)
        self._refuse(note, now_s)
        image = self._copy(note)
        self._refuse_repeated(note, image)
        self._count(frames=1)
        return Frame(image, note.ts, note.seq, part_id=note.part_id, dropped_since_last=note.dropped, simulated=note.simulated)

    def _copy(self, note: FrameReady) -> Image:
        if self._child is None:
            raise self._bad(note, f"frame {note.seq}: its decoder is gone")
        try:
            return self._child.copy(note)
        except ValueError as error:
            raise self._bad(note, f"frame {note.seq}: {one_line(error)}") from error

    def _refuse(self, note: FrameReady, now_s: float) -> None:
        """Raises BadFrame for a frame that is too old or of another size than those before."""
        age_s = 0.0 if note.taken_s is None else now_s - note.taken_s
        if age_s > self.settings.stale_s:
            self._count(stale_frames=1)
            limit = f"stale_s={self.settings.stale_s:g}"
            raise self._bad(note, f"frame {note.seq} is stale: {age_s:.1f} s old, the limit is {limit}; the camera or this computer lags")
        picture = (note.shape, note.dtype)
        if self._picture is None or self.settings.size_change == "follow":
            self._picture = picture
        elif picture != self._picture:
            raise self._bad(
                note,
                f"frame {note.seq} is {_describe(*picture)}, the first was {_describe(*self._picture)}; set the camera back, "
                "or restart it if the change is meant",
            )

    def _refuse_repeated(self, note: FrameReady, image: Image) -> None:
        """Raises BadFrame for what a frozen camera sends. Only where pictures are of now and of a sensor: others may well be equal."""
        if note.taken_s is None or note.simulated or self.is_recorded or not self.settings.frozen_s:
            return
        is_frozen = self._repeats.same_s(image, note.taken_s) > self.settings.frozen_s
        self.state = CameraState.FROZEN if is_frozen else CameraState.ONLINE
        if is_frozen:
            self._count(frozen_frames=1)
            limit = f"frozen_s={self.settings.frozen_s:g}"
            raise self._bad(note, f"the same picture bit for bit for more than {limit}: the camera is frozen; switch it off and on")

    def _bad(self, note: FrameReady | FrameBad, text: str) -> BadFrame:
        self._count(bad_frames=1, error=text)
        return BadFrame(f"{self.camera_id}: {text}", note.seq, note.part_id)

    def _end(self, note: Ended) -> None:
        """The source is read to its end. A decoder that dies while it leaves is counted: what it gave before may be damaged."""
        if self._child is not None and (cause := self._child.end(_EXIT_PATIENCE_S)) is not None:
            self._count(restarts=1, died=1, error=f"the decoder died after the last frame ({cause})")
        self._drop_child()
        self.state = CameraState.ENDED
        self._over = EndOfStream(f"{self.camera_id}: the source ended after {note.frames} frames")

    def _fail(self, note: Failed) -> None:
        if note.is_final:
            self._count(error=note.text)
            self._give_up(note.text)
        else:
            self._lose("restarts" if self.state in (CameraState.ONLINE, CameraState.FROZEN) else "attempts_failed", note.text)

    def _lose(self, how: str, text: str) -> None:
        """The child is lost: put it away, note where, and plan the next attempt or give up."""
        text = redact(text)
        if how in ("died", "hung"):
            self._count(restarts=1)
            self._note_place()
        self._count(error=text, **{how: 1})
        self._drop_child()
        self.state = CameraState.WAITING
        self._backoff.lose(time.monotonic())
        if self.is_finite and self._backoff.losses > self.settings.max_restarts:
            place = f"{self._backoff.losses} times at frame {self._job.position} without a new one"
            self._give_up(f"{text}; {place}, given up; convert or replace the recording")

    def _note_place(self) -> None:
        """Where a resumable source killed its reader: twice at the same frame, and the next child passes over it."""
        if self._child is None or self._built is None or not self._built.resumable:
            return
        place, is_reading, since_s = self._child.beat.look()
        skip = self._job.skip
        if is_reading and since_s > 0:
            if place == self._died_at and place not in skip:
                skip = (*skip, place)
            self._died_at = place
        self._job = replace(self._job, crashes=self._job.crashes + 1, skip=skip)

    def _give_up(self, text: str) -> None:
        self._drop_child()
        self.state = CameraState.FAILED
        self._over = CameraError(f"{self.camera_id}: {redact(text)}")

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None

    def _count(self, error: str | None = None, **more: int) -> None:
        now = self.counters
        changed: dict[str, Any] = {name: getattr(now, name) + number for name, number in more.items()}
        self.counters = replace(now, last_error=error or now.last_error, **changed)


def _describe(shape: tuple[int, ...], dtype: str) -> str:
    return f"{shape[1]}x{shape[0]} {'gray' if len(shape) == 2 else 'colour'} {dtype}"
