"""Recordings: real ones read whole, and files that are none."""

import hashlib
import os
from collections import Counter
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edgevision.capture.camera import Camera, CameraSettings, CameraState
from edgevision.capture.file import FileSettings, FileSource
from edgevision.errors import CameraError, EndOfStream

pytestmark = pytest.mark.usefixtures("no_child_left")


def digest(image: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(image)).hexdigest()


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """30 frames 64x48 at 15 a second, each brighter than the one before."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 15.0, (64, 48))
    for k in range(30):
        writer.write(np.full((48, 64, 3), 8 * k, np.uint8))
    writer.release()
    return path


def test_the_bottle_clip_comes_whole_and_in_order(data):
    path = str(data("intel-sample-videos/bottle-detection.mp4"))
    capture = cv2.VideoCapture(path)
    with Camera("cam", "file", {"path": path}) as camera:
        for number in range(1189):
            frame = camera.next(10)
            assert frame.seq == number
            assert frame.ts == pytest.approx(number / (29 + 5 / 6), abs=1e-6)
            assert np.array_equal(frame.image, capture.read()[1])
        with pytest.raises(EndOfStream, match="after 1189 frames"):
            camera.next(10)
    assert not capture.read()[0]
    assert (camera.counters.frames, camera.counters.dropped, camera.counters.restarts) == (1189, 0, 0)


def test_the_avi_that_kills_opencv_costs_one_restart_and_no_frame(data, take_all):
    path = str(data("bgslibrary-dataset/demo_rawdib_bottomup.avi"))
    with Camera("cam", "file", {"path": path}) as camera:
        taken = take_all(camera)
    assert [frame.seq for frame in taken.frames] == list(range(51))
    with av.open(path) as container:  # OpenCV may live long enough to give pictures, and they are wrong
        right = [digest(frame.to_ndarray(format="bgr24")) for frame in container.decode(video=0)]
    assert [digest(frame.image) for frame in taken.frames] == right
    assert (camera.counters.restarts, camera.counters.died) == (1, 1)
    assert camera.counters.last_error.startswith("the decoder died")
    assert isinstance(taken.end, EndOfStream)


def test_the_avi_that_kills_opencv_is_given_up_without_another_reader(data, take_all):
    source = {"path": str(data("bgslibrary-dataset/demo_rawdib_bottomup.avi")), "backend": "opencv"}
    settings = CameraSettings(max_restarts=1, backoff_min_s=0.01)
    with Camera("cam", "file", source, settings) as camera:
        taken = take_all(camera)
    assert camera.is_over
    assert camera.counters.died >= 1
    assert "\n" not in str(taken.end)


@pytest.mark.parametrize("name", ["intel-sample-videos/bolt-multi-size-detection.gif", "delta-robot-conveyor/conveyor_belt.mp4"])
def test_both_readers_give_the_same_frames_but_for_rounding(data, name):
    readers = [FileSource(FileSettings(path=str(data(name)), backend=backend)) for backend in ("opencv", "pyav")]
    counts: Counter[str] = Counter()
    for reader in readers:
        reader.open()
    for _ in range(20):
        (first, first_ts), (second, second_ts) = (reader.read() for reader in readers)
        assert first.shape == second.shape
        assert first_ts == pytest.approx(second_ts)
        assert np.abs(first.astype(int) - second).mean() < 2.0
        counts["frames"] += 1
    for reader in readers:
        reader.close()
    assert counts["frames"] == 20


@pytest.mark.parametrize("backend", ["opencv", "pyav"])
def test_a_restarted_child_goes_on_where_the_last_one_stopped(clip, take_all, backend):
    with Camera("cam", "file", {"path": str(clip), "backend": backend}, CameraSettings(backoff_min_s=0.01)) as camera:
        taken = take_all(camera, frames=11)
        os.kill(camera.pid, 9)
        rest = take_all(camera)
    frames = taken.frames + rest.frames
    assert [frame.seq for frame in frames] == list(range(30))
    assert [round(frame.image.mean() / 8) for frame in frames] == list(range(30))
    assert [frame.ts for frame in frames] == pytest.approx([k / 15 for k in range(30)])


def test_fps_and_start_are_settings(clip):
    source = FileSource(FileSettings(path=str(clip), fps=10, start_ts=1000))
    source.open()
    assert [source.read()[1] for _ in range(3)] == pytest.approx([1000.0, 1000.1, 1000.2])
    source.close()


def test_loop_begins_again(clip):
    source = FileSource(FileSettings(path=str(clip), loop=True))
    source.open()
    means = [round(source.read()[0].mean() / 8) for _ in range(65)]
    source.close()
    assert means == [*range(30), *range(30), *range(5)]


def test_realtime_is_live_and_stamped_with_the_clock(clip, take_all):
    with Camera("cam", "file", {"path": str(clip), "realtime": True, "fps": 100}) as camera:
        taken = take_all(camera)
    assert 0.2 < taken.frames[-1].ts - taken.frames[0].ts < 5
    assert taken.frames[0].ts > 1e9


def test_a_cut_off_file_is_read_as_far_as_it_goes(data, tmp_path, take_all):
    whole = data("bgslibrary-dataset/video.avi").read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(whole[: len(whole) // 2])
    with Camera("cam", "file", {"path": str(path)}) as camera:
        taken = take_all(camera)
    assert 100 < len(taken.frames) < 374  # the header still says 374
    assert isinstance(taken.end, EndOfStream)


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("nope.mp4", lambda path: None, "No such file"),
        ("zero.mp4", lambda path: path.touch(), r"empty \(0 bytes\)"),
        ("folder.mp4", lambda path: path.mkdir(), "use source type folder"),
        ("text.mp4", lambda path: path.write_text("this is no video\n" * 100), "cannot be opened"),
        ("noise.mp4", lambda path: path.write_bytes(bytes(range(256)) * 400), "cannot be opened"),
        ("fifo.mp4", os.mkfifo, "not a regular file"),
    ],
)
def test_what_is_no_recording_is_one_line_at_once_without_a_traceback(tmp_path, take_all, name, make, says):
    path = tmp_path / name
    make(path)
    with Camera("cam", "file", {"path": str(path)}) as camera, pytest.raises(CameraError, match=says) as caught:
        camera.next(10)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert not isinstance(caught.value, EndOfStream)
    assert camera.state is CameraState.FAILED


def test_a_recording_of_no_frames_is_an_error_and_no_end(tmp_path, clip):
    path = tmp_path / "header.avi"
    path.write_bytes(clip.read_bytes()[: clip.read_bytes().index(b"movi") + 4])
    with (
        Camera("cam", "file", {"path": str(path)}) as camera,
        pytest.raises(CameraError, match=r"no frame|cannot be opened|frames a second") as caught,
    ):
        camera.next(10)
    assert not isinstance(caught.value, EndOfStream)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_unreadable_recording_is_said_so(clip):
    clip.chmod(0)
    with pytest.raises(CameraError, match="may not read"):
        FileSource(FileSettings(path=str(clip))).open()
