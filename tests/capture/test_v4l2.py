"""A device on this computer, played by a stand-in for cv2.VideoCapture."""

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from edgevision.capture.v4l2 import V4l2Settings, V4l2Source
from edgevision.errors import CameraError


class Device:
    """Takes every property but those it refuses."""

    def __init__(self, refuses=(), frames=2, is_open=True):
        self.refuses = refuses
        self.frames = frames
        self.is_open = is_open
        self.values = {}
        self.is_released = False

    def isOpened(self):  # noqa: N802
        return self.is_open

    def set(self, key, value):
        if key not in self.refuses:
            self.values[key] = value
        return key not in self.refuses

    def get(self, key):
        return self.values.get(key, 3.0)

    def read(self):
        self.frames -= 1
        return (True, np.zeros((4, 6, 3), np.uint8)) if self.frames >= 0 else (False, None)

    def release(self):
        self.is_released = True


@pytest.fixture
def opened(monkeypatch):
    """A source opened on a stand-in."""
    monkeypatch.setattr("edgevision.capture.v4l2.check_device", lambda device: None)

    def make(camera, **settings):
        source = V4l2Source(V4l2Settings(**{"device": "/dev/v4l/by-id/usb-cam-index0", **settings}), lambda path: camera)
        source.open()
        return source

    return make


def test_all_that_moves_by_itself_is_switched_off_and_values_are_set(opened):
    device = Device()
    source = opened(device, exposure=120, gain=4, white_balance_k=5600, width=1280, height=720, fourcc="MJPG")
    assert device.values == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_AUTO_EXPOSURE: 1,
        cv2.CAP_PROP_AUTO_WB: 0,
        cv2.CAP_PROP_AUTOFOCUS: 0,
        cv2.CAP_PROP_EXPOSURE: 120,
        cv2.CAP_PROP_GAIN: 4,
        cv2.CAP_PROP_WB_TEMPERATURE: 5600,
    }
    assert source.warnings == ()


def test_what_the_camera_does_not_take_is_a_warning(opened):
    source = opened(Device(refuses=(cv2.CAP_PROP_GAIN,)), gain=40, lock=False)
    assert len(source.warnings) == 1
    assert "gain is 3, 40 was asked for" in source.warnings[0]


def test_a_bare_device_is_a_warning(opened):
    source = opened(Device(), device="/dev/video0")
    assert "by-id" in source.warnings[0]


def test_frames_until_it_is_unplugged(opened):
    device = Device()
    source = opened(device, colour="gray")
    assert source.read()[0].shape == (4, 6)
    source.read()
    with pytest.raises(CameraError, match="plugged in"):
        source.read()
    source.close()
    source.close()
    assert device.is_released


def test_busy_and_missing_devices_say_so(opened, monkeypatch):
    with pytest.raises(CameraError, match="another program holds it"):
        opened(Device(is_open=False))
    monkeypatch.undo()
    with pytest.raises(CameraError, match="no such device"):
        V4l2Source(V4l2Settings(device="/dev/v4l/by-id/none")).open()


@pytest.mark.parametrize("device", ["video0", "/etc/passwd", "/dev/a b", "http://x"])
def test_only_devices_are_taken(device):
    with pytest.raises(ValidationError):
        V4l2Settings(device=device)
