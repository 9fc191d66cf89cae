"""The service's log: one line a problem and second, with the total, on standard error where journald reads it. None shows a credential."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import MappingProxyType

from edgevision.capture.redact import redact

PROBLEMS = 1000  # from so many on, those that are over are forgotten
_NUMBER = re.compile(r"[0-9]+")
_PRIORITY = MappingProxyType({"CRITICAL": 2, "ERROR": 3, "WARNING": 4, "INFO": 6, "DEBUG": 7})


class OncePerSecond(logging.Filter):
    """Lets a problem through at most once a second and says how many were held back.

    A problem is a line without its numbers, so that changing ones do not defeat the limit, and two problems never hide each other.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        super().__init__()
        self._clock = clock
        self._last: dict[str, tuple[float, int]] = {}
        self._held: dict[str, logging.LogRecord] = {}  # the last one of each problem that was held back

    def filter(self, record: logging.LogRecord) -> bool:
        """True when the line may pass."""
        now, key = self._clock(), f"{record.levelno}:{_NUMBER.sub('#', record.getMessage())}"
        if len(self._last) >= PROBLEMS:
            self._last = {known: (last, held) for known, (last, held) in self._last.items() if now - last < 1.0 or held}
        last, held = self._last.get(key, (float("-inf"), 0))
        if now - last < 1.0:
            self._last[key] = (last, held + 1)
            self._held[key] = record
            return False
        record.held = held
        self._last[key] = (now, 0)
        self._held.pop(key, None)
        return True

    def take_held(self, is_over: bool) -> list[logging.LogRecord]:
        """The last line of each problem of which some were held back and which has rested since; when `is_over`, of each."""
        now, taken = self._clock(), []
        for key, record in list(self._held.items()):
            last, held = self._last.get(key, (float("-inf"), 0))
            if held and (is_over or now - last >= 1.0):
                self._held.pop(key, None)
                self._last[key] = (now, 0)
                record.held = held - 1
                taken.append(record)
        return taken


def start_journal(level: int = logging.INFO, form: str = "text", camera: str | None = None) -> logging.Logger:
    """The logger `edgevision`, writing lines to standard error; under systemd each with its `<priority>`, which journald reads.

    `form` json makes each line an object of ts, level, camera (None for the supervisor), text, held and, after a fault, trace.
    """
    logger = logging.getLogger("edgevision")
    handler = logging.StreamHandler(sys.stderr)
    has_journal = "JOURNAL_STREAM" in os.environ
    handler.setFormatter(_JsonLine(has_journal, camera) if form == "json" else _Line(has_journal))
    handler.addFilter(OncePerSecond())
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    logger.disabled = False  # a library's logging configuration may have switched off what was there before it
    return logger


def tell_held(is_over: bool = False) -> None:
    """Write what was held back of problems that have come to rest, so that every one is in some line's number. Call it now and then; at
    the end with `is_over`.
    """
    for handler in logging.getLogger("edgevision").handlers:
        held = [record for each in handler.filters if isinstance(each, OncePerSecond) for record in each.take_held(is_over)]
        for record in held:
            handler.acquire()
            try:
                handler.emit(record)
            finally:
                handler.release()


class _Line(logging.Formatter):
    """One line a record, whatever is in it. It begins with the syslog priority under systemd, with the level's name elsewhere."""

    def __init__(self, has_journal: bool):
        super().__init__("%(message)s")
        self._has_journal = has_journal

    def format(self, record: logging.LogRecord) -> str:
        start = _priority(record) if self._has_journal else f"{record.levelname} "
        text = redact(super().format(record)).replace("\n", " | ")
        held = getattr(record, "held", 0)
        return f"{start}{text}{f' ({held} more like it)' if held else ''}"


class _JsonLine(logging.Formatter):
    """The same for programs."""

    def __init__(self, has_journal: bool, camera: str | None):
        super().__init__("%(message)s")
        self._has_journal = has_journal
        self._camera = camera

    def format(self, record: logging.LogRecord) -> str:
        plain = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "camera": self._camera,
            "text": redact(record.getMessage()),
            "held": getattr(record, "held", 0),
        }
        if record.exc_info:
            plain["trace"] = redact(self.formatException(record.exc_info))
        return f"{_priority(record) if self._has_journal else ''}{json.dumps(plain)}"


def _priority(record: logging.LogRecord) -> str:
    return f"<{_PRIORITY.get(record.levelname, 5)}>"
