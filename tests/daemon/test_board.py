from __future__ import annotations

from dataclasses import replace

import pytest

from edgevision.daemon.board import Board
from edgevision.records import Inspection, Scene, Verdict

INSPECTION = Inspection(
    camera="cam", frame_seq=0, ts=0.0, size_px=(8, 8), verdict=Verdict.OK, reason=None, scene=Scene.NORMAL, mode="partial",
    live_fraction=0.1, foreground_fraction=0.0, gain=1.0, offset=0.0, full_reason=None, regions=(), defects=(), events=(), score=0.0,
    threshold=0.7, costs=None, timing_ms={"total": 4.0},
)  # fmt: skip


def test_counts_verdicts_and_figures():
    board = Board(("cam",))
    board.seen(INSPECTION)
    board.seen(replace(INSPECTION, verdict=Verdict.NG, timing_ms={"total": 6.0}, live_fraction=0.3))
    snapshot = board.snapshots()["cam"]
    assert snapshot.counters == {"frames": 2, "verdict_OK": 1, "verdict_NG": 1, "events": 0}
    assert snapshot.figures["total_ms_p50"] == 5.0
    assert snapshot.figures["live_fraction_mean"] == pytest.approx(0.2)


def test_frames_that_were_not_inspected_do_not_flatter_the_figures():
    board = Board(("cam",))
    board.seen(INSPECTION)
    board.seen(replace(INSPECTION, verdict=Verdict.NOT_INSPECTED, mode="none", timing_ms={}, live_fraction=0.0))
    assert board.snapshots()["cam"].figures["total_ms_p50"] == 4.0


def test_a_camera_is_news_once():
    board = Board(("a", "b"))
    assert board.take_changed() == ("a", "b")
    assert board.take_changed() == ()
    assert board.set_availability("b", "online")
    assert not board.set_availability("b", "online")
    assert board.take_changed() == ("b",)


def test_names_the_cameras_that_stand_still():
    board = Board(("a", "b"))
    board.advance("a", 100.0)
    board.advance("b", 108.0)
    assert board.stalled(111.0, limit_s=10.0) == ("a",)
    board.rest("a")
    assert board.stalled(200.0, limit_s=10.0) == ("b",)
    assert Board(("never-started",)).stalled(1e6, limit_s=10.0) == ()
