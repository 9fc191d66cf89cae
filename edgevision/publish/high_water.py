"""Which sequence numbers were given out, beside the outbox's own file: so that none is given out twice when that file is broken or gone.

In: a number about to be used. Out: one that no message has. Kept: `<outbox>.seq`, two numbers: one that is never below the last one given
out and hardly above it, and the last one that was committed when this was written.
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
        self.mark, self._committed = self._read()

    def cover(self, seq: int, committed: int) -> None:
        """Before `seq` is used; `committed`: the last one in a message that is on disk. What is killed between leaves no gap."""
        if seq <= self.mark:
            return
        mark = seq + AHEAD
        draft = self._path.with_name(self._path.name + ".new")
        with suppress(OSError):
            with draft.open("w", encoding="ascii") as file:
                file.write(f"{mark} {committed}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self._path)
            self.mark, self._committed = mark, committed

    def least(self, last_seq: int, is_new: bool = False) -> int:
        """The last number that may have been given out, where a sound outbox says `last_seq`: more, if the file is new or an old copy."""
        return self.mark if is_new or last_seq < self._committed else last_seq

    def _read(self) -> tuple[int, int]:
        try:
            with self._path.open("rb") as file:
                mark, committed = (int(part) for part in file.read(64).split())
        except (OSError, ValueError):
            return 0, 0
        return (mark, committed) if 0 <= committed <= mark < SEQ_LIMIT // 2 else (0, 0)
