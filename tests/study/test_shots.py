"""What engines are shown: shares, fresh places, the same each time; and a clip as the change detector hands it on."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.recompute.preprocess import Preprocess
from edgevision.study.shots import Clip, Squares, pairs, square_px

SHAPE = (1, 3, 48, 64)


def test_a_square_has_the_share_that_was_asked_for():
    for share in (0.0, 0.01, 0.05, 0.2, 0.5, 0.9, 1.0):
        rows, columns = square_px(share, 1080, 1920)
        assert rows * columns / (1080 * 1920) == pytest.approx(share, abs=2e-3)
        assert rows <= 1080
        assert columns <= 1920


def test_only_live_pixels_change_at_a_fresh_place_each_time():
    scene = Squares(SHAPE, Preprocess(), 0.1, seed=1)
    before, places = None, set()
    for shot in scene.play(6):
        if before is not None:
            assert not shot.is_whole
            assert np.array_equal((shot.x != before)[0].any(axis=0), shot.live)
            places.add(tuple(np.argwhere(shot.live)[0]))
        before = shot.x.copy()
    assert len(places) > 3
    assert before.min() >= 0
    assert before.max() <= 1


def test_the_same_shots_each_time():
    scene = Squares(SHAPE, Preprocess(), 0.2, seed=2)
    first, second = ([shot.x.copy() for shot in scene.play(4)] for _ in range(2))
    assert np.array_equal(first, second)


def test_pairs_are_neighbours():
    scene = Squares(SHAPE, Preprocess(), 0.05)
    found = [np.mean((before != after)[0].any(axis=0)) for before, after in pairs(scene, 20, 3)]
    assert found == pytest.approx([0.05] * 3, abs=0.01)


@pytest.fixture
def clip(tmp_path):
    """Twelve pictures, a bright patch that moves over grey noise of one level."""
    folder = tmp_path / "clip"
    folder.mkdir()
    ground = np.random.default_rng(0).integers(60, 180, (48, 64, 3), dtype=np.uint8)
    for number in range(12):
        picture = ground.copy()
        picture[10:20, 4 * number : 4 * number + 10] = 250
        cv2.imwrite(str(folder / f"{number:02}.png"), picture)
    return folder


def test_a_clip_is_the_input_in_use(clip):
    table = np.arange(256, dtype=np.float64) / 255
    shots = [(shot.x.copy(), shot.live.copy(), shot.is_whole, shot.map_ms) for shot in Clip(SHAPE, Preprocess(), clip).play(50)]
    assert [is_whole for _, _, is_whole, _ in shots[1:]] == [False] * (len(shots) - 1)
    assert shots[0][2]
    assert len(shots) == 12
    first = cv2.imread(str(clip / "00.png"))[:, :, ::-1].transpose(2, 0, 1)
    assert np.array_equal(shots[0][0][0], table[first].astype(np.float32))
    for (before, *_), (after, live, _, map_ms) in pairwise(shots):
        assert not (before != after)[0].any(axis=0)[~live].any()
        assert 0 < live.mean() < 0.5
        assert map_ms > 0


def test_a_clip_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.mp4: no such file"):
        next(Clip(SHAPE, Preprocess(), tmp_path / "none.mp4").play(3))


def test_a_network_of_two_channels_takes_no_pictures(clip):
    with pytest.raises(InputError, match="2 channels"):
        next(Clip((1, 2, 48, 64), Preprocess(), clip).play(3))
