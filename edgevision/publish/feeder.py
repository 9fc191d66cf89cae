"""Which message goes to the broker next, and what the broker's answer means for it.

In: the outbox's queues, the broker's reason codes. Out: messages to send. Keeps: what is in flight, which queues hold, and why.
Pure bookkeeping for one thread: no socket, no clock of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edgevision.errors import Unavailable
from edgevision.publish.connection import REFUSED
from edgevision.publish.outbox import Lane, LaneKey, Outbox, Stored, Tell

HOPELESS = (0x90, 0x95, 0x99)  # topic name invalid, packet too large, payload format invalid: this message can never pass

HOLD_FIRST_S = 0.5
HOLD_LAST_S = 30.0


@dataclass(slots=True)
class Hold:
    """A queue that waits because the broker refused its head."""

    until_s: float
    pause_s: float
    reason: str


class Feeder:
    """One node's way through its outbox, over however many connections."""

    def __init__(self, outbox: Outbox, window: int, backlog_per_s: float, monotonic: Callable[[], float], tell: Tell):
        self._outbox = outbox
        self._limit = window
        self._window = window
        self._is_careful = False
        self._backlog_per_s = backlog_per_s
        self._monotonic = monotonic
        self._tell = tell
        self._in_flight: dict[int, tuple[Stored, float]] = {}  # packet id -> (message, when sent)
        self._unsaved: dict[int, LaneKey] = {}  # seq of an accepted message that the outbox does not know of yet -> its queue
        self._holds: dict[LaneKey, Hold] = {}
        self._allowance = 1.0
        self._allowance_s = monotonic()
        self.counts: Counter[str] = Counter()

    def begin(self, receive_maximum: int) -> None:
        """A connection is up: nothing is in flight, what an outage left over becomes backlog, held queues try again."""
        self._window = 1 if self._is_careful else max(1, min(self._limit, receive_maximum))
        self._in_flight.clear()
        self._holds.clear()
        try:
            self._outbox.begin_backlog()
        except Unavailable as error:
            self._tell("error", f"{error}; sending what is there all the same")

    def cut_off(self, code: int, meaning: str) -> None:
        """The broker ended the connection because of a message: set aside the only one in flight, or send one at a time to find it."""
        if code in HOPELESS:
            self._is_careful = True
            if len(self._in_flight) == 1:
                ((stored, _),) = self._in_flight.values()
                self.refuse(stored, f"the broker cut the connection: {meaning} (0x{code:02x})")

    def due(self) -> tuple[Stored, ...]:
        """What may be sent now, live first. One message a queue: a refused one is never overtaken by those behind it."""
        free = self._window - len(self._in_flight)
        if free <= 0:
            return ()
        now_s = self._monotonic()
        waiting = {key for key, hold in self._holds.items() if hold.until_s > now_s}
        busy = {stored.key for stored, _ in self._in_flight.values()} | set(self._unsaved.values())
        heads = self._outbox.window(free, waiting | busy)
        live = tuple(head for head in heads if head.lane is Lane.LIVE)
        backlog = tuple(head for head in heads if head.lane is Lane.BACKLOG)
        return live + backlog[: self._allowed(now_s)]

    def sent(self, packet_id: int, stored: Stored) -> None:
        """`stored` is on its way under this packet id."""
        if stored.lane is Lane.BACKLOG:
            self._allowance -= 1.0
        self._in_flight[packet_id] = (stored, self._monotonic())

    def answered(self, packet_id: int, code: int, meaning: str) -> bool:
        """The broker answered: accept, hold the queue, or set the message aside. False when the packet was none of ours."""
        stored, _ = self._in_flight.pop(packet_id, (None, 0.0))
        if stored is None:
            return False
        if code < REFUSED:
            self._accept(stored)
        elif code in HOPELESS:
            self.refuse(stored, f"{meaning} (0x{code:02x})")
        else:
            self._hold(stored, f"{meaning} (0x{code:02x})")
        return True

    def refuse(self, stored: Stored, reason: str) -> None:
        """This message can never pass: out of the way with it."""
        self.counts["set_aside"] += 1
        self._outbox.set_aside(stored.seq, f"{stored.topic}: {reason}")

    def save(self) -> bool:
        """Tell the outbox what was accepted. When its disk fails, keep the knowledge and try again later. True when all is told."""
        if not self._unsaved:
            return True
        try:
            self._outbox.acked(list(self._unsaved))
        except Unavailable as error:
            self._tell("error", f"{error}; accepted messages would be sent again after a restart")
            return False
        self._unsaved.clear()
        return True

    def oldest_sent_s(self) -> float | None:
        """When the message that has waited longest for its answer was sent; None when nothing is in flight."""
        return min((sent_s for _, sent_s in self._in_flight.values()), default=None)

    def pause_s(self, longest_s: float) -> float:
        """For how long nothing new can become due by the passing of time alone."""
        now_s = self._monotonic()
        waits = [hold.until_s - now_s for hold in self._holds.values() if hold.until_s > now_s]
        if self._allowance < 1.0:
            waits.append((1.0 - self._allowance) / self._backlog_per_s)
        return max(0.0, min([longest_s, *waits]))

    @property
    def alarms(self) -> tuple[str, ...]:
        """One line a held queue."""
        lines = [
            f"mqtt: the broker refuses {camera or 'node'} messages: {hold.reason}; they are kept; mend the broker's ACL or quota"
            for (camera, _), hold in sorted(self._holds.items())
        ]
        return tuple(dict.fromkeys(lines))

    def _accept(self, stored: Stored) -> None:
        self.counts["accepted"] += 1
        self._is_careful = False
        self._unsaved[stored.seq] = stored.key
        if self._holds.pop(stored.key, None) is not None:
            self._tell("info", f"mqtt: the broker accepts {stored.topic} again")

    def _hold(self, stored: Stored, reason: str) -> None:
        self.counts["kept"] += 1
        known = self._holds.get(stored.key)
        pause_s = HOLD_FIRST_S if known is None else min(HOLD_LAST_S, known.pause_s * 2)
        self._holds[stored.key] = Hold(self._monotonic() + pause_s, pause_s, f"{stored.topic}: {reason}")
        if known is None:
            with suppress(Unavailable):  # a full disk is told of elsewhere, and the note is for people only
                self._outbox.note_held(stored.seq, reason)
            self._tell("error", f"mqtt: {stored.topic} refused: {reason}; kept, trying again; mend the broker's ACL or quota")

    def _allowed(self, now_s: float) -> int:
        """How many backlog messages may go now."""
        passed_s, self._allowance_s = now_s - self._allowance_s, now_s
        self._allowance = min(float(self._limit), self._allowance + passed_s * self._backlog_per_s)
        return max(0, int(self._allowance))
