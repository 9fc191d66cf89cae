"""Folders of pictures, read once and watched."""

import os
import time

import cv2
import numpy as np
import pytest

from edgevision.capture.camera import Camera, CameraSettings
from edgevision.capture.folder import FolderSettings, FolderSource, WatchedFolderSource, natural_order
from edgevision.errors import BadFrame, CameraError, EndOfStream

pytestmark = pytest.mark.usefixtures("no_child_left")


def picture(path, level, size=(40, 60)):
    cv2.imwrite(str(path), np.full((*size, 3), level, np.uint8))


def test_numbers_are_sorted_as_people_count():
    assert natural_order(["p10.png", "p9.png", "P1.png", "p²3.png", "9.png", "10.png"]) == [
        "9.png",
        "10.png",
        "P1.png",
        "p9.png",
        "p10.png",
        "p²3.png",
    ]


def test_every_picture_once_in_natural_order_a_corrupt_one_named(tmp_path, take_all):
    for number in (1, 2, 10, 11):
        picture(tmp_path / f"part{number}.jpg", number)
    whole = (tmp_path / "part2.jpg").read_bytes()
    (tmp_path / "part3.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden.jpg").write_bytes(whole)
    with Camera("cam", "folder", {"path": str(tmp_path), "part_id": "stem", "fps": 2}) as camera:
        taken = take_all(camera)
    assert [(frame.part_id, int(frame.image[0, 0, 0]), frame.seq, frame.ts) for frame in taken.frames] == [
        ("part1", 1, 0, 0.0),
        ("part2", 2, 1, 0.5),
        ("part10", 10, 3, 1.5),
        ("part11", 11, 4, 2.0),
    ]
    assert len(taken.bad) == 1
    assert "part3.jpg" in taken.bad[0]
    assert isinstance(taken.end, EndOfStream)


def test_a_picture_of_another_size_is_refused(tmp_path, take_all):
    for number, size in enumerate([(40, 60), (20, 30), (80, 120), (40, 60)]):
        picture(tmp_path / f"{number}.png", number, size)
    with Camera("cam", "folder", {"path": str(tmp_path)}) as camera:
        taken = take_all(camera)
    assert [frame.seq for frame in taken.frames] == [0, 3]
    assert len(taken.bad) == 2


def test_real_pictures_gray_and_colour(data, take_all):
    with Camera("cam", "folder", {"path": str(data("magnetic-tile/MT_Fray"))}, CameraSettings(size_change="follow")) as camera:
        taken = take_all(camera)
    assert taken.frames
    assert not taken.bad


def test_empty_and_missing_folders_are_errors(tmp_path):
    for path, says in ((tmp_path, "no picture"), (tmp_path / "none", "No such file")):
        with pytest.raises(CameraError, match=says):
            FolderSource(FolderSettings(path=str(path))).open()


class Clock:
    """Time that passes when somebody sleeps."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, pause_s):
        self.now += pause_s


@pytest.fixture
def watched(tmp_path):
    clock = Clock()
    source = WatchedFolderSource(FolderSettings(path=str(tmp_path), watch=True, part_id="stem"), clock, clock.sleep)
    source.open()
    return source, clock


def wait(source, looks=10):
    """Read until something comes, at most so many looks."""
    for _ in range(looks):
        try:
            return source.read()
        except TimeoutError:
            continue
    return None


def test_a_watched_picture_is_read_only_when_it_rests(watched, tmp_path):
    source, _ = watched
    assert wait(source) is None
    picture(tmp_path / "whole.png", 7)
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "whole.png").unlink()
    for end in range(20, len(whole), 20):  # it grows at every look
        (tmp_path / "a.png").write_bytes(whole[:end])
        assert wait(source, looks=1) is None
    (tmp_path / "a.png").write_bytes(whole)
    image, ts = wait(source)
    assert int(image[0, 0, 0]) == 7
    assert source.part_id == "a"
    assert abs(ts - time.time()) < 60
    assert wait(source) is None


def test_watched_pictures_come_in_order_of_arrival(watched, tmp_path):
    source, _ = watched
    for name in ("b", "c", "a"):
        picture(tmp_path / f"{name}.png", 1)
        time.sleep(0.02)  # so that the file system's clock tells them apart
    names = []
    for _ in range(3):
        assert wait(source) is not None
        names.append(source.part_id)
    assert names == ["b", "c", "a"]


def test_an_empty_watched_file_is_given_time_then_refused(watched, tmp_path):
    source, _ = watched
    (tmp_path / "late.png").touch()
    assert wait(source, looks=20) is None
    with pytest.raises(BadFrame, match="empty"):
        wait(source, looks=100)


def test_a_picture_written_again_is_read_again(watched, tmp_path):
    source, _ = watched
    picture(tmp_path / "a.png", 1)
    assert wait(source) is not None
    picture(tmp_path / "a.png", 2, (41, 60))
    image, _ = wait(source)
    assert int(image[0, 0, 0]) == 2


def test_a_watched_folder_that_goes_away_is_an_error(watched, tmp_path):
    source, _ = watched
    tmp_path.rmdir()
    with pytest.raises(CameraError, match="No such file"):
        wait(source)


def test_a_new_child_goes_on_behind_the_last_picture(tmp_path, take_all):
    for number in range(4):
        picture(tmp_path / f"{number}.png", number)
        time.sleep(0.02)
    settings = {"path": str(tmp_path), "watch": True, "settle_s": 0.05, "poll_s": 0.02}
    with Camera("cam", "folder", settings, CameraSettings(backoff_min_s=0.01)) as camera:
        taken = take_all(camera, frames=2)
        os.kill(camera.pid, 9)
        rest = take_all(camera, frames=2)
        picture(tmp_path / "new.png", 9)
        last = take_all(camera, frames=1)
        assert camera.next(0.3) is None
    frames = taken.frames + rest.frames + last.frames
    assert [int(frame.image[0, 0, 0]) for frame in frames] == [0, 1, 2, 3, 9]
    assert [frame.seq for frame in frames] == [0, 1, 2, 3, 4]
    assert camera.counters.restarts == 1
