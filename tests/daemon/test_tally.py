from __future__ import annotations

from dataclasses import replace

import pytest

from edgevision.daemon.tally import BOUNDS_S, Tally
from edgevision.records import Inspection, Scene, Verdict

INSPECTION = Inspection(
    camera="cam", frame_seq=0, ts=100.0, size_px=(8, 8), verdict=Verdict.OK, reason=None, scene=Scene.NORMAL, mode="partial",
    live_fraction=0.1, foreground_fraction=0.0, gain=1.0, offset=0.0, full_reason=None, regions=(), defects=(), events=(), score=0.0,
    threshold=0.7, costs=None, timing_ms={"compare": 1.0, "recompute": 3.0, "total": 4.0},
)  # fmt: skip


def test_counts_verdicts_figures_and_times_by_stage():
    tally = Tally("cam", clock=lambda: 100.5)
    assert tally.seen(INSPECTION)
    assert not tally.seen(INSPECTION)
    assert tally.seen(replace(INSPECTION, verdict=Verdict.NG, timing_ms={"compare": 2.0, "total": 6.0}, live_fraction=0.4))
    snapshot = tally.snapshot()
    assert snapshot.counters == {"frames": 3, "events": 0}
    assert snapshot.verdicts == {"OK": 2, "NG": 1}
    assert snapshot.figures["total_ms_p50"] == 4.0
    assert snapshot.figures["live_fraction_mean"] == pytest.approx(0.2)
    assert snapshot.figures["frame_age_s"] == 0.5
    tally.seen(replace(INSPECTION, ts=3.0), is_recorded=True)  # a recording's own time is no age
    assert tally.snapshot().figures["frame_age_s"] == 0.5
    assert snapshot.stage_s == pytest.approx({"compare": 0.004, "recompute": 0.006})
    assert snapshot.inspect_s.bounds == BOUNDS_S
    assert dict(zip(BOUNDS_S, snapshot.inspect_s.counts, strict=False))[0.005] == 2
    assert sum(snapshot.inspect_s.counts) == 3
    assert snapshot.inspect_s.total == pytest.approx(0.014)


def test_frames_that_were_not_inspected_do_not_flatter_the_figures():
    tally = Tally("cam")
    tally.seen(INSPECTION)
    tally.seen(replace(INSPECTION, verdict=Verdict.NOT_INSPECTED, mode="none", timing_ms={}, live_fraction=0.0))
    assert tally.snapshot().figures["total_ms_p50"] == 4.0
    assert sum(tally.snapshot().inspect_s.counts) == 1


def test_what_was_lost_is_told_by_reason_and_reasons_stay_few():
    tally = Tally("cam")
    tally.drop("overload", 3)
    tally.reconnect("hung")
    tally.reconnect("unreachable", 2)
    for number in range(50):
        tally.seen(replace(INSPECTION, full_reason=f"engine audit: 17 of {number} pixels differ"))
    tally.seen(replace(INSPECTION, full_reason="first"))
    snapshot = tally.snapshot()
    assert snapshot.drops == {"overload": 3}
    assert snapshot.reconnects == {"hung": 1, "unreachable": 2}
    assert snapshot.counters["restarts"] == 1
    assert snapshot.full_runs == {"engine_fault": 50, "first": 1}


def test_a_camera_is_news_once():
    tally = Tally("cam")
    assert tally.set_availability("online")
    assert not tally.set_availability("online")
    assert tally.set_availability("offline", "no data came in time")
    assert tally.snapshot().trouble == "no data came in time"
