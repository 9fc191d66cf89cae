from __future__ import annotations

import json

import pytest

from edgevision.capture.trigger import parse_request
from edgevision.daemon.requests import Requests
from edgevision.publish.topics import Topics


class Feed:
    def __init__(self):
        self.parts = []

    def offer(self, body):
        self.parts.append(parse_request(body, 5.0).part_id)
        return True


@pytest.fixture
def feeds():
    return {"cam": Feed(), "other": Feed()}


def ask(feeds, payload, verb="inspect_now"):
    topic, answer = Requests(Topics("edgevision", "line"), feeds)(f"edgevision/line/request/{verb}", payload)
    assert topic == f"edgevision/line/response/{verb}"
    return json.loads(answer)


def test_a_part_is_queued_and_the_transaction_returned(feeds):
    answer = ask(feeds, b'{"transaction": "t1", "camera": "cam", "part_id": "A17"}')
    assert answer == {"status": "ok", "queued": True, "transaction": "t1"}
    assert feeds["cam"].parts == ["A17"]


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"{", "not JSON"),
        (b"[1]", "send an object"),
        (b'{"camera": "cam"}', "part_id is missing"),
        (b'{"camera": "can", "part_id": "A"}', "did you mean 'cam'"),
        (b'{"part_id": "A"}', "must be one of cam, other"),
        (b'{"camera": ["cam"], "part_id": "A"}', "must be one of cam, other"),
        (b" " * 5000, "the limit is"),
    ],
)
def test_a_bad_request_is_answered_and_queues_nothing(feeds, payload, said):
    answer = ask(feeds, payload)
    assert answer["status"] == "error"
    assert said in answer["error"]
    assert feeds["cam"].parts == feeds["other"].parts == []


def test_an_unknown_verb_says_what_is_known(feeds):
    assert "inspect_now" in ask(feeds, b"{}", verb="explode")["error"]


def test_other_topics_are_not_ours(feeds):
    assert Requests(Topics("edgevision", "line"), feeds)("edgevision/line/cam/enabled/set", b"ON") is None
