"""A frame beside its template, as a network is shown it."""

import numpy as np
import pytest

from edgevision.compare.template import BesideTemplate

TEMPLATE = np.array([[0, 100], [200, 255]], np.uint8)


def test_hand_worked_gray():
    shown = BesideTemplate(TEMPLATE, None).of(np.array([[10, 90], [200, 0]], np.uint8))
    assert shown.tolist() == [[[10, 0, 10], [90, 100, 10]], [[200, 200, 0], [0, 255, 255]]]


def test_nothing_live_lays_nothing_out_and_what_is_gone_becomes_the_template_again():
    beside = BesideTemplate(np.zeros((20, 20), np.uint8), None)
    live = np.zeros((20, 20), bool)
    live[3, 4] = True
    assert beside.of(np.full((20, 20), 9, np.uint8), live)[3, 4].tolist() == [9, 0, 9]
    shown = beside.of(np.full((20, 20), 5, np.uint8), np.zeros((20, 20), bool))
    assert shown[3, 4].tolist() == [9, 0, 9]
    beside.put_back(live)
    assert shown[3, 4].tolist() == [0, 0, 0]


@pytest.mark.parametrize("share", [0.02, 0.5])
@pytest.mark.parametrize(
    ("shape", "dtype"), [((30, 40), np.uint8), ((30, 40, 3), np.uint8), ((30, 40), np.uint16), ((30, 40, 3), np.uint16)]
)
def test_live_pixels_are_what_a_whole_picture_shows_there(shape, dtype, share):
    random = np.random.default_rng(0)
    image, template = (random.integers(0, 256, shape).astype(dtype) << (8 if dtype == np.uint16 else 0) for _ in range(2))
    live = random.random(shape[:2]) < share
    part = BesideTemplate(template, None).of(image, live)[live]
    whole = BesideTemplate(template, None).of(image)
    assert (part == whole[live]).all()
    assert (whole[..., 2] == np.abs(whole[..., 0].astype(int) - whole[..., 1])).all()
