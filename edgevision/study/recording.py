"""A clip as the change detector hands it on to a network, kept small, to be played again and again. In: a clip. Out: `Recording`.

What is kept of each frame is which pixels were live and what they became; nothing here depends on the network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.camera import Camera, CameraSettings
from edgevision.compare.background import ChangeDetector, ChangeSettings
from edgevision.errors import BadFrame, InputError
from edgevision.recompute.refresh import RollingRefresh
from edgevision.records import Frame, Image, Mask
from edgevision.study.replay import kind_of, sound_frames


class Deltas:
    """Arrays of one shape and type in a row, kept as the first one and what changed from each to the next."""

    def __init__(self) -> None:
        self._first: NDArray[Any] | None = None
        self._last: NDArray[Any] = np.zeros(0)
        self._changes: list[tuple[NDArray[np.intp], NDArray[Any]]] = []

    def add(self, array: NDArray[Any]) -> None:
        """Append a copy."""
        if self._first is None:
            self._first = np.array(array)
            self._last = self._first.copy()
        flat, last = np.ascontiguousarray(array).reshape(-1), self._last.reshape(-1)
        words = f"u{flat.itemsize}"
        places = np.flatnonzero(flat.view(words) != last.view(words))
        self._changes.append((places, flat[places]))
        last[places] = flat[places]

    def play(self) -> Iterator[tuple[NDArray[Any], bool]]:
        """Each array in turn, in one buffer that the next overwrites, and whether it differs from the one before."""
        if self._first is None:
            return
        now = self._first.copy()
        flat = now.reshape(-1)
        for places, values in self._changes:
            flat[places] = values
            yield now, len(places) > 0


@dataclass(slots=True)
class Recording:
    """What a network is given, frame by frame: the picture in use (H, W[, C]) uint8, its live pixels (H, W), whether it must run whole."""

    size_px: tuple[int, int]
    pictures: Deltas = field(default_factory=Deltas)
    masks: list[NDArray[np.uint8] | None] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """How many there are."""
        return len(self.masks)

    def add(self, picture: Image, live: Mask | None) -> None:
        """Append a frame; no mask where the network must run whole."""
        self.pictures.add(picture)
        self.masks.append(None if live is None else np.packbits(live))

    def play(self) -> Iterator[tuple[Image, Mask | None]]:
        """(picture in use, live) of each frame; live is None where the network must run whole. Valid until the next."""
        pixels = self.size_px[0] * self.size_px[1]
        for (picture, _), packed in zip(self.pictures.play(), self.masks, strict=True):
            live = None if packed is None else np.unpackbits(packed, count=pixels).view(np.bool_).reshape(self.size_px)
            yield picture, live


def record(
    clip: Path,
    frames: tuple[int, int],
    settings: ChangeSettings,
    keyframe_s: float = 0.0,
    told: Callable[[int], None] = lambda number: None,
) -> Recording:
    """The first of the clip's frames, (at least, at most), through a change detector; frames that cannot be read are passed over.

    Every row is live once in `keyframe_s` seconds, as for a camera; 0: never. `told` is called with the number of each frame. Raises
    InputError for a clip that is not there, has too few frames or shows nothing that moves, CameraError for one that cannot be read.
    """
    if not clip.exists():
        raise InputError(f"{clip}: no such file or folder; give a video file or a folder of images, with --clip")
    recording, has_moved = record_frames(read_frames(clip, frames[1]), settings, keyframe_s, told)
    if recording is None or recording.frames < frames[0]:
        found = recording.frames if recording else 0
        raise InputError(f"{clip}: {found} frames could be used; at least {frames[0]} are needed: give a longer clip, or more --frames")
    if not has_moved:
        raise InputError(
            f"{clip}: nothing moves in its first {recording.frames} frames; give a clip in which something does, or more --frames"
        )
    return recording


def record_frames(
    frames: Iterable[Frame], settings: ChangeSettings, keyframe_s: float = 0.0, told: Callable[[int], None] = lambda number: None
) -> tuple[Recording | None, bool]:
    """The same of any frames, None where there are none that can be read; and whether anything moved, but for the refresh."""
    detector, refresh = ChangeDetector(settings), RollingRefresh(keyframe_s)
    recording: Recording | None = None
    used: Image = np.zeros(0, np.uint8)
    has_moved = False
    for frame in frames:
        try:
            rows = refresh.rows(frame.ts, frame.image.shape[0])
            change = detector.measure(frame.image, frame.ts, rows)
            detector.commit(change, change.live)
        except BadFrame:
            continue
        if recording is None:
            recording, used = Recording(frame.image.shape[:2]), frame.image.copy()
        is_full = change.full_reason is not None
        live = np.ones(recording.size_px, np.bool_) if is_full else change.live
        used[live] = change.corrected[live]
        has_moved = has_moved or (recording.frames > 0 and bool(np.delete(live, slice(0, 0) if rows is None else rows, axis=0).any()))
        recording.add(used, None if is_full else live)
        told(recording.frames)
    return recording, has_moved


def read_frames(clip: Path, count: int, lost: Callable[[BadFrame], None] = lambda error: None) -> Iterator[Frame]:
    """At most `count` frames, none dropped, read in a process of its own; a folder's pictures are parts.

    `lost` is told of each that cannot be read.
    """
    source = {"path": str(clip)} | ({"part_id": "stem"} if clip.is_dir() else {})
    camera = Camera(clip.name, kind_of(clip), source, CameraSettings(lossless=True))
    with camera:
        yield from islice(sound_frames(camera, lost), count)
