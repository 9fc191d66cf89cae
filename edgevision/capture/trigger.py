"""When a part is due: `free_run` (never, every frame is looked at), `interval`, `mqtt`, `file`.

In: the time, messages, files. Out: requests for parts. Kept: when the last one was, which files were seen. The clock is passed in.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from edgevision.capture.parts import PartQueue, PartRequest
from edgevision.errors import InputError
from edgevision.records import Settings

MAX_ID = 128
MAX_MESSAGE_BYTES = 4096
_ID = re.compile(r"[^\x00-\x1f\x7f]+")
_SUFFIXES_UNDER_WAY = (".tmp", ".part", ".swp", "~")


class TriggerSettings(Settings):
    """What asks for an inspection, and how long a part may wait."""

    type: Literal["free_run", "interval", "mqtt", "file"] = Field(
        "free_run", description="free_run looks at every frame; the others ask for parts: by time, by an MQTT request, by a new file."
    )
    every_s: float = Field(1.0, gt=0, le=86400, description="Time between two parts, for interval.")
    path: str | None = Field(
        None, max_length=4096, description="For file: a folder whose new files name parts, or a file whose first line does."
    )
    poll_s: float = Field(0.1, ge=0.01, le=60, description="Pause between two looks at the path, for file.")
    delay_s: float = Field(0.0, ge=0, le=600, description="Time from the request until the part is in view.")
    timeout_s: float = Field(2.0, gt=0, le=600, description="A part that no frame shows for so long is not inspected.")
    max_parts: int = Field(32, ge=1, le=1000, description="Parts that may wait; one more is refused as not inspected.")

    @model_validator(mode="after")
    def _path_is_there(self) -> Self:
        if self.type == "file" and not self.path:
            raise ValueError("path is missing; trigger type file needs the folder or file to watch")
        return self


class Trigger(Protocol):
    """What asks for parts. Used from one thread."""

    def due(self, now_ts: float) -> tuple[PartRequest, ...]:
        """The parts that have become due since the last call. `now_ts` is the time on the clock of the frames."""


class NeverDue:
    """`free_run` and `mqtt`: nothing becomes due by itself; MQTT requests go to the PartQueue when they come."""

    def due(self, now_ts: float) -> tuple[PartRequest, ...]:
        """See Trigger."""
        return ()


class IntervalTrigger:
    """A part every `every_s`, counted from the first call. What was missed is not made up for."""

    def __init__(self, every_s: float, camera_id: str) -> None:
        self._every_s = every_s
        self._camera_id = camera_id
        self._next_ts: float | None = None

    def due(self, now_ts: float) -> tuple[PartRequest, ...]:
        """See Trigger. The part is named by camera and time."""
        if self._next_ts is None or now_ts < self._next_ts - 2 * self._every_s:  # the first call, or the clock was set back
            self._next_ts = now_ts
        if now_ts < self._next_ts:
            return ()
        self._next_ts += self._every_s * (math.floor((now_ts - self._next_ts) / self._every_s) + 1)
        return (PartRequest(f"{self._camera_id}-{round(now_ts * 1000)}", now_ts),)


class FileTrigger:
    """A new file in a folder names a part by its stem; or a file that is written again names one in its first line."""

    def __init__(self, path: Path, poll_s: float) -> None:
        """What is there already names no part."""
        self._path = path
        self._poll_s = poll_s
        self._looked_ts: float | None = None
        self._seen = self._look()

    def due(self, now_ts: float) -> tuple[PartRequest, ...]:
        """See Trigger. A path that cannot be read just now names no part."""
        if self._looked_ts is not None and 0 <= now_ts - self._looked_ts < self._poll_s:
            return ()
        self._looked_ts = now_ts
        seen = self._look()
        if seen is None:
            return ()
        before, self._seen = self._seen or {}, seen
        is_new = (lambda name: name not in before) if self._path.is_dir() else (lambda name: before.get(name) != seen[name])
        names = sorted(filter(is_new, seen), key=lambda name: (seen[name], name))
        return tuple(PartRequest(part_id, now_ts) for name in names if (part_id := self._part_id(name)) is not None)

    def _look(self) -> dict[str, int] | None:
        """Name to time of last change; None when it cannot be looked at now, which is not the same as empty."""
        try:
            if not self._path.is_dir():
                return {self._path.name: self._path.stat().st_mtime_ns}
            with os.scandir(self._path) as entries:
                return {entry.name: entry.stat().st_ctime_ns for entry in entries if entry.is_file() and not _is_under_way(entry.name)}
        except OSError:
            return None

    def _part_id(self, name: str) -> str | None:
        if self._path.is_dir():
            return Path(name).stem[:MAX_ID]
        try:
            with self._path.open("rb") as file:
                line = file.read(4 * MAX_ID).decode(errors="replace").partition("\n")[0].strip()
        except OSError:
            return None
        return line[:MAX_ID] or None


def build_trigger(settings: TriggerSettings, camera_id: str) -> Trigger:
    """The trigger that the settings ask for."""
    if settings.type == "interval":
        return IntervalTrigger(settings.every_s, camera_id)
    if settings.type == "file" and settings.path is not None:
        return FileTrigger(Path(settings.path), settings.poll_s)
    return NeverDue()


def build_queue(settings: TriggerSettings) -> PartQueue:
    """The queue that this trigger's parts wait in."""
    return PartQueue(settings.max_parts, settings.timeout_s, settings.delay_s)


def parse_request(message: bytes | str | Mapping[str, Any], now_ts: float) -> PartRequest:
    """The part that an MQTT request names: `{"part_id": "A17", "job_id": "J3"}`, other keys are ignored. Raises InputError.

    The message comes from outside: size, kind and characters are checked.
    """
    if isinstance(message, bytes | str):
        if len(message) > MAX_MESSAGE_BYTES:
            raise InputError(f"request: {len(message)} bytes; the limit is {MAX_MESSAGE_BYTES}; send part_id and job_id only")
        try:
            message = json.loads(message)
        except (ValueError, RecursionError) as error:
            raise InputError('request: not JSON; send {"part_id": "...", "job_id": "..."}') from error
    if not isinstance(message, Mapping):
        raise InputError(f'request: a JSON {type(message).__name__}; send an object, {{"part_id": "..."}}')
    part_id = _checked_id(message, "part_id")
    if part_id is None:
        raise InputError("request: part_id is missing; name the part")
    return PartRequest(part_id, now_ts, _checked_id(message, "job_id"))


def _checked_id(message: Mapping[str, Any], key: str) -> str | None:
    value = message.get(key)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID or not _ID.fullmatch(value):
        raise InputError(f"request: {key} must be a text of 1 to {MAX_ID} printable characters; shorten or clean it")
    return value


def _is_under_way(name: str) -> bool:
    return name.startswith(".") or name.endswith(_SUFFIXES_UNDER_WAY)
