"""One camera's worker kept alive: started, started anew after a growing pause when it dies, killed when it hangs.

In: orders, part requests. Out: committed drafts, the board, and for every part that a dead worker took along a NOT_INSPECTED. Kept: the
worker's present life, the parts that are owed a verdict. `offer`, `ask` and the listening are for any thread, the rest is the supervisor's
main thread's, because a worker dies with the thread that started it.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count
from typing import Any

from edgevision.capture.camera import Backoff
from edgevision.capture.parts import PartRequest
from edgevision.capture.trigger import parse_request
from edgevision.daemon.board import Board
from edgevision.daemon.messages import Composer
from edgevision.daemon.part_book import PartBook
from edgevision.daemon.talk import (
    Abandon,
    Answered,
    Applied,
    Apply,
    Ask,
    Begin,
    Commit,
    Counted,
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
from edgevision.daemon.worker_process import WorkerProcess
from edgevision.errors import CameraError, ConfigError, EdgevisionError, Unavailable
from edgevision.publish.payload import Identity
from edgevision.publish.topics import Topics
from edgevision.records import Draft, Inspection

log = logging.getLogger("edgevision")

STALL_S = 3.0  # with what it takes to see it and to tell it, a frozen worker's camera is offline within five seconds
HANG_S = 30.0  # it is asked where it stands then, and killed with the next look
LOADING_S = 180.0  # one step of a network, compiled for the first time on a slow computer
PAUSES_S = (0.5, 30.0)
WELL_S = 60.0
LEAVE_S = 1.0
MAX_OPEN_PARTS = 10_000


class Stage(StrEnum):
    """Where a worker stands."""

    RESTING = "resting"  # none runs, none is wanted
    WAITING = "waiting"  # it died, the next one is due after a pause
    LOADING = "loading"
    READY = "ready"
    RUNNING = "running"
    OVER = "over"  # its source has ended or cannot be used; another start would not help


@dataclass(frozen=True)
class Desk:
    """What all keepers share. `wake` makes the main thread look at once, `suggest` takes (camera, key, text, why) of a worker."""

    topics: Topics
    boot_id: str
    commit: Callable[[Sequence[Draft]], None]
    told: Callable[[str], Mapping[str, Mapping[str, Any]]]
    board: Board
    wake: Callable[[], None]
    suggest: Callable[[str, str, str, str], None] = lambda camera, key, text, why: None
    owe: Callable[[str, PartRequest], None] = lambda camera, request: None  # Outbox.owe
    forgive: Callable[[str, str], None] = lambda camera, part_id: None  # Outbox.forgive


class Keeper:
    """One camera. `prepared` and `applied` are the numbers of the newest orders that its worker was ready for and works by."""

    def __init__(self, name: str, desk: Desk, identity: Identity):
        self.name = name
        self.stage = Stage.RESTING
        self.exit_code = 0
        self.trouble: str | None = None
        self.prepared = self.applied = 0
        self.refusal: str | None = None
        self.voice = Voice(identity, 0.0)
        self._loaded = Loading(0, 0)
        self._voices = {0: self.voice}
        self._desk = desk
        self._order: Order | None = None
        self._life: WorkerProcess | None = None
        self._parts = PartBook()
        self._is_finite = False
        self._is_stalled = False
        self._is_killed = False
        self._may_run = False  # was let go once: a worker that is started anew need not wait to be told
        self._backoff = Backoff(*PAUSES_S, random.random)
        self._since_s = self._forgiven_s = 0.0
        self._numbers = count(1)
        self._answers: dict[int, Callable[[Mapping[str, Any]], None]] = {}
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The worker's process id, None where none runs."""
        return None if self._life is None else self._life.pid

    @property
    def loaded(self) -> str:
        """How far its worker's network is ready, for people: `camera-1 (12 of 40 steps)`."""
        ready, steps = self._loaded.ready, self._loaded.steps
        return f"{self.name} ({ready} of {steps} steps)" if steps else self.name

    @property
    def listened_s(self) -> float | None:
        """When its listening thread last went round, on the monotonic clock; None where none is needed."""
        return None if self._life is None or self._life.is_over else self._life.listened_s

    def start(self, order: Order) -> None:
        """Begin a life by this order; it loads and then waits for `go`."""
        self._order = order
        self.refusal = self.trouble = None
        self._is_stalled = self._is_killed = False
        self.exit_code = 0
        self._loaded = Loading(0, 0)
        self._desk.board.begin_life(self.name)
        begin = Begin(self.name, order, self._desk.boot_id, self._desk.told(self.name))
        self.stage = Stage.LOADING
        self._since_s = time.monotonic()
        try:
            self._life = WorkerProcess(begin, self._hear, self._desk.wake)
        except OSError as error:
            self._fail(f"the worker cannot be started: {error.strerror}")

    def go(self) -> None:
        """Let the worker that is ready open its camera, and those that may follow it."""
        self._may_run = True
        if self.stage is Stage.READY and self._life is not None and self._order is not None:
            self.stage = Stage.RUNNING
            self.applied = self._order.number
            self._since_s = time.monotonic()
            self._life.say(Go())

    def tend(self, now_s: float) -> None:
        """Look after the worker: what died is started anew, what hangs is killed, what stands still is offline."""
        life = self._life
        if life is not None and life.is_over:
            self._bury(life)
        elif life is not None:
            self._watch(life, now_s)
        elif self.stage is Stage.WAITING and self._backoff.wait_s(now_s) == 0.0 and self._order is not None:
            log.info("%s: its worker is started anew", self.name)
            self._desk.board.count(self.name, "worker_restarts")
            self.start(self._order)
        if self.stage is Stage.READY and self._may_run:
            self.go()
        if self.stage is Stage.RUNNING and now_s - self._since_s > WELL_S:
            self._backoff.reset()

    def forgive(self, now_s: float) -> None:
        """Whoever looks after the worker stood still, perhaps with all the computer: what the worker is late by counts from now."""
        self._forgiven_s = now_s

    def prepare(self, order: Order) -> None:
        """Make ready for another order; `prepared` or `refusal` tells how it went. A worker that is not at work is begun anew by it."""
        self.refusal = None
        if self.stage is Stage.RUNNING and self._life is not None:
            self._life.say(Prepare(order))
        else:
            self._drop_life()
            self._may_run = False
            self.start(order)

    def apply(self, order: Order) -> None:
        """Work by the order that was prepared."""
        self._order = order
        if self.stage is Stage.READY:
            self.go()
        elif self._life is not None:
            self._life.say(Apply(order.number))

    def abandon(self, order: Order, old: Order | None) -> None:
        """Forget the order that was prepared; `old`, if any, stays in force."""
        if self.stage is Stage.RUNNING and self._life is not None:
            self._life.say(Abandon(order.number))
            return
        self._drop_life()
        self._order, self._may_run = old, old is not None
        self.stage = Stage.RESTING if old is None else Stage.WAITING

    def offer(self, message: bytes | str | Mapping[str, Any]) -> bool:
        """Ask for a part, from any thread. False when it waits already.

        Raises InputError for a bad message, CameraError when nobody would look at it now.
        """
        request = parse_request(message, time.time())
        life = self._life
        if self.stage is not Stage.RUNNING or life is None:
            why = "its worker has just ended" if self.stage is Stage.RUNNING else f"its worker is {self.stage.value}"
            raise CameraError(f"{self.name}: {self.trouble or why}; ask again later")
        if len(self._parts) >= MAX_OPEN_PARTS:
            raise CameraError(f"{self.name}: {MAX_OPEN_PARTS} parts wait already; slow the line")
        if not self._parts.add(request):
            return False
        try:
            self._desk.owe(self.name, request)
        except Unavailable as error:
            self._parts.drop(request)
            raise CameraError(f"{self.name}: the part cannot be noted on disk: {error}") from error
        if not life.say(Offer(request)) and self._parts.drop(request):
            self._desk.forgive(self.name, request.part_id)
            raise CameraError(f"{self.name}: its worker does not listen; ask again later")
        return True

    def count(self, count: float, ts: float) -> None:
        """Hand on what the belt's encoder says, from any thread, without waiting: the next reading makes up for one that is lost."""
        life = self._life
        if self.stage is Stage.RUNNING and life is not None:
            life.hand(Counted(count, ts))

    def ask(self, verb: str, body: Mapping[str, Any], on_answer: Callable[[Mapping[str, Any]], None]) -> None:
        """Ask the worker for anything else, from any thread; `on_answer` is called once, from another thread."""
        number = next(self._numbers)
        with self._lock:
            self._answers[number] = on_answer
        if self._life is None or not self._life.say(Ask(number, verb, body)):
            self._answer(Answered(number, {"status": "error", "error": f"{self.name}: its worker does not run"}))

    def stop(self) -> None:
        """Ask the worker to leave; `finish` waits for it."""
        if self._life is not None:
            self._life.say(Stop())

    def finish(self, patience_s: float) -> None:
        """Wait for the worker to leave, kill it when it does not, and say what became of its parts."""
        life = self._life
        if life is not None:
            how = life.end(patience_s)
            if life.ended is None:
                log.error("%s: did not stop within %.1f s (%s)", self.name, patience_s, how)
        self._drop_life()
        self._tell_lost_parts("the service stopped before this part's turn")
        if self.stage is not Stage.OVER:
            self.stage = Stage.RESTING

    def _hear(self, word: Word) -> None:
        """On the listening thread: what the worker says."""
        if isinstance(word, Commit):
            self._commit(word)
        elif isinstance(word, Report):
            self._is_finite = word.is_finite
            self._desk.board.post(word.snapshot)
        elif isinstance(word, Taken):
            self._take(word.request)
        elif isinstance(word, Turned):
            self._tell_lost((word.request,), word.reason)
        elif isinstance(word, Answered):
            self._answer(word)
        elif isinstance(word, Suggested):
            self._desk.suggest(self.name, word.key, word.text, word.why)
        else:
            self._note(word)
            self._desk.wake()

    def _take(self, request: PartRequest) -> None:
        """The worker's own trigger asked for it: it is inspected even where the disk cannot note it."""
        try:
            if self._parts.add(request):
                self._desk.owe(self.name, request)
        except Unavailable as error:
            log.error("%s: a part would get no verdict if the service were killed now: %s", self.name, error)

    def _note(self, word: Word) -> None:
        """A step in a life, or in a change of orders."""
        if isinstance(word, Loading):
            self._loaded = word
        elif isinstance(word, Ready):
            self.voice = word.voice
            self.prepared = 0 if self._order is None else self._order.number
            self.stage = Stage.READY
        elif isinstance(word, Prepared):
            self._voices = {self.applied: self.voice, word.number: word.voice}
            self.prepared = word.number
        elif isinstance(word, Refused):
            self.refusal = word.text
        elif isinstance(word, Applied):
            self.voice = self._voices.get(word.number, self.voice)
            self.applied = word.number

    def _commit(self, word: Commit) -> None:
        settled = Settled(word.number)
        try:
            self._desk.commit(word.drafts)
            self._parts.settle(word.drafts)
        except Unavailable as error:
            settled = replace(settled, trouble=str(error))
        except EdgevisionError as error:
            settled = replace(settled, fault=str(error))
        if self._life is not None:
            self._life.say(settled)

    def _answer(self, word: Answered) -> None:
        with self._lock:
            on_answer = self._answers.pop(word.number, None)
        if on_answer is not None:
            on_answer(word.body)

    def _watch(self, life: WorkerProcess, now_s: float) -> None:
        """A worker in one turn for too long: first its camera is offline, then it is killed. Loading takes longer."""
        silent_s, is_loading = life.look(now_s)
        silent_s = min(silent_s, now_s - self._since_s, now_s - self._forgiven_s)
        is_stalled = self.stage is Stage.RUNNING and silent_s > STALL_S
        what = "a step of loading its network" if is_loading else "one inspection"
        if is_stalled and not self._is_stalled:
            log.error("%s: %s takes more than %g s: offline until it ends", self.name, what, STALL_S)
        if is_stalled:
            self._desk.board.set_availability(self.name, "offline", f"{what} takes more than {STALL_S:g} s")
        self._is_stalled = is_stalled
        limit_s = LOADING_S if is_loading or self.stage is Stage.LOADING else HANG_S
        if silent_s > limit_s and self.stage in (Stage.RUNNING, Stage.LOADING):
            if self._is_killed:
                life.kill()
            else:
                log.error("%s: its worker hung for %.0f s and is killed; where it stood follows", self.name, silent_s)
                self._is_killed = True
                life.ask_where()

    def _bury(self, life: WorkerProcess) -> None:
        """The talk is over: say what became of it and of its parts, and plan the next life or none."""
        how = life.end(LEAVE_S)
        ended, was_loading = life.ended, self.stage is Stage.LOADING
        self._drop_life()
        text = "its worker hung and was killed" if self._is_killed else f"its worker died ({how})"
        if ended is not None:
            text = ended.text or "its source ended"
        self._tell_lost_parts(text)
        self._desk.board.set_availability(self.name, "offline", text)
        code = 1 if ended is None else ended.exit_code
        is_hopeless = code == ConfigError.exit_code or (ended is not None and code in (0, CameraError.exit_code)) or self._is_finite
        if is_hopeless or (was_loading and ended is not None):
            self.stage, self.exit_code, self.trouble = Stage.OVER, code, None if code == 0 else text
            if code and not was_loading:
                log.critical("%s: %s; it is not started again", self.name, text)
        else:
            self._fail(text)

    def _fail(self, text: str) -> None:
        """This life is over before its time: the next one comes after a pause."""
        pause_s = self._backoff.lose(time.monotonic())
        self.stage, self.trouble = Stage.WAITING, text
        log.error("%s: %s; started anew in %.1f s", self.name, text, pause_s)

    def _drop_life(self) -> None:
        if self._life is not None:
            self._life.close()
            self._life = None
        for number in list(self._answers):
            self._answer(Answered(number, {"status": "error", "error": f"{self.name}: its worker is gone"}))

    def _tell_lost_parts(self, reason: str) -> None:
        self._tell_lost(self._parts.take_all(), reason)

    def _tell_lost(self, requests: Sequence[PartRequest], reason: str) -> None:
        """Whoever asked for these parts gets their one verdict: NOT_INSPECTED."""
        composer = Composer(self._desk.topics, self.voice.identity)
        drafts: list[Draft] = []
        for request in requests:
            lost = Inspection.not_made(self.name, reason, request.ts, self.voice.threshold, part_id=request.part_id, job_id=request.job_id)
            drafts += composer.compose(lost)
        if not drafts:
            return
        log.warning("%s: %d parts get no inspection: %s", self.name, len(drafts), reason)
        self._desk.board.count(self.name, "parts_lost", len(drafts))
        try:
            self._desk.commit(drafts)
            self._parts.settle(drafts)
        except EdgevisionError as error:
            for request in requests:
                self._parts.add(request)  # told with the next that are lost
            log.error("%s: %d parts are not told of yet: %s", self.name, len(drafts), error)
