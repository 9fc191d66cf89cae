"""What the supervisor and a camera's worker process say to each other, over one socket.

In and out: the frozen values below, one at a time, in order. Keeps nothing. Both sides are this very program under the same user, so values
travel as pickles; what comes from cameras, brokers and files never does. A commit is answered by its number, and a worker that dies before
the answer has promised nothing to anybody.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from edgevision.capture.parts import PartRequest
from edgevision.config import NodeSettings, Written
from edgevision.publish.payload import Identity
from edgevision.records import Draft, Snapshot

HAND_S = 0.005


@dataclass(frozen=True, slots=True)
class Order:
    """Which configuration a camera works by. `number` counts them from 1, `config_sha256` is of the whole node's effective one.

    `node` and `base` (of topics) are those in force: what `written` says of them may need a restart. `files` is what `fingerprints` says.
    """

    number: int
    written: Written
    config_sha256: str
    node: NodeSettings
    base: str
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Begin:
    """The first word to a worker: load and get ready, but leave the camera closed. `told` is Outbox.last_of_tracks of the camera."""

    camera: str
    order: Order
    boot_id: str
    told: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Go:
    """Open the camera and inspect."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Make ready for another configuration, and go on with the present one meanwhile."""

    order: Order


@dataclass(frozen=True, slots=True)
class Apply:
    """Work by the order of this number from the next frame on; `Applied` answers."""

    number: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """Forget the order of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The commit of this number is on disk, or `trouble` says why not (try again), or `fault` why never."""

    number: int
    trouble: str | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """Somebody wants this part inspected."""

    request: PartRequest


@dataclass(frozen=True, slots=True)
class Counted:
    """The belt's encoder stood at `count` at `ts`, seconds since the epoch."""

    count: float
    ts: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Somebody wants this done by the camera's worker; `Answered` carries the same number."""

    number: int
    verb: str
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stop:
    """Finish the inspection under way, tell it, and leave."""


@dataclass(frozen=True, slots=True)
class Loading:
    """So many of so many steps are ready: a sign of life while kernels compile."""

    ready: int
    steps: int


@dataclass(frozen=True, slots=True)
class Voice:
    """What it takes to speak for a camera whose worker cannot: who speaks, and the threshold in force."""

    identity: Identity
    threshold: float


@dataclass(frozen=True, slots=True)
class Ready:
    """Loaded; waiting for `Go`."""

    voice: Voice


@dataclass(frozen=True, slots=True)
class Prepared:
    """Ready to work by the order of this number."""

    number: int
    voice: Voice


@dataclass(frozen=True, slots=True)
class Refused:
    """Cannot work by the order of this number."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Applied:
    """From now on every verdict is made by the order of this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Make these drafts durable and answer with `Settled`."""

    number: int
    drafts: tuple[Draft, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """A trigger of the worker's own has asked for this part: whatever happens to the worker, it must get its verdict."""

    request: PartRequest


@dataclass(frozen=True, slots=True)
class Turned:
    """The camera cannot take this part, and nobody in the worker will tell of it."""

    request: PartRequest
    reason: str


@dataclass(frozen=True, slots=True)
class Suggested:
    """This camera's settable `key` should be `text` from now on: the same as a `set` over MQTT, and as easily taken back."""

    key: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """The camera as of now. `is_finite`: its source has an end, and another worker would begin it anew."""

    snapshot: Snapshot
    is_finite: bool


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of `Ask`."""

    number: int
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ended:
    """The worker leaves: its source ended or it was stopped (0), was given up (69), or it cannot go on (78, 1); `text` says why."""

    exit_code: int
    text: str | None = None


Word = (
    Begin | Go | Prepare | Apply | Abandon | Settled | Offer | Counted | Ask | Stop
    | Loading | Ready | Prepared | Refused | Applied | Commit | Taken | Turned | Suggested | Report | Answered | Ended
)  # fmt: skip


class Channel:
    """One end of the socket. `send` from any thread, `receive` from one."""

    def __init__(self, sock: socket.socket, patience_s: float | None = None):
        """With `patience_s`, whoever does not take what is said for so long is cut off: a frozen process must not freeze another."""
        if patience_s is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(patience_s), round(patience_s % 1 * 1e6)))
        self._sock = sock
        self._connection = Connection(sock.fileno())
        self._lock = threading.Lock()

    def send(self, word: Word) -> bool:
        """Say it; False when the other side is gone or does not listen: the channel is of no use any more then."""
        try:
            with self._lock:
                self._connection.send(word)
        except (OSError, ValueError):
            self.cut()
            return False
        return True

    def hand(self, word: Word) -> bool:
        """Say it if that needs no waiting at all, for words of which the next makes up for a lost one; False when it was not said."""
        if not self._lock.acquire(timeout=HAND_S):
            return False
        try:
            poll = select.poll()
            poll.register(self._sock, select.POLLOUT)
            if not any(happened == select.POLLOUT for _, happened in poll.poll(0)):
                return False
            self._connection.send(word)
        except (OSError, ValueError):
            return False
        finally:
            self._lock.release()
        return True

    def receive(self, timeout_s: float | None = None) -> Word | None:
        """The next word, None when none came in time. Raises EOFError when the other side is gone."""
        try:
            if timeout_s is not None and not self._connection.poll(timeout_s):
                return None
            word: Word = self._connection.recv()
        except OSError as error:
            raise EOFError("the other side is gone") from error
        return word

    def cut(self) -> None:
        """End the talk, from any thread: both sides get EOFError once they have read what was said."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the socket; not while `receive` may run."""
        self._sock.detach()
        with contextlib.suppress(OSError):
            self._connection.close()
