"""A camera's worker process: `python -m edgevision.daemon.worker_main FD FD PID`, started by the supervisor, never by hand.

In: words on the socket (`talk.py`). Out: words, and a mark on the beat page each turn. Keeps nothing from one life to the next: it may
hang or be killed, and the supervisor starts another. The main thread inspects; a second one listens, and ends the process when the
supervisor is gone; a third one, now and then, makes another configuration ready.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2

from edgevision.capture.decoder import die_with_parent
from edgevision.capture.parts import PartRequest
from edgevision.capture.wire import Beat
from edgevision.daemon.black_box import BlackBox
from edgevision.daemon.build_worker import Site, build_setup
from edgevision.daemon.journal import start_journal, tell_held
from edgevision.daemon.talk import (
    Abandon,
    Answered,
    Applied,
    Apply,
    Ask,
    Begin,
    Channel,
    Commit,
    Counted,
    Ended,
    Go,
    Loading,
    Offer,
    Order,
    Prepare,
    Prepared,
    Ready,
    Refused,
    Report,
    Settled,
    Stop,
    Suggested,
    Taken,
    Turned,
    Voice,
    Word,
)
from edgevision.daemon.tally import Tally
from edgevision.daemon.track_file import TrackFile
from edgevision.daemon.worker import Outlets, Setup, Worker
from edgevision.errors import CameraError, EdgevisionError, InputError, Unavailable
from edgevision.recompute.arguments import Progress
from edgevision.records import Draft, Snapshot

log = logging.getLogger("edgevision")

SETTLE_SLICE_S = 0.5
OOM_SCORE = "200"
NICE = 5  # below the supervisor: a busy inspection, or another camera's, delays no alert; its decoder inherits it


def main(arguments: list[str]) -> int:
    """Work for the supervisor that is on the other end of the socket, until it says stop or the source ends."""
    socket_fd, beat_fd, parent_pid = (int(argument) for argument in arguments)
    die_with_parent(parent_pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # meant for the supervisor, also where the whole group gets them
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):  # where memory runs out, one camera ends rather than the service; its decoder inherits it
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    with contextlib.suppress(OSError):
        os.nice(NICE)
    faulthandler.register(signal.SIGUSR1)  # the supervisor asks so where a hung worker stands
    cv2.setNumThreads(1)
    channel = Channel(socket.socket(fileno=socket_fd))
    begin = channel.receive()
    if not isinstance(begin, Begin):
        return 1
    node = begin.order.node
    start_journal(logging.getLevelNamesMapping()[node.log_level.upper()], node.log_format, begin.camera)
    return WorkerMain(channel, Beat.on(beat_fd), begin).run()


class WorkerMain:
    """One life of a worker. `run` in the main thread, `_listen` in a second one."""

    def __init__(self, channel: Channel, beat: Beat, begin: Begin):
        self._channel = channel
        self._beat = beat
        self._begin = begin
        self._turns = 0
        self._tally = Tally(begin.camera)
        self._started = threading.Event()  # by Go or Stop
        self._is_stopped = False
        self._worker: Worker | None = None
        self._prepared: tuple[Order, Setup] | None = None
        self._abandoned = 0
        self._has_refused_counts = False
        self._commits = 0
        self._settled: dict[int, Settled | None] = {}  # number -> its answer, None while it is awaited
        self._moved = threading.Condition()

    def run(self) -> int:
        """Load, say so, wait for `Go`, inspect to the end; the exit code."""
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        begin = self._begin
        self._mark(is_loading=True)
        try:
            setup = build_setup(self._site(self._loading), begin.order)
        except EdgevisionError as error:
            self._channel.send(Ended(error.exit_code, str(error)))
            return error.exit_code
        box = self._open_box()
        self._worker = Worker(setup, self._outlets(box))
        self._channel.send(Ready(_voice(setup)))
        self._started.wait()
        if not self._is_stopped:
            self._worker.run()
        if box is not None and not self._worker.has_failed:
            box.close()
        tell_held(is_over=True)
        self._channel.send(Ended(self._worker.exit_code, self._worker.trouble))
        return self._worker.exit_code

    def _site(self, progress: Progress | None = None) -> Site:
        return Site(self._begin.camera, self._begin.boot_id, self._take_part, self._tally.count, progress, self._tally.compare)

    def _open_box(self) -> BlackBox | None:
        """The recorder of the last inspections; what an earlier life left in it is told of."""
        camera = self._begin.camera
        try:
            box = BlackBox(self._begin.order.node.state_dir / "crashes", camera)
        except OSError as error:
            log.error("%s: its last inspections will not be kept over a crash: %s", camera, error)
            return None
        box.catch_faults()
        if box.found is not None:
            log.warning("%s: its worker ended badly; its last inspections are in %s", camera, box.found)
        return box

    def _outlets(self, box: BlackBox | None) -> Outlets:
        begin = self._begin
        return Outlets(
            commit=self._commit,
            tally=self._tally,
            tracks=TrackFile(begin.order.node.state_dir / "tracks" / f"{begin.camera}.json"),
            report=self._report,
            advance=self._mark,
            loading=self._loading,
            take=self._take_part,
            told=lambda: begin.told,
            note=(lambda inspection: None) if box is None else box.note,
            suggest=self._suggest,
        )

    def _mark(self, is_loading: bool = False) -> None:
        """Show that the main thread goes on; a step of loading may take longer than a turn."""
        self._turns += 1
        self._beat.mark(self._turns, is_reading=is_loading)

    def _loading(self, ready: int, steps: int) -> None:
        self._mark(is_loading=True)
        self._channel.send(Loading(ready, steps))

    def _take_part(self, request: PartRequest) -> None:
        self._channel.send(Taken(request))

    def _suggest(self, key: str, text: str, why: str) -> None:
        self._channel.send(Suggested(key, text, why))

    def _report(self, snapshot: Snapshot) -> None:
        is_finite = self._worker is not None and self._worker.setup.feed.camera.is_finite
        self._channel.send(Report(snapshot, is_finite))
        tell_held()

    def _commit(self, drafts: Sequence[Draft]) -> None:
        """See Outlets. Waits for the supervisor's answer, however long it takes; goes with the process when there is no supervisor."""
        with self._moved:
            self._commits += 1
            number = self._commits
            self._settled[number] = None
        self._channel.send(Commit(number, tuple(drafts)))
        with self._moved:
            while self._settled[number] is None:
                self._moved.wait(SETTLE_SLICE_S)
                self._mark()
            settled = self._settled.pop(number)
        if settled is not None and settled.fault is not None:
            raise InputError(settled.fault)
        if settled is not None and settled.trouble is not None:
            raise Unavailable(settled.trouble)

    def _listen(self) -> None:
        """Second thread. It must never wait for the first: what it is told is noted, and done there."""
        obey: dict[type[Word], Callable[..., None]] = {
            Settled: self._settle, Offer: self._offer, Counted: self._count, Ask: self._answer, Go: self._go, Stop: self._stop,
            Prepare: self._prepare, Apply: self._apply, Abandon: self._abandon,
        }  # fmt: skip
        while True:
            try:
                word = self._channel.receive()
            except EOFError:
                os._exit(0)
            if word is not None and type(word) in obey:
                obey[type(word)](word)

    def _settle(self, word: Settled) -> None:
        with self._moved:
            if word.number in self._settled:
                self._settled[word.number] = word
            self._moved.notify_all()

    def _go(self, word: Go) -> None:
        self._started.set()

    def _stop(self, word: Stop) -> None:
        self._is_stopped = True
        if self._worker is not None:
            self._worker.stop()
        self._started.set()

    def _offer(self, word: Offer) -> None:
        """A part that the feed cannot take gets its verdict from the supervisor."""
        try:
            if self._worker is None:
                raise CameraError(f"{self._begin.camera}: still loading")
            self._worker.setup.feed.offer(word.request)
        except CameraError as error:
            self._channel.send(Turned(word.request, str(error)))

    def _count(self, word: Counted) -> None:
        """An encoder's reading for a camera that has one; for another, said once, for the next is as wrong."""
        if self._worker is None:
            return
        encoder = self._worker.setup.encoder
        if encoder is not None:
            with contextlib.suppress(InputError):  # checked where it came in
                encoder.read(word.count, word.ts)
        elif not self._has_refused_counts:
            self._has_refused_counts = True
            log.warning("%s: an encoder's counts come and are not used: compare.encoder.px_per_count is not set", self._begin.camera)

    def _answer(self, word: Ask) -> None:
        worker, pictures = self._worker, None if self._worker is None else self._worker.setup.pictures
        if worker is None or pictures is None or self._tally.snapshot().availability != "online":
            self._say(word, {"status": "error", "error": f"{self._begin.camera}: the camera is not online; ask again later"})
        elif word.verb == "snapshot":
            pictures.want(partial(self._say, word))
        elif word.verb == "learn_reference":
            worker.learn_anew()
            self._say(word, {"status": "ok"})
        else:
            self._say(word, {"status": "error", "error": f"{word.verb!r} is not known to a camera's worker"})

    def _say(self, word: Ask, body: Mapping[str, Any]) -> None:
        self._channel.send(Answered(word.number, body))

    def _prepare(self, word: Prepare) -> None:
        threading.Thread(target=self._make_ready, args=(word.order,), name="prepare", daemon=True).start()

    def _make_ready(self, order: Order) -> None:
        """Third thread: load by another order while the present one is worked by."""
        try:
            if self._worker is None:
                raise CameraError("the worker is still loading; reload again")
            setup = build_setup(self._site(), order, self._worker.setup)
        except EdgevisionError as error:
            self._channel.send(Refused(order.number, str(error)))
        except Exception as error:
            log.exception("%s: a configuration cannot be prepared", self._begin.camera)
            self._channel.send(Refused(order.number, f"{type(error).__name__}: {error}; please report this"))
        else:
            self._prepared = (order, setup)
            if order.number <= self._abandoned:
                self._prepared = None
                return
            self._channel.send(Prepared(order.number, _voice(setup)))

    def _apply(self, word: Apply) -> None:
        if self._prepared is None or self._prepared[0].number != word.number or self._worker is None:
            return
        (order, setup), self._prepared = self._prepared, None
        self._worker.replace(setup, partial(self._applied, order))

    def _applied(self, order: Order) -> None:
        log.setLevel(order.node.log_level.upper())
        self._channel.send(Applied(order.number))

    def _abandon(self, word: Abandon) -> None:
        self._abandoned = max(self._abandoned, word.number)
        if self._prepared is not None and self._prepared[0].number <= word.number:
            self._prepared = None


def _voice(setup: Setup) -> Voice:
    return Voice(setup.composer.identity, setup.pipeline.settings.judge.ng)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
