"""The outbox's file as others may read it, also while the service writes it. In: a path. Out: numbers, messages, findings. Changes nothing.

A broken file is read as far as it can be, so a file that was set aside can be looked at, too.
"""

from __future__ import annotations

import fcntl
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgevision.errors import Unavailable
from edgevision.publish.bounds import RANKS
from edgevision.publish.storage import LAYOUT, Corrupt, broken_files, readable, translated
from edgevision.publish.stored import Lane

STATES = ("pending", "aside", "acked")
FINDINGS_AT_MOST = 100


class Ledger:
    """One outbox file, opened for reading. Raises Unavailable when there is none, or it is no outbox."""

    def __init__(self, path: Path):
        self.path = path
        try:
            path.open("rb").close()
        except FileNotFoundError as error:
            text = "there is no such file; name the configuration of a service that has run, or the file itself"
            raise Unavailable(f"outbox {path}: {text}") from error
        except OSError as error:
            raise Unavailable(f"outbox {path}: {error.strerror}; ask as the service's user or as root") from error
        try:
            with translated(path):
                self._connection = _open(path)
                self.layout = self._connection.execute("SELECT max(number) FROM layout").fetchone()[0]
        except Corrupt as error:
            raise Unavailable(f"outbox {path}: {error}; nothing of it can be read") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._connection.close()

    @property
    def is_in_use(self) -> bool:
        """True while a service has the outbox open."""
        return is_in_use(self.path)

    def stats(self, now_s: float) -> dict[str, Any]:
        """The numbers as of now; `totals` count since the file was made."""
        tally = self._rows("SELECT state, messages, bytes FROM tally")
        states = {state: {"messages": count, "bytes": size} for state, count, size in tally}
        lanes = self._rows("SELECT camera, lane, count(*), min(seq) FROM message WHERE state = 'pending' GROUP BY camera, lane")
        marks = dict(self._rows("SELECT name, value FROM number"))
        oldest_s = self._rows("SELECT min(age_mark_s) FROM message WHERE state = 'pending'")[0][0]
        pause_s = max(0.0, now_s - marks["wall_s"])
        return {
            "path": str(self.path),
            "is_in_use": self.is_in_use,
            "layout": self.layout,
            "last_seq": int(marks["last_seq"]),
            **states,
            "oldest_age_s": 0.0 if oldest_s is None else round(max(0.0, marks["elapsed_s"] + pause_s - oldest_s), 1),
            "lanes": [
                {"camera": camera, "lane": _lane(lane), "messages": count, "first_seq": first_seq}
                for camera, lane, count, first_seq in lanes
            ],
            "totals": dict(self._rows("SELECT name, value FROM total")) if self.layout > 1 else {},
            "gaps": self._rows("SELECT count(*) FROM gap")[0][0],
            "broken_files": [file.name for file in broken_files(self.path)],
        }

    def messages(self, state: str = "pending", limit: int = -1) -> Iterator[dict[str, Any]]:
        """The messages of a state, oldest first; `limit` -1 is all. A body that is no JSON is given as text."""
        names = ("seq", "event_id", "camera", "lane", "rank", "topic", "reason", "committed_s", "size", "body")
        query = f"SELECT {', '.join(names)} FROM message WHERE state = ? ORDER BY seq LIMIT ?"
        with translated(self.path):
            for row in self._connection.execute(query, (state, limit)):
                message = dict(zip(names, row, strict=True))
                yield message | {"lane": _lane(message["lane"]), "rank": _rank(message["rank"]), "body": _body(message["body"])}

    def gaps(self) -> list[dict[str, Any]]:
        """What was dropped, oldest first."""
        names = ("noted_s", "camera", "rank", "first_seq", "last_seq", "lost", "reason")
        return [dict(zip(names, row, strict=True)) for row in self._rows(f"SELECT {', '.join(names)} FROM gap ORDER BY number")]

    def verify(self) -> list[str]:
        """Everything that is not as it must be, one line each; empty when the file is sound. Looks at every page and message."""
        found: list[str] = []
        try:
            found += [text for (text,) in self._rows(f"PRAGMA integrity_check({FINDINGS_AT_MOST})") if text != "ok"]
            if self.layout != LAYOUT:
                found.append(f"its layout is {self.layout}, this version writes {LAYOUT}; it is brought to it at the next start")
            found += self._miscounted()
            last_seq = self._rows("SELECT value FROM number WHERE name = 'last_seq'")[0][0]
            for state in STATES:
                for message in self.messages(state):
                    found += _wrong_in(message, last_seq)
                    if len(found) >= FINDINGS_AT_MOST:
                        return found
        except (Corrupt, Unavailable) as error:
            found.append(f"unreadable: {error}")
        return found

    def _miscounted(self) -> list[str]:
        found = self._rows("SELECT state, count(*), sum(size) FROM message GROUP BY state")
        counted = {state: (count, size) for state, count, size in found}
        kept = self._rows("SELECT state, messages, bytes FROM tally")
        return [
            f"{state}: {count} messages of {size} bytes are on its books, {counted.get(state, (0, 0))} are there"
            for state, count, size in kept
            if (count, size) != counted.get(state, (0, 0))
        ]

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        with translated(self.path):
            return self._connection.execute(query, values).fetchall()


def is_in_use(path: Path) -> bool:
    """Whether a process holds the outbox's lock."""
    try:
        with open(path.with_name(path.name + ".lock"), "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _open(path: Path) -> sqlite3.Connection:
    """Read only; where even that is not allowed to make SQLite's companion files, as a file that does not change."""
    address = path.absolute().as_uri()
    for mode in ("mode=ro", "immutable=1"):
        connection = sqlite3.connect(f"{address}?{mode}", uri=True, timeout=5.0)
        connection.text_factory = readable
        try:
            connection.execute("SELECT count(*) FROM message").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            if mode == "immutable=1":
                raise
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise Unavailable(f"outbox {path}: cannot be read")


def _body(raw: bytes | str) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode(errors="replace") if isinstance(raw, bytes) else raw


def _lane(number: int) -> str:
    return {lane.value: lane.name.lower() for lane in Lane}.get(number, f"unknown lane {number!r}")


def _rank(number: int) -> str:
    return dict(enumerate(RANKS)).get(number, f"unknown rank {number!r}")


def _wrong_in(message: dict[str, Any], last_seq: int) -> list[str]:
    """What is wrong with one message."""
    seq, body = message["seq"], message["body"]
    if not isinstance(body, dict):
        return [f"message {seq}: its body is no JSON object"]
    found = []
    if body.get("seq") != seq:
        found.append(f"message {seq}: its body says seq {body.get('seq')}")
    if seq > last_seq:
        found.append(f"message {seq}: its number was never given out; the last one is {last_seq}")
    return found
