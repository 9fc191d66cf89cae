"""What is said on one connection, on a line that only remembers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgevision.errors import Unavailable
from edgevision.publish.connection import Answer
from edgevision.publish.desk import Desk
from edgevision.publish.feeder import Feeder
from edgevision.publish.outbox import Outbox, OutboxSettings
from edgevision.publish.session import Session
from edgevision.publish.topics import Topics
from edgevision.records import Draft

TOPICS = Topics("edgevision", "press-1")


class Line:
    receive_maximum = 65535
    packet_limit = 1000

    def __init__(self) -> None:
        self.said: list[tuple[str, bytes]] = []
        self.waiting: list[Answer] = []
        self.is_mute = False

    def subscribe(self, filters: Sequence[str]) -> None:
        self.said += [("subscribe", name.encode()) for name in filters]

    def send(self, topic: str, payload: bytes, qos: int = 1, is_retained: bool = False) -> int:
        self.said.append((topic.removeprefix("edgevision/press-1/"), payload))
        if not self.is_mute:
            self.waiting.append(Answer(len(self.said), 0, "Success"))
        return len(self.said)

    def pump(self, timeout_s: float) -> None:
        self.said.append(("pump", b""))

    def answers(self) -> list[Answer]:
        taken, self.waiting = self.waiting, []
        return taken

    def close(self) -> None:
        self.said.append(("close", b""))


def test_a_connection_from_welcome_to_goodbye(tmp_path: Path) -> None:
    now = [100.0]
    outbox = Outbox(tmp_path / "o.sqlite", OutboxSettings(historical_after_s=5), monotonic=lambda: now[0])
    line, desk = Line(), Desk()
    session = Session(line, Feeder(outbox, 20, 100.0, lambda: now[0], lambda level, text: None), desk, TOPICS, lambda: now[0])
    desk.retain(TOPICS.state(), b"{}", 1)
    outbox.commit([Draft("old", "cam-1", TOPICS.event("cam-1"), {"historical": False}, "ng")])
    now[0] += 10
    outbox.commit([Draft("large", "cam-2", TOPICS.event("cam-2"), {"historical": False, "filling": "x" * 1000}, "ng")])
    session.welcome(TOPICS.commands)
    session.send()
    session.read(10)
    session.goodbye(1)
    events = [json.loads(payload) for topic, payload in line.said if topic == "cam-1/event"]
    assert [body["historical"] for body in events] == [True]
    assert [topic for topic, _ in line.said] == ["subscribe", "subscribe", "state", "availability", "cam-1/event", "availability", "close"]
    assert [payload for topic, payload in line.said if topic == "availability"] == [b"online", b"offline"]
    assert (outbox.stats().acked, outbox.stats().set_aside, outbox.stats().pending) == (1, 1, 0)
    outbox.close()


def test_an_overdue_answer_ends_the_connection(tmp_path: Path) -> None:
    now = [100.0]
    outbox = Outbox(tmp_path / "o.sqlite", monotonic=lambda: now[0])
    line = Line()
    session = Session(line, Feeder(outbox, 20, 100.0, lambda: now[0], lambda level, text: None), Desk(), TOPICS, lambda: now[0])
    session.welcome(())
    line.is_mute = True
    outbox.commit([Draft("a", "cam-1", TOPICS.event("cam-1"), {"historical": False}, "ng")])
    session.send()
    now[0] += 9.9
    session.read(10)
    now[0] += 0.2
    with pytest.raises(Unavailable, match="was not answered for 10 s"):
        session.read(10)
    assert outbox.stats().pending == 1
    outbox.close()
