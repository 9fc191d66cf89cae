"""An outbox emptied while no service runs, against a real Mosquitto."""

from __future__ import annotations

import json
import time

import pytest

from edgevision.errors import Unavailable
from edgevision.identifiers import uuid7
from edgevision.publish.drain import drain
from edgevision.publish.outbox import Outbox
from edgevision.publish.topics import Topics
from edgevision.records import Draft
from tests.publish.conftest import Subscriber, await_true

TOPICS = Topics("edgevision", "press-1")


@pytest.fixture
def outbox(tmp_path):
    made = Outbox(tmp_path / "o.sqlite")
    made.commit(
        [
            Draft(uuid7(time.time()), f"cam-{number % 2}", TOPICS.event(f"cam-{number % 2}"), {"historical": False, "n": number}, "ng")
            for number in range(12)
        ]
    )
    yield made
    made.close()


@pytest.mark.parametrize("protocol", [5, "3.1.1"])
def test_everything_goes_and_nothing_is_said_of_the_node(mosquitto, outbox, protocol):
    left = []
    with Subscriber(mosquitto.settings()) as subscriber:
        assert drain(mosquitto.settings(protocol=protocol), TOPICS, outbox, 5.0, left.append) == 12
        await_true(lambda: len(subscriber.of("event")) == 12)
        assert subscriber.of("availability") == []
    assert left[0] == 12
    assert left == sorted(left, reverse=True)
    assert [json.loads(payload)["n"] for payload in subscriber.of("cam-1/event")] == [1, 3, 5, 7, 9, 11]
    assert outbox.stats().pending == 0


def test_a_broker_that_refuses_is_named_and_what_waits_stays(make_mosquitto, outbox, tmp_path):
    (tmp_path / "acl").write_text("topic read #\n")
    broker = make_mosquitto(f"acl_file {tmp_path / 'acl'}")
    broker.start()
    with pytest.raises(Unavailable, match=r"Not authorized \(0x87\).*12 messages still wait"):
        drain(broker.settings(), TOPICS, outbox, 0.3, lambda left: None)
    assert outbox.stats().pending == 12


def test_a_broker_that_is_away_is_one_line(outbox):
    from edgevision.publish.connection import MqttSettings
    from tests.publish.conftest import free_port

    with pytest.raises(Unavailable, match="nobody listens there"):
        drain(MqttSettings(port=free_port()), TOPICS, outbox, 0.3, lambda left: None)
