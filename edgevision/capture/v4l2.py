"""A camera on this computer, by Video4Linux.

In: a device path. Out: its frames, uint8 (H, W, 3) BGR or (H, W), `ts` the clock when one came. Kept: the open device. Exposure, gain,
white balance and focus are locked where the camera allows and read back: what moves by itself looks like a change of the scene. `warnings`
tells what could not be locked.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, Literal

from pydantic import Field

from edgevision.capture.picture import Colour, in_colour
from edgevision.errors import CameraError
from edgevision.records import Image, Settings
from edgevision.registry import Registry

_MANUAL_EXPOSURE = 1  # V4L2_EXPOSURE_MANUAL
_BARE = re.compile(r"/dev/video\d+")


class V4l2Settings(Settings):
    """Which device is read, and how it is set."""

    type: Literal["v4l2"] = Field("v4l2", description="A camera on this computer (USB, CSI).")
    device: str = Field(
        description="The device, best by /dev/v4l/by-id or by-path: /dev/videoN may be another camera after a restart.",
        pattern=r"^/dev/[A-Za-z0-9_./:+-]+$",
        max_length=512,
    )
    width: int | None = Field(None, ge=16, le=16384, description="Width in pixels; null leaves the camera's own.")
    height: int | None = Field(None, ge=16, le=16384, description="Height in pixels; null leaves the camera's own.")
    fps: float | None = Field(None, gt=0, le=1000, description="Frames a second; null leaves the camera's own.")
    fourcc: str | None = Field(
        None, pattern=r"^[A-Z0-9]{4}$", description="Pixel format such as MJPG or YUYV; null leaves the camera's own."
    )
    colour: Colour = Field("auto", description="auto takes what the camera gives; bgr or gray converts.")
    lock: bool = Field(True, description="Switch automatic exposure, white balance and focus off.")
    exposure: float | None = Field(
        None, ge=0, le=1e6, description="Exposure in the camera's unit, often 100 us; null keeps the present one."
    )
    gain: float | None = Field(None, ge=0, le=1e6, description="Gain in the camera's unit; null keeps the present one.")
    white_balance_k: float | None = Field(None, ge=1000, le=20000, description="White balance in kelvin; null keeps the present one.")
    focus: float | None = Field(None, ge=0, le=1e6, description="Focus in the camera's unit; null keeps the present one.")


class V4l2Source:
    """interfaces.Source over a Video4Linux device."""

    def __init__(self, settings: V4l2Settings, make_capture: Callable[[str], Any] | None = None) -> None:
        """`make_capture` gives something like cv2.VideoCapture for a device path; tests pass their own."""
        self.settings = settings
        self.warnings: tuple[str, ...] = ()
        self._make_capture = make_capture or _open_device
        self._capture: Any = None

    def open(self) -> None:
        """Open, set, lock, read back. Raises CameraError with the cause."""
        device = self.settings.device
        check_device(device)
        self._capture = self._make_capture(os.path.realpath(device))
        if not self._capture.isOpened():
            raise CameraError(
                f"{device}: it is no camera or another program holds it; see `fuser -v {device}` and `v4l2-ctl --list-devices`"
            )
        bare = [f"{device}: it may be another camera after a restart; name it by /dev/v4l/by-id"] if _BARE.fullmatch(device) else []
        self.warnings = (*bare, *self._set())

    def read(self) -> tuple[Image, float]:
        """See interfaces.Source."""
        is_there, image = self._capture.read()
        ts = time.time()
        if not is_there:
            raise CameraError(f"{self.settings.device}: it gave no frame; see that it is plugged in and has enough USB bandwidth")
        return in_colour(image, self.settings.colour, self.settings.device), ts

    def close(self) -> None:
        """See interfaces.Source."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None

    def _set(self) -> list[str]:
        """Set every property that the settings name; what the camera did not take, one line each."""
        refused = []
        for name, key, wanted in properties(self.settings):
            self._capture.set(key, wanted)
            got = float(self._capture.get(key))
            if abs(got - wanted) > max(0.5, 0.02 * abs(wanted)):
                refused.append(f"{self.settings.device}: {name} is {got:g}, {wanted:g} was asked for; the camera does not take it")
        return refused


def properties(settings: V4l2Settings) -> Iterator[tuple[str, int, float]]:
    """(name, OpenCV's property, value) of all that the settings want set, in the order in which cameras take it."""
    import cv2

    if settings.fourcc is not None:
        yield "fourcc", cv2.CAP_PROP_FOURCC, float(cv2.VideoWriter.fourcc(*settings.fourcc))
    switches = [
        ("automatic exposure", cv2.CAP_PROP_AUTO_EXPOSURE, _MANUAL_EXPOSURE),
        ("automatic white balance", cv2.CAP_PROP_AUTO_WB, 0),
        ("automatic focus", cv2.CAP_PROP_AUTOFOCUS, 0),
    ]
    values = [
        ("width", cv2.CAP_PROP_FRAME_WIDTH, settings.width),
        ("height", cv2.CAP_PROP_FRAME_HEIGHT, settings.height),
        ("fps", cv2.CAP_PROP_FPS, settings.fps),
        *(switches if settings.lock else []),
        ("exposure", cv2.CAP_PROP_EXPOSURE, settings.exposure),
        ("gain", cv2.CAP_PROP_GAIN, settings.gain),
        ("white_balance_k", cv2.CAP_PROP_WB_TEMPERATURE, settings.white_balance_k),
        ("focus", cv2.CAP_PROP_FOCUS, settings.focus),
    ]
    for name, key, value in values:
        if value is not None:
            yield name, key, float(value)


def check_device(device: str) -> None:
    """Raises CameraError with the cause and the remedy unless the device is there and may be used."""
    if not os.path.exists(device):
        there = sorted(os.listdir("/dev/v4l/by-id")) if os.path.isdir("/dev/v4l/by-id") else []
        raise CameraError(f"{device}: no such device; plugged in are: {', '.join(there) or 'none'}")
    if not os.access(device, os.R_OK | os.W_OK):
        raise CameraError(f"{device}: user {os.geteuid()} may not use it; add the service's user to group video")


def register(registry: Registry) -> None:
    """Make this source known."""
    registry.register("source", "v4l2", V4l2Source, V4l2Settings)


def _open_device(path: str) -> Any:
    import cv2

    capture = cv2.VideoCapture(path, cv2.CAP_V4L2)
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    return capture
