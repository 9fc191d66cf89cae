"""A source that reads frames from one NumPy file, for instance those a laboratory script has saved.

In: a `.npy` file of uint8 or uint16, shape (frames, rows, columns) or (frames, rows, columns, 3) in BGR. Out: every frame once, in order.
Kept: the file, mapped into memory, and the number of the next frame.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from edgevision.errors import CameraError, EndOfStream
from edgevision.records import Image, Settings
from edgevision.registry import Registry


class NpySettings(Settings):
    """Which array is read, and when its frames were taken."""

    type: Literal["npy"] = Field("npy", description="Names this source.")
    path: str = Field(description="The .npy file.", min_length=1, max_length=4096)
    fps: float = Field(30.0, gt=0, le=1000, description="Frames a second of the recording.")
    start_ts: float = Field(0.0, ge=0, le=1e11, description="Time of the first frame, seconds since the epoch.")


class NpySource:
    """interfaces.Source over an array on disk. It has an end and waits for its reader: no frame is dropped."""

    finite = True
    lossless = True

    def __init__(self, settings: NpySettings) -> None:
        self.settings = settings
        self._frames: Image | None = None
        self._next = 0

    def open(self) -> None:
        path = Path(self.settings.path)
        try:
            frames = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise CameraError(f"{path}: cannot be read as a NumPy array: {error}; save it with numpy.save") from error
        is_gray, is_colour = frames.ndim == 3, frames.ndim == 4 and frames.shape[3] == 3
        if frames.dtype not in (np.uint8, np.uint16) or not (is_gray or is_colour):
            raise CameraError(f"{path}: {frames.dtype} of shape {frames.shape}; save uint8 or uint16, (frames, rows, columns[, 3])")
        self._frames = frames
        self._next = 0

    def read(self) -> tuple[Image, float]:
        if self._frames is None:
            raise CameraError(f"{self.settings.path}: read before open; open the source first")
        if self._next >= len(self._frames):
            raise EndOfStream(f"{self.settings.path}: all {len(self._frames)} frames are given")
        number = self._next
        self._next += 1
        return np.array(self._frames[number]), self.settings.start_ts + number / self.settings.fps

    def close(self) -> None:
        self._frames = None


def register(registry: Registry) -> None:
    registry.register("source", "npy", NpySource, NpySettings)
