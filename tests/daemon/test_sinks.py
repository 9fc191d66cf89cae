from __future__ import annotations

import threading

from edgevision.daemon import sinks
from edgevision.errors import Unavailable

WAIT_S = 10.0


class Recorder:
    """A sink that refuses `failures` times before it takes what comes."""

    def __init__(self, failures=0, wanted=1):
        self.failures, self.wanted = failures, wanted
        self.opened, self.taken, self.is_closed = 0, [], False
        self.has_all = threading.Event()

    def open(self):
        self.opened += 1

    def deliver(self, inspection):
        if self.failures:
            self.failures -= 1
            raise Unavailable("coil: no answer; see the cable")
        self.taken.append(inspection)
        if len(self.taken) == self.wanted:
            self.has_all.set()

    def close(self):
        self.is_closed = True


def test_delivers_in_order_and_closes():
    counts = []
    sink = Recorder(wanted=3)
    runner = sinks.SinkRunner("lamp", sink, counts.append)
    runner.start()
    for number in range(3):
        runner.deliver(number)
    assert sink.has_all.wait(WAIT_S)
    runner.stop(WAIT_S)
    assert sink.taken == [0, 1, 2]
    assert sink.is_closed
    assert counts == ["sink_delivered"] * 3


def test_a_device_that_is_away_gets_the_same_inspection_again(monkeypatch):
    monkeypatch.setattr(sinks, "RETRY_S", 0.01)
    counts = []
    sink = Recorder(failures=2)
    runner = sinks.SinkRunner("lamp", sink, counts.append)
    runner.start()
    runner.deliver("NG")
    assert sink.has_all.wait(WAIT_S)
    runner.stop(WAIT_S)
    assert sink.taken == ["NG"]
    assert sink.opened == 3
    assert counts.count("sink_failures") == 2


def test_a_full_queue_is_counted_and_does_not_wait(monkeypatch):
    counts = []
    runner = sinks.SinkRunner("lamp", Recorder(), counts.append)  # not started: nothing is taken out
    for number in range(sinks.QUEUE + 2):
        runner.deliver(number)
    assert counts == ["sink_dropped"] * 2


def test_what_a_sink_never_took_is_counted():
    counts = []
    sink = Recorder(failures=9)
    runner = sinks.SinkRunner("lamp", sink, counts.append)
    for number in range(3):
        runner.deliver(number)
    runner._stopping.set()
    runner._run()
    assert counts == ["sink_failures"] + ["sink_dropped"] * 3
