"""One camera, start to end: frames from its decoder, through the pipeline, into the outbox. Runs in a thread of its own.

In: frames and part requests. Out: committed drafts, the board, the sinks. An inspection counts as told only once its drafts are
committed: while the outbox cannot take them the worker waits, and the camera drops frames rather than alerts.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgevision.capture.camera import CameraState
from edgevision.capture.feed import Feed
from edgevision.capture.parts import Refusal
from edgevision.daemon.board import Board
from edgevision.daemon.messages import Composer
from edgevision.daemon.reconcile import reconcile
from edgevision.daemon.sinks import SinkRunner
from edgevision.daemon.track_file import TrackFile
from edgevision.errors import BadFrame, CameraError, EdgevisionError, EndOfStream, InputError, Unavailable
from edgevision.pipeline import Pipeline
from edgevision.records import Draft, Frame, Inspection

log = logging.getLogger("edgevision")

POLL_S = 0.2
COMMIT_RETRY_S = 0.5


@dataclass(frozen=True)
class Outlets:
    """Where a worker's results go. `commit` makes drafts durable or raises Unavailable."""

    composer: Composer
    commit: Callable[[Sequence[Draft]], None]
    board: Board
    sinks: tuple[SinkRunner, ...]
    tracks: TrackFile
    told: Callable[[str], Mapping[str, Mapping[str, Any]]] = lambda camera: {}  # Outbox.last_of_tracks


class Worker:
    """Drives one camera until it is stopped or its source ends."""

    def __init__(self, feed: Feed, pipeline: Pipeline, outlets: Outlets, clock: Callable[[], float] = time.time):
        self.name = pipeline.camera
        self.feed = feed
        self._pipeline = pipeline
        self._outlets = outlets
        self._clock = clock
        self.has_failed = False
        self.exit_code = 0
        self._losses = 0
        self._complaint: str | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self.run, name=f"camera-{self.name}", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end; `join` waits for it."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait; True when the worker has ended."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def is_running(self) -> bool:
        """False once the source has ended, the camera was given up, or the worker was stopped."""
        return self._thread.is_alive()

    def run(self) -> None:
        """The worker's life; returns at the end of a finite source or after `stop`, or with `has_failed` set when it cannot go on.

        `exit_code` is what the service should end with: 69 for a source that had to be given up, 78 for a network that cannot be used.
        """
        try:
            self._run_to_end()
            self._finish()
        except EdgevisionError as error:
            self.has_failed, self.exit_code = True, error.exit_code
            log.critical("%s: %s; the service ends", self.name, error)
        except Exception:
            self.has_failed, self.exit_code = True, 1
            log.critical("%s: the worker failed; the service ends so that it can be started anew", self.name, exc_info=True)
        finally:
            self._outlets.board.rest(self.name)
            self._outlets.board.set_availability(self.name, "offline")

    def _run_to_end(self) -> None:
        """Turn after turn, until the source ends, gives up, or `stop`."""
        self._restore_tracks()
        try:
            with self.feed:
                while not self._stopping.is_set():
                    self._outlets.board.advance(self.name, time.monotonic())
                    self._step()
        except EndOfStream as error:
            self._note_losses()
            log.info("%s", error)
        except CameraError as error:
            self.exit_code = error.exit_code
            log.error("%s", error)

    def _restore_tracks(self) -> None:
        """Go on with the defects that were open when the service ended; end those that were told and then forgotten."""
        told = self._outlets.told(self.name)
        forgotten: Sequence[Mapping[str, Any]]
        try:
            plain, forgotten = reconcile(self._outlets.tracks.read(), told)
            if plain is not None:
                self._pipeline.tracks.restore(plain)
        except (InputError, KeyError, TypeError) as error:
            log.error("%s: open defects of the last run end: %s", self.name, error)
            forgotten = reconcile(None, told)[1]
        if forgotten:
            log.warning("%s: %d defects were told and not kept when the service ended; they end now", self.name, len(forgotten))
            self._commit(self._outlets.composer.compose_forgotten(forgotten))

    def _step(self) -> None:
        """One turn: the next frame or part, inspected and told."""
        try:
            taken = self.feed.next(POLL_S)
        except BadFrame as error:
            log.warning("%s", error)
            self._outlets.board.count(self.name, "bad_frames")
            self._deliver(self._pipeline.not_inspected(str(error), self._clock(), error.seq, error.part_id))
            return
        self._note_camera()
        if isinstance(taken, Frame):
            if taken.dropped_since_last:
                self._outlets.board.count(self.name, "dropped", taken.dropped_since_last)
            self._deliver(self._pipeline.inspect(taken))
        elif taken is not None:
            self._refuse(taken)

    def _note_camera(self) -> None:
        """Tell when the camera comes or goes."""
        self._note_losses()
        camera = self.feed.camera
        is_online = camera.state is CameraState.ONLINE
        is_news = self._outlets.board.set_availability(self.name, "online" if is_online else "offline")
        complaint = None if is_online else camera.counters.last_error
        if is_online and is_news:
            log.info("%s: online", self.name)
        elif is_news or complaint not in (None, self._complaint):  # a camera that never came is told of too
            log.warning("%s: offline: %s", self.name, complaint or "no frame yet")
        self._complaint = complaint

    def _note_losses(self) -> None:
        """Tell of decoders that died or hung and were started again."""
        counters = self.feed.camera.counters
        if counters.restarts > self._losses:
            self._outlets.board.count(self.name, "restarts", counters.restarts - self._losses)
            self._losses = counters.restarts
            log.warning("%s: its decoder was lost and started again: %s", self.name, counters.last_error)

    def _refuse(self, refusal: Refusal) -> None:
        """A part that got no frame: its one verdict is NOT_INSPECTED."""
        request = refusal.request
        self._deliver(self._pipeline.not_inspected(refusal.reason, request.ts, part_id=request.part_id, job_id=request.job_id))

    def _deliver(self, inspection: Inspection) -> None:
        """Commit first, then show: nobody sees a verdict whose alert could still be lost."""
        self._commit(self._outlets.composer.compose(inspection))
        if inspection.events:
            self._keep_tracks()
        self._outlets.board.seen(inspection)
        for sink in self._outlets.sinks:
            sink.deliver(inspection)

    def _commit(self, drafts: Sequence[Draft]) -> None:
        """Make the drafts durable, however long it takes; given up only when the service is being stopped."""
        while drafts:
            try:
                self._outlets.commit(drafts)
                return
            except Unavailable as error:
                log.error("%s: %d messages wait: %s", self.name, len(drafts), error)
                self._outlets.board.count(self.name, "commit_failures")
                self._outlets.board.advance(self.name, time.monotonic())
                if self._stopping.wait(COMMIT_RETRY_S):
                    log.critical("%s: stopped with %d messages that could not be kept", self.name, len(drafts))
                    return

    def _keep_tracks(self) -> None:
        try:
            self._outlets.tracks.write(self._pipeline.tracks.snapshot())
        except OSError as error:
            log.error("%s: open defects cannot be kept on disk: %s; a restart would end them unseen", self.name, error)

    def _finish(self) -> None:
        """A source that ended ends its defects; a stop leaves them open on disk for the next start."""
        for refusal in self.feed.refuse_all("the service stopped before this part's turn"):
            self._refuse(refusal)
        if not self._stopping.is_set():
            events = self._pipeline.finish(self._clock(), "stopped")
            self._commit(self._outlets.composer.compose_end(events, self.name))
        self._keep_tracks()
