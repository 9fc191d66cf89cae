"""Messages on disk until the broker has them. In: drafts. Out: stored messages, oldest first per camera and lane. Keeps: a SQLite file.

`commit` returns when the drafts would survive a power cut. A message leaves by an accepting PUBACK, or it is set aside, or it is dropped
because the outbox is over its bounds: then a counter, a line through `tell` and a `gap` message say so.
One lock makes every call safe from any thread; one process writes (`storage.py`).
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from edgevision.errors import InputError, Unavailable
from edgevision.identifiers import uuid7
from edgevision.publish.bounds import GAP, RANKS, AgeClock, Loss, trim_history, trim_pending, write_gaps
from edgevision.publish.high_water import HighWater
from edgevision.publish.payload import LIMIT_BYTES, encode, gap_body
from edgevision.publish.storage import Corrupt, DiskFull, Storage, salvage, salvage_owed, set_aside
from edgevision.publish.stored import Lane, LaneKey, OutboxSettings, OutboxStats, OwedPart, Stored, Tell
from edgevision.records import Draft

__all__ = ["Lane", "LaneKey", "Outbox", "OutboxSettings", "OutboxStats", "OwedPart", "Stored", "Tell"]

Result = TypeVar("Result")
ROW_BYTES = 300  # what SQLite needs beside the body, roughly
INSERT = (
    "INSERT INTO message (seq, event_id, camera, track, topic, rank, lane, body, size, committed_s, age_mark_s)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event_id) DO NOTHING"
)
HEAD = "SELECT seq, event_id, topic, body FROM message WHERE state = 'pending' AND lane = ? AND camera = ? ORDER BY seq LIMIT 1"


class Outbox:
    """The durable queue between judging and publishing."""

    def __init__(
        self,
        path: str | Path,
        settings: OutboxSettings | None = None,
        boot_id: str | None = None,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        tell: Tell = lambda level, text: None,
    ):
        """Open or make the file. Raises Unavailable when the folder is unwritable or another process has the outbox open."""
        self.path = Path(path)
        self.settings = settings or OutboxSettings()
        self.boot_id = boot_id or uuid7(clock())
        self.on_commit: Callable[[], None] = lambda: None  # the publisher's alarm clock
        self._clock = clock
        self._monotonic = monotonic
        self._tell = tell
        self._lock = threading.RLock()
        self._alarms: list[str] = []
        self._full: str | None = None
        self._counts: Counter[str] = Counter()
        self._cameras: frozenset[str] = frozenset()
        self._turn = 0
        self._untold: tuple[int, str] | None = None  # last number and name of a broken file, until each camera's listeners know
        self._told_of_it: set[str] = set()
        self._open_gaps: dict[str, int] = {}  # camera -> seq of a gap message that nobody has seen yet
        is_new = not self.path.exists()
        try:
            self._storage = Storage(self.path)
            self._high_water = HighWater(self.path)
        except Corrupt as error:
            self._high_water = HighWater(self.path)
            self._storage = self._fresh_storage(error)
        self._mended(partial(self._load, is_new))

    def commit(self, drafts: Sequence[Draft]) -> None:
        """Make the drafts durable, all or none. A draft with an `event_id` that is already there is taken as done.

        Raises InputError for an unknown rank or a body over 64 kB, Unavailable when the disk is full or gone: keep the drafts then, and
        call again.
        """
        for draft in drafts:
            if draft.rank not in RANKS[:GAP]:
                raise InputError(f"draft {draft.event_id}: rank is {draft.rank!r}; it must be one of {', '.join(RANKS[:GAP])}")
        if not drafts:
            return
        with self._lock:
            added, losses = self._insert_somehow(drafts)
            self._counts["committed"] += added
            self._cameras |= {draft.camera for draft in drafts}
            self._told_of_it.update(draft.camera for draft in drafts)
            self._count_losses(losses)
        self.on_commit()

    def window(self, limit: int, skip: Set[LaneKey] = frozenset()) -> tuple[Stored, ...]:
        """The head of each queue that is not in `skip`, live ones first, at most `limit`.

        One message a queue, so that a refusal cannot let a later message pass an earlier one. Does not wait for a commit under way.
        """
        self._turn += 1  # no camera is always the last one asked
        cameras = sorted(self._cameras)
        turn = self._turn % max(len(cameras), 1)
        keys = [(camera, lane) for lane in Lane for camera in cameras[turn:] + cameras[:turn] if (camera, lane) not in skip]
        with suppress(Corrupt, Unavailable):  # then with all care, below
            heads = _heads(self._storage.look, keys, limit)
            if {head.seq for head in heads}.isdisjoint(set(self._open_gaps.values())):
                return heads
        with self._lock:
            heads = self._mended(lambda: _heads(self._storage.read, keys, limit))
            seen = {head.seq for head in heads}
            self._open_gaps = {camera: seq for camera, seq in self._open_gaps.items() if seq not in seen}
            return heads

    def acked(self, seqs: Iterable[int]) -> int:
        """The broker has these: they move to the history. How many of them were waiting."""

        def settle(connection: sqlite3.Connection) -> int:
            settled = 0
            for seq in seqs:
                row = connection.execute("SELECT camera, lane FROM message WHERE seq = ? AND state = 'pending'", (seq,)).fetchone()
                if row is None:
                    continue
                connection.execute("UPDATE message SET state = 'acked', reason = NULL WHERE seq = ?", (seq,))
                connection.execute(
                    "INSERT INTO lane_mark VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET acked_seq = max(acked_seq, excluded.acked_seq)",
                    (*row, seq),
                )
                settled += 1
            _add_totals(connection, {"acked": settled})
            oldest_s = self._ages.now() - self.settings.history_hours * 3600
            trim_history(connection, self.settings.history_mb * 1e6, oldest_s)
            return settled

        with self._lock:
            settled = self._write(settle, is_relaxed=True)
            self._counts["acked"] += settled
            return settled

    def set_aside(self, seq: int, reason: str) -> None:
        """This message can never pass: keep it out of the way, for `retry`."""

        def move(connection: sqlite3.Connection) -> None:
            statement = "UPDATE message SET state = 'aside', reason = ? WHERE seq = ? AND state = 'pending'"
            _add_totals(connection, {"set_aside": connection.execute(statement, (reason, seq)).rowcount})

        with self._lock:
            self._write(move)
        self._tell("error", f"outbox: message {seq} set aside: {reason}; see `edgevision outbox list`, send it again with `outbox retry`")

    def note_held(self, seq: int, reason: str) -> None:
        """Write beside a waiting message why it is still here."""
        with self._lock:
            self._write(
                lambda connection: connection.execute("UPDATE message SET reason = ? WHERE seq = ? AND state = 'pending'", (reason, seq)),
                is_relaxed=True,
            )

    def retry(self) -> int:
        """Put everything that was set aside back into the backlog; how many there were."""
        return self._requeue("state = 'aside'", ())

    def replay(self, from_seq: int) -> int:
        """Put delivered messages from this sequence number on back into the backlog; how many there were."""
        return self._requeue("state = 'acked' AND seq >= ?", (from_seq,))

    def begin_backlog(self) -> int:
        """An outage is over: what waited longer than `historical_after_s` moves to the backlog lane. How many moved.

        A defect's messages stay in one lane, and nothing moves that the backlog has already passed: so order holds in each lane.
        """
        mark_s = self._ages.now() - self.settings.historical_after_s
        passed = "coalesce((SELECT acked_seq FROM lane_mark WHERE lane = 1 AND lane_mark.camera = m.camera), 0)"
        old = (
            f"SELECT seq FROM message AS m WHERE state = 'pending' AND lane = 0 AND age_mark_s < ? AND seq > {passed} AND (track IS NULL"
            " OR NOT EXISTS (SELECT 1 FROM message AS t WHERE t.state = 'pending' AND t.track = m.track AND t.lane = 0"
            f" AND t.seq <= {passed.replace('m.camera', 't.camera')}))"
        )

        def move(connection: sqlite3.Connection) -> int:
            moved = connection.execute(f"UPDATE message SET lane = 1 WHERE seq IN ({old})", (mark_s,)).rowcount
            followers = connection.execute(
                "UPDATE message SET lane = 1 WHERE state = 'pending' AND lane = 0 AND track IS NOT NULL AND EXISTS"
                " (SELECT 1 FROM message AS t WHERE t.state = 'pending' AND t.track = message.track AND t.lane = 1 AND t.seq < message.seq)"
            ).rowcount
            return moved + followers

        with self._lock:
            return self._write(move)

    def owe(self, camera: str, part: OwedPart) -> None:
        """A part was accepted: it is owed a verdict, over a kill of the service too, until a result with its id is committed.

        Not synced, so that it costs no alert its time: a power cut may take back what was accepted last. Raises Unavailable.
        """
        values = (camera, part.part_id, part.job_id, part.ts)
        with self._lock:
            self._write(lambda connection: connection.execute("INSERT OR IGNORE INTO owed VALUES (?, ?, ?, ?)", values), is_relaxed=True)

    def forgive(self, camera: str, part_id: str) -> None:
        """Whoever asked for this part was told that it is not taken. Raises Unavailable."""
        query = "DELETE FROM owed WHERE camera = ? AND part = ?"
        with self._lock:
            self._write(lambda connection: connection.execute(query, (camera, part_id)), is_relaxed=True)

    def owed(self) -> tuple[tuple[str, OwedPart], ...]:
        """The parts without a verdict, with their cameras, in the order in which they were asked for. Raises Unavailable."""
        with self._lock:
            rows = self._mended(lambda: self._storage.read("SELECT camera, part, job, ts FROM owed ORDER BY ts, rowid"))
        return tuple((camera, OwedPart(part, ts, job)) for camera, part, job, ts in rows)

    def stats(self) -> OutboxStats:
        """The numbers as of now. Raises Unavailable when the file cannot be read."""

        def read() -> OutboxStats:
            tally = {state: (count, size) for state, count, size in self._storage.read("SELECT state, messages, bytes FROM tally")}
            oldest_s = self._storage.read("SELECT min(age_mark_s) FROM message WHERE state = 'pending'")[0][0]
            return OutboxStats(
                pending=tally["pending"][0],
                pending_bytes=tally["pending"][1],
                oldest_age_s=0.0 if oldest_s is None else max(0.0, self._ages.now() - oldest_s),
                set_aside=tally["aside"][0],
                history=tally["acked"][0],
                committed=self._counts["committed"],
                acked=self._counts["acked"],
                dropped={rank: self._counts[f"dropped_{rank}"] for rank in RANKS[:GAP]},
                totals=dict(self._storage.read("SELECT name, value FROM total")),
                alarms=tuple(self._alarms) + ((self._full,) if self._full else ()),
            )

        with self._lock:
            return self._mended(read)

    def last_of_tracks(self, camera: str) -> dict[str, dict[str, Any]]:
        """The newest message of each of the camera's defects, waiting or delivered, as far as it is still kept: track id to body."""
        newest = "SELECT max(seq) FROM message WHERE camera = ? AND track IS NOT NULL GROUP BY track"
        with self._lock:
            rows = self._mended(lambda: list(self._storage.read(f"SELECT track, body FROM message WHERE seq IN ({newest})", (camera,))))
        bodies = ((track, _plain(body)) for track, body in rows)
        return {track: body for track, body in bodies if body is not None}

    def tidy(self) -> None:
        """Do what can be done between alerts rather than with one, now and then; from any thread, never waited for."""
        self._storage.tidy()

    def clear_alarms(self) -> int:
        """A person has seen that a broken file was set aside: it is no alarm any more. How many there were."""
        with self._lock:
            count = len(self._alarms)
            self._alarms.clear()
            return count

    def close(self) -> None:
        """Close the file; call nothing afterwards."""
        with self._lock:
            self._storage.close()

    def _insert_somehow(self, drafts: Sequence[Draft]) -> tuple[int, list[Loss]]:
        """Insert; on a full disk give up the history for it."""
        try:
            result = self._insert_once(drafts)
        except DiskFull as error:
            self._set_full(str(error))
            self._write(lambda connection: connection.execute("DELETE FROM message WHERE state = 'acked'"))
            result = self._insert_once(drafts)
        if self._full is not None:
            self._full = None
            self._tell("info", f"outbox {self.path}: there is room on the disk again")
        return result

    def _insert_once(self, drafts: Sequence[Draft]) -> tuple[int, list[Loss]]:
        return self._mended(lambda: self._storage.transaction(lambda connection: self._insert_all(connection, drafts)))

    def _set_full(self, text: str) -> None:
        if self._full is None:
            self._tell("error", f"{text}; the history is given up, what waits is kept")
        self._full = text

    def _write(self, action: Callable[[sqlite3.Connection], Result], is_relaxed: bool = False) -> Result:
        return self._mended(lambda: self._storage.housekeeping(action, is_relaxed))

    def _mended(self, call: Callable[[], Result]) -> Result:
        """What `call` returns; when the file turns out to be broken, it is set aside and the call made again on a fresh one."""
        try:
            return call()
        except Corrupt as error:
            self._storage.close()
            self._storage = self._fresh_storage(error)
        try:
            self._load()
            return call()
        except Corrupt as error:
            raise Unavailable(f"outbox {self.path}: {error}, even in a fresh file; check the disk") from error

    def _fresh_storage(self, error: Corrupt) -> Storage:
        aside = set_aside(self.path, self._clock())
        (rows, last_seq), owed = salvage(aside), salvage_owed(aside)
        last_seq = max(last_seq, self._high_water.mark)
        storage = Storage(self.path)

        def restore(connection: sqlite3.Connection) -> None:
            for row in rows:
                names = ", ".join(row)
                connection.execute(f"INSERT OR IGNORE INTO message ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
            connection.executemany("INSERT OR IGNORE INTO owed VALUES (?, ?, ?, ?)", owed)
            connection.execute("UPDATE number SET value = ? WHERE name = 'last_seq'", (last_seq,))
            connection.execute(
                "INSERT INTO gap (camera, rank, first_seq, last_seq, lost, reason, noted_s) VALUES ('', 'ng', 0, ?, 0, ?, ?)",
                (last_seq, f"unknown: broken file {aside.name}", self._clock()),
            )

        storage.transaction(restore)
        self._untold, self._told_of_it = (last_seq, f"unknown: broken file {aside.name}"), set()
        text = f"outbox {self.path}: {error}; set aside as {aside.name}; {len(rows)} waiting messages saved, others may be lost"
        self._alarms.append(text)
        self._tell("error", text)
        return storage

    def _load(self, is_new: bool = False) -> None:
        """Read what is kept in memory. Nothing here is needed to survive."""
        number = self._storage.number
        last_seq = int(number("last_seq"))
        least = self._high_water.least(last_seq, is_new)
        if least > last_seq:  # it was taken away, or it is an old copy
            self._write_number("last_seq", least)
            self._tell("warning", f"outbox {self.path}: new or an old copy; its numbers go on behind {least}, as later ones are in use")
        self._ages = AgeClock(number("elapsed_s"), number("wall_s"), self._clock(), self._monotonic)
        self._open_gaps.clear()
        self._cameras |= {camera for (camera,) in self._storage.read("SELECT DISTINCT camera FROM message WHERE state = 'pending'")}

    def _write_number(self, name: str, value: int) -> None:
        self._storage.transaction(lambda connection: connection.execute("UPDATE number SET value = ? WHERE name = ?", (value, name)))

    def _insert_all(self, connection: sqlite3.Connection, drafts: Sequence[Draft]) -> tuple[int, list[Loss]]:
        before = seq = int(self._storage.number("last_seq"))
        for draft in drafts:
            seq += self._insert(connection, draft, seq + 1, RANKS.index(draft.rank))
        added = seq - before
        now_s = self._ages.now()
        losses = trim_pending(connection, self.settings.limit_mb * 1e6, now_s - self.settings.limit_days * 86400)
        if losses:
            write_gaps(connection, losses, self._clock())
            seq = self._announce(connection, losses, seq)
        if self._untold is not None:
            seq = self._announce_broken(connection, drafts, seq, *self._untold)
        self._high_water.cover(seq, before)
        for name, value in (("last_seq", seq), ("elapsed_s", now_s), ("wall_s", self._clock())):
            connection.execute("UPDATE number SET value = ? WHERE name = ?", (value, name))
        _add_totals(connection, {"committed": added, **Counter(f"dropped_{loss.rank}" for loss in losses)})
        return added, losses

    def _insert(self, connection: sqlite3.Connection, draft: Draft, seq: int, rank: int) -> int:
        """1 when the draft was stored, 0 when it was there already."""
        try:
            body = encode({**draft.body, "seq": seq, "boot_id": self.boot_id})
        except (TypeError, ValueError) as error:
            raise InputError(f"draft {draft.event_id}: its body is no JSON: {error}; numbers must be finite") from error
        if len(body) > LIMIT_BYTES:
            raise InputError(f"draft {draft.event_id}: its body has {len(body)} bytes; the limit is {LIMIT_BYTES}; send pictures by path")
        track = draft.body.get("track_id")
        if track is not None and not isinstance(track, str):
            raise InputError(f"draft {draft.event_id}: track_id is a {type(track).__name__}; it must be text")
        lane = Lane.LIVE
        if track is not None:
            query = "SELECT 1 FROM message WHERE state = 'pending' AND track = ? AND lane = ? LIMIT 1"
            lane = Lane.BACKLOG if connection.execute(query, (track, Lane.BACKLOG)).fetchone() else Lane.LIVE
        if draft.body.get("type") == "result" and draft.body.get("part_id") is not None:
            connection.execute("DELETE FROM owed WHERE camera = ? AND part = ?", (draft.camera, str(draft.body["part_id"])))
        values = (seq, draft.event_id, draft.camera, track, draft.topic, rank, lane, body, len(body) + ROW_BYTES)
        return connection.execute(INSERT, (*values, self._clock(), self._ages.now())).rowcount

    def _announce(self, connection: sqlite3.Connection, losses: Sequence[Loss], seq: int) -> int:
        """One gap message a camera, or one more line in a gap message that nobody has seen yet; the last sequence number."""
        by_camera: dict[str, list[Loss]] = {}
        for loss in losses:
            if loss.rank != "health":
                by_camera.setdefault(loss.camera, []).append(loss)
        for camera, lost in by_camera.items():
            body = gap_body(
                uuid7(self._clock()), camera, self._clock(), Counter(loss.rank for loss in lost),
                (min(loss.seq for loss in lost), max(loss.seq for loss in lost)), lost[-1].reason,
            )  # fmt: skip
            query = "SELECT seq, body FROM message WHERE seq = ? AND camera = ? AND rank = ? AND state = 'pending'"
            known = connection.execute(query, (self._open_gaps.get(camera), camera, GAP)).fetchone()
            gap = None if known is None else _plain(known[1])
            if known is not None and gap is not None:
                merged = _merged(gap, body)
                connection.execute("UPDATE message SET body = ?, size = ? WHERE seq = ?", (merged, len(merged) + ROW_BYTES, known[0]))
                continue
            topic = lost[-1].topic.rsplit("/", 1)[0] + "/event"
            seq += self._insert(connection, Draft(body["event_id"], camera, topic, body, "gap"), seq + 1, GAP)
            self._open_gaps[camera] = seq
        return seq

    def _announce_broken(self, connection: sqlite3.Connection, drafts: Sequence[Draft], seq: int, last_seq: int, reason: str) -> int:
        """One gap message for each of these cameras that has had none: nobody knows what was in the broken file; the last number."""
        topics = {draft.camera: draft.topic.rsplit("/", 1)[0] + "/event" for draft in drafts if draft.camera not in self._told_of_it}
        for camera, topic in topics.items():
            body = gap_body(uuid7(self._clock()), camera, self._clock(), {}, (0, last_seq), reason)
            seq += self._insert(connection, Draft(body["event_id"], camera, topic, body, "gap"), seq + 1, GAP)
        return seq

    def _requeue(self, which: str, values: tuple[int, ...]) -> int:
        def requeue(connection: sqlite3.Connection) -> int:
            connection.execute(
                "UPDATE lane_mark SET acked_seq = min(acked_seq, (SELECT min(seq) - 1 FROM message AS m"
                f" WHERE m.camera = lane_mark.camera AND {which})) WHERE lane = 1 AND EXISTS"
                f" (SELECT 1 FROM message AS m WHERE m.camera = lane_mark.camera AND {which})",
                (*values, *values),
            )
            statement = f"UPDATE message SET state = 'pending', lane = 1, reason = NULL, age_mark_s = ? WHERE {which}"
            return connection.execute(statement, (self._ages.now(), *values)).rowcount

        with self._lock:
            count = self._write(requeue)
            self._load()
        self.on_commit()
        return count

    def _count_losses(self, losses: Sequence[Loss]) -> None:
        if losses:
            lost = Counter(loss.rank for loss in losses)
            self._counts.update({f"dropped_{rank}": count for rank, count in lost.items()})
            numbers = ", ".join(f"{count} {rank}" for rank, count in lost.items())
            self._tell("error", f"outbox: dropped {numbers}: {losses[-1].reason}; restore the broker or raise outbox.limit_mb")


def _heads(read: Callable[[str, tuple[object, ...]], list[Any]], keys: Sequence[LaneKey], limit: int) -> tuple[Stored, ...]:
    """The first message of each queue (camera, lane), at most `limit` of them."""
    heads: list[Stored] = []
    for camera, lane in keys:
        if len(heads) == limit:
            break
        for seq, event_id, topic, body in read(HEAD, (lane, camera)):
            heads.append(Stored(seq, event_id, camera, topic, lane, body))
    return tuple(heads)


def _add_totals(connection: sqlite3.Connection, counts: Mapping[str, int]) -> None:
    """Count what happened, in the transaction in which it happens."""
    for name, count in counts.items():
        if count:
            connection.execute("UPDATE total SET value = value + ? WHERE name = ?", (count, name))


def _plain(raw: bytes) -> dict[str, Any] | None:
    """A stored body, None when the disk has changed it since."""
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _merged(known: dict[str, Any], added: dict[str, Any]) -> bytes:
    """A gap message that also tells of the added losses."""
    lost = Counter(known["lost"]) + Counter(added["lost"])
    seqs = {"first_seq": min(known["first_seq"], added["first_seq"]), "last_seq": max(known["last_seq"], added["last_seq"])}
    return encode(known | seqs | {"lost": dict(lost), "ts_result": added["ts_result"]})
