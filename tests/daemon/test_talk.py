"""The socket between the supervisor and a worker."""

from __future__ import annotations

import socket
import threading

import pytest

from edgevision.capture.parts import PartRequest
from edgevision.daemon.talk import Channel, Commit, Counted, Offer
from edgevision.records import Draft


@pytest.fixture
def ends():
    first, second = socket.socketpair()
    ours, theirs = Channel(first, patience_s=0.05), Channel(second)
    yield ours, theirs
    ours.close()
    theirs.close()


def test_words_come_whole_and_in_order(ends):
    ours, theirs = ends
    words = [Commit(1, (Draft("id", "cam", "t", {"text": "x" * 60_000}, "ng"),)), Offer(PartRequest("A17", 5.0))]
    sender = threading.Thread(target=lambda: [theirs.send(word) for word in words])
    sender.start()
    assert [ours.receive(5.0) for _ in words] == words
    sender.join()
    assert ours.receive(0.0) is None


def test_what_was_said_before_the_end_is_still_heard(ends):
    ours, theirs = ends
    theirs.send(Offer(PartRequest("last", 5.0)))
    theirs.cut()
    assert ours.receive(1.0) == Offer(PartRequest("last", 5.0))
    with pytest.raises(EOFError):
        ours.receive(1.0)
    assert not ours.send(Offer(PartRequest("too late", 5.0)))


def test_who_does_not_listen_is_cut_off_and_blocks_nobody(ends):
    ours, theirs = ends
    big = Commit(1, (Draft("id", "cam", "t", {"text": "x" * 8_000_000}, "ng"),))
    assert not ours.send(big)
    assert not ours.send(Offer(PartRequest("A", 5.0)))
    with pytest.raises(EOFError):
        theirs.receive(1.0)


def test_a_word_that_would_have_to_wait_is_left_out_and_cuts_nobody_off(ends):
    ours, theirs = ends
    reading = Counted(12.0, 5.0)
    said = [ours.hand(reading) for _ in range(20_000)]  # nobody listens meanwhile
    assert said[0]
    assert not said[-1]
    assert [theirs.receive(1.0) for _ in range(said.count(True))] == [reading] * said.count(True)
    assert ours.hand(reading)
    theirs.cut()
    assert not ours.hand(reading)
