"""Two ways to decode a moving picture, OpenCV and PyAV, behind the same four methods.

In: a path or URL. Out: uint8 (H, W, 3) BGR pictures, in order. Kept: the open file. The two give the same frames with the same numbers; the
colours differ by rounding. Each kind of damage kills one and not the other, hence both. Neither trusts a frame count in a header.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.capture.redact import redact
from edgevision.errors import BadFrame, CameraError, EndOfStream
from edgevision.records import Image

_OPTIONS_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_SAME_PICTURE = 16.0  # mean difference in gray levels: rounding and colour matrices stay well below, other pictures well above


class BrokenReader(CameraError):
    """A library has read a recording wrongly: the process that raises this must end, for its memory may be damaged."""


class Video(Protocol):
    """An open moving picture. Made open; raises CameraError when it cannot be opened."""

    fps: float

    def read(self) -> tuple[Image, float | None]:
        """The next picture and its time in the stream in seconds, where it has one. Raises EndOfStream, BadFrame."""

    def skip(self) -> None:
        """Pass over one picture. Raises as `read` does."""

    def close(self) -> None:
        """Let go of the file."""


class OpencvVideo:
    """By OpenCV's FFMPEG backend. Says nothing about why a file cannot be opened, and dies of some that it can."""

    def __init__(
        self, location: str, threads: int = 1, options: Mapping[str, str] | None = None, timeout_s: tuple[float, float] | None = None
    ) -> None:
        """`options` are FFmpeg's for the container, `timeout_s` (to open, to read) for network streams: only the newest frame is kept."""
        import cv2

        self._cv2 = cv2
        parameters = [cv2.CAP_PROP_N_THREADS, threads]
        if timeout_s is not None:
            open_ms, read_ms = (int(1000 * limit_s) for limit_s in timeout_s)
            parameters += [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms]
        try:
            with _ffmpeg_options(options or {}):
                self._capture = cv2.VideoCapture(location, cv2.CAP_FFMPEG, parameters)
        except cv2.error as error:
            raise CameraError(f"{redact(location)}: OpenCV cannot open it: {redact(error)}; check the file with ffprobe") from error
        if not self._capture.isOpened():
            self._capture.release()
            raise CameraError(f"{redact(location)}: OpenCV cannot open it; check it with ffprobe, or convert it with ffmpeg")
        if timeout_s is not None:
            self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self.fps = float(self._capture.get(cv2.CAP_PROP_FPS))

    def read(self) -> tuple[Image, float | None]:
        """See Video."""
        try:
            is_there, image = self._capture.read()
        except self._cv2.error as error:
            raise BadFrame(f"OpenCV cannot decode the frame: {error}; the recording is damaged there") from error
        if not is_there:
            raise EndOfStream("no more frames")
        return image, None

    def skip(self) -> None:
        """See Video."""
        if not self._capture.grab():
            raise EndOfStream("no more frames")

    def close(self) -> None:
        """See Video."""
        self._capture.release()


class PyavVideo:
    """By PyAV, the plain FFmpeg libraries. Says what is wrong, knows the frames' times, and gives no frame that it had to patch up."""

    def __init__(
        self,
        location: str,
        threads: int = 1,
        options: Mapping[str, str] | None = None,
        timeout_s: tuple[float, float] | None = None,
        is_strict: bool = True,
    ) -> None:
        """`options` are FFmpeg's for the container, `timeout_s` (to open, to read) for network streams.

        Not strict: a frame with a decoding error inside is concealed by its neighbours and given as if it were sound.
        """
        try:
            import av
        except ImportError as error:
            raise CameraError(f"{redact(location)}: PyAV is not installed; pip install av, or choose backend: opencv") from error
        self._failures = (av.error.FFmpegError, ValueError)
        try:
            self._container = av.open(location, options=dict(options or {}), timeout=timeout_s)
            stream = self._container.streams.video[0]
        except IndexError as error:
            self._container.close()
            raise CameraError(f"{redact(location)}: it holds no video stream; choose a video file or another stream") from error
        except self._failures as error:
            raise CameraError(f"{redact(location)}: it cannot be opened: {reason(error)}; check it with ffprobe") from error
        stream.codec_context.thread_count = threads
        if is_strict:
            stream.codec_context.options = {"err_detect": "explode"}
        self.fps = float(stream.average_rate or stream.guessed_rate or 0.0)
        self._packets: Iterator[Any] = self._container.demux(stream)
        self._frames: deque[Any] = deque()

    def read(self) -> tuple[Image, float | None]:
        """See Video."""
        frame = self._next()
        if frame.is_corrupt:
            raise BadFrame("the decoder marks the frame as corrupt; data was lost on the way or the recording is damaged there")
        try:
            image: NDArray[np.uint8] = np.ascontiguousarray(frame.to_ndarray(format="bgr24"))
        except self._failures as error:
            raise BadFrame(f"the frame cannot be converted to BGR: {reason(error)}; the recording is damaged there") from error
        turns = round(getattr(frame, "rotation", 0) / 90) % 4
        return (np.ascontiguousarray(np.rot90(image, turns)) if turns else image), frame.time

    def skip(self) -> None:
        """See Video."""
        self._next()

    def close(self) -> None:
        """See Video."""
        self._container.close()

    def _next(self) -> Any:
        while not self._frames:
            try:
                packet = next(self._packets)
            except StopIteration:
                raise EndOfStream("no more frames") from None
            except self._failures as error:
                raise CameraError(f"the stream broke off: {reason(error)}") from error
            try:
                self._frames.extend(packet.decode())
            except EOFError:
                continue
            except self._failures as error:
                raise BadFrame(f"a packet cannot be decoded: {reason(error)}; the recording is damaged there") from error
        return self._frames.popleft()


@contextmanager
def _ffmpeg_options(options: Mapping[str, str]) -> Iterator[None]:
    """The only way in which OpenCV takes FFmpeg's options: the environment, for as long as it opens."""
    before = os.environ.get(_OPTIONS_VARIABLE)
    if options:
        os.environ[_OPTIONS_VARIABLE] = "|".join(f"{name};{value}" for name, value in options.items())
    try:
        yield
    finally:
        if before is not None:
            os.environ[_OPTIONS_VARIABLE] = before
        elif options:
            del os.environ[_OPTIONS_VARIABLE]


def check_opencv(location: str) -> None:
    """Raises BrokenReader when OpenCV gives another first frame than PyAV, where both give one and PyAV is installed."""
    readers: list[Callable[[str], Video]] = [OpencvVideo, PyavVideo]
    images = []
    for make in readers:
        try:
            video = make(location)
            try:
                images.append(video.read()[0])
            finally:
                video.close()  # may kill the process, and then it is better here than behind the last frame
        except (CameraError, BadFrame):
            return
    first, second = images
    if first.shape != second.shape or float(np.abs(first.astype(np.int16) - second).mean()) > _SAME_PICTURE:
        raise BrokenReader(f"{redact(location)}: OpenCV decodes it wrongly, PyAV gives another picture; PyAV is taken")


def reason(error: BaseException) -> str:
    """What a foreign exception says, on one line, without credentials."""
    if type(error).__name__ == "ExitError":  # what PyAV's own watch raises
        return "no data came in time"
    return redact(" ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split()))
