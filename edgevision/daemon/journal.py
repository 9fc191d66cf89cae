"""The service's log: one line a problem and second, with the total, on standard error where journald reads it."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable


class OncePerSecond(logging.Filter):
    """Lets a problem through at most once a second and says how many were held back.

    A problem is a message template, so that changing values in it do not defeat the limit.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """True when the line may pass."""
        now, key = self._clock(), f"{record.name}:{record.levelno}:{record.msg}"
        last, held = self._last.get(key, (float("-inf"), 0))
        if now - last < 1.0:
            self._last[key] = (last, held + 1)
            return False
        if held:
            record.msg = f"{record.msg} ({held} more like it)"
        self._last[key] = (now, 0)
        return True


def start_journal(level: int = logging.INFO) -> logging.Logger:
    """The logger `edgevision`, writing `<priority>text` lines as journald reads them."""
    logger = logging.getLogger("edgevision")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Priority("%(levelname)s %(message)s"))
    handler.addFilter(OncePerSecond())
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    return logger


class _Priority(logging.Formatter):
    """Prefixes the syslog priority under systemd, which sets JOURNAL_STREAM; a terminal sees plain lines."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record).replace("\n", " | ")
