"""Commits of several workers in one write to the disk. In: drafts from any thread. Out: they are durable when `commit` returns. Keeps none.

Whoever comes while a write is under way waits and goes with the next one, together with all who came meanwhile: a slow disk then costs a
camera two writes at most, however many cameras there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgevision.errors import EdgevisionError, Unavailable
from edgevision.records import Draft


@dataclass(eq=False)
class _Batch:
    drafts: tuple[Draft, ...]
    is_done: bool = False
    error: EdgevisionError | None = None


class Committer:
    """Stands before an outbox. Every method may be called from any thread."""

    def __init__(self, commit: Callable[[Sequence[Draft]], None]):
        self._write = commit
        self._moved = threading.Condition()
        self._waiting: list[_Batch] = []
        self._is_writing = False

    def commit(self, drafts: Sequence[Draft]) -> None:
        """Make the drafts durable, all or none. Raises as `Outbox.commit` does, for these drafts alone."""
        batch, mine = _Batch(tuple(drafts)), list[_Batch]()
        with self._moved:
            self._waiting.append(batch)
            self._moved.wait_for(lambda: batch.is_done or not self._is_writing)
            if not batch.is_done:
                self._is_writing = True
                mine, self._waiting = self._waiting, []
        if not batch.is_done:
            try:
                self._settle(mine)
            finally:
                with self._moved:
                    self._is_writing = False
                    self._moved.notify_all()
        if batch.error is not None:
            raise batch.error

    def _settle(self, batches: list[_Batch]) -> None:
        """One write for all; where it is refused, one for each, so that one bad draft stops no other."""
        try:
            self._write([draft for batch in batches for draft in batch.drafts])
        except Unavailable as error:
            for batch in batches:
                batch.error = error
        except EdgevisionError as error:
            for batch in batches:
                batch.error = error if len(batches) == 1 else self._alone(batch)
        except Exception as error:  # a fault of ours: nobody may take it for done
            for batch in batches:
                batch.error = Unavailable(f"outbox: {type(error).__name__}: {error}; please report this")
        finally:
            for batch in batches:
                batch.is_done = True

    def _alone(self, batch: _Batch) -> EdgevisionError | None:
        try:
            self._write(batch.drafts)
        except EdgevisionError as error:
            return error
        return None
