"""Empties an outbox into the broker while no service runs. In: an open outbox. Out: sent messages. Keeps nothing.

Nothing is said of the node's availability, because the node is not there: only its messages go.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edgevision.errors import Unavailable
from edgevision.publish.connection import MqttSettings, ProtocolRefused
from edgevision.publish.desk import Desk
from edgevision.publish.feeder import Feeder
from edgevision.publish.mqtt import Link
from edgevision.publish.outbox import Outbox
from edgevision.publish.session import Session
from edgevision.publish.topics import Topics

PUMP_S = 0.1
Progress = Callable[[int], object]  # is told how many messages still wait


def drain(settings: MqttSettings, topics: Topics, outbox: Outbox, patience_s: float, progress: Progress) -> int:
    """Send what waits until nothing is left; how many the broker took.

    Raises Unavailable when the broker cannot be reached, or takes nothing for `patience_s`; what it did not take stays in the outbox.
    """
    try:
        return _drain(Link(settings, topics.client_id, settings.protocol), settings, topics, outbox, (patience_s, progress))
    except ProtocolRefused:
        if settings.protocol == "3.1.1":
            raise
    old = settings.model_copy(update={"protocol": "3.1.1"})
    return _drain(Link(old, topics.client_id, "3.1.1"), old, topics, outbox, (patience_s, progress))


def _drain(link: Link, settings: MqttSettings, topics: Topics, outbox: Outbox, manner: tuple[float, Progress]) -> int:
    patience_s, progress = manner
    feeder = Feeder(outbox, settings.window, settings.backlog_per_s, time.monotonic, lambda level, text: None)
    session = Session(link, feeder, Desk(), topics, time.monotonic)
    try:
        link.open()
        feeder.begin(link.receive_maximum)
        is_late = _timer(patience_s)
        while waiting := outbox.stats().pending:
            progress(waiting)
            session.send()
            link.pump(feeder.pause_s(PUMP_S))
            session.read(settings.answer_timeout_s)
            if is_late(feeder.counts["accepted"]):
                held = "; ".join(feeder.alarms) or "the broker takes nothing"
                raise Unavailable(f"{held}; {outbox.stats().pending} messages still wait")
        link.close()
    finally:
        link.drop()
    return feeder.counts["accepted"]


def _timer(patience_s: float) -> Callable[[int], bool]:
    """A function that is told how far it has come, and says whether that has not moved for too long."""
    seen, since_s = -1, time.monotonic()

    def is_late(count: int) -> bool:
        nonlocal seen, since_s
        if count != seen:
            seen, since_s = count, time.monotonic()
        return time.monotonic() - since_s > patience_s

    return is_late
