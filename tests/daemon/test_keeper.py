"""When a worker is blamed for its silence, and when it is not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from edgevision.daemon import keeper as module
from edgevision.daemon.board import Board
from edgevision.daemon.keeper import HANG_S, STALL_S, Desk, Keeper, Stage
from edgevision.daemon.talk import Loading
from edgevision.publish.payload import Identity
from edgevision.publish.topics import Topics

FAR_S = 1e7  # beyond any clock of this computer


class Life:
    """A worker that is silent since `since_s`."""

    is_over = False

    def __init__(self, begin, on_word, on_end):
        self.since_s = FAR_S
        self.deeds = []

    def look(self, now_s):
        return now_s - self.since_s, False

    def say(self, word):
        return True

    def ask_where(self):
        self.deeds.append("asked")

    def kill(self):
        self.deeds.append("killed")


@pytest.fixture
def keeper(monkeypatch):
    monkeypatch.setattr(module, "WorkerProcess", Life)
    board = Board(["cam"])
    desk = Desk(Topics("e", "n"), "boot", lambda drafts: None, lambda camera: {}, board, lambda: None)
    keeper = Keeper("cam", desk, Identity("n", "boot", "1", "sha"))
    keeper.start(SimpleNamespace(number=1))
    keeper.stage = Stage.READY
    keeper.go()
    return keeper


def test_a_hung_worker_is_offline_then_asked_then_killed(keeper):
    life = keeper._life
    keeper.tend(FAR_S + STALL_S / 2)
    assert keeper._desk.board.snapshots()["cam"].trouble != "one inspection takes more than 3 s"
    keeper.tend(FAR_S + STALL_S + 0.1)
    assert keeper._desk.board.snapshots()["cam"].trouble == "one inspection takes more than 3 s"
    keeper.tend(FAR_S + HANG_S + 0.1)
    keeper.tend(FAR_S + HANG_S + 1.1)
    assert life.deeds == ["asked", "killed"]


def test_after_a_standstill_its_time_counts_anew(keeper):
    life = keeper._life
    woke_s = FAR_S + 1000
    keeper.forgive(woke_s)
    keeper.tend(woke_s)
    keeper.tend(woke_s + HANG_S - 1)
    assert life.deeds == []
    keeper.tend(woke_s + HANG_S + 0.1)
    assert life.deeds == ["asked"]


def test_it_says_how_far_its_network_is_ready(keeper):
    assert keeper.loaded == "cam"
    keeper._hear(Loading(12, 40))
    assert keeper.loaded == "cam (12 of 40 steps)"
    keeper.start(SimpleNamespace(number=2))
    assert keeper.loaded == "cam"
