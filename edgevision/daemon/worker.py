"""One camera, start to end: frames from its decoder, through the pipeline, into the outbox. Runs in the main thread of its own process.

In: frames and part requests, another Setup now and then. Out: committed drafts, Snapshots, the sinks. An inspection counts as told only
once its drafts are committed: while the outbox cannot take them the worker waits, and the camera drops frames rather than alerts.
What is configured is replaced between two turns, all of it at once: so no verdict is made of two configurations.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from edgevision.capture.camera import CameraCounters, CameraState
from edgevision.capture.feed import Feed
from edgevision.capture.parts import PartRequest, Refusal
from edgevision.compare.adjust import Adjuster
from edgevision.compare.encoder import Encoder
from edgevision.daemon.messages import Composer
from edgevision.daemon.reconcile import reconcile
from edgevision.daemon.rollout import Rollout
from edgevision.daemon.scene_watch import SceneWatch
from edgevision.daemon.shift_watch import ShiftWatch
from edgevision.daemon.sinks import SinkRunner
from edgevision.daemon.tally import UNREACHABLE, Tally
from edgevision.daemon.track_file import TrackFile
from edgevision.errors import BadFrame, CameraError, EdgevisionError, EndOfStream, InputError, Unavailable
from edgevision.pipeline import Pipeline
from edgevision.publish.pictures import Pictures
from edgevision.recompute.arguments import Progress
from edgevision.records import Draft, Frame, Inspection, Scene, Snapshot, Verdict

log = logging.getLogger("edgevision")

POLL_S = 0.2
COMMIT_RETRY_S = 0.5
REPORT_S = 0.5
SINKS_S = 1.0


@dataclass(frozen=True)
class Setup:
    """All of a worker that its configuration makes. What did not change from one to the next is the same object in both."""

    feed: Feed
    pipeline: Pipeline
    composer: Composer
    sinks: tuple[SinkRunner, ...] = ()
    pictures: Pictures | None = None
    scene: SceneWatch | None = None
    encoder: Encoder | None = None
    adjuster: Adjuster | None = None
    shift: ShiftWatch | None = None
    rollout: Rollout | None = None
    files: str = ""  # fingerprint of the files that it was made of


@dataclass(frozen=True)
class Outlets:
    """Where a worker's results go. `commit` makes drafts durable or raises Unavailable; `advance` is called at least once a turn,
    `loading` with each step of the network that is ready, `take` with each part that a source names, before it is inspected, `suggest`
    with a (key, text, why) that should be set for this camera.
    """

    commit: Callable[[Sequence[Draft]], None]
    tally: Tally
    tracks: TrackFile
    report: Callable[[Snapshot], None] = lambda snapshot: None
    advance: Callable[[], None] = lambda: None
    loading: Progress = lambda ready, steps: None
    take: Callable[[PartRequest], None] = lambda request: None
    told: Callable[[], Mapping[str, Mapping[str, Any]]] = dict  # Outbox.last_of_tracks of this camera
    note: Callable[[Inspection], None] = lambda inspection: None  # BlackBox.note
    suggest: Callable[[str, str, str], None] = lambda key, text, why: None


class Worker:
    """Drives one camera until it is stopped or its source ends."""

    def __init__(self, setup: Setup, outlets: Outlets, clock: Callable[[], float] = time.time):
        self.name = setup.pipeline.camera
        self.has_failed = False
        self.exit_code = 0
        self.trouble: str | None = None
        self._setup = setup
        self._outlets = outlets
        self._clock = clock
        self._counted = CameraCounters()
        self._complaint: str | None = None
        self._warnings: tuple[str, ...] = ()
        self._reported_s = float("-inf")
        self._scene_trouble: str | None = None
        self._is_encoder_lost = False
        self._due: tuple[Setup, Callable[[], None]] | None = None
        self._stopping = threading.Event()
        self._is_forgetting = threading.Event()

    @property
    def setup(self) -> Setup:
        """What is in force."""
        return self._setup

    def stop(self) -> None:
        """Ask for the end, from any thread; `run` then returns."""
        self._stopping.set()

    def replace(self, setup: Setup, on_done: Callable[[], None] = lambda: None) -> None:
        """Work with another Setup from the next turn on, from any thread; `on_done` is called when that is so."""
        self._due = (setup, on_done)

    def learn_anew(self) -> None:
        """Forget the scene before the next turn, from any thread: the reference is learnt from what is seen then."""
        self._is_forgetting.set()

    def run(self) -> None:
        """The worker's life; returns at the end of a finite source or after `stop`, or with `has_failed` set when it cannot go on.

        `exit_code` is 69 for a source that had to be given up, 78 for a network that cannot be used; `trouble` says it in words.
        """
        try:
            for sink in self._setup.sinks:
                sink.start()
            self._run_to_end()
            self._finish()
        except EdgevisionError as error:
            self.has_failed, self.exit_code, self.trouble = True, error.exit_code, str(error)
            log.critical("%s: %s", self.name, error)
        except Exception as error:
            self.has_failed, self.exit_code, self.trouble = True, 1, f"{type(error).__name__}: {error}"
            log.critical("%s: the worker failed", self.name, exc_info=True)
        finally:
            self._outlets.tally.set_availability("offline", self.trouble or "it was stopped")
            self._stop_sinks(self._setup.sinks)
            if self._setup.rollout is not None:
                self._setup.rollout.close()
            self._outlets.report(self._outlets.tally.snapshot())

    def _run_to_end(self) -> None:
        """Turn after turn, until the source ends, gives up, or `stop`."""
        self._restore_tracks()
        self._setup.feed.open()
        try:
            while not self._stopping.is_set():
                self._outlets.advance()
                self._take_up_due()
                self._step()
                self._report(is_news=False)
        except EndOfStream as error:
            self._note_losses()
            self.trouble = str(error)
            log.info("%s", error)
        except CameraError as error:
            self.exit_code, self.trouble = error.exit_code, str(error)
            log.error("%s", error)
        finally:
            self._setup.feed.close()

    def _restore_tracks(self) -> None:
        """Go on with the defects that were open when the service ended; end those that were told and then forgotten."""
        told = self._outlets.told()
        forgotten: Sequence[Mapping[str, Any]]
        try:
            plain, forgotten = reconcile(self._outlets.tracks.read(), told)
            if plain is not None:
                self._setup.pipeline.tracks.restore(plain)
        except (InputError, KeyError, TypeError) as error:
            log.error("%s: open defects of the last run end: %s", self.name, error)
            forgotten = reconcile(None, told)[1]
        if forgotten:
            log.warning("%s: %d defects were told and not kept when the service ended; they end now", self.name, len(forgotten))
            self._commit(self._setup.composer.compose_forgotten(forgotten))

    def _take_up_due(self) -> None:
        """Between two turns: let another Setup take the place of this one, where one is due."""
        if self._due is None:
            return
        (new, on_done), self._due = self._due, None
        old = self._setup
        if new.feed is not old.feed:
            old.feed.close()  # from here on it takes no part
            self._refuse_waiting("the configuration changed before this part's turn")
        if new.pipeline is not old.pipeline:
            self._hand_over_tracks(old, new)
        self._setup = new
        if old.rollout is not None and (new.rollout is None or new.rollout.understudy is not old.rollout.understudy):
            old.rollout.close()
        if new.feed is not old.feed:
            self._counted = CameraCounters()
            new.feed.open()
        self._stop_sinks(tuple(sink for sink in old.sinks if sink not in new.sinks))
        for sink in new.sinks:
            if sink not in old.sinks:
                sink.start()
        on_done()

    def _hand_over_tracks(self, old: Setup, new: Setup) -> None:
        """Open defects go on where the same camera is looked at; another camera's end."""
        if new.feed is old.feed:
            new.pipeline.take_over(old.pipeline, has_same_files=new.files == old.files)
        else:
            self._commit(old.composer.compose_end(old.pipeline.finish(self._clock(), "restart"), self.name))

    def _step(self) -> None:
        """One turn: the next frame or part, inspected and told."""
        setup = self._setup
        if self._is_forgetting.is_set():
            self._is_forgetting.clear()
            setup.pipeline.forget_scene()
            if setup.scene is not None:
                setup.scene.forget()
            if setup.shift is not None:
                setup.shift.forget()
        try:
            taken = setup.feed.next(POLL_S)
        except BadFrame as error:
            log.warning("%s", error)
            self._note_camera()
            self._outlets.tally.count("bad_frames")
            self._deliver(setup.pipeline.not_inspected(str(error), self._clock(), error.seq, error.part_id))
            return
        self._note_camera()
        if isinstance(taken, Frame):
            if taken.dropped_since_last:
                self._outlets.tally.drop("overload", taken.dropped_since_last)
            if taken.part_id is not None:
                self._outlets.take(PartRequest(taken.part_id, taken.ts, taken.job_id))
            if setup.pipeline.network is None:
                self._load(taken)
            inspection = self._inspect(taken)
            self._adjust(taken, inspection)
            if setup.shift is not None:
                inspection = setup.shift.look(taken, inspection, setup.pipeline)
            self._deliver(inspection if setup.pictures is None else setup.pictures.with_picture(inspection, taken.image))
        elif taken is not None:
            self._refuse(taken)

    def _inspect(self, frame: Frame) -> Inspection:
        """Inspect it, unless the camera shows another scene than it should: what is said of that is never OK."""
        setup = self._setup
        is_real = not frame.simulated and not setup.feed.camera.is_recorded
        trouble = setup.scene.look(frame.image, frame.ts, setup.feed.camera.pid) if setup.scene is not None and is_real else None
        if trouble != self._scene_trouble:
            self._scene_trouble = trouble
            log.log(logging.ERROR if trouble else logging.INFO, "%s: %s", self.name, trouble or "it shows the scene that it should")
        if trouble is None:
            return self._inspect_belt(frame)
        if setup.scene is not None and setup.scene.settings.scene_check == "refuse":
            return setup.pipeline.not_inspected(trouble, frame.ts, frame.seq, frame.part_id, frame.job_id)
        inspection = self._inspect_belt(frame)
        if inspection.verdict is Verdict.OK:
            inspection = replace(inspection, verdict=Verdict.WARN, reason=trouble)
        return replace(inspection, scene=Scene.MISALIGNED)

    def _inspect_belt(self, frame: Frame) -> Inspection:
        """Inspect it with the belt's way where an encoder tells it. One that is lost is never passed over: WARN once, or not inspected."""
        pipeline, encoder = self._setup.pipeline, self._setup.encoder
        if encoder is None:
            return self._judge(frame)
        way_px, was_lost = encoder.way_px(frame.ts), self._is_encoder_lost
        trouble = encoder.trouble
        self._note_encoder(trouble)
        if trouble is not None and encoder.settings.when_lost == "refuse":
            return pipeline.not_inspected(trouble, frame.ts, frame.seq, frame.part_id, frame.job_id)
        inspection = self._judge(replace(frame, way_px=way_px))
        if trouble is not None and not was_lost and inspection.verdict is Verdict.OK:
            return replace(inspection, verdict=Verdict.WARN, reason=f"{trouble}; meanwhile the belt's way is measured in the picture")
        return inspection

    def _judge(self, frame: Frame) -> Inspection:
        """The active pipeline's finding, or a candidate's; the lives of defects are the active one's in either case."""
        pipeline, rollout = self._setup.pipeline, self._setup.rollout
        if rollout is None:
            return pipeline.inspect(frame)
        rollout.begin(frame)
        found = pipeline.tell(rollout.choose(frame, pipeline.look(frame)))
        why = rollout.take_way_back()
        if why is not None and rollout.settings.share > 0:
            self._outlets.suggest("candidate_share", "0", why)
        return found

    def _note_encoder(self, trouble: str | None) -> None:
        """Tell when the encoder is lost or comes back."""
        is_lost = trouble is not None
        if is_lost == self._is_encoder_lost:
            return
        self._is_encoder_lost = is_lost
        self._outlets.tally.warn((*self._setup.feed.camera.warnings, *([trouble] if trouble is not None else [])))
        log.log(logging.WARNING if is_lost else logging.INFO, "%s: %s", self.name, trouble or "the encoder's counts come again")

    def _adjust(self, frame: Frame, inspection: Inspection) -> None:
        """Let the thresholds follow the noise where that is asked for, by the way that every value takes which is set while running."""
        adjuster = self._setup.adjuster
        if adjuster is None or not adjuster.settings.enabled or inspection.scene is not Scene.NORMAL or inspection.mode == "none":
            return
        step = adjuster.note(self._setup.pipeline.noise_measured, frame.ts)
        if step is None:
            return
        if step.value is None:
            log.warning("%s: thresholds stay as they are: %s", self.name, step.why)
        else:
            self._outlets.suggest("adjusted_noise", f"{step.value:g}", step.why)

    def _load(self, frame: Frame) -> None:
        """Only now is the size of the frames known. It may take a while, and whoever watches sees that it goes on."""
        with contextlib.suppress(BadFrame, InputError):  # the inspection says it, too
            log.info("%s: fits its network to frames of %dx%d", self.name, frame.image.shape[1], frame.image.shape[0])
            self._outlets.loading(0, 0)
            self._setup.pipeline.prepare(frame.image, self._outlets.loading)
        self._outlets.loading(0, 0)  # the first inspection may still compile something, which is no hang

    def _note_camera(self) -> None:
        """Tell when the camera comes or goes."""
        self._note_losses()
        camera = self._setup.feed.camera
        is_online = camera.state is CameraState.ONLINE
        complaint = None if is_online else camera.counters.last_error or "no frame yet"
        is_news = self._outlets.tally.set_availability("online" if is_online else "offline", complaint)
        if is_online and is_news:
            log.info("%s: online%s", self.name, "; a recording, whose time stamps are its own" if camera.is_recorded else "")
        elif is_news or complaint not in (None, self._complaint):  # a camera that never came is told of too
            log.warning("%s: offline: %s", self.name, complaint)
        self._complaint = complaint
        if camera.warnings != self._warnings:
            self._warnings = camera.warnings
            self._outlets.tally.warn(camera.warnings)
            for text in camera.warnings:
                log.warning("%s: %s", self.name, text)
        if is_news:
            self._report(is_news=True)

    def _note_losses(self) -> None:
        """Count what the camera lost since the last look; tell of decoders that died or hung and were started again."""
        now, before, tally = self._setup.feed.camera.counters, self._counted, self._outlets.tally
        if now is before:
            return
        self._counted = now
        died, hung = now.died - before.died, now.hung - before.hung
        reasons = {"died": died, "hung": hung, "failed": now.restarts - before.restarts - died - hung}
        for reason, amount in (reasons | {UNREACHABLE: now.attempts_failed - before.attempts_failed}).items():
            if amount:
                tally.reconnect(reason, amount)
        stale, frozen = now.stale_frames - before.stale_frames, now.frozen_frames - before.frozen_frames
        for reason, amount in {"stale": stale, "frozen": frozen, "bad": now.bad_frames - before.bad_frames - stale - frozen}.items():
            if amount:
                tally.drop(reason, amount)
        if any(reasons.values()):
            log.warning("%s: its decoder was lost and started again: %s", self.name, now.last_error)

    def _refuse(self, refusal: Refusal) -> None:
        """A part that got no frame: its one verdict is NOT_INSPECTED."""
        request = refusal.request
        pipeline = self._setup.pipeline
        self._deliver(pipeline.not_inspected(refusal.reason, request.ts, part_id=request.part_id, job_id=request.job_id))

    def _refuse_waiting(self, reason: str) -> None:
        for refusal in self._setup.feed.refuse_all(reason):
            self._refuse(refusal)

    def _deliver(self, inspection: Inspection) -> None:
        """Commit first, then show: nobody sees a verdict whose alert could still be lost."""
        news = tuple(notice for notice in inspection.notices if self._outlets.tally.notice(notice))
        for notice in news:
            log.log(logging.INFO if notice.is_over else logging.WARNING, "%s: %s", self.name, notice.text)
        inspection = replace(inspection, notices=news) if inspection.notices else inspection
        self._outlets.note(inspection)
        is_recorded = bool(self._setup.feed.camera.is_recorded)
        self._commit(self._setup.composer.compose(inspection, is_recorded))
        if inspection.events:
            self._keep_tracks()
        is_news = self._outlets.tally.seen(inspection, is_recorded) or bool(news)
        for sink in self._setup.sinks:
            sink.deliver(inspection)
        self._report(is_news)

    def _report(self, is_news: bool) -> None:
        """Show the numbers: at once when they are news, else twice a second."""
        now_s = time.monotonic()
        if is_news or now_s - self._reported_s >= REPORT_S:
            self._reported_s = now_s
            self._outlets.report(self._outlets.tally.snapshot())

    def _commit(self, drafts: Sequence[Draft]) -> None:
        """Make the drafts durable, however long it takes; given up only when the service is being stopped."""
        while drafts:
            try:
                self._outlets.commit(drafts)
                return
            except Unavailable as error:
                log.error("%s: %d messages wait: %s", self.name, len(drafts), error)
                self._outlets.tally.count("commit_failures")
                self._outlets.advance()
                if self._stopping.wait(COMMIT_RETRY_S):
                    log.critical("%s: stopped with %d messages that could not be kept", self.name, len(drafts))
                    return

    def _keep_tracks(self) -> None:
        try:
            self._outlets.tracks.write(self._setup.pipeline.tracks.snapshot())
        except OSError as error:
            log.error("%s: open defects cannot be kept on disk: %s; a restart would end them unseen", self.name, error)

    def _finish(self) -> None:
        """A source that ended ends its defects; a stop leaves them open on disk for the next start."""
        self._refuse_waiting("the service stopped before this part's turn")
        if not self._stopping.is_set():
            events = self._setup.pipeline.finish(self._clock(), "stopped")
            self._commit(self._setup.composer.compose_end(events, self.name))
        self._keep_tracks()

    def _stop_sinks(self, sinks: Sequence[SinkRunner]) -> None:
        deadline_s = time.monotonic() + SINKS_S
        for sink in sinks:
            sink.stop(max(0.05, deadline_s - time.monotonic()))
