"""Who changed what: every command from outside, on disk, with what came of it. In: commands. Out: one line of JSON each, synced.

Kept: two files of at most LIMIT_BYTES each; when the newer one is full, the older one goes. MQTT does not say who sent a message; the
broker's ACL decides who may.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

from edgevision.errors import Unavailable
from edgevision.publish.payload import rfc3339

LIMIT_BYTES = 5_000_000
SHOWN_BYTES = 512


class Audit:
    """One file, written by one process."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, limit_bytes: int = LIMIT_BYTES):
        self._path = path
        self._clock = clock
        self._limit_bytes = limit_bytes

    def note(self, topic: str, payload: bytes, outcome: str, before: str | None = None, after: str | None = None) -> None:
        """Write down a command before it takes effect, or why it does not. Raises Unavailable when that cannot be written."""
        shown = payload[:SHOWN_BYTES].decode(errors="replace")
        line: dict[str, str | None] = {"ts": rfc3339(self._clock()), "topic": topic[:SHOWN_BYTES], "payload": shown, "outcome": outcome}
        line |= {} if before is None and after is None else {"before": before, "after": after}
        try:
            self._make_room()
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"audit {self._path}: {error.strerror}; without a record nothing is changed") from error

    def _make_room(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists() and self._path.stat().st_size > self._limit_bytes:
            os.replace(self._path, self._path.with_name(self._path.name + ".1"))
