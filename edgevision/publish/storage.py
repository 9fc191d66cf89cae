"""The outbox's file on disk: opened, locked against a second writer, brought to the present layout, or set aside when it is broken.

In: a path. Out: transactions on a SQLite file (WAL, synchronous=FULL). Keeps the lock on `<path>.lock` until closed.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, TypeVar

from edgevision.errors import Unavailable

LAYOUT = 3
TABLES = """
CREATE TABLE message (
    seq INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, camera TEXT NOT NULL, track TEXT, topic TEXT NOT NULL,
    rank INTEGER NOT NULL, lane INTEGER NOT NULL, state TEXT NOT NULL DEFAULT 'pending', body BLOB NOT NULL, size INTEGER NOT NULL,
    committed_s REAL NOT NULL, age_mark_s REAL NOT NULL, reason TEXT
);
CREATE INDEX pending_lane ON message (lane, camera, seq) WHERE state = 'pending';
CREATE INDEX pending_rank ON message (rank, seq) WHERE state = 'pending';
CREATE INDEX pending_age ON message (age_mark_s) WHERE state = 'pending';
CREATE INDEX pending_track ON message (track, lane, seq) WHERE state = 'pending' AND track IS NOT NULL;
CREATE INDEX acked_seq ON message (seq) WHERE state = 'acked';
CREATE INDEX aside_seq ON message (seq) WHERE state = 'aside';
CREATE TABLE tally (state TEXT PRIMARY KEY, messages INTEGER NOT NULL, bytes INTEGER NOT NULL);
INSERT INTO tally VALUES ('pending', 0, 0), ('acked', 0, 0), ('aside', 0, 0);
CREATE TRIGGER came AFTER INSERT ON message BEGIN
    UPDATE tally SET messages = messages + 1, bytes = bytes + new.size WHERE state = new.state;
END;
CREATE TRIGGER went AFTER DELETE ON message BEGIN
    UPDATE tally SET messages = messages - 1, bytes = bytes - old.size WHERE state = old.state;
END;
CREATE TRIGGER turned AFTER UPDATE OF state, size ON message BEGIN
    UPDATE tally SET messages = messages - 1, bytes = bytes - old.size WHERE state = old.state;
    UPDATE tally SET messages = messages + 1, bytes = bytes + new.size WHERE state = new.state;
END;
CREATE TABLE gap (
    number INTEGER PRIMARY KEY, camera TEXT NOT NULL, rank TEXT NOT NULL, first_seq INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    lost INTEGER NOT NULL, reason TEXT NOT NULL, noted_s REAL NOT NULL
);
CREATE TABLE lane_mark (camera TEXT NOT NULL, lane INTEGER NOT NULL, acked_seq INTEGER NOT NULL, PRIMARY KEY (camera, lane));
CREATE TABLE number (name TEXT PRIMARY KEY, value NUMERIC NOT NULL);
INSERT INTO number VALUES ('last_seq', 0), ('elapsed_s', 0), ('wall_s', 0);
CREATE TABLE layout (number INTEGER NOT NULL, made_s REAL NOT NULL);
"""
TOTALS = """
CREATE TABLE total (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO total VALUES ('committed', 0), ('acked', 0), ('set_aside', 0),
    ('dropped_health', 0), ('dropped_ok', 0), ('dropped_warn', 0), ('dropped_ng', 0);
"""
OWED = """
CREATE TABLE owed (camera TEXT NOT NULL, part TEXT NOT NULL, job TEXT, ts REAL NOT NULL, PRIMARY KEY (camera, part));
"""
STEPS = MappingProxyType({2: TOTALS, 3: OWED})  # what brings the tables from the layout before to this one
PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=1024", "journal_size_limit=1048576")
TIDY_AFTER = 32  # transactions after which `tidy` moves the journal into the file, so that hardly ever a commit has to
RESERVE_BYTES = 2 << 20  # set aside on disk for the day it is full: enough to move the journal into the file and go on
RESERVE_AGAIN = 256  # transactions after which a used reserve is made again
BROKEN_KEPT = 3  # broken files that are kept for a look; older ones go, so that a failing disk is not filled with them
RANK_COUNT = 5
SEQ_LIMIT = 1 << 62
WRONG = (  # each counts what no version ever wrote: SQLite checks its pages, not what stands in them
    "SELECT count(*) FROM message WHERE typeof(event_id) != 'text' OR typeof(camera) != 'text' OR typeof(topic) != 'text'"
    " OR typeof(body) != 'blob' OR typeof(size) != 'integer' OR typeof(committed_s) != 'real' OR typeof(age_mark_s) != 'real'"
    " OR lane NOT IN (0, 1) OR rank NOT IN (0, 1, 2, 3, 4) OR state NOT IN ('pending', 'aside', 'acked')"
    f" OR seq NOT BETWEEN 1 AND {SEQ_LIMIT}",
    "SELECT count(*) != 3 FROM number WHERE name IN ('last_seq', 'elapsed_s', 'wall_s') AND typeof(value) IN ('integer', 'real')",
    "SELECT count(*) != 3 FROM tally WHERE state IN ('pending', 'aside', 'acked') AND typeof(messages) = 'integer'"
    " AND typeof(bytes) = 'integer'",
    "SELECT coalesce(max(seq), 0) > (SELECT value FROM number WHERE name = 'last_seq') FROM message",
    f"SELECT value NOT BETWEEN 0 AND {SEQ_LIMIT} FROM number WHERE name = 'last_seq'",
    "SELECT count(*) FROM owed WHERE typeof(camera) != 'text' OR typeof(part) != 'text' OR typeof(ts) != 'real'"
    " OR typeof(job) NOT IN ('text', 'null')",
)
LOOKS, LOOK_AGAIN_S = 4, 0.02
Result = TypeVar("Result")


class Corrupt(Exception):
    """The file is no readable database. Never leaves this package: the outbox sets the file aside and starts a fresh one."""


class DiskFull(Unavailable):
    """There is no room, even after the reserve was used."""


class Storage:
    """The open file. One writer: a second process, or a second outbox in this one, that opens the same path is refused."""

    def __init__(self, path: Path):
        self.path = path
        self._lock = _lock(path)
        try:
            with translated(path):
                self.connection = _open(path)
                self._onlooker, self._caretaker = _beside(path), _beside(path)
        except BaseException:
            self._lock.close()
            raise
        self._reserve = path.with_name(path.name + ".reserve")
        self._until_reserve = 0
        self._until_tidy = TIDY_AFTER
        self._looking, self._tidying = threading.Lock(), threading.Lock()
        self._keep_reserve()

    def transaction(self, action: Callable[[sqlite3.Connection], Result], is_relaxed: bool = False) -> Result:
        """What `action` returns, after all it wrote is on disk; or nothing of it is. `is_relaxed` may lose it in a power cut, whole.

        Raises DiskFull, Unavailable, Corrupt.
        """
        self._keep_reserve()
        try:
            return self._attempt(action, is_relaxed)
        except DiskFull:
            self._empty_journal()
        return self._attempt(action, is_relaxed)

    def housekeeping(self, action: Callable[[sqlite3.Connection], Result], is_relaxed: bool = False) -> Result:
        """A transaction that makes room in the end, so on a full disk it may use the reserve."""
        try:
            return self.transaction(action, is_relaxed)
        except DiskFull:
            with suppress(OSError):
                self._reserve.unlink(missing_ok=True)
            self._until_reserve = RESERVE_AGAIN
            self._empty_journal()
        return self._attempt(action, is_relaxed)

    def _attempt(self, action: Callable[[sqlite3.Connection], Result], is_relaxed: bool) -> Result:
        self._until_tidy -= 1
        with translated(self.path):
            self.connection.execute(f"PRAGMA synchronous={'NORMAL' if is_relaxed else 'FULL'}")
            self.connection.execute("BEGIN IMMEDIATE")
            try:
                result = action(self.connection)
                self.connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):  # a full disk may have rolled it back already
                    self.connection.execute("ROLLBACK")
                raise
            return result

    def read(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """All rows that a query finds."""
        with translated(self.path):
            return self.connection.execute(query, values).fetchall()

    def look(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """The same from any thread, of what is committed, beside a transaction under way. Raises Unavailable also while the file is
        exchanged.
        """
        with translated(self.path), self._looking:
            return self._onlooker.execute(query, values).fetchall()

    def tidy(self) -> None:
        """Move the journal into the file once it is long, from any thread and beside transactions: a commit that has to do it takes as
        long as several.
        """
        if self._until_tidy > 0:
            return
        self._until_tidy = TIDY_AFTER
        with suppress(sqlite3.Error), self._tidying:
            self._caretaker.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def number(self, name: str) -> float:
        """A stored number: `last_seq`, `elapsed_s` or `wall_s`."""
        value: float = self.read("SELECT value FROM number WHERE name = ?", (name,))[0][0]
        return value

    def close(self) -> None:
        """Close the file and let the next writer in."""
        for connection, turn in ((self._onlooker, self._looking), (self._caretaker, self._tidying)):
            with turn, suppress(sqlite3.Error):
                connection.close()
        with suppress(sqlite3.Error):
            self.connection.close()
        self._lock.close()

    def _empty_journal(self) -> None:
        with suppress(sqlite3.Error):
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _keep_reserve(self) -> None:
        """Make the reserve when it is due and there is room for it and as much again."""
        self._until_reserve -= 1
        if self._until_reserve >= 0:
            return
        self._until_reserve = RESERVE_AGAIN
        with suppress(OSError):
            room = os.statvfs(self.path.parent)
            if not self._reserve.exists() and room.f_bavail * room.f_frsize > 2 * RESERVE_BYTES:
                with self._reserve.open("wb") as file:
                    os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours: Corrupt for a broken file, Unavailable for everything the disk or another process does."""
    try:
        yield
    except UnicodeDecodeError as error:  # SQLite's own words hold what stands in the broken file
        raise Corrupt("its schema is damaged") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise Corrupt(str(error)) from error
        kind = DiskFull if code == sqlite3.SQLITE_FULL else Unavailable
        raise kind(f"outbox {path}: {error}; {_remedy(code)}") from error


def readable(raw: bytes) -> str:
    """Text from a file that a failing disk may have changed."""
    return raw.decode("utf-8", errors="replace")


def set_aside(path: Path, now_s: float) -> Path:
    """Move a broken file and its companions out of the way; the new name of the file. Raises Unavailable."""
    aside = path.with_name(f"{path.name}.corrupt-{int(now_s)}-{os.getpid()}")
    try:
        for suffix in ("", "-wal", "-shm"):
            companion = path.with_name(path.name + suffix)
            if companion.exists():
                companion.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise Unavailable(f"outbox {path}: broken, and it cannot be moved away: {error.strerror}; move it away by hand") from error
    with suppress(OSError):
        for old in broken_files(path)[:-BROKEN_KEPT]:
            for suffix in ("", "-wal", "-shm"):
                old.with_name(old.name + suffix).unlink(missing_ok=True)
    return aside


def broken_files(path: Path) -> list[Path]:
    """The broken files that were set aside, oldest first."""
    found = (file for file in path.parent.glob(f"{path.name}.corrupt-*") if not file.name.endswith(("-wal", "-shm")))
    return sorted(found, key=lambda file: (file.stat().st_mtime, file.name))


def salvage(aside: Path) -> tuple[list[dict[str, Any]], int]:
    """What can still be read of a broken file: its waiting messages, oldest first, and the last sequence number seen."""
    found: list[dict[str, Any]] = []
    numbers: list[tuple[Any, ...]] = []
    with suppress(sqlite3.Error, UnicodeDecodeError), closing(sqlite3.connect(aside, isolation_level=None)) as connection:
        connection.text_factory = readable
        connection.row_factory = sqlite3.Row
        with suppress(sqlite3.Error, UnicodeDecodeError):
            numbers = [tuple(row) for row in connection.execute("SELECT value FROM number WHERE name = 'last_seq'")]
        for row in connection.execute("SELECT * FROM message NOT INDEXED WHERE state != 'acked'"):
            if _is_sound(dict(row)):
                found.append(dict(row))
    found.sort(key=lambda row: row["seq"])
    said = [value for (value,) in numbers if isinstance(value, int) and 0 <= value < SEQ_LIMIT]
    return found, max([0, *said, *(row["seq"] for row in found)])


def salvage_owed(aside: Path) -> list[tuple[str, str, str | None, float]]:
    """The parts that are owed a verdict (camera, part, job, time), as far as a broken file can be read."""
    found: list[tuple[str, str, str | None, float]] = []
    with suppress(sqlite3.Error, UnicodeDecodeError), closing(sqlite3.connect(aside, isolation_level=None)) as connection:
        connection.text_factory = readable
        for camera, part, job, ts in connection.execute("SELECT camera, part, job, ts FROM owed NOT INDEXED"):
            if isinstance(camera, str) and isinstance(part, str) and isinstance(job, str | None) and isinstance(ts, float):
                found.append((camera, part, job, ts))
    return found


def _is_sound(row: dict[str, Any]) -> bool:
    """A message that can be taken over: every value is of its kind, and the body is JSON."""
    try:
        body = json.loads(row["body"])
        texts = all(isinstance(row[name], str) for name in ("event_id", "camera", "topic"))
        numbers = all(isinstance(row[name], int | float) for name in ("size", "committed_s", "age_mark_s"))
        places = row["lane"] in (0, 1) and row["rank"] in range(RANK_COUNT) and row["state"] in ("pending", "aside")
        return isinstance(body, dict) and texts and numbers and places and isinstance(row["seq"], int) and 0 < row["seq"] < SEQ_LIMIT
    except (KeyError, TypeError, ValueError, RecursionError):
        return False


def _lock(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_name(path.name + ".lock"), "wb")  # noqa: SIM115 - held until close
        for _ in range(LOOKS):
            with suppress(BlockingIOError):  # who only asks whether it is in use holds it for a moment, too
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            time.sleep(LOOK_AGAIN_S)
        lock.close()
        raise Unavailable(f"outbox {path}: another process writes to it; stop that one or give this node its own node.state_dir")
    except OSError as error:
        raise Unavailable(f"outbox {path}: {error.strerror}; make the folder writable for this user or set node.state_dir") from error


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
    connection.text_factory = readable
    try:
        for pragma in PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise Corrupt("quick_check found damage")
        _migrate(connection, path)
        try:
            is_wrong = any(connection.execute(query).fetchone()[0] for query in WRONG)
        except sqlite3.OperationalError as error:
            if "no such" not in str(error):
                raise
            raise Corrupt(f"it is not whole: {error}") from error
        if is_wrong:
            raise Corrupt("values that cannot be were found in it")
    except BaseException:
        connection.close()
        raise
    return connection


def _beside(path: Path) -> sqlite3.Connection:
    """A second connection, for what must not wait for the first one's transaction."""
    connection = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    connection.text_factory = readable
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the tables to LAYOUT, an older file after a copy of it. Raises Unavailable for a newer one, which is left as it is."""
    is_new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    if is_new:
        steps = "".join(STEPS.values())
        connection.executescript(f"BEGIN IMMEDIATE; {TABLES} {steps} INSERT INTO layout VALUES ({LAYOUT}, strftime('%s')); COMMIT;")
        return
    try:
        found = connection.execute("SELECT max(number) FROM layout").fetchone()[0]
    except sqlite3.OperationalError as error:
        raise Corrupt(f"it is a database of something else: {error}") from error
    if found is None or found > LAYOUT:
        raise Unavailable(
            f"outbox {path}: its layout is {found}, this version reads up to {LAYOUT}; install the newer version or move the file away"
        )
    if found < LAYOUT:
        _back_up(connection, path.with_name(f"{path.name}.layout-{found}"))
    for number in range(found + 1, LAYOUT + 1):
        connection.executescript(f"BEGIN IMMEDIATE; {STEPS[number]} INSERT INTO layout VALUES ({number}, strftime('%s')); COMMIT;")


def _back_up(connection: sqlite3.Connection, copy: Path) -> None:
    """A whole copy of the file as it was before a migration. One that was begun and not finished is made anew."""
    draft = copy.with_name(copy.name + ".new")
    try:
        draft.unlink(missing_ok=True)
        with closing(sqlite3.connect(draft)) as target:
            connection.backup(target)
        draft.replace(copy)
    except OSError as error:
        raise Unavailable(f"outbox {copy}: {error.strerror}; no copy, no migration: make the folder writable for this user") from error


def _remedy(code: int) -> str:
    if code == sqlite3.SQLITE_FULL:
        return "free some disk space"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "close the other program that has it open"
    return "check that the folder exists, is writable for this user and the disk is sound"
