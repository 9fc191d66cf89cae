from __future__ import annotations

from dataclasses import replace

from edgevision.daemon.board import Board
from edgevision.daemon.tally import Tally
from edgevision.records import Inspection

SEEN = Inspection.not_made("cam", "no frame", 5.0, 0.7)


def said(camera, availability="online", frames=0):
    tally = Tally(camera)
    tally.set_availability(availability)
    for _ in range(frames):
        tally.seen(replace(SEEN, camera=camera))
    return tally.snapshot()


def test_a_camera_is_news_once():
    news = []
    board = Board(("a", "b"), on_news=lambda: news.append(1))
    assert board.take_changed() == ("a", "b")
    assert board.take_changed() == ()
    board.post(said("b"))
    board.post(said("b"))
    assert board.take_changed() == ("b",)
    assert len(news) == 1
    assert board.set_availability("b", "offline", "its worker hung")
    assert not board.set_availability("b", "offline", "its worker hung")
    assert board.snapshots()["b"].trouble == "its worker hung"


def test_counters_go_on_over_the_lives_of_a_worker():
    board = Board(("cam",))
    board.post(said("cam", frames=3))
    board.post(said("cam", frames=5))
    board.begin_life("cam")
    assert board.snapshots()["cam"].counters["frames"] == 5
    board.post(said("cam", frames=2))
    board.begin_life("cam")
    board.post(said("cam", frames=1))
    board.count("cam", "worker_restarts", 2)
    snapshot = board.snapshots()["cam"]
    assert snapshot.counters == {"frames": 8, "events": 0, "worker_restarts": 2}
    assert snapshot.verdicts == {"NOT_INSPECTED": 8}


def test_cameras_come_and_go():
    board = Board(("a",))
    board.add("b", "disabled")
    board.take_changed()
    board.remove("a")
    board.post(said("a"))  # a last word of a worker that leaves
    assert set(board.snapshots()) == {"b"}
    board.touch_all()
    assert board.take_changed() == ("b",)
