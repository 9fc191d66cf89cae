"""One physical defect, one chain of events: hand-worked cases, then simulated lines."""

from __future__ import annotations

import itertools
import json
import random
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.errors import InputError
from edgevision.judge.rules import JudgeSettings
from edgevision.judge.tracks import Tracks
from edgevision.records import Defect, Event, Phase, Region, Verdict

STATION = {"station": ((340, 200), (940, 200), (940, 520), (340, 520))}


def square(x: float, y: float, size: int = 12, score: float = 0.9, level: Verdict = Verdict.NG) -> Defect:
    x1, y1 = round(x - size / 2), round(y - size / 2)
    polygon = ((x1, y1), (x1 + size - 1, y1), (x1 + size - 1, y1 + size - 1), (x1, y1 + size - 1))
    return Defect(Region("stain", score, (x1, y1, x1 + size, y1 + size), size * size, polygon, (x, y)), level, 0.7, "area_score")


def counted(settings: JudgeSettings | None = None) -> Tracks:
    """Tracks whose names are numbers."""
    numbers = itertools.count()
    return Tracks(settings or JudgeSettings(), lambda ts: f"id-{next(numbers)}")


def run(tracks: Tracks, frames: list[list[Defect]], fps: float = 30.0, start: float = 0.0) -> list[Event]:
    return [event for index, defects in enumerate(frames) for event in tracks.update(defects, start + index / fps)]


def phases(events: list[Event]) -> list[tuple[str, str | None]]:
    return [(event.phase.value, event.reason) for event in events]


def chains(events: list[Event]) -> dict[str, list[Event]]:
    by_track = defaultdict(list)
    for event in events:
        by_track[event.track_id].append(event)
    return by_track


def check_order(events: list[Event]) -> None:
    """new, update*, end, for every track; no message has the name of another."""
    assert len({event.event_id for event in events}) == len(events)
    for chain in chains(events).values():
        told = [event.phase for event in chain]
        assert told[0] is Phase.NEW
        assert all(phase is Phase.UPDATE for phase in told[1:-1])
        assert told.count(Phase.END) == (told[-1] is Phase.END)
        assert [event.frames for event in chain] == sorted(event.frames for event in chain)


def test_forty_frames_are_one_chain():
    events = run(counted(), [[square(100, 100)]] * 40 + [[]] * 40)
    assert phases(events) == [("new", None), ("end", "cleared")]
    new, end = events
    assert (new.frames, end.frames) == (3, 40)
    assert (new.ts_first, end.ts_first, end.ts_last) == (0.0, 0.0, pytest.approx(39 / 30))
    assert end.track_id == new.track_id
    assert new.event_id != end.event_id


def test_noise_is_no_event():
    noise = [[square(100, 100)], [square(102, 100)], [], [], [square(400, 300)], [], [], []]
    assert run(counted(), noise * 4) == []


def test_flicker_is_no_end():
    seen = [square(100, 100)]
    assert phases(run(counted(), [seen, seen, seen, [], [], seen, [], seen, seen, [], []] * 5)) == [("new", None)]


def test_raise_waits():
    events = run(counted(JudgeSettings(raise_s=0.5)), [[square(100, 100)]] * 40)
    assert phases(events) == [("new", None)]
    assert events[0].ts_last == pytest.approx(0.5)


def test_clear_needs_time_and_frames():
    slow = counted(JudgeSettings(k_of_n=(1, 1), clear_s=2.0, clear_frames=2))
    assert phases(run(slow, [[square(100, 100)], [], []], fps=0.2)) == [("new", None), ("end", "cleared")]
    assert phases(run(slow, [[square(100, 100)], [], []], fps=30.0, start=100.0)) == [("new", None)]


def test_update_tells_only_what_is_worse():
    warn = square(100, 100, score=0.6, level=Verdict.WARN)
    tracks = counted(JudgeSettings(k_of_n=(1, 1)))
    assert phases(run(tracks, [[warn]] * 30)) == [("new", None)]
    assert phases(run(tracks, [[square(100, 100, score=0.72)]] * 30, start=1.0)) == [("update", "level")]
    assert phases(run(tracks, [[square(100, 100, score=0.9)]] * 90, start=2.0)) == [("update", "score")]
    assert phases(run(tracks, [[square(100, 100, size=16, score=0.9)]] * 90, start=5.0)) == [("update", "area")]
    (end,) = tracks.end_all(9.0, "stopped")
    assert (end.phase, end.reason, end.verdict, end.frames) == (Phase.END, "stopped", Verdict.NG, 240)
    assert tracks.open == ()


def test_at_most_one_update_in_update_s():
    growing = [[square(100, 100, size=12 + index // 3, score=0.9)] for index in range(90)]
    events = run(counted(JudgeSettings(k_of_n=(1, 1), area_step=0.01, update_s=1.0)), growing)
    assert phases(events) == [("new", None), ("update", "area"), ("update", "area")]
    assert events[2].ts_last - events[1].ts_last >= 1.0


def test_two_on_one_part_stay_two_when_it_jumps_by_their_distance():
    frames = [[square(100, 100), square(130, 100)]] * 5
    frames += [[square(100 + 25 * step, 100), square(130 + 25 * step, 100)] for step in range(1, 20)]
    events = run(counted(), frames)
    assert phases(events) == [("new", None)] * 2


def test_the_next_part_is_another_defect():
    line = [[square(x, 300)] for x in range(350, 940, 20)]
    events = run(counted(JudgeSettings(zones=STATION)), line + [[]] * 4 + line + [[]] * 30)
    assert phases(events) == [("new", None), ("new", None), ("end", "left"), ("end", "left")]


def test_a_defect_that_breaks_and_joins_is_one():
    whole, broken = [square(100, 100, size=40)], [square(82, 100, size=10), square(120, 100, size=8)]
    events = run(counted(), [whole] * 5 + [broken, whole, broken, broken, whole] * 5)
    assert phases(events) == [("new", None)]


def test_two_that_join_for_a_frame_stay_two():
    apart = [square(100, 100, size=20), square(140, 100, size=20)]
    joined = [
        Defect(
            Region("stain", 0.9, (90, 90, 150, 110), 1200, ((90, 90), (149, 90), (149, 109), (90, 109)), (120.0, 100.0)),
            Verdict.NG,
            0.7,
            "r",
        )
    ]
    tracks = counted()
    events = run(tracks, [apart] * 5 + [joined, apart, joined, joined, apart, apart] * 5)
    assert [event.phase for event in events if event.phase is not Phase.UPDATE] == [Phase.NEW, Phase.NEW]
    assert len(tracks.open) == 2


def test_a_part_of_its_own_name_has_its_own_defects():
    tracks = counted()
    first = tracks.update([square(100, 100)], 0.0, "part-1")
    second = tracks.update([square(100, 100)], 3.0, "part-2")
    assert phases(list(first)) == [("new", None)]
    assert phases(list(second)) == [("end", "left"), ("new", None)]
    assert first[0].track_id != second[1].track_id


def test_a_clock_that_is_set_changes_nothing():
    seen = [[square(100, 100)]] * 10
    for start in (-3600.0, 3600.0):
        tracks = counted()
        events = run(tracks, seen, start=10_000.0) + run(tracks, seen + [[]] * 40, start=10_000.0 + start)
        assert phases(events) == [("new", None), ("end", "cleared")]


def test_open_defects_survive_a_restart():
    before = counted()
    (new,) = run(before, [[square(100, 100)]] * 5)
    plain = json.loads(json.dumps(before.snapshot()))
    after = Tracks(JudgeSettings())
    after.restore(plain)
    assert after.open == before.open
    events = run(after, [[square(103, 100)]] * 5 + [[]] * 40, start=4.0)
    assert phases(events) == [("end", "cleared")]
    assert events[0].track_id == new.track_id
    assert (events[0].frames, events[0].ts_first) == (10, 0.0)


def test_what_is_gone_after_a_restart_ends_with_that_reason():
    before = counted()
    run(before, [[square(100, 100)]] * 5)
    short, long = Tracks(JudgeSettings()), Tracks(JudgeSettings(restart_s=10.0))
    short.restore(before.snapshot())
    assert phases(run(short, [[square(500, 300)]] + [[]] * 40, start=4.0)) == [("end", "restart")]
    long.restore(before.snapshot())
    assert phases(list(long.update([square(100, 100)], 60.0))) == [("end", "restart")]


@pytest.mark.parametrize("plain", [{}, {"schema": 2}, {"schema": 1}, {"schema": 1, "tracks": [{}]}, {"schema": 1, "tracks": [3]}])
def test_a_bad_snapshot_is_refused(plain):
    tracks = counted()
    run(tracks, [[square(100, 100)]] * 5)
    with pytest.raises(InputError, match="start without it"):
        tracks.restore(plain)
    assert len(tracks.open) == 1


def test_reset_forgets():
    tracks = counted()
    run(tracks, [[square(100, 100)]] * 5)
    tracks.reset()
    assert tracks.open == ()
    assert tracks.update([], 1.0) == ()


def test_names_are_uuids_of_the_frame_time():
    (new,) = run(Tracks(JudgeSettings()), [[square(100, 100)]] * 3, start=1_700_000_000.0)
    assert new.event_id[14] == "7"
    assert int(new.event_id.replace("-", "")[:12], 16) == pytest.approx(1_700_000_000_067, abs=2)


def line_of(line_class, generator: random.Random, **how):
    """A line of five parts with none to three defects each, at least 45 px apart."""
    defects: dict[int, list[tuple[float, float]]] = {}
    for part in range(5):
        places: list[tuple[float, float]] = []
        while len(places) < generator.choice((0, 1, 1, 2, 3)):
            place = (generator.uniform(-110, 110), generator.uniform(-80, 80))
            if all(max(abs(place[0] - x), abs(place[1] - y)) > 45 for x, y in places):
                places.append(place)
        if places:
            defects[part] = places
    return line_class(defects, **how)


HARD = {
    "smooth": {},
    "abrupt": {"is_abrupt": True},
    "much flicker": {"dropout": 0.2},
    "noise": {"false_rate": 0.05},
    "breaks": {"split_rate": 0.15},
    "fast": {"move_frames": 22},
    "fifteen a second": {"every": 2},
}


@pytest.mark.parametrize("how", HARD)
@settings(max_examples=15, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_law_one_chain_for_each_physical_defect(line_class, how, seed):
    generator = random.Random(seed)
    line = line_of(line_class, generator, **HARD[how])
    tracks = Tracks(JudgeSettings(zones=STATION))
    events = [event for ts, defects in line.frames(generator) for event in tracks.update(defects, ts)]
    check_order(events)
    found = chains(events)
    assert len(found) == sum(len(places) for places in line.defects.values())
    assert all(chain[-1].phase is Phase.END for chain in found.values())
    assert tracks.open == ()


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000))
def test_law_the_order_of_defects_does_not_matter(line_class, seed):
    generator = random.Random(seed)
    line = line_of(line_class, generator, false_rate=0.1, split_rate=0.2)
    one, other = counted(), counted()
    for ts, defects in line.frames(generator):
        assert one.update(defects, ts) == other.update(sorted(defects, key=lambda defect: defect.region.box_px, reverse=True), ts)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10_000), cut=st.integers(20, 200))
def test_law_a_restart_between_two_frames_adds_no_event(line_class, seed, cut):
    generator = random.Random(seed)
    frames = list(line_of(line_class, generator).frames(generator))
    settings = JudgeSettings(k_of_n=(1, 1))
    tracks = Tracks(settings)
    events = [event for ts, defects in frames[:cut] for event in tracks.update(defects, ts)]
    again = Tracks(settings)
    again.restore(json.loads(json.dumps(tracks.snapshot())))
    assert again.open == tracks.open
    check_order(events + [event for ts, defects in frames[cut:] for event in again.update(defects, ts)])


def of_area(area_px: int) -> Defect:
    defect = square(50, 50)
    return replace(defect, region=replace(defect.region, area_px=area_px))


def test_what_grows_is_told_sooner_than_what_stays_as_it_is():
    settings = JudgeSettings(k_of_n=(4, 6), grown_k=2, area_step=0.5, max_speed_px_s=0)
    for areas, told_at in (((100, 140, 151), 2), ((100, 150), 1), ((100, 120, 90, 110), 3), ((200, 100, 140, 160), 3)):
        tracks, numbers = Tracks(settings), []
        for number, area_px in enumerate(areas):
            events = tracks.update([of_area(area_px)], float(number))
            numbers += [number for event in events if event.phase is Phase.NEW]
        assert numbers == [told_at]
