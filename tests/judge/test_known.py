"""What the reference shows nearby is no defect, however it was lit; what broke out since is one."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgevision.judge.known import ALIKE, likeness
from edgevision.judge.rules import AreaScoreRule, JudgeSettings
from edgevision.records import ChangeMap, Frame, Region, Scene

DENT = (100, 60, 112, 70)


def surface(seed: int = 0) -> np.ndarray:
    """Ground metal with an edge across it, which stays where it is."""
    random = np.random.default_rng(seed)
    picture = 120 + 6 * cv2.GaussianBlur(random.standard_normal((160, 240)).astype(np.float32), (0, 0), 1.2)
    picture[90:] -= 50
    return picture


def with_dent(picture: np.ndarray, at: tuple[int, int] = (105, 65), radius: int = 5, seed: int = 1) -> np.ndarray:
    """A dark, ragged mark about (x, y)."""
    random = np.random.default_rng(seed)
    lump = np.zeros(picture.shape, np.uint8)
    for dx, dy in random.integers(-radius, radius + 1, (4, 2)):
        cv2.circle(lump, (at[0] + int(dx) // 2, at[1] + int(dy) // 2), radius // 2 + 1, 255, -1)
    return picture * (1 - 0.5 * cv2.GaussianBlur(lump, (0, 0), 0.8) / 255)


def shot(picture: np.ndarray, gain: float = 1.0, noise: int = 0) -> np.ndarray:
    random = np.random.default_rng(noise)
    taken = gain * picture + random.normal(0, 1.5, picture.shape)
    return np.repeat(np.clip(np.rint(taken), 0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize(("off", "gain"), [((0, 0), 1.0), ((9, -4), 0.8), ((-12, 3), 1.15)])
def test_an_old_dent_that_crept_is_known_in_any_light(off, gain):
    x, y = off
    image = shot(with_dent(surface(), (105 + x, 65 + y)), gain, 7)
    reference = shot(with_dent(surface()))
    assert likeness((DENT[0] + x, DENT[1] + y, DENT[2] + x, DENT[3] + y), image, reference, 16) >= ALIKE


def test_what_broke_out_since_and_what_is_out_of_reach_are_not():
    image = shot(with_dent(surface(), (135, 65)), 1.0, 7)
    moved = (DENT[0] + 30, DENT[1], DENT[2] + 30, DENT[3])
    assert likeness(moved, image, shot(surface()), 16) < ALIKE
    assert likeness(moved, image, shot(with_dent(surface())), 16) < ALIKE <= likeness(moved, image, shot(with_dent(surface())), 40)


def test_a_dent_that_has_grown_is_new_again():
    reference, image = shot(with_dent(surface())), shot(with_dent(surface(), radius=14, seed=4), 1.0, 7)
    assert likeness((90, 50, 120, 80), image, reference, 16) < ALIKE


def test_sixteen_bits_one_channel_and_the_pictures_edge_are_alike():
    reference, image = (shot(with_dent(surface(), (4, 3)), noise=k) for k in (0, 7))
    box = (0, 0, 9, 8)
    known = likeness(box, image, reference, 16)
    deep = likeness(box, image[..., 0].astype(np.uint16) * 257, reference[..., 0].astype(np.uint16) * 257, 16)
    assert known == pytest.approx(deep, abs=1e-4)
    assert known >= ALIKE


def test_a_plain_surface_is_like_nothing():
    plain = np.full((40, 40, 3), 90, np.uint8)
    assert likeness((10, 10, 20, 20), plain, plain, 8) == 0.0


def test_the_rule_asks_only_where_it_is_told_to_and_a_reference_is_there():
    reference, image = shot(with_dent(surface())), shot(with_dent(surface(), (111, 65)), 1.0, 7)
    box = (DENT[0] + 6, DENT[1], DENT[2] + 6, DENT[3])
    corners = ((box[0], box[1]), (box[2] - 1, box[1]), (box[2] - 1, box[3] - 1), (box[0], box[3] - 1))
    region = Region("pitting", 0.9, box, 100, corners, (112.0, 65.0))
    still = np.zeros(image.shape[:2], np.bool_)
    for known_px, golden, count in ((16, reference, 0), (0, reference, 1), (16, None, 1), (3, reference, 1)):
        change = ChangeMap(still, still, 0.0, 1.0, 0.0, Scene.NORMAL, image, None, golden)
        assert len(AreaScoreRule(JudgeSettings(known_px=known_px)).judge((region,), Frame(image, 0.0, 0), change)) == count
