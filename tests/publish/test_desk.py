"""Retained values and replies: the newest counts, everything again after a reconnect, refusals seen."""

from edgevision.publish.connection import Answer
from edgevision.publish.desk import Desk


class Line:
    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, int, bool]] = []

    def send(self, topic: str, payload: bytes, qos: int = 1, is_retained: bool = False) -> int:
        self.sent.append((topic, payload, qos, is_retained))
        return len(self.sent)


def test_only_the_newest_value_is_sent_and_only_when_it_changed() -> None:
    desk, line = Desk(), Line()
    assert desk.retain("state", b"1", 1)
    assert desk.retain("state", b"2", 1)
    assert not desk.retain("state", b"2", 1)
    desk.reply("response/reload", b"ok")
    desk.send(line)
    desk.send(line)
    assert line.sent == [("state", b"2", 1, True), ("response/reload", b"ok", 1, False)]


def test_a_reconnect_sends_every_retained_value_but_no_old_reply() -> None:
    desk = Desk()
    desk.retain("state", b"1", 1)
    desk.retain("health", b"2", 0)
    desk.reply("response/reload", b"ok")
    desk.send(Line())
    desk.reply("response/reload", b"too late")
    desk.begin()
    line = Line()
    desk.send(line)
    assert line.sent == [("state", b"1", 1, True), ("health", b"2", 0, True)]
    assert not desk.is_idle
    desk.answered(Answer(1, 0, "Success"))
    assert desk.is_idle


def test_a_refused_topic_is_an_alarm_until_it_is_taken() -> None:
    desk, line = Desk(), Line()
    desk.retain("state", b"1", 1)
    desk.send(line)
    desk.answered(Answer(1, 0x87, "Not authorized"))
    desk.answered(Answer(77, 0x87, "subscription: Not authorized"))
    assert desk.alarms == (
        "mqtt: state refused: Not authorized (0x87); mend the broker's ACL",
        "mqtt: a subscription refused: subscription: Not authorized (0x87); mend the broker's ACL",
    )
    desk.retain("state", b"2", 1)
    desk.send(line)
    desk.answered(Answer(2, 0, "Success"))
    assert len(desk.alarms) == 1
