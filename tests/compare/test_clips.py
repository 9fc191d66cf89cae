"""Real recordings: how much of a fixed view is live. They lie beside the repository, not in it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import edgevision as ev
from edgevision.errors import BadFrame
from edgevision.records import Scene

DATA = Path(__file__).parents[3] / "shared" / "data"


def frames(clip: str, most: int):
    path = DATA / clip
    if not path.is_file():
        pytest.skip(f"{path} is absent: recordings lie beside the repository, and a clone has none")
    reader = cv2.VideoCapture(str(path))
    for _ in range(most):
        is_read, image = reader.read()
        if not is_read:
            return
        yield image


def shares(clip: str, most: int, **settings) -> np.ndarray:
    detector = ev.ChangeDetector(ev.ChangeSettings(**settings))
    return np.array([detector.update(image).fraction for image in frames(clip, most)])[1:]


def test_shelf_is_almost_still_beside_its_clock():
    clock = ((0, 0), (480, 0), (480, 40), (0, 40))
    assert np.median(shares("azure-shelf/shelf.mp4", 200, ignore=(clock,))) < 0.001


def test_bottles_move_and_their_belt_does_not():
    found = shares("intel-sample-videos/bottle-detection.mp4", 200)
    assert np.median(found) < 0.01
    assert found.max() > 0.01


def test_a_switch_to_infrared_is_exactly_one_dense_run():
    """The picture is blown out for some frames, which are not inspected, and then comes back in another light."""
    detector, whole, refused = ev.ChangeDetector(), [], []
    for k, image in enumerate(frames("frigate-motion/test_motion_video-1.mp4", 200)):
        try:
            change = detector.update(image)
        except BadFrame:
            refused.append(k)
            continue
        if change.full_reason == "global_change":
            whole.append((k, change.scene))
    assert len(whole) == 1
    assert whole[0][1] == Scene.LIGHT_CHANGE
    assert refused == list(range(refused[0], whole[0][0]))
