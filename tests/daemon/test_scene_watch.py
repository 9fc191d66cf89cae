from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgevision.capture.camera import CameraSettings
from edgevision.daemon.scene_watch import AGAIN_S, SceneWatch


def scene(seed):
    chance = np.random.default_rng(seed)
    return cv2.resize(chance.integers(0, 255, (24, 32, 3), np.uint8), (320, 240), interpolation=cv2.INTER_NEAREST)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "scenes" / "cam.png"


def test_the_first_scene_is_remembered_over_a_restart_and_another_is_noticed(path):
    assert SceneWatch(path, CameraSettings()).look(scene(1), 1.0, "life") is None
    again = SceneWatch(path, CameraSettings())
    assert again.look(scene(1), 1.0, 1) is None
    assert again.look(scene(2), 2.0, 1) is None  # settled: not looked at again
    trouble = again.look(scene(2), 3.0, 2)  # the camera was opened anew
    assert "learn_reference" in trouble
    assert again.look(scene(1), 3.0 + AGAIN_S / 2, 2) == trouble
    assert again.look(scene(1), 3.1 + AGAIN_S, 2) is None  # put right


def test_another_scene_never_takes_the_place_by_itself_but_may_be_accepted(path):
    watch = SceneWatch(path, CameraSettings())
    watch.look(scene(1), 1.0, 1)
    for second in range(10, 100, 10):
        assert watch.look(scene(2), float(second), 2) is not None
    watch.forget()
    assert watch.look(scene(2), 101.0, 2) is None
    assert SceneWatch(path, CameraSettings()).look(scene(2), 1.0, 1) is None


def test_darkness_decides_nothing_and_a_file_that_is_no_scene_is_none(path):
    path.parent.mkdir()
    path.write_bytes(b"no picture")
    watch = SceneWatch(path, CameraSettings())
    assert watch.look(np.zeros((240, 320, 3), np.uint8), 1.0, 1) is None
    assert watch.look(scene(1), 1.0 + AGAIN_S, 1) is None
    assert cv2.imread(str(path)) is not None


def test_switched_off_it_looks_at_nothing(path):
    SceneWatch(path, CameraSettings(scene_check="off")).look(scene(1), 1.0, 1)
    assert not path.exists()
