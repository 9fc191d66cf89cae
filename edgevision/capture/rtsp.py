"""A network camera: RTSP, or anything else that FFmpeg streams from a URL.

In: a URL. Out: its frames, uint8 (H, W, 3) BGR, `ts` the clock when one was sent as far as the stream's own times tell. Kept: the open
stream, and how its clock runs against ours. A broken stream is a CameraError; the camera reconnects. No error text holds a password.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import Field

from edgevision.capture.redact import redact
from edgevision.capture.video import OpencvVideo, PyavVideo, Video
from edgevision.errors import BadFrame, CameraError, EndOfStream
from edgevision.records import Image, Settings
from edgevision.registry import Registry

_MAX_PASSWORD_BYTES = 1024
_CLOCK_DRIFT = 1e-3
_CLOCK_JUMP_S = 60.0


class RtspSettings(Settings):
    """Which stream is read, and how."""

    type: Literal["rtsp"] = Field("rtsp", description="A network camera.")
    url: str = Field(
        description="Its address, rtsp://host/path; put no password into it, use password_file.",
        pattern=r"^(rtsp|rtsps|http|https)://",
        max_length=2048,
        repr=False,
    )
    username: str | None = Field(None, max_length=256, description="User name, when the camera wants one.")
    password_file: Path | None = Field(None, description="File that holds the password, readable by the service only.")
    transport: Literal["tcp", "udp"] = Field("tcp", description="tcp loses no packets; udp has less delay on a good network.")
    open_timeout_s: float = Field(5.0, ge=0.5, le=60, description="Longest wait for the connection.")
    read_timeout_s: float = Field(3.0, ge=0.5, le=60, description="Longest wait for data; keep it under the camera's deadline_s.")
    backend: Literal["auto", "pyav", "opencv"] = Field(
        "auto", description="What decodes it: auto takes PyAV where it is installed, else OpenCV."
    )
    strict: bool = Field(True, description="Do not inspect a frame that PyAV had to patch up because data was lost on the way.")
    threads: int = Field(1, ge=1, le=64, description="Threads of the video decoder.")


class StreamClock:
    """How long ago a frame was sent: the stream's times against ours, where the least delay seen counts as none."""

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._last_s = 0.0

    def age_s(self, stream_s: float | None, now_s: float) -> float:
        """Seconds by which this frame comes later than the promptest ones did. The two clocks may drift by 0.1 %; a jump starts anew."""
        if stream_s is None:
            return 0.0
        offset_s = now_s - stream_s
        if self._offset_s is None or abs(offset_s - self._offset_s) > _CLOCK_JUMP_S:
            self._offset_s = offset_s
        else:
            self._offset_s = min(offset_s, self._offset_s + _CLOCK_DRIFT * max(0.0, now_s - self._last_s))
        self._last_s = now_s
        return offset_s - self._offset_s


class RtspSource:
    """interfaces.Source over a network stream."""

    def __init__(self, settings: RtspSettings) -> None:
        self.settings = settings
        self._video: Video | None = None
        self._clock = StreamClock()

    def open(self) -> None:
        """Raises CameraError with the cause, without credentials."""
        settings = self.settings
        url = full_url(settings)
        limits = (settings.open_timeout_s, settings.read_timeout_s)
        options = {"fflags": "nobuffer", "flags": "low_delay", "analyzeduration": "200000"}  # us; what it would measure is not used
        if settings.url.startswith("rtsp"):
            options["rtsp_transport"] = settings.transport
        if settings.backend == "opencv" or (settings.backend == "auto" and not _has_pyav()):
            self._video = OpencvVideo(url, settings.threads, options, limits)
            return
        self._video = PyavVideo(url, settings.threads, options, limits, settings.strict)

    def read(self) -> tuple[Image, float]:
        """See interfaces.Source."""
        if self._video is None:
            raise CameraError(f"{redact(self.settings.url)}: it is not open; call open first")
        try:
            image, stream_s = self._video.read()
        except BadFrame:
            raise
        except EndOfStream as error:
            raise CameraError(
                f"{redact(self.settings.url)}: the camera ended the stream; see that it runs and allows one more viewer"
            ) from error
        except CameraError as error:
            raise CameraError(f"{redact(self.settings.url)}: {redact(error)}; see that the camera runs and the network holds") from error
        return image, time.time() - self._clock.age_s(stream_s, time.monotonic())

    def close(self) -> None:
        """See interfaces.Source."""
        if self._video is not None:
            self._video.close()
            self._video = None


def full_url(settings: RtspSettings) -> str:
    """The URL with the credentials in it. Raises CameraError when the password file cannot be read."""
    if settings.username is None:
        return settings.url
    parts = urlsplit(settings.url)
    host = parts.netloc.rpartition("@")[2]
    credentials = quote(settings.username, safe="")
    if settings.password_file is not None:
        credentials += ":" + quote(_read_password(settings.password_file), safe="")
    return urlunsplit(parts._replace(netloc=f"{credentials}@{host}"))


def register(registry: Registry) -> None:
    """Make this source known."""
    registry.register("source", "rtsp", RtspSource, RtspSettings)


def _read_password(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_PASSWORD_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or "it is no text"
        raise CameraError(f"{path}: the password file cannot be read: {cause}; correct password_file or its rights") from error


def _has_pyav() -> bool:
    from importlib.util import find_spec

    return find_spec("av") is not None
