"""Wakes a thread that waits for sockets. In: rings, from any thread. Out: a descriptor, readable after a ring. Keeps it open."""

from __future__ import annotations

import os
import select
import threading


class Bell:
    """Ring as often as you like: one who waits wakes once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._descriptor: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def fileno(self) -> int:
        """The descriptor to wait for; -1 once closed."""
        return -1 if self._descriptor is None else self._descriptor

    def ring(self) -> None:
        """Wake whoever waits, now or next."""
        with self._lock:
            if self._descriptor is not None:
                os.eventfd_write(self._descriptor, 1)

    def wait(self, timeout_s: float) -> bool:
        """Wait for a ring and take it; False when none came."""
        if not select.select([self], [], [], timeout_s)[0]:
            return False
        os.eventfd_read(self.fileno())
        return True

    def close(self) -> None:
        """Give the descriptor back; rings are silent afterwards."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
