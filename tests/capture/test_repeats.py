from __future__ import annotations

import numpy as np

from edgevision.capture.repeats import Repeats, is_same


def picture(value: int = 7, row: int = 0) -> np.ndarray:
    image = np.zeros((200, 64, 3), np.uint8)
    image[row, 5, 1] = value
    return image


def test_it_counts_from_the_first_picture_of_its_kind():
    repeats = Repeats()
    assert repeats.same_s(picture(), 100.0) == 0.0
    assert repeats.same_s(picture(), 103.0) == 3.0
    assert repeats.same_s(picture(8), 104.0) == 0.0
    assert repeats.same_s(picture(8), 109.5) == 5.5
    assert repeats.same_s(picture(), 110.0) == 0.0


def test_one_bit_anywhere_is_another_picture():
    for row in range(200):
        assert not is_same(picture(0), picture(1, row)), row
    assert is_same(picture(), picture())
    assert not is_same(picture(), picture()[:, :32])
    assert not is_same(picture(), picture().astype(np.uint16))
