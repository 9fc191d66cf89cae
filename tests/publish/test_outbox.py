"""The outbox: durable, in order, bounded, and calm about a broken file. Laws by hypothesis, disasters by hand."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.errors import InputError, Unavailable
from edgevision.publish.high_water import AHEAD
from edgevision.publish.outbox import Lane, Outbox, OutboxSettings, Stored
from edgevision.records import Draft

CAMERAS = ("cam-1", "cam-2", "cam-3")


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def draft(name: str, camera: str = "cam-1", rank: str = "ng", track: str | None = None, filling: int = 0) -> Draft:
    body = {"event_id": name, "type": "new", "seq": None, "boot_id": None, "historical": False, "filling": "x" * filling}
    if track is not None:
        body["track_id"] = track
    return Draft(name, camera, f"edgevision/press-1/{camera}/event", body, rank)


def drain(outbox: Outbox) -> list[Stored]:
    """Everything, as a publisher takes it: heads, then their acks."""
    taken: list[Stored] = []
    while heads := outbox.window(20):
        taken += heads
        outbox.acked([head.seq for head in heads])
    return taken


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.sqlite"


@pytest.fixture
def open_outbox(path: Path) -> Iterator[Callable[..., Outbox]]:
    """A function that opens the outbox at `path`, closing the one opened before."""
    made: list[Outbox] = []

    def opened(**more: Any) -> Outbox:
        for old in made:
            old.close()
        values = {name: more.pop(name) for name in list(more) if name in OutboxSettings.model_fields}
        made.append(Outbox(path, OutboxSettings(**values), **more))
        return made[-1]

    yield opened
    for old in made:
        old.close()


def test_a_commit_is_numbered_and_comes_out_again(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox(boot_id="boot")
    outbox.commit([draft("a"), draft("b"), draft("c", "cam-2")])
    heads = outbox.window(20)
    assert [(head.seq, head.event_id, head.camera, head.lane) for head in heads] == [
        (3, "c", "cam-2", Lane.LIVE),
        (1, "a", "cam-1", Lane.LIVE),
    ]
    assert json.loads(heads[1].body) == dict(draft("a").body) | {"seq": 1, "boot_id": "boot"}
    assert outbox.window(20, {("cam-1", Lane.LIVE)}) == (heads[0],)
    assert outbox.acked([1, 1, 99]) == 1
    assert [stored.event_id for stored in drain(outbox)] == ["c", "b"]
    stats = outbox.stats()
    assert (stats.pending, stats.pending_bytes, stats.committed, stats.acked, stats.history) == (0, 0, 3, 3, 3)


def test_seq_goes_on_after_a_restart_and_the_same_event_is_taken_once(open_outbox: Callable[..., Outbox]) -> None:
    open_outbox().commit([draft("a"), draft("b")])
    outbox = open_outbox()
    outbox.commit([draft("b"), draft("c")])
    assert [(stored.seq, stored.event_id) for stored in drain(outbox)] == [(1, "a"), (2, "b"), (3, "c")]


def test_bad_drafts_change_nothing(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox()
    with pytest.raises(InputError, match="rank is 'gap'"):
        outbox.commit([draft("a"), draft("b", rank="gap")])
    with pytest.raises(InputError, match="the limit is 65536"):
        outbox.commit([draft("a"), draft("b", filling=70_000)])
    for bad, words in (({"score": float("nan")}, "its body is no JSON"), ({"x": b""}, "no JSON"), ({"track_id": 7}, "track_id is a int")):
        with pytest.raises(InputError, match=words):
            outbox.commit([draft("a"), Draft("b", "cam-1", "t", bad, "ng")])
    assert outbox.stats().pending == 0


def test_set_aside_and_retry(open_outbox: Callable[..., Outbox]) -> None:
    told: list[str] = []
    outbox = open_outbox(tell=lambda level, text: told.append(f"{level}: {text}"))
    outbox.commit([draft("a"), draft("b")])
    outbox.set_aside(1, "too large")
    assert told == ["error: outbox: message 1 set aside: too large; see `edgevision outbox list`, send it again with `outbox retry`"]
    assert [stored.event_id for stored in drain(outbox)] == ["b"]
    assert outbox.stats().set_aside == 1
    assert outbox.retry() == 1
    assert [(stored.event_id, stored.lane) for stored in drain(outbox)] == [("a", Lane.BACKLOG)]


def test_replay_sends_history_again_in_order(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox()
    outbox.commit([draft(name) for name in "abcd"])
    drain(outbox)
    assert outbox.replay(3) == 2
    assert [(stored.seq, stored.lane) for stored in drain(outbox)] == [(3, Lane.BACKLOG), (4, Lane.BACKLOG)]


def test_history_is_bounded_by_bytes_and_hours(open_outbox: Callable[..., Outbox]) -> None:
    clock = Clock()
    outbox = open_outbox(history_mb=0.01, history_hours=1, monotonic=clock)
    outbox.commit([draft(str(number), filling=700) for number in range(40)])
    drain(outbox)
    assert 5 < outbox.stats().history <= 10
    clock.now += 3601
    outbox.commit([draft("late")])
    drain(outbox)
    assert outbox.stats().history == 1


def test_health_goes_first_then_ok_then_warn_then_ng_and_a_gap_says_so(open_outbox: Callable[..., Outbox]) -> None:
    told: list[str] = []
    outbox = open_outbox(limit_mb=0.01, tell=lambda level, text: told.append(text))
    for number, rank in enumerate(["ng", "health", "ok", "warn", "ok", "ng"]):
        outbox.commit([draft(f"{rank}-{number}", rank=rank, filling=1000)])
    assert outbox.stats().dropped == dict.fromkeys(("health", "ok", "warn", "ng"), 0)
    outbox.commit([draft("ng-6", filling=2000)])
    assert outbox.stats().dropped == {"health": 1, "ok": 0, "warn": 0, "ng": 0}
    outbox.commit([draft("ng-7", filling=2500)])
    outbox.commit([draft("ng-8")])
    assert outbox.stats().dropped == {"health": 1, "ok": 2, "warn": 1, "ng": 0}
    kept = [json.loads(stored.body) for stored in drain(outbox)]
    assert [body["event_id"] for body in kept if body["type"] == "new"] == ["ng-0", "ng-5", "ng-6", "ng-7", "ng-8"]
    (gap,) = [body for body in kept if body["type"] == "gap"]
    assert (gap["lost"], gap["first_seq"], gap["last_seq"], gap["reason"]) == ({"ok": 2, "warn": 1}, 3, 5, "the outbox was full")
    assert any("dropped 2 ok" in text for text in told)


def test_a_gap_that_was_seen_is_not_changed_any_more(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox(limit_mb=0.01)
    for round_number in range(2):
        outbox.commit([draft(f"ok-{round_number}-{number}", rank="ok", filling=2000) for number in range(8)])
        taken = []
        while not any(b'"gap"' in stored.body for stored in taken):
            taken = list(outbox.window(1))
            if not any(b'"gap"' in stored.body for stored in taken):
                outbox.acked([taken[0].seq])
    gaps = [json.loads(stored.body) for stored in drain(outbox) if b'"gap"' in stored.body]
    assert len(gaps) == 2
    assert gaps[0]["last_seq"] < gaps[1]["first_seq"]


def test_what_is_too_old_is_dropped_even_ng_but_a_clock_set_back_or_forth_ages_nothing(open_outbox: Callable[..., Outbox]) -> None:
    wall, monotonic = Clock(), Clock()
    outbox = open_outbox(limit_days=1, clock=wall, monotonic=monotonic)
    outbox.commit([draft("old")])
    wall.now += 50 * 365 * 86400  # the network has told the time
    outbox.commit([draft("b")])
    wall.now -= 3600
    outbox.commit([draft("c")])
    assert outbox.stats().oldest_age_s == 0
    outbox = open_outbox(limit_days=1, clock=Clock(), monotonic=monotonic)  # a start without a clock battery
    assert outbox.stats().pending == 3
    monotonic.now += 86401
    outbox.commit([draft("d")])
    assert outbox.stats().dropped["ng"] == 3
    assert [stored.event_id for stored in drain(outbox) if b'"gap"' not in stored.body] == ["d"]


def test_a_plausible_pause_counts_as_age(open_outbox: Callable[..., Outbox]) -> None:
    wall = Clock()
    open_outbox(clock=wall).commit([draft("a")])
    wall.now += 600
    assert 599 < open_outbox(clock=wall).stats().oldest_age_s < 602


def test_after_an_outage_the_old_go_behind_and_a_defect_stays_in_one_lane(open_outbox: Callable[..., Outbox]) -> None:
    clock = Clock()
    outbox = open_outbox(monotonic=clock, historical_after_s=5)
    outbox.commit([draft("new-x", track="x"), draft("new-y", "cam-2", track="y")])
    clock.now += 10
    outbox.commit([draft("update-x", track="x"), draft("new-z", track="z")])
    assert outbox.begin_backlog() == 3
    outbox.commit([draft("end-x", track="x"), draft("end-z", track="z")])
    lanes = {stored.event_id: stored.lane for stored in drain(outbox)}
    assert lanes == {
        "new-x": Lane.BACKLOG, "new-y": Lane.BACKLOG, "update-x": Lane.BACKLOG, "end-x": Lane.BACKLOG,
        "new-z": Lane.LIVE, "end-z": Lane.LIVE,
    }  # fmt: skip


def test_what_the_backlog_has_passed_stays_live(open_outbox: Callable[..., Outbox]) -> None:
    clock = Clock()
    outbox = open_outbox(monotonic=clock, historical_after_s=5)
    outbox.commit([draft("new-x", track="x")])
    clock.now += 10
    outbox.commit([draft("new-z", track="z")])
    outbox.begin_backlog()
    outbox.commit([draft("end-x", track="x")])
    outbox.acked([1, 3])
    outbox.commit([draft("update-z", track="z"), draft("free")])
    clock.now += 10
    outbox.begin_backlog()
    assert [(stored.event_id, stored.lane) for stored in drain(outbox)] == [
        ("new-z", Lane.LIVE), ("free", Lane.BACKLOG), ("update-z", Lane.LIVE),
    ]  # fmt: skip


def test_no_camera_starves(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox()
    outbox.commit([draft(f"{camera}-{number}", camera) for number in range(9) for camera in CAMERAS])
    served = []
    for _ in range(9):
        (head,) = outbox.window(1)
        served.append(head.camera)
        outbox.acked([head.seq])
    assert {camera: served.count(camera) for camera in CAMERAS} == dict.fromkeys(CAMERAS, 3)


steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("commit"), st.sampled_from(CAMERAS), st.sampled_from(["health", "ok", "warn", "ng"]), st.sampled_from([None, *"tuvw"])
        ),
        st.tuples(st.just("ack"), st.integers(1, 4)),
        st.tuples(st.just("outage"), st.sampled_from([1.0, 6.0])),
        st.tuples(st.just("reopen")),
    ),
    max_size=60,
)


@settings(max_examples=40, deadline=None)
@given(steps=steps, is_small=st.booleans())
def test_laws(steps: list[tuple[Any, ...]], is_small: bool) -> None:
    """Nothing vanishes uncounted; order holds per camera and lane; a defect's messages keep their order; bytes stay in bounds."""
    folder = Path(tempfile.mkdtemp())
    clock = Clock()
    limits = OutboxSettings(limit_mb=0.01 if is_small else 10.0)
    outbox = Outbox(folder / "o.sqlite", limits, clock=clock, monotonic=clock)
    committed: dict[str, tuple[str, str | None, str]] = {}
    taken: list[Stored] = []
    dropped = 0
    try:
        for step in [*steps, ("ack", 10_000)]:
            if step[0] == "commit":
                name = f"m{len(committed):03d}"
                committed[name] = (step[1], f"{step[1]}{step[3]}" if step[3] else None, step[2])
                outbox.commit([draft(name, step[1], step[2], committed[name][1], filling=600)])
                assert outbox.stats().pending_bytes <= 10_000 * (1 if is_small else 1000) + 3 * 1000
            elif step[0] == "ack":
                for _ in range(step[1]):
                    heads = outbox.window(2)
                    if not heads:
                        break
                    taken += heads
                    outbox.acked([head.seq for head in heads])
            elif step[0] == "outage":
                clock.now += step[1]
                outbox.begin_backlog()
            else:
                dropped += sum(outbox.stats().dropped.values())
                outbox.close()
                outbox = Outbox(folder / "o.sqlite", limits, clock=clock, monotonic=clock)
        dropped += sum(outbox.stats().dropped.values())
        assert outbox.stats().pending == 0
    finally:
        outbox.close()
        shutil.rmtree(folder)
    messages = [stored for stored in taken if b'"gap"' not in stored.body]
    gaps = [json.loads(stored.body) for stored in taken if b'"gap"' in stored.body]
    assert len({stored.event_id for stored in messages}) == len(messages)
    assert len(messages) + dropped == len(committed)
    lost = [committed[name][2] for name in committed.keys() - {stored.event_id for stored in messages}]
    assert sum(sum(gap["lost"].values()) for gap in gaps) == len([rank for rank in lost if rank != "health"])
    for key in {stored.key for stored in messages}:
        seqs = [stored.seq for stored in taken if stored.key == key]
        assert seqs == sorted(seqs)
    for track in {track for _, track, _ in committed.values() if track}:
        seqs = [stored.seq for stored in messages if committed[stored.event_id][1] == track]
        assert seqs == sorted(seqs)


def test_one_thread_commits_while_another_publishes(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox()
    taken: list[int] = []
    is_over = threading.Event()

    def publish() -> None:
        while not (is_over.is_set() and outbox.stats().pending == 0):
            heads = outbox.window(20)
            outbox.acked([head.seq for head in heads])
            taken.extend(head.seq for head in heads)

    thread = threading.Thread(target=publish)
    thread.start()
    for number in range(200):
        outbox.commit([draft(f"m{number}")])
    is_over.set()
    thread.join()
    assert taken == list(range(1, 201))


@pytest.mark.parametrize("damage", ["header", "middle", "foreign", "empty wal"])
def test_a_broken_file_is_set_aside_and_a_fresh_one_started(open_outbox: Callable[..., Outbox], path: Path, damage: str) -> None:
    outbox = open_outbox()
    outbox.commit([draft(f"m{number}", filling=3000) for number in range(50)])
    outbox.close()
    content = bytearray(path.read_bytes())
    if damage == "header":
        content[:100] = b"\xff" * 100
    elif damage == "middle":
        content[4096 * 3 : 4096 * 6] = os.urandom(4096 * 3)
    elif damage == "foreign":
        path.unlink()
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE something (x)")
        other.close()
        content = bytearray(path.read_bytes())
    else:
        path.with_name("outbox.sqlite-wal").write_bytes(b"nonsense")
    path.write_bytes(content)
    told: list[str] = []
    outbox = open_outbox(tell=lambda level, text: told.append(text))
    outbox.commit([draft("fresh")])
    assert "fresh" in [stored.event_id for stored in drain(outbox)]
    if damage == "empty wal":
        assert told == []
        return
    assert len(outbox.stats().alarms) == len(told) == 1
    assert "set aside as outbox.sqlite.corrupt-" in told[0]
    assert [file.name for file in path.parent.iterdir() if "corrupt" in file.name]
    assert open_outbox().stats().alarms == ()


def test_what_can_be_read_of_a_broken_file_is_saved(open_outbox: Callable[..., Outbox], path: Path) -> None:
    outbox = open_outbox()
    outbox.commit([draft(f"m{number}", filling=100) for number in range(30)])
    outbox.acked([1, 2])
    outbox.close()
    with sqlite3.connect(path) as raw:
        (root,) = raw.execute("SELECT rootpage FROM sqlite_master WHERE name = 'pending_lane'").fetchone()
        (size,) = raw.execute("PRAGMA page_size").fetchone()
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()
    content = bytearray(path.read_bytes())
    content[(root - 1) * size : root * size] = b"\x77" * size
    path.write_bytes(content)
    outbox = open_outbox()
    assert "28 waiting messages saved" in outbox.stats().alarms[0]
    outbox.commit([draft("fresh")])
    *saved, fresh, gap = (stored.seq for stored in drain(outbox))
    assert saved == list(range(3, 31))
    assert 30 < fresh <= 31 + AHEAD  # what the broken file says of the last number given out may be old
    assert gap == fresh + 1


def test_a_file_that_breaks_while_open_costs_no_crash(open_outbox: Callable[..., Outbox], path: Path) -> None:
    outbox = open_outbox()
    outbox.commit([draft("a")])
    outbox._storage.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    outbox._storage.connection.execute("PRAGMA cache_size=0")
    with path.open("r+b") as file:
        file.write(b"\xff" * 4096 * 8)
    outbox.commit([draft("b")])
    assert "b" in [stored.event_id for stored in drain(outbox)]
    assert outbox.stats().alarms


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM number",
        "UPDATE number SET value = 'x' WHERE name = 'last_seq'",
        "UPDATE number SET value = 1 WHERE name = 'last_seq'",
        "DELETE FROM tally WHERE state = 'aside'",
        "UPDATE message SET lane = 7 WHERE seq = 2",
        "UPDATE message SET topic = x'00' WHERE seq = 2",
        "UPDATE message SET state = CAST(x'ff70' AS TEXT) WHERE seq = 2",
    ],
)
def test_values_that_cannot_be_are_a_broken_file_and_the_sound_messages_are_saved(
    open_outbox: Callable[..., Outbox], path: Path, damage: str
) -> None:
    open_outbox().commit([draft(name) for name in "abc"])
    open_outbox().close()
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA ignore_check_constraints = 1")
        raw.execute(damage)
    raw.close()
    outbox = open_outbox()
    assert "set aside as outbox.sqlite.corrupt-" in outbox.stats().alarms[0]
    outbox.commit([draft("fresh")])
    outbox.commit([draft("next")])
    bodies = [json.loads(stored.body) for stored in drain(outbox)]
    (gap,) = [body for body in bodies if body["type"] == "gap"]  # once for a camera, whose listeners cannot know otherwise
    assert (gap["camera"], gap["lost"], gap["first_seq"]) == ("cam-1", {}, 0)
    assert {body["event_id"] for body in bodies if body["type"] != "gap"} - {"b"} == {"a", "c", "fresh", "next"}


def test_a_body_that_the_disk_has_changed_stops_nothing(open_outbox: Callable[..., Outbox], path: Path) -> None:
    open_outbox().commit([draft("a", track="x"), draft("b", track="y")])
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE message SET body = CAST('{\"b' AS BLOB) WHERE seq = 1")
    raw.close()
    assert list(open_outbox().last_of_tracks("cam-1")) == ["y"]


def test_a_second_writer_is_refused(open_outbox: Callable[..., Outbox], path: Path) -> None:
    open_outbox()
    with pytest.raises(Unavailable, match=r"another process writes to it; .* node\.state_dir"):
        Outbox(path)


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"make the folder writable") as caught:
        Outbox(tmp_path / "file" / "outbox.sqlite")
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (69, False)


def test_a_newer_layout_is_refused_and_left_alone(open_outbox: Callable[..., Outbox], path: Path) -> None:
    open_outbox().commit([draft("a")])
    open_outbox().close()
    with sqlite3.connect(path) as raw:
        raw.execute("INSERT INTO layout VALUES (99, 0)")
    raw.close()
    with pytest.raises(Unavailable, match="its layout is 99, this version reads up to 3; install the newer version"):
        Outbox(path)


LAYOUT_1 = """
DROP TABLE total;
DROP TABLE owed;
DELETE FROM layout;
INSERT INTO layout VALUES (1, 0);
"""


def test_an_older_layout_is_migrated_after_a_copy(open_outbox: Callable[..., Outbox], path: Path) -> None:
    open_outbox().commit([draft("a")])
    open_outbox().close()
    with sqlite3.connect(path) as raw:
        raw.executescript(LAYOUT_1)
    raw.close()
    outbox = open_outbox()
    assert [stored.event_id for stored in drain(outbox)] == ["a"]
    assert outbox.stats().totals["acked"] == 1
    with sqlite3.connect(path.with_name("outbox.sqlite.layout-1")) as copy:
        assert copy.execute("SELECT event_id, state FROM message").fetchall() == [("a", "pending")]
    copy.close()


def test_a_migration_without_a_copy_does_not_happen(open_outbox: Callable[..., Outbox], path: Path) -> None:
    open_outbox().close()
    with sqlite3.connect(path) as raw:
        raw.executescript(LAYOUT_1)
    raw.close()
    path.with_name("outbox.sqlite.layout-1").mkdir()
    with pytest.raises(Unavailable, match="no copy, no migration"):
        Outbox(path)


def test_totals_outlive_a_restart(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox(limit_mb=0.01)
    for number in range(9):
        outbox.commit([draft(str(number), rank="ok", filling=1500)])
    outbox.set_aside(outbox.window(1)[0].seq, "too large")
    drain(outbox)
    before = outbox.stats()
    after = open_outbox().stats()
    assert after.totals == before.totals
    assert (after.committed, after.acked) == (0, 0)
    assert after.totals["committed"] == 9
    assert after.totals["acked"] + after.totals["set_aside"] + after.totals["dropped_ok"] == 9 + 1  # a gap message was delivered, too


def test_only_the_newest_broken_files_are_kept(open_outbox: Callable[..., Outbox], path: Path) -> None:
    now = Clock()
    for _ in range(5):
        open_outbox(clock=now).close()
        path.write_bytes(b"nonsense" * 1000)
        now.now += 1
        os.utime(path, (now.now, now.now))
    open_outbox(clock=now)
    assert sorted(file.name.split("-")[1] for file in path.parent.glob("*corrupt*")) == ["1003", "1004", "1005"]


def test_a_full_disk_is_said_and_the_drafts_can_be_committed_later(open_outbox: Callable[..., Outbox]) -> None:
    outbox = open_outbox()
    outbox.commit([draft("a")])
    connection = outbox._storage.connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count={pages}")  # what SQLite answers then is what it answers on a full disk
    many = [draft(f"m{number}", filling=5000) for number in range(20)]
    with pytest.raises(Unavailable, match="free some disk space"):
        outbox.commit(many)
    assert outbox.stats().pending == 1
    connection.execute("PRAGMA max_page_count=1000000")
    outbox.commit(many)
    assert [stored.event_id for stored in drain(outbox)] == ["a", *(each.event_id for each in many)]


def test_kill_9_between_commits_loses_none_that_returned(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom edgevision.publish.outbox import Outbox\nfrom edgevision.records import Draft\n"
        "outbox = Outbox(sys.argv[1])\nfor n in range(100000):\n"
        "    outbox.commit([Draft(f'{n}-{m}', 'cam', 'b/n/cam/event', {}, 'ng') for m in range(3)])\n    print(n, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "o.sqlite")], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(25):
        child.stdout.readline()
    child.kill()
    returned = 25 + len(child.stdout.read().split())
    child.wait()
    child.stdout.close()
    outbox = Outbox(tmp_path / "o.sqlite")
    found = [stored.event_id for stored in drain(outbox)]
    outbox.close()
    assert found[: 3 * returned] == [f"{n}-{m}" for n in range(returned) for m in range(3)]
    assert len(found) % 3 == 0


FULL_DISK = """
import sys
from edgevision.errors import Unavailable
from edgevision.publish.outbox import Outbox
from edgevision.records import Draft

def draft(name):
    return Draft(name, "cam", "b/n/cam/event", {"historical": False, "filling": "x" * 3000}, "ng")

outbox = Outbox(sys.argv[1] + "/o.sqlite")
count = 0
try:
    while True:
        outbox.commit([draft(f"m{count}")])
        count += 1
except Unavailable as error:
    assert "free some disk space" in str(error), error
assert "disk is full" in outbox.stats().alarms[0]
found = []
while heads := outbox.window(20):
    found += [head.event_id for head in heads]
    outbox.acked([head.seq for head in heads])
assert found == [f"m{number}" for number in range(count)], (len(found), count)
outbox.commit([draft(f"later{number}") for number in range(20)])
assert outbox.stats().alarms == () and outbox.stats().pending == 20
print("kept", count)
"""


def test_on_a_full_disk_what_waits_is_still_delivered_and_then_there_is_room(tmp_path: Path) -> None:
    """A tmpfs of 8 MB in a mount namespace of its own, where the system lets us have one."""
    (tmp_path / "script.py").write_text(FULL_DISK)
    (tmp_path / "disk").mkdir()
    mount = f"mount -t tmpfs -o size=8m none {tmp_path}/disk || exit 99; exec {sys.executable} {tmp_path}/script.py {tmp_path}/disk"
    ended = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, text=True, check=False)
    if ended.returncode in (1, 99) and "kept" not in ended.stdout and "Traceback" not in ended.stderr:
        pytest.skip(f"no mount namespace here: {ended.stderr.strip()}")
    assert (ended.returncode, ended.stdout.startswith("kept")) == (0, True), ended.stderr
