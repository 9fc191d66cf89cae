"""The parts of one camera that somebody asked for and that have no verdict yet. In: requests, committed results. Out: what is owed.

A worker may die with parts in its hands; whoever reads here can then say NOT_INSPECTED for each. Keeps the open requests, by their id.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from edgevision.capture.parts import PartRequest
from edgevision.records import Draft


class PartBook:
    """Every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, PartRequest] = {}

    def __len__(self) -> int:
        with self._lock:
            return len(self._open)

    def add(self, request: PartRequest) -> bool:
        """Owe this part a verdict; False when it is owed already."""
        with self._lock:
            if request.part_id in self._open:
                return False
            self._open[request.part_id] = request
            return True

    def settle(self, drafts: Iterable[Draft]) -> None:
        """These are committed: the parts whose result is among them are owed nothing more."""
        with self._lock:
            for draft in drafts:
                if draft.body.get("type") == "result":
                    self._open.pop(str(draft.body.get("part_id")), None)

    def drop(self, request: PartRequest) -> bool:
        """Owe it nothing: it is refused, and whoever asked is told so. False when it was told of already."""
        with self._lock:
            return self._open.pop(request.part_id, None) is not None

    def take_all(self) -> tuple[PartRequest, ...]:
        """What is owed, in the order in which it was asked for; the caller tells it from here on."""
        with self._lock:
            owed, self._open = tuple(self._open.values()), {}
            return owed
