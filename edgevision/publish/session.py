"""What is said on one connection, from welcome to goodbye. In: a line to the broker. Out: states, events, answers taken in.

Keeps nothing beyond the connection. Used from the publisher's thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from edgevision.errors import Unavailable
from edgevision.publish.connection import Answer
from edgevision.publish.desk import Desk
from edgevision.publish.feeder import Feeder
from edgevision.publish.outbox import Lane, Stored
from edgevision.publish.payload import as_historical
from edgevision.publish.topics import Topics

PACKET_HEAD_BYTES = 16
GOODBYE_PUMP_S = 0.05


class Line(Protocol):
    """What a session needs of a connection; `mqtt.Link` is the real one. All but `answers` raise Unavailable when it is lost."""

    receive_maximum: int
    packet_limit: int

    def subscribe(self, filters: Sequence[str]) -> None:
        """Ask for messages."""

    def send(self, topic: str, payload: bytes, qos: int = 1, is_retained: bool = False) -> int:
        """Hand a message over; its packet id."""

    def pump(self, timeout_s: float) -> None:
        """Move bytes."""

    def answers(self) -> list[Answer]:
        """What the broker answered since the last call."""

    def close(self) -> None:
        """End it in good order."""


class Session:
    """One connection's life: `welcome`, then `send` and `read` in turn, then `goodbye`."""

    def __init__(self, line: Line, feeder: Feeder, desk: Desk, topics: Topics, monotonic: Callable[[], float]):
        self._line = line
        self._feeder = feeder
        self._desk = desk
        self._topics = topics
        self._monotonic = monotonic

    def welcome(self, commands: Sequence[str]) -> None:
        """Listen for commands, send every retained state, then `online`."""
        self._feeder.begin(self._line.receive_maximum)
        self._line.subscribe(commands)
        self._desk.begin()
        self._desk.send(self._line)
        self._line.send(self._topics.availability(), b"online", is_retained=True)

    def send(self) -> None:
        """Hand over what is due."""
        self._desk.send(self._line)
        for stored in self._feeder.due():
            self._send(stored)

    def read(self, timeout_s: float) -> None:
        """Take in the answers. Raises Unavailable when one is overdue: the connection is dead and does not know it."""
        for answer in self._line.answers():
            if not self._feeder.answered(answer.packet_id, answer.code, answer.meaning):
                self._desk.answered(answer)
        self._feeder.save()
        oldest_s = self._feeder.oldest_sent_s()
        if oldest_s is not None and self._monotonic() - oldest_s > timeout_s:
            raise Unavailable(f"mqtt: a message was not answered for {timeout_s:g} s; connecting again")

    def goodbye(self, timeout_s: float) -> None:
        """Say `offline`, wait until the broker has it, and hang up."""
        packet_id = self._line.send(self._topics.availability(), b"offline", is_retained=True)
        deadline_s = self._monotonic() + timeout_s
        while self._monotonic() < deadline_s and all(answer.packet_id != packet_id for answer in self._line.answers()):
            self._line.pump(GOODBYE_PUMP_S)
        self._line.close()

    def _send(self, stored: Stored) -> None:
        try:
            payload = stored.body if stored.lane is Lane.LIVE else as_historical(stored.body)
            if len(payload) + len(stored.topic) + PACKET_HEAD_BYTES > self._line.packet_limit:
                self._feeder.refuse(stored, f"larger than the broker's limit of {self._line.packet_limit} bytes")
                return
            packet_id = self._line.send(stored.topic, payload)
        except ValueError as error:  # a failing disk has changed its body or its topic
            self._feeder.refuse(stored, f"it cannot be sent: {error}; check the disk")
            return
        self._feeder.sent(packet_id, stored)
