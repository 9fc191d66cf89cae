"""A recording as a camera: any video that OpenCV or PyAV reads, animated GIFs too.

In: a path. Out: every frame once, in order, `ts = start_ts + k / fps`, so that a replay is the same each time; with `realtime` paced by
the clock like a live camera. Kept: the open video and how many frames it gave.
"""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path
from typing import Literal

from pydantic import Field

from edgevision.capture.video import BrokenReader, OpencvVideo, PyavVideo, Video, check_opencv
from edgevision.errors import BadFrame, CameraError, EndOfStream
from edgevision.records import Image, Settings
from edgevision.registry import Registry

_MAX_FPS = 1000.0


class FileSettings(Settings):
    """Which recording is read, and how."""

    type: Literal["file"] = Field("file", description="A video file.")
    path: str = Field(description="The video file.", min_length=1, max_length=4096)
    backend: Literal["auto", "opencv", "pyav"] = Field(
        "auto", description="What decodes it: auto takes OpenCV, and PyAV where OpenCV fails; pyav also refuses frames that are damaged."
    )
    fps: float = Field(0.0, ge=0, le=_MAX_FPS, description="Frames a second, 0 takes the file's own.")
    start_ts: float = Field(
        0.0, ge=0, le=1e11, description="Time of the first frame, seconds since the epoch; fixed, so that each replay is the same."
    )
    realtime: bool = Field(False, description="Play at the recording's pace and drop frames like a live camera, stamped with the clock.")
    loop: bool = Field(False, description="Begin again at the end, for ever.")
    threads: int = Field(1, ge=1, le=64, description="Threads of the video decoder.")


class FileSource:
    """interfaces.Source over a video file; also keeps decoder.Resumable."""

    def __init__(self, settings: FileSettings) -> None:
        self.settings = settings
        self.finite = not settings.loop
        self.lossless = self.recorded = not settings.realtime
        self._path = Path(settings.path).absolute()
        self._video: Video | None = None
        self._crashes = 0
        self._frames = 0
        self._frames_now = 0  # since the file was last opened
        self._started_s = 0.0

    def recover(self, crashes: int, place: str | None) -> None:
        """See decoder.Resumable: a reader died, take the other one."""
        self._crashes = crashes

    def open(self) -> None:
        """Raises CameraError for what is missing, unreadable, empty or no video."""
        check_file(self._path)
        self._video = self._open_video()
        self._started_s = time.time()

    def read(self) -> tuple[Image, float]:
        """See interfaces.Source."""
        while True:
            video = self._opened()
            try:
                image, _ = video.read()
            except EndOfStream:
                self._turn_back()
                continue
            except BadFrame:
                self._frames += 1
                raise
            ts = self._stamp(video.fps)
            self._frames += 1
            self._frames_now += 1
            return image, ts

    def skip(self) -> None:
        """See decoder.Resumable."""
        self._opened().skip()
        self._frames += 1
        self._frames_now += 1

    def close(self) -> None:
        """See interfaces.Source."""
        if self._video is not None:
            self._video.close()
            self._video = None

    def _opened(self) -> Video:
        if self._video is None:
            raise CameraError(f"{self._path}: it is not open; call open first")
        return self._video

    def _open_video(self) -> Video:
        """By the configured reader; `auto` tries the second one when the first refuses, or has died of this file before."""
        backend = self.settings.backend
        if backend == "pyav" or (backend == "auto" and self._crashes > 0):
            video: Video = PyavVideo(str(self._path), self.settings.threads)
        else:
            try:
                if backend == "auto" and self._frames == 0:
                    check_opencv(str(self._path))
                video = OpencvVideo(str(self._path), self.settings.threads)
            except BrokenReader:
                raise
            except CameraError:
                if backend == "opencv":
                    raise
                video = PyavVideo(str(self._path), self.settings.threads)
        fps = self.settings.fps or video.fps
        if not 0 < fps <= _MAX_FPS:
            video.close()
            raise CameraError(f"{self._path}: its header gives {fps:g} frames a second; the limit is {_MAX_FPS:g}; set fps")
        video.fps = fps
        return video

    def _turn_back(self) -> None:
        """At the end: raise, or begin again."""
        if self._frames_now == 0:
            raise CameraError(f"{self._path}: it holds no frame that can be read; check it with ffprobe, or record it again")
        if self.finite:
            raise EndOfStream(f"{self._path}: read to its end")
        self.close()
        self._video = self._open_video()
        self._frames_now = 0

    def _stamp(self, fps: float) -> float:
        """The frame's time; in real time, wait until it is due."""
        if not self.settings.realtime:
            return self.settings.start_ts + self._frames / fps
        due_s = self._started_s + self._frames / fps
        time.sleep(max(0.0, due_s - time.time()))
        return time.time()


def check_file(path: Path) -> None:
    """Raises CameraError with cause and remedy unless this is a readable file with something in it."""
    try:
        found = path.stat()
    except OSError as error:
        raise CameraError(f"{path}: {error.strerror}; correct the source's path") from error
    if stat.S_ISDIR(found.st_mode):
        raise CameraError(f"{path}: it is a folder; use source type folder, or name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise CameraError(f"{path}: it is not a regular file; name a video file, or use another source type")
    if not os.access(path, os.R_OK):
        raise CameraError(f"{path}: user {os.geteuid()} may not read it; chmod or chown it")
    if found.st_size == 0:
        raise CameraError(f"{path}: it is empty (0 bytes); record or copy it again")


def register(registry: Registry) -> None:
    """Make this source known."""
    registry.register("source", "file", FileSource, FileSettings)
