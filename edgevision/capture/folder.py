"""A folder of pictures as a camera, read once or watched for new ones.

In: a folder. Out: read once, every picture in natural order (`part2` before `part10`), `ts = start_ts + k / fps`; watched, every picture
that is complete, in order of arrival, `ts` when it was read. Kept: the names still to come, and when watched those already given. A
damaged picture is a BadFrame naming the file, and the next one follows.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgevision.capture.picture import SUFFIXES, Colour, read_picture
from edgevision.errors import BadFrame, CameraError, EndOfStream
from edgevision.records import Image, Settings
from edgevision.registry import Registry

_EMPTY_PATIENCE_S = 5.0


class FolderSettings(Settings):
    """Which folder is read, and how."""

    type: Literal["folder"] = Field("folder", description="A folder of pictures.")
    path: str = Field(description="The folder.", min_length=1, max_length=4096)
    watch: bool = Field(False, description="Keep waiting for new pictures instead of ending after the last one.")
    part_id: Literal["none", "stem"] = Field("none", description="stem: each picture shows one part, named as the file without its suffix.")
    colour: Colour = Field("auto", description="auto leaves gray pictures gray; bgr or gray converts them all.")
    fps: float = Field(1.0, gt=0, le=1000, description="Pictures a second that the time stamps tell, when not watched.")
    start_ts: float = Field(0.0, ge=0, le=1e11, description="Time of the first picture, seconds since the epoch, when not watched.")
    settle_s: float = Field(0.3, ge=0, le=60, description="A watched picture is complete when its size and time rested so long.")
    poll_s: float = Field(0.1, ge=0.01, le=60, description="Pause between two looks into a watched folder.")
    max_file_mb: int = Field(200, ge=1, le=4096, description="A picture file larger than this is not read.")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file as it lay in the folder. `changed_ns` is the time of its last change of any kind; for a file moved in, of the move."""

    name: str
    size: int
    inode: int
    modified_ns: int
    changed_ns: int

    @property
    def place(self) -> str:
        """Where it stands in the order of arrival, as text that sorts so."""
        return f"{self.changed_ns:020d}/{self.name}"


class FolderSource:
    """interfaces.Source over a folder read once; also keeps decoder.Resumable."""

    finite = True
    lossless = True
    place: str | None = None

    def __init__(self, settings: FolderSettings) -> None:
        self.settings = settings
        self.part_id: str | None = None
        self._folder = Path(settings.path).absolute()
        self._names: list[str] = []
        self._position = 0

    def recover(self, crashes: int, place: str | None) -> None:
        """See decoder.Resumable: a folder has one reader only, and is wound on by `skip`."""

    def open(self) -> None:
        """Raises CameraError for a folder that is missing, unreadable or holds no picture."""
        self._names = natural_order([sighting.name for sighting in look(self._folder)])
        if not self._names:
            raise CameraError(f"{self._folder}: it holds no picture ({' '.join(SUFFIXES)}); correct the path, or set watch")

    def read(self) -> tuple[Image, float]:
        """See interfaces.Source."""
        path, ts = self._folder / self._next(), self.settings.start_ts + (self._position - 1) / self.settings.fps
        self.part_id = path.stem if self.settings.part_id == "stem" else None
        return read_picture(path, self.settings.colour, self.settings.max_file_mb * 1_000_000), ts

    def skip(self) -> None:
        """See decoder.Resumable."""
        self._next()

    def close(self) -> None:
        """See interfaces.Source."""
        self._names = []

    def _next(self) -> str:
        if self._position >= len(self._names):
            raise EndOfStream(f"{self._folder}: every picture is read")
        self._position += 1
        return self._names[self._position - 1]


class WatchedFolderSource:
    """interfaces.Source over a folder that is watched; also keeps decoder.Resumable."""

    finite = False
    lossless = True

    def __init__(
        self,
        settings: FolderSettings,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.part_id: str | None = None
        self.place: str | None = None
        self._clock = clock
        self._sleep = sleep
        self._folder = Path(settings.path).absolute()
        self._since: dict[Sighting, float] = {}
        self._given: set[Sighting] = set()
        self._ready: deque[Sighting] = deque()

    def recover(self, crashes: int, place: str | None) -> None:
        """See decoder.Resumable: what arrived up to `place` is given already."""
        self.place = place

    def open(self) -> None:
        """Raises CameraError for a folder that is missing or unreadable."""
        self._given = {sighting for sighting in look(self._folder) if self.place is not None and sighting.place <= self.place}

    def read(self) -> tuple[Image, float]:
        """See interfaces.Source. Raises TimeoutError when there is nothing new."""
        sighting = self._next()
        path = self._folder / sighting.name
        self.part_id = path.stem if self.settings.part_id == "stem" else None
        self.place = sighting.place
        return read_picture(path, self.settings.colour, self.settings.max_file_mb * 1_000_000), time.time()

    def skip(self) -> None:
        """See decoder.Resumable."""
        self.place = self._next().place

    def close(self) -> None:
        """See interfaces.Source."""
        self._ready.clear()

    def _next(self) -> Sighting:
        if not self._ready:
            self._ready.extend(self._newly_complete())
        if not self._ready:
            self._sleep(self.settings.poll_s)
            raise TimeoutError("no new picture")
        sighting = self._ready.popleft()
        self._given.add(sighting)
        return sighting

    def _newly_complete(self) -> list[Sighting]:
        """The pictures that have rested long enough, in order of arrival. A file that changes is sighted anew."""
        now_s = self._clock()
        there = set(look(self._folder))
        self._given &= there  # what was taken away is forgotten
        self._since = {sighting: self._since.get(sighting, now_s) for sighting in there - self._given}
        rested = [sighting for sighting, since_s in self._since.items() if now_s - since_s >= self._patience_s(sighting)]
        return sorted(rested, key=lambda sighting: sighting.place)

    def _patience_s(self, sighting: Sighting) -> float:
        """An empty file is most often one that is about to be written."""
        return self.settings.settle_s if sighting.size else max(self.settings.settle_s, _EMPTY_PATIENCE_S)


def look(folder: Path) -> list[Sighting]:
    """The pictures that lie in the folder now; hidden files are not looked at. Raises CameraError."""
    try:
        with os.scandir(folder) as entries:
            return [sighting for entry in entries if (sighting := _sight(entry)) is not None]
    except OSError as error:
        raise CameraError(f"{folder}: {error.strerror}; correct the source's path or its rights") from error


def natural_order(names: list[str]) -> list[str]:
    """Sorted as people count: numbers in names by their value."""
    return sorted(names, key=lambda name: ([(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", name)], name))


def first_picture(settings: FolderSettings) -> Image | None:
    """The picture that is read first, as far as it can be known now: None where none lies there, or that one cannot be read."""
    try:
        names = natural_order([sighting.name for sighting in look(Path(settings.path))])
        return read_picture(Path(settings.path) / names[0], settings.colour, settings.max_file_mb * 1_000_000) if names else None
    except (CameraError, BadFrame):
        return None


def build(settings: FolderSettings) -> FolderSource | WatchedFolderSource:
    """The source that the settings ask for."""
    return WatchedFolderSource(settings) if settings.watch else FolderSource(settings)


def register(registry: Registry) -> None:
    """Make this source known."""
    registry.register("source", "folder", build, FolderSettings)


def _sight(entry: os.DirEntry[str]) -> Sighting | None:
    if entry.name.startswith(".") or not entry.name.lower().endswith(SUFFIXES):
        return None
    try:
        found = entry.stat()
    except FileNotFoundError:  # taken away since, or a link to nothing
        return None
    if not entry.is_file():
        return None
    return Sighting(entry.name, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns)
