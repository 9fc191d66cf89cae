"""Three slots of shared memory between a decoder child and its parent.

In: images, in the child. Out: notes that name a slot, one for each request of the parent. Kept: which slot is free, ready or lent.
At most one slot is lent, so with three slots a live source always has one to write to and never waits for the parent: the newest frame
wins and what it replaces is counted. A lossless source waits instead. The memory is an anonymous file that goes away with its last user.
"""

from __future__ import annotations

import fcntl
import math
import mmap
import os
import threading
import weakref
from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from edgevision.capture.wire import FrameBad, FrameReady, Note
from edgevision.records import Image

SLOTS = 3
_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class SlotMemory:
    """`SLOTS` slots of `slot_bytes` bytes each, shared by file descriptor, which it owns. Sealed: neither side can shrink it."""

    def __init__(self, fd: int, slot_bytes: int) -> None:
        if slot_bytes < 1 or os.fstat(fd).st_size != SLOTS * slot_bytes or fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise ValueError(f"frame memory of {os.fstat(fd).st_size} bytes is not {SLOTS} sealed slots of {slot_bytes}")
        self.fd = fd
        self.slot_bytes = slot_bytes
        self._map = mmap.mmap(fd, SLOTS * slot_bytes)
        self._close_fd = weakref.finalize(self, os.close, fd)

    @classmethod
    def make(cls, slot_bytes: int) -> SlotMemory:
        """New memory, whole pages a slot."""
        slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        fd = os.memfd_create("edgevision-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, SLOTS * slot_bytes)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        return cls(fd, slot_bytes)

    def view(self, slot: int, shape: tuple[int, ...], dtype: str) -> Image:
        """The slot as an array; drop it before `close`. Raises ValueError when it does not fit."""
        kind = np.dtype(dtype)
        count = math.prod(shape)
        if not 0 <= slot < SLOTS or kind.name not in ("uint8", "uint16") or not 0 < count * kind.itemsize <= self.slot_bytes:
            raise ValueError(f"slot {slot} of {self.slot_bytes} bytes cannot hold {shape} {dtype}")
        image: Image = np.frombuffer(self._map, kind, count, slot * self.slot_bytes).reshape(shape)
        return image

    def close(self) -> None:
        """Unmap and close; the memory is freed when the other side has done so too."""
        self._map.close()
        self._close_fd()


@dataclass(frozen=True, slots=True)
class Item:
    """What waits for the parent: a note, and the memory its slot lies in."""

    note: Note
    memory: SlotMemory | None = None


class Ring:
    """The child's side: one thread puts, another takes."""

    def __init__(self, is_lossless: bool) -> None:
        self.is_lossless = is_lossless
        self._changed = threading.Condition()
        self._ready: deque[Item] = deque()
        self._memory: SlotMemory | None = None
        self._free: list[int] = []
        self._lent: Item | None = None
        self._dropped = 0

    def put_frame(self, image: Image, note: FrameReady) -> None:
        """Copy the image into a free slot and make it ready. Waits for a slot when lossless, drops the oldest when not."""
        memory, slot = self._claim(image.nbytes)
        memory.view(slot, image.shape, image.dtype.name)[...] = image
        self._put(Item(replace(note, slot=slot), memory))

    def put_bad(self, note: FrameBad) -> None:
        """Make ready the news that a frame is bad. It keeps its place in the order."""
        with self._changed:
            self._changed.wait_for(lambda: not self.is_lossless or len(self._ready) < SLOTS)
        self._put(Item(note))

    def put_last(self, note: Note) -> None:
        """Make ready what ends the stream; no frame before it is dropped for it."""
        with self._changed:
            self._ready.append(Item(note))
            self._changed.notify_all()

    def take(self) -> Item:
        """The next item, waiting for it; the slot lent before is free again. The item's slot is lent until the next call."""
        with self._changed:
            self._release(self._lent)
            self._lent = None
            self._changed.notify_all()
            self._changed.wait_for(lambda: bool(self._ready))
            self._lent = self._ready.popleft()
            note = self._lent.note
            if isinstance(note, FrameReady | FrameBad):
                note = replace(note, dropped=self._dropped)
                self._dropped = 0
            return Item(note, self._lent.memory)

    def _claim(self, size_bytes: int) -> tuple[SlotMemory, int]:
        with self._changed:
            if self._memory is None or size_bytes > self._memory.slot_bytes:
                self._memory = SlotMemory.make(size_bytes)  # the old one lives on while its frames are under way
                self._free = list(range(SLOTS))
            self._changed.wait_for(lambda: bool(self._free))
            return self._memory, self._free.pop()

    def _put(self, item: Item) -> None:
        with self._changed:
            if not self.is_lossless:
                while self._ready:
                    self._release(self._ready.popleft())
                    self._dropped += 1
            self._ready.append(item)
            self._changed.notify_all()

    def _release(self, item: Item | None) -> None:
        if item is not None and isinstance(item.note, FrameReady) and item.memory is self._memory:
            self._free.append(item.note.slot)
