"""The two readers of moving pictures, and the check of the one by the other."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.capture import video
from edgevision.capture.video import BrokenReader, OpencvVideo, PyavVideo, check_opencv
from edgevision.errors import BadFrame, CameraError, EndOfStream


@pytest.fixture
def clip(tmp_path):
    """Ten frames 64x48, each brighter than the one before."""
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (64, 48))
    for k in range(10):
        writer.write(np.full((48, 64, 3), 20 * k, np.uint8))
    writer.release()
    return path


@pytest.fixture(params=[OpencvVideo, PyavVideo])
def reader(request):
    return request.param


def test_all_frames_then_the_end(reader, clip):
    opened = reader(clip)
    assert opened.fps == pytest.approx(15.0)
    assert [round(opened.read()[0].mean() / 20) for _ in range(10)] == list(range(10))
    with pytest.raises(EndOfStream):
        opened.read()
    opened.close()


def test_skip_passes_over_exactly_one(reader, clip):
    opened = reader(clip)
    opened.skip()
    opened.skip()
    assert round(opened.read()[0].mean() / 20) == 2
    opened.close()


def test_what_cannot_be_opened_names_the_place_without_credentials(reader):
    with pytest.raises(CameraError) as caught:
        reader("http://user:secret@127.0.0.1:9/none.mp4")
    assert "127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_damaged_frame_is_told_and_the_next_one_follows(clip):
    packed = bytearray(Path(clip).read_bytes())
    start = packed.index(b"00dc", packed.index(b"movi")) + 8
    packed[start : start + 150] = bytes(150)
    Path(clip).write_bytes(packed)
    opened = PyavVideo(clip, is_strict=False)
    assert opened.read()[0].max() > 100  # patched up from a black one, and nobody would know
    opened.close()
    opened = PyavVideo(clip)
    with pytest.raises(BadFrame, match="packet cannot be decoded"):
        opened.read()
    assert [round(opened.read()[0].mean() / 20) for _ in range(9)] == list(range(1, 10))
    with pytest.raises(EndOfStream):
        opened.read()
    opened.close()


def test_agreeing_readers_pass_and_disagreeing_ones_do_not(clip, monkeypatch):
    check_opencv(clip)
    monkeypatch.setattr(video.OpencvVideo, "read", lambda self: (np.full((48, 64, 3), 99, np.uint8), None))
    with pytest.raises(BrokenReader, match="OpenCV decodes it wrongly"):
        check_opencv(clip)
    check_opencv("/none.mp4")  # what neither opens is no reason to distrust one
