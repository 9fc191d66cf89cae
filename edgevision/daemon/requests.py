"""What others ask of the node over MQTT: values to `set`, `request`s to do. In: messages. Out: deeds, answers, a line of audit for each.

What a camera's worker suggests is done, written down and taken back in the same way. An encoder's counts go to the worker at once and leave
no trace.

Every message comes from outside: size, kind and characters are checked, and a bad one is answered, logged and otherwise ignored. The
publisher's thread only hands messages over; a thread of its own obeys them, one after the other, so that a slow one delays no alert.
"""

from __future__ import annotations

import json
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edgevision.capture.trigger import MAX_MESSAGE_BYTES
from edgevision.compare.encoder import MOST_COUNT
from edgevision.config import Config
from edgevision.daemon.audit import Audit
from edgevision.daemon.changes import Changes, asked, parse_payload, shown, unused
from edgevision.daemon.rollout_book import RolloutBook, objection
from edgevision.errors import EdgevisionError, InputError, Unavailable
from edgevision.publish.outbox import Outbox
from edgevision.publish.topics import Topics
from edgevision.registry import nearest

log = logging.getLogger("edgevision")

WAITING = 64
ENCODER = "encoder"
Body = Mapping[str, Any]
Done = Callable[[Body], None]
Reply = Callable[[str, bytes], None]


class Node(Protocol):
    """What the service can do for who asks. Called from the thread of `Requests`; all raise EdgevisionError with the cause."""

    def cameras(self) -> tuple[str, ...]:
        """The cameras that are configured."""

    def offer(self, camera: str, body: Body) -> bool:
        """Ask for a part; False when it waits already."""

    def count(self, camera: str, count: float, ts: float) -> None:
        """Hand on what a belt's encoder says. Called from the publisher's thread; returns at once."""

    def ask(self, camera: str, verb: str, body: Body, done: Done) -> None:
        """Ask a camera's worker; `done` is called once, from any thread."""

    def reload(self, changes: Mapping[str, str], done: Done) -> None:
        """Work by the file and these changes, or not at all; `done` is called once, from any thread."""

    def try_changes(self, changes: Mapping[str, str]) -> Config:
        """The configuration that the file and these changes give. Raises ConfigError."""


@dataclass(frozen=True)
class Command:
    """One message to obey. `words` is what its topic says: (camera, key) or (verb,). `why`: a worker suggests it, nobody sent it."""

    topic: str
    payload: bytes
    words: tuple[str, ...]
    why: str | None = None


class Requests:
    """Takes commands from the publisher's thread; `start` says where answers go."""

    def __init__(self, topics: Topics, node: Node, changes: Changes, audit: Audit, outbox: Outbox, clock: Callable[[], float] = time.time):
        self._topics = topics
        self._clock = clock
        self._node = node
        self._changes = changes
        self._audit = audit
        self._outbox = outbox
        self._reply: Reply = lambda topic, payload: None
        self._show: Callable[[], None] = lambda: None
        self._queue: queue.Queue[Command | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name="requests", daemon=True)
        self._verbs: Mapping[str, Callable[[Body, Done], Body | None]] = {
            "inspect_now": self._inspect_now,
            "reload": self._reload,
            "snapshot": self._of_worker("snapshot"),
            "learn_reference": self._of_worker("learn_reference"),
            "replay": self._replay,
            "retry": self._retry,
            "ack": self._ack,
            "rollout": self._rollout,
            "rollback": self._rollback,
            "doctor": lambda body, done: {},  # somebody asks whether we hear
        }

    def start(self, reply: Reply, show: Callable[[], None]) -> None:
        """Begin to obey. `reply` sends an answer, `show` publishes the settable values as they are in force."""
        self._reply, self._show = reply, show
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Obey no further command."""
        if self._thread.ident is not None:
            self._queue.put(None)
            self._thread.join(timeout_s)

    def __call__(self, topic: str, payload: bytes) -> None:
        """Take one message; returns at once."""
        words = self._topics.parse_command(topic)
        if words is None:
            log.warning("a command on a topic that cannot be one was ignored")
        elif len(words) == 2 and words[1] == ENCODER:
            self._count(topic, payload, words[0])
        else:
            self._take(Command(topic, payload, words))

    def suggest(self, camera: str, key: str, text: str, why: str) -> None:
        """A camera's worker wants this value set, from any thread; returns at once."""
        self._take(Command(self._topics.setting(camera, key, "set"), text.encode(), (camera, key), why))

    def _take(self, command: Command) -> None:
        try:
            self._queue.put_nowait(command)
        except queue.Full:
            log.error("%d commands wait already; one was ignored: who sends so many?", WAITING)

    def _count(self, topic: str, payload: bytes, camera: str) -> None:
        """An encoder speaks many times a second: its counts wait for nothing."""
        try:
            if camera not in self._node.cameras():
                raise InputError(f"camera is {camera!r}; it must be one of {', '.join(self._node.cameras())}")
            self._node.count(camera, *parse_count(payload, self._clock()))
        except EdgevisionError as error:
            log.warning("%s refused: %s", topic, error)

    def _run(self) -> None:
        while (command := self._queue.get()) is not None:
            try:
                self.obey(command)
            except Exception as error:  # a command from outside must not end the commands
                log.error("%s: %s: %s; the command was dropped", command.topic, type(error).__name__, error)

    def obey(self, command: Command) -> None:
        """Do what is asked, and say what came of it."""
        if len(command.words) == 2:
            self._set(command, *command.words)
        else:
            self._request(command, command.words[0])

    def _set(self, command: Command, camera: str, name: str, answer: Done = lambda body: None) -> None:
        """Check, write down, keep, apply. A value that is refused, at once or by a worker, is taken back, and the state topic says so."""
        try:
            if camera not in self._node.cameras():
                raise InputError(f"camera is {camera!r}; it must be one of {', '.join(self._node.cameras())}")
            path, text = parse_payload(camera, name, command.payload)
            before, after = self._changes.kept, self._changes.with_change(path, text)
            config = self._node.try_changes(after)
            value = shown(config.cameras[camera], name)
            if text is not None and (why := unused(config.cameras[camera], name)):
                raise InputError(f"{camera}/{name} {why}")
            if text is not None and value != asked(name, text):
                raise InputError(f"{camera}/{name} is fixed by an environment variable; change it there")
            old = shown(self._node.try_changes(before).cameras[camera], name)
            outcome = "accepted" if command.why is None else f"suggested by the camera: {command.why}"
            self._audit.note(command.topic, command.payload, outcome, old, value)
            self._changes.put(path, text)
        except EdgevisionError as error:
            self._refuse(command, error)
            self._show()
            answer({"status": "error", "error": str(error)})
            return
        if command.why is None:
            log.info("%s/%s set to %s over MQTT, was %s", camera, name, value, old)
        else:
            log.warning("%s/%s adjusted to %s, was %s: %s", camera, name, value, old or "empty", command.why)

        def done(body: Body) -> None:
            if body["status"] != "ok":
                self._take_back(command, path, before.get(path), str(body.get("error")))
            self._show()
            answer(body)

        self._node.reload(after, done)

    def _take_back(self, command: Command, path: str, text: str | None, error: str) -> None:
        log.error("%s: taken back: %s", command.topic, error)
        try:
            self._changes.put(path, text)
            self._audit.note(command.topic, command.payload, f"taken back: {error}")
        except Unavailable as trouble:
            log.error("%s", trouble)

    def _request(self, command: Command, verb: str) -> None:
        """Do, and answer on the response topic, with the transaction that the request carries."""
        transaction = None

        def answer(body: Body) -> None:
            extra: Body = {"transaction": transaction} if isinstance(transaction, str | int) else {}
            self._reply(self._topics.response(verb), json.dumps({**body, **extra}).encode())

        try:
            body = _body(command.payload)
            transaction = body.get("transaction")
            if verb not in self._verbs:
                raise InputError(f"request {verb!r} is not known; it must be one of {', '.join(self._verbs)}{nearest(verb, self._verbs)}")
            if verb not in ("inspect_now", "doctor"):  # parts come by the second, and neither changes anything
                self._audit.note(command.topic, command.payload, "asked")
            said = self._verbs[verb](body, answer)
        except EdgevisionError as error:
            self._refuse(command, error)
            answer({"status": "error", "error": str(error)})
            return
        if said is not None:
            answer({"status": "ok", **said})

    def _refuse(self, command: Command, error: EdgevisionError) -> None:
        log.warning("%s refused: %s", command.topic, error)
        try:
            self._audit.note(command.topic, command.payload, f"refused: {error}")
        except Unavailable as trouble:
            log.error("%s", trouble)

    def _camera(self, body: Body) -> str:
        """The camera that a request names; it may be left out where there is only one."""
        cameras = self._node.cameras()
        camera = body.get("camera", cameras[0] if len(cameras) == 1 else None)
        if not isinstance(camera, str) or camera not in cameras:
            shown_camera = str(camera)[:64]
            raise InputError(f"request: camera is {shown_camera!r}; it must be one of {', '.join(cameras)}{nearest(shown_camera, cameras)}")
        return camera

    def _inspect_now(self, body: Body, done: Done) -> Body:
        return {"queued": self._node.offer(self._camera(body), body)}

    def _of_worker(self, verb: str) -> Callable[[Body, Done], None]:
        def ask(body: Body, done: Done) -> None:
            self._node.ask(self._camera(body), verb, body, done)

        return ask

    def _reload(self, body: Body, done: Done) -> None:
        def say(answer: Body) -> None:
            self._show()
            done(answer)

        self._node.reload(self._changes.kept, say)

    def _replay(self, body: Body, done: Done) -> Body:
        from_seq = body.get("from_seq")
        if isinstance(from_seq, bool) or not isinstance(from_seq, int) or not 0 <= from_seq < 2**63:
            raise InputError('request: from_seq must be a whole number from 0 on; send {"from_seq": 17}')
        return {"queued": self._outbox.replay(from_seq)}

    def _retry(self, body: Body, done: Done) -> Body:
        return {"queued": self._outbox.retry()}

    def _rollout(self, body: Body, done: Done) -> None:
        """Let a camera's candidate judge this share of the parts; the answer comes once that is so."""
        camera, share = self._camera(body), body.get("share")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            said = f"share is {json.dumps(share)[:40]}; it must be" if "share" in body else "share is missing; it must be"
            raise InputError(f'request: {said} a number from 0 to 1; send {{"camera": "...", "share": 0.2}}')
        if body.get("anyway") is not True:
            self._refuse_worse(camera, float(share))
        topic = self._topics.setting(camera, "candidate_share", "set")
        self._set(Command(topic, f"{share:g}".encode(), (camera, "candidate_share")), camera, "candidate_share", done)

    def _refuse_worse(self, camera: str, share: float) -> None:
        """Raises InputError where more parts are to be given to a candidate that has judged too many otherwise."""
        config = self._node.try_changes(self._changes.kept)
        candidate = config.cameras[camera].candidate
        why = objection(RolloutBook(config.node.state_dir / "rollout" / camera).read(), candidate.limit)
        if share > candidate.share and why is not None:
            look = "look at them with `edgevision rollout CONFIG status`; if it is the better one"
            raise InputError(f'{camera}: {why}; {look}, give --anyway (over MQTT "anyway": true)')

    def _rollback(self, body: Body, done: Done) -> None:
        """Back: every part is the active network's again."""
        self._rollout({**body, "share": 0}, done)

    def _ack(self, body: Body, done: Done) -> Body:
        """A person has seen it: what, and who, is in the audit; alarms that only tell of something past are over."""
        event_id, is_alarms = body.get("event_id"), body.get("alarms") is True
        if not is_alarms and not (isinstance(event_id, str) and 1 <= len(event_id) <= 64):
            raise InputError('request: nothing to acknowledge; send {"event_id": "..."} or {"alarms": true}')
        return {"cleared": self._outbox.clear_alarms() if is_alarms else 0}


def parse_count(payload: bytes, now_ts: float) -> tuple[float, float]:
    """(count, time) of an encoder's message: a number, or `{"count": 1234, "ts": 1764110263.25}` where its clock is ours.

    Raises InputError.
    """
    try:
        message = json.loads(payload) if len(payload) <= MAX_MESSAGE_BYTES else None
    except (ValueError, RecursionError):
        message = None
    found = (message.get("count"), message.get("ts", now_ts)) if isinstance(message, dict) else (message, now_ts)
    numbers = [float(one) for one in found if isinstance(one, int | float) and not isinstance(one, bool) and abs(one) < MOST_COUNT]
    if len(numbers) != 2 or not all(math.isfinite(number) for number in numbers):
        raise InputError('encoder: is no count; send a number, or {"count": 1234, "ts": seconds since the epoch}')
    return numbers[0], numbers[1]


def _body(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_MESSAGE_BYTES:
        raise InputError(f"request: {len(payload)} bytes; the limit is {MAX_MESSAGE_BYTES}; send only what is needed")
    try:
        body = json.loads(payload or b"{}")
    except (ValueError, RecursionError) as error:
        raise InputError('request: not JSON; send {"transaction": "...", ...}') from error
    if not isinstance(body, dict):
        raise InputError(f"request: a JSON {type(body).__name__}; send an object")
    return body
