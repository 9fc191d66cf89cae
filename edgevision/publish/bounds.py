"""How much the outbox keeps: what is dropped when it is over its bounds, in which order, and how that is written down.

In: an open transaction and limits. Out: the losses. Keeps nothing but the AgeClock's start.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

RANKS = ("health", "ok", "warn", "ng", "gap")  # dropped in this order; a gap message is never dropped
GAP = RANKS.index("gap")
BATCH = 256
PLAUSIBLE_PAUSE_S = 30 * 86400


class AgeClock:
    """Seconds that the outbox has existed: it never runs backwards when the wall clock is set, and counts a pause only when plausible.

    A clock that jumps from 1970 to today at boot must not age every message by decades.
    """

    def __init__(self, elapsed_s: float, left_wall_s: float, wall_s: float, monotonic: Callable[[], float]):
        pause_s = wall_s - left_wall_s
        self._start_s = elapsed_s + (pause_s if 0 < pause_s <= PLAUSIBLE_PAUSE_S and left_wall_s > 0 else 0.0)
        self._monotonic = monotonic
        self._origin_s = monotonic()

    def now(self) -> float:
        """The age of the outbox, in seconds."""
        return self._start_s + self._monotonic() - self._origin_s


@dataclass(frozen=True, slots=True)
class Loss:
    """One message that was dropped, and why."""

    seq: int
    camera: str
    topic: str
    rank: str
    reason: str


def trim_pending(connection: sqlite3.Connection, limit_bytes: float, oldest_mark_s: float) -> list[Loss]:
    """Drop what waited since before `oldest_mark_s`, then, while over `limit_bytes`, by rank and age; what was dropped."""
    losses = _drop(
        connection,
        "SELECT seq, camera, topic, rank, size FROM message WHERE state = 'pending' AND age_mark_s < ? AND rank < ? ORDER BY age_mark_s",
        (oldest_mark_s, GAP),
        "it waited too long",
        float("inf"),
    )
    excess = _bytes(connection, "pending") - limit_bytes
    if excess > 0:
        losses += _drop(
            connection,
            "SELECT seq, camera, topic, rank, size FROM message WHERE state = 'pending' AND rank < ? ORDER BY rank, seq",
            (GAP,),
            "the outbox was full",
            excess,
        )
    return losses


def trim_history(connection: sqlite3.Connection, limit_bytes: float, oldest_mark_s: float) -> None:
    """Forget delivered messages, oldest first, while there is more than the limits allow. At most one batch a call."""
    excess = _bytes(connection, "acked") - limit_bytes
    oldest = connection.execute("SELECT seq, size, age_mark_s FROM message WHERE state = 'acked' ORDER BY seq LIMIT ?", (BATCH,)).fetchall()
    for seq, size, mark_s in oldest:
        if excess <= 0 and mark_s >= oldest_mark_s:
            return
        connection.execute("DELETE FROM message WHERE seq = ?", (seq,))
        excess -= size


def write_gaps(connection: sqlite3.Connection, losses: Sequence[Loss], now_s: float) -> None:
    """Put the losses on record: one line a camera, class and reason."""
    groups: dict[tuple[str, str, str], list[int]] = {}
    for loss in losses:
        groups.setdefault((loss.camera, loss.rank, loss.reason), []).append(loss.seq)
    for (camera, rank, reason), seqs in groups.items():
        connection.execute(
            "INSERT INTO gap (camera, rank, first_seq, last_seq, lost, reason, noted_s) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (camera, rank, min(seqs), max(seqs), len(seqs), reason, now_s),
        )
    connection.execute("DELETE FROM gap WHERE number <= (SELECT max(number) FROM gap) - 100000")


def _drop(connection: sqlite3.Connection, query: str, values: tuple[float, ...], reason: str, excess: float) -> list[Loss]:
    losses: list[Loss] = []
    while excess > 0:
        batch = connection.execute(f"{query} LIMIT {BATCH}", values).fetchall()
        for seq, camera, topic, rank, size in batch:
            if excess <= 0:
                break
            connection.execute("DELETE FROM message WHERE seq = ?", (seq,))
            losses.append(Loss(seq, camera, topic, RANKS[rank], reason))
            excess -= size
        if len(batch) < BATCH:
            break
    return losses


def _bytes(connection: sqlite3.Connection, state: str) -> int:
    size: int = connection.execute("SELECT bytes FROM tally WHERE state = ?", (state,)).fetchone()[0]
    return size
