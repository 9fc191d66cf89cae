"""What goes to the broker beside the outbox: the latest value of each retained topic, and answers to commands.

In: values, from any thread. Out: sent messages, on the publisher's thread. Keeps the latest payload of each retained topic in memory.
"""

from __future__ import annotations

import threading
from typing import Protocol

from edgevision.publish.connection import REFUSED, Answer

Value = tuple[str, bytes, int, bool]  # topic, payload, qos, whether it is retained

SUBSCRIPTION = "a subscription"


class Line(Protocol):
    """The one thing a desk needs of a connection."""

    def send(self, topic: str, payload: bytes, qos: int = 1, is_retained: bool = False) -> int:
        """Hand a message over; its packet id."""


class Desk:
    """The messages of which only the newest counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._retained: dict[str, Value] = {}
        self._waiting: list[Value] = []
        self._sent: dict[int, str] = {}  # packet id -> topic
        self._refused: dict[str, str] = {}

    def retain(self, topic: str, payload: bytes, qos: int) -> bool:
        """Set a retained topic; True when that is news."""
        value = (topic, payload, qos, True)
        with self._lock:
            if self._retained.get(topic) == value:
                return False
            self._retained[topic] = value
            self._waiting = [waiting for waiting in self._waiting if waiting[0] != topic or not waiting[3]]
            self._waiting.append(value)
            return True

    def reply(self, topic: str, payload: bytes) -> None:
        """Say something once."""
        with self._lock:
            self._waiting.append((topic, payload, 1, False))

    def begin(self) -> None:
        """A connection is up: the broker must be given every retained value again. Old answers are for nobody."""
        with self._lock:
            self._waiting = list(self._retained.values())
            self._sent.clear()
            self._refused.clear()

    def send(self, line: Line) -> None:
        """Hand over what waits."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for topic, payload, qos, is_retained in waiting:
            packet_id = line.send(topic, payload, qos, is_retained)
            if qos > 0:
                self._sent[packet_id] = topic

    def answered(self, answer: Answer) -> None:
        """Note whether the broker took it."""
        topic = self._sent.pop(answer.packet_id, SUBSCRIPTION)
        if answer.code >= REFUSED:
            self._refused[topic] = f"mqtt: {topic} refused: {answer.meaning} (0x{answer.code:02x}); mend the broker's ACL"
        elif topic != SUBSCRIPTION:
            self._refused.pop(topic, None)

    @property
    def is_idle(self) -> bool:
        """True when everything was sent and answered."""
        return not self._waiting and not self._sent

    @property
    def alarms(self) -> tuple[str, ...]:
        """One line a refused topic."""
        return tuple(self._refused.values())
