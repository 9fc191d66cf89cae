"""The same scene is known again, another one is told apart."""

import numpy as np
import pytest

from edgevision.capture.scenery import fingerprint, likeness

CHANCE = np.random.default_rng(5)


def scene(seed):
    """Blotches of all sizes, as a hall has them."""
    chance = np.random.default_rng(seed)
    picture = np.full((240, 320, 3), 110, np.uint8)
    for _ in range(60):
        y, x, height, width = chance.integers(0, (200, 280, 60, 80))
        picture[y : y + height, x : x + width] = chance.integers(20, 230)
    return picture


def test_light_noise_a_part_and_a_knock_leave_it_the_same_scene():
    known = scene(1)
    seen = np.clip(known * 0.6 + 20 + CHANCE.normal(0, 4, known.shape), 0, 255).astype(np.uint8)
    seen = np.roll(seen, (3, -4), (0, 1))
    seen[60:120, 100:180] = 250  # a part
    assert likeness(fingerprint(known), fingerprint(seen)) > 0.6


@pytest.mark.parametrize("seed", range(2, 8))
def test_another_scene_is_told_apart(seed):
    assert likeness(fingerprint(scene(1)), fingerprint(scene(seed))) < 0.4


def test_of_darkness_and_of_a_plain_wall_nothing_is_said():
    dark, wall = np.zeros((240, 320), np.uint8), np.full((240, 320, 3), 128, np.uint8)
    assert likeness(fingerprint(scene(1)), fingerprint(dark)) is None
    assert likeness(fingerprint(wall), fingerprint(scene(1))) is None


def test_deep_pictures_and_gray_ones_are_taken_too():
    gray = scene(3)[..., 0]
    assert likeness(fingerprint(gray), fingerprint(gray.astype(np.uint16) * 64)) > 0.9
