"""Pictures of what was found, on disk, named in the message that tells of it. In: an inspection, its frame. Out: it, with path and sha256.

Kept: one folder a camera, never above its bound in bytes; what is too old goes with the next picture, at the latest. The oldest goes first,
and only our own pictures go. An event does not wait for its picture: where the disk is full or nearly so, it goes without one, and that is
counted; and pictures are not synced, so that after a power cut the newest may be missing or short, which their sha256 tells.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from pydantic import Field

from edgevision.publish.stored import Tell
from edgevision.records import Image, Inspection, Phase, Settings

OURS = re.compile(r"[0-9]{8}T[0-9]{9}Z-[A-Z_]+-[0-9]+-[0-9a-f]{8}\.(jpg|png)")
LATEST = "latest"
Done = Callable[[Mapping[str, Any]], None]


class PictureSettings(Settings):
    """Which pictures are kept on disk, and how many."""

    keep: tuple[Literal["OK", "NG", "WARN", "NOT_INSPECTED"], ...] = Field(
        ("NG", "WARN"), description="Verdicts whose parts and events get a picture; none: []."
    )
    limit_mb: float = Field(1024.0, ge=0, le=1e7, description="Size of a camera's pictures above which the oldest go.")
    limit_days: float = Field(30.0, gt=0, le=3650, description="Pictures older than this many days go.")
    min_free_mb: float = Field(512.0, ge=0, le=1e7, description="No picture is kept while the disk has less room than this.")
    format: Literal["jpg", "png"] = Field("jpg", description="png keeps every bit, also of 16 bit cameras, and is some ten times larger.")
    quality: int = Field(90, ge=1, le=100, description="Quality of a jpg.")
    url: str | None = Field(None, max_length=512, description="Where others find the folder of all pictures; messages then carry a URL.")


@dataclass(frozen=True, slots=True)
class _Kept:
    name: str
    size: int
    ts: float


class Pictures:
    """One camera's folder. `want` is for any thread, the rest for the worker's."""

    def __init__(
        self,
        folder: Path,
        settings: PictureSettings,
        *,
        clock: Callable[[], float] = time.time,
        count: Callable[[str], None] = lambda name: None,
        tell: Tell = lambda level, text: None,
    ):
        """`folder` is made with the first picture; `count` is told of pictures_kept, pictures_missed and pictures_removed."""
        self.folder = folder
        self.settings = settings
        self._clock = clock
        self._count = count
        self._tell = tell
        self._kept: deque[_Kept] | None = None
        self._bytes = 0
        self._wanted: deque[Done] = deque()
        self._lock = threading.Lock()

    def want(self, done: Done) -> None:
        """Keep the next frame, whatever its verdict; `done` gets its path and sha256, or an error."""
        with self._lock:
            self._wanted.append(done)

    def with_picture(self, inspection: Inspection, image: Image) -> Inspection:
        """The inspection with its picture, where one is due: for a part or an event of a verdict that is kept, or because one was wanted.

        Never raises for a disk that fails.
        """
        with self._lock:
            wanted, self._wanted = self._wanted, deque()
        is_due = inspection.verdict.value in self.settings.keep and (
            inspection.part_id is not None or any(event.phase is not Phase.END for event in inspection.events)
        )
        if not (is_due or wanted):
            return inspection
        begun_s = time.perf_counter()
        try:
            kept = self._write(inspection, image)
        except (OSError, cv2.error) as error:
            self._count("pictures_missed")
            self._tell("error", f"{inspection.camera}: no picture is kept: {error}")
            _answer(wanted, {"status": "error", "error": f"no picture can be kept: {error}"})
            return inspection
        self._count("pictures_kept")
        _answer(wanted, {"status": "ok", **kept})
        timing_ms = {**inspection.timing_ms, "picture": 1e3 * (time.perf_counter() - begun_s)}
        return replace(inspection, image=kept if is_due else None, timing_ms=timing_ms)

    def trim(self, room_bytes: int = 0) -> None:
        """Remove the oldest pictures until the bounds hold, with so much room to spare. Raises OSError."""
        kept = self._known()
        oldest_ts = self._clock() - self.settings.limit_days * 86400
        while kept and (self._bytes + room_bytes > self.settings.limit_mb * 1e6 or kept[0].ts < oldest_ts):
            (self.folder / kept[0].name).unlink(missing_ok=True)
            self._bytes -= kept.popleft().size
            self._count("pictures_removed")

    def _write(self, inspection: Inspection, image: Image) -> dict[str, str]:
        """The picture on disk, whole; its place and fingerprint. Raises OSError when there is no room for it."""
        content = _encoded(image, self.settings)
        sha256 = hashlib.sha256(content).hexdigest()
        stamp = datetime.fromtimestamp(inspection.ts, UTC).strftime("%Y%m%dT%H%M%S%f")[:-3]
        name = f"{stamp}Z-{inspection.verdict.value}-{max(0, inspection.frame_seq)}-{sha256[:8]}.{self.settings.format}"
        path = self.folder / name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.trim(len(content))
        if not path.exists():  # a recording that is played again shows the same
            self._refuse_if_tight(len(content))
            _replace(path, content)
            self._known().append(_Kept(name, len(content), self._clock()))
            self._bytes += len(content)
        _point(self.folder / LATEST, name)
        kept = {"path": str(path), "sha256": sha256}
        if self.settings.url is not None:
            kept["url"] = f"{self.settings.url.rstrip('/')}/{self.folder.name}/{name}"
        return kept

    def _refuse_if_tight(self, size: int) -> None:
        """Raises OSError where the picture would break a bound."""
        if size > self.settings.limit_mb * 1e6:
            raise OSError(f"it has {size} bytes, more than pictures.limit_mb allows for all")
        room = os.statvfs(self.folder)
        if room.f_bavail * room.f_frsize - size < self.settings.min_free_mb * 1e6:
            raise OSError(f"the disk has less than {self.settings.min_free_mb:g} MB left (pictures.min_free_mb); free some space")

    def _known(self) -> deque[_Kept]:
        """What is in the folder, oldest first; read once. Unfinished pictures of a killed worker go."""
        if self._kept is None:
            found = []
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if OURS.fullmatch(entry.name):
                        known = entry.stat()
                        found.append(_Kept(entry.name, known.st_size, known.st_mtime))
                    elif OURS.fullmatch(entry.name[1:]):
                        Path(entry.path).unlink(missing_ok=True)
            self._kept = deque(sorted(found, key=lambda kept: (kept.ts, kept.name)))
            self._bytes = sum(kept.size for kept in found)
        return self._kept


def _replace(path: Path, content: bytes) -> None:
    """The file at once and whole, or not at all."""
    draft = path.with_name(f".{path.name}")
    try:
        with draft.open("wb") as file:
            file.write(content)
        draft.replace(path)
    except OSError:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        raise


def _point(link: Path, name: str) -> None:
    """`latest` names the newest picture, for people and the status page."""
    draft = link.with_name(f".{link.name}")
    draft.unlink(missing_ok=True)
    draft.symlink_to(name)
    draft.replace(link)


def _encoded(image: Image, settings: PictureSettings) -> bytes:
    if settings.format == "jpg":
        plain = image if image.dtype == np.uint8 else (image >> 8).astype(np.uint8)
        is_done, content = cv2.imencode(".jpg", plain, (cv2.IMWRITE_JPEG_QUALITY, settings.quality))
    else:
        is_done, content = cv2.imencode(".png", image)
    if not is_done:
        raise OSError(f"it cannot be written as {settings.format}")
    return content.tobytes()


def _answer(wanted: deque[Done], body: Mapping[str, Any]) -> None:
    for done in wanted:
        done(body)
