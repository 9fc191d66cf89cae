"""What is sent next, and what each answer of the broker means; no socket, the clock moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edgevision.errors import Unavailable
from edgevision.publish.feeder import Feeder
from edgevision.publish.outbox import Lane, Outbox, OutboxSettings
from edgevision.records import Draft


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Bench:
    """One feeder over a real outbox."""

    def __init__(self, path: Path, window: int = 20, backlog_per_s: float = 1000.0):
        self.clock = Clock()
        self.told: list[str] = []
        self.outbox = Outbox(path / "o.sqlite", OutboxSettings(historical_after_s=5), monotonic=self.clock)
        self.feeder = Feeder(self.outbox, window, backlog_per_s, self.clock, lambda level, text: self.told.append(text))
        self.feeder.begin(65535)
        self.packet_id = 0

    def commit(self, *names: str) -> None:
        """`1a` is message a of camera cam-1."""
        self.outbox.commit([Draft(name, f"cam-{name[0]}", f"b/n/cam-{name[0]}/event", {"historical": False}, "ng") for name in names])

    def send(self) -> dict[str, int]:
        """Everything that is due is sent: name -> packet id."""
        sent = {}
        for stored in self.feeder.due():
            self.packet_id += 1
            self.feeder.sent(self.packet_id, stored)
            sent[stored.event_id] = self.packet_id
        return sent

    def answer(self, packet_id: int, code: int = 0) -> None:
        assert self.feeder.answered(packet_id, code, "because")
        self.feeder.save()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.outbox.close()


def test_one_message_a_queue_is_on_its_way(bench: Bench) -> None:
    bench.commit("1a", "1b", "2a")
    sent = bench.send()
    assert sent.keys() == {"1a", "2a"}
    assert bench.send() == {}
    bench.answer(sent["1a"], 0x10)  # nobody listens, which is no refusal
    assert bench.send().keys() == {"1b"}
    assert bench.feeder.answered(999, 0, "") is False


@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x97, 0x91, 0xFF])
def test_a_mendable_refusal_holds_the_queue_with_growing_pauses(bench: Bench, code: int) -> None:
    bench.commit("1a", "1b", "2a")
    bench.answer(bench.send()["1a"], code)
    for pause_s in (0.5, 1.0, 2.0):
        bench.clock.now += pause_s - 0.01
        assert "1a" not in bench.send()
        assert 0 < bench.feeder.pause_s(0.25) <= 0.011
        bench.clock.now += 0.02
        bench.answer(bench.send()["1a"], code)
    assert f"0x{code:02x}" in bench.feeder.alarms[0]
    assert (bench.feeder.counts["kept"], bench.outbox.stats().pending) == (4, 3)
    assert len(bench.told) == 1
    bench.clock.now += 40
    bench.answer(bench.send()["1a"])
    assert bench.feeder.alarms == ()
    assert bench.send().keys() == {"1b"}


@pytest.mark.parametrize("code", [0x90, 0x95, 0x99])
def test_a_hopeless_message_is_set_aside_and_the_next_goes(bench: Bench, code: int) -> None:
    bench.commit("1a", "1b")
    bench.answer(bench.send()["1a"], code)
    assert bench.send().keys() == {"1b"}
    assert (bench.feeder.counts["set_aside"], bench.outbox.stats().set_aside) == (1, 1)


def test_a_broker_that_hangs_up_over_a_message_gets_them_one_by_one(bench: Bench) -> None:
    bench.commit("1a", "2a", "3a")
    assert len(bench.send()) == 3
    bench.feeder.cut_off(0x95, "packet too large")
    assert bench.outbox.stats().set_aside == 0
    bench.feeder.begin(65535)
    (culprit,) = bench.send()
    bench.feeder.cut_off(0x95, "packet too large")
    assert bench.outbox.stats().set_aside == 1
    bench.feeder.begin(65535)
    sent = bench.send()
    assert len(sent) == 1
    assert culprit not in sent
    bench.answer(*sent.values())
    bench.feeder.cut_off(0x8B, "server shutting down")
    bench.feeder.begin(65535)
    assert bench.outbox.stats().set_aside == 1


def test_the_window_and_what_the_broker_can_take_are_kept(tmp_path: Path) -> None:
    bench = Bench(tmp_path, window=3)
    bench.commit(*(f"{camera}a" for camera in range(6)))
    assert len(bench.send()) == 3
    bench.feeder.begin(2)
    assert len(bench.send()) == 2
    bench.outbox.close()


def test_live_goes_first_and_the_backlog_is_throttled(tmp_path: Path) -> None:
    bench = Bench(tmp_path, backlog_per_s=2.0)
    bench.commit("1a", "1b", "1c")
    bench.clock.now += 10
    bench.feeder.begin(65535)
    bench.commit("1d", "1e")
    due = bench.feeder.due()
    assert [(stored.event_id, stored.lane) for stored in due] == [("1d", Lane.LIVE), ("1a", Lane.BACKLOG)]
    bench.clock.now += 10
    order = []
    while sent := bench.send():
        order += list(sent)
        for packet_id in sent.values():
            bench.answer(packet_id)
    assert order == ["1d", "1a", "1e", "1b", "1c"]
    bench.commit("1f", "1g")
    bench.outbox.replay(1)
    taken = 0
    for _ in range(100):
        bench.clock.now += 0.1
        for packet_id in bench.send().values():
            bench.answer(packet_id)
            taken += 1
    assert taken == 7


def test_what_the_disk_would_not_note_is_not_sent_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.commit("1a", "1b")
    acked = bench.outbox.acked

    def full(seqs: object) -> int:
        raise Unavailable("disk full")

    monkeypatch.setattr(bench.outbox, "acked", full)
    bench.answer(bench.send()["1a"])
    assert bench.send() == {}
    assert bench.feeder.save() is False
    monkeypatch.setattr(bench.outbox, "acked", acked)
    assert bench.feeder.save() is True
    assert bench.send().keys() == {"1b"}


def test_the_oldest_unanswered_is_known(bench: Bench) -> None:
    assert bench.feeder.oldest_sent_s() is None
    bench.commit("1a", "2a")
    bench.send()
    bench.clock.now += 5
    assert bench.feeder.oldest_sent_s() == 100.0
