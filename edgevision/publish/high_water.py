"""Which sequence numbers were given out, beside the outbox's own file: so that none is given out twice when that file is broken or gone.

In: a number about to be used. Out: one that no message has. Kept: `<outbox>.seq`, a number that is never below the last one given out and
hardly above it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from edgevision.publish.storage import SEQ_LIMIT

AHEAD = 1000  # numbers that one write covers; so many at most are left out after a break


class HighWater:
    """One outbox's mark. Never raises: what it cannot write it tries again with the next number, and a broken outbox is rare enough."""

    def __init__(self, path: Path):
        self._path = path.with_name(path.name + ".seq")
        self.mark = self._read()

    def cover(self, seq: int) -> None:
        """Before `seq` is used."""
        if seq <= self.mark:
            return
        mark = seq + AHEAD
        draft = self._path.with_name(self._path.name + ".new")
        with suppress(OSError):
            with draft.open("w", encoding="ascii") as file:
                file.write(f"{mark}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
            self.mark = mark

    def least(self, last_seq: int) -> int:
        """The last number that may have been given out, where a sound outbox says `last_seq`: more, if that file is older than the mark."""
        return self.mark if self.mark - AHEAD > last_seq else last_seq

    def _read(self) -> int:
        try:
            with self._path.open("rb") as file:
                mark = int(file.read(32))
        except (OSError, ValueError):
            return 0
        return mark if 0 <= mark < SEQ_LIMIT // 2 else 0
