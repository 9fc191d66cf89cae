"""What a decoder child and its parent say to each other: small JSON notes on a Unix socket, never pixels, never pickles.

In and out: one note a packet, a file descriptor beside it where the note hands over memory. Keeps nothing. The parent sends `Job` once and
then `Request` for each frame; the child says `Built`, then answers each request with one `FrameReady`, `FrameBad`, `Ended` or `Failed`.
"""

from __future__ import annotations

import json
import mmap
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

MAX_NOTE_BYTES = 128 * 1024
MAX_TEXT = 600


@dataclass(frozen=True, slots=True)
class Job:
    """What the child is to read: a source by name, from which frame on, and what happened before."""

    camera_id: str
    source: str
    settings: Mapping[str, Any]
    plugin: str | None = None
    position: int = 0
    place: str | None = None
    crashes: int = 0
    skip: tuple[int, ...] = ()
    lossless: bool | None = None
    max_pixels: int = 50_000_000
    memory_mb: int = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """The parent wants a frame; the slot lent before is free again."""


@dataclass(frozen=True, slots=True)
class Built:
    """The source is built, not yet open.

    `finite`: it has an end. `resumable`: it goes on where it was, so a frame can be read again. `lossless`: it waits for the parent.
    `recorded`: its time stamps are a recording's own, not the clock's.
    """

    finite: bool
    resumable: bool
    lossless: bool
    recorded: bool


@dataclass(frozen=True, slots=True)
class Warned:
    """The source is open, but not as it should be."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NewRing:
    """The memory of the frames that follow; its file descriptor travels beside this note."""

    slot_bytes: int


@dataclass(frozen=True, slots=True)
class FrameReady:
    """A frame lies in `slot` until the next request. `taken_s` is its capture time on CLOCK_MONOTONIC, None where age has no meaning."""

    seq: int
    ts: float
    taken_s: float | None
    slot: int
    shape: tuple[int, ...]
    dtype: str
    dropped: int = 0
    part_id: str | None = None
    place: str | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class FrameBad:
    """The source gave a frame that cannot be inspected."""

    seq: int
    text: str
    dropped: int = 0
    part_id: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The source is read to its end."""

    frames: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The source raised. `is_final`: trying again cannot help."""

    text: str
    is_final: bool = False


Note = Job | Request | Built | Warned | NewRing | FrameReady | FrameBad | Ended | Failed
_KINDS: Mapping[str, type[Note]] = MappingProxyType(
    {kind.__name__: kind for kind in (Job, Request, Built, Warned, NewRing, FrameReady, FrameBad, Ended, Failed)}
)


def one_line(text: object) -> str:
    """The text on one line, cut to a length that always fits a packet."""
    return " ".join(str(text).split())[:MAX_TEXT]


def send(sock: socket.socket, note: Note, fd: int | None = None) -> None:
    """Send one note. Raises OSError when the other side is gone, ValueError when the note is too long."""
    packet = json.dumps({"kind": type(note).__name__, **asdict(note)}).encode()
    if len(packet) > MAX_NOTE_BYTES:
        raise ValueError(f"a note of {len(packet)} bytes; the limit is {MAX_NOTE_BYTES}; shorten the source's settings")
    socket.send_fds(sock, [packet], [] if fd is None else [fd])


def receive(sock: socket.socket) -> tuple[Note, int | None] | None:
    """The next note and its file descriptor, None when the other side is gone. Raises ValueError for what is not a note of ours."""
    try:
        packet, fds, _, _ = socket.recv_fds(sock, MAX_NOTE_BYTES, 1)
    except ConnectionError:
        return None
    if not packet:
        return None
    fields = json.loads(packet)
    kind = _KINDS[fields.pop("kind")]
    fields.update({name: tuple(fields[name]) for name in ("shape", "skip", "texts") if name in fields})
    return kind(**fields), (fds[0] if fds else None)


class Beat:
    """A page both processes see: what the child is reading and since when. It survives the child, so it tells where it died.

    `mark` is the child's, `look` the parent's. Times are CLOCK_MONOTONIC seconds, the same in both. Each of the two numbers is written as
    one whole word, since and reading in the same one: whoever looks meanwhile sees the old or the new, and never a part of both.
    """

    def __init__(self, page: mmap.mmap) -> None:
        self._page = page
        self._words = memoryview(page).cast("q")  # the position; nanoseconds since, twice, one more while it reads

    @classmethod
    def on(cls, fd: int) -> Beat:
        """The page in this file descriptor, which stays the caller's to close."""
        return cls(mmap.mmap(fd, mmap.PAGESIZE))

    def mark(self, position: int, is_reading: bool) -> None:
        """The child is about to read this frame, or has it and waits for the parent."""
        self._words[0] = position
        self._words[1] = 2 * time.monotonic_ns() + is_reading

    def look(self) -> tuple[int, bool, float]:
        """(position, is it reading, since when); since 0.0 before the first mark."""
        word = self._words[1]
        return self._words[0], bool(word % 2), word // 2 / 1e9

    def close(self) -> None:
        """Unmap the page."""
        self._words.release()
        self._page.close()
