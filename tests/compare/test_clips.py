"""Real recordings: how much of a fixed view is live. They lie beside the repository, not in it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import edgevision as ev

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
