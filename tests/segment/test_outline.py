"""From the network's grid to frame pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgevision.segment.outline import MAX_CORNERS, Scale, outline


def test_scale_of_an_uneven_ratio():
    scale = Scale((100, 150), (40, 50))
    assert scale.point(10, 10) == (30.0, 25.0)
    assert scale.box((1, 1, 3, 3)) == (3, 2, 9, 8)
    assert scale.box((49, 39, 50, 40)) == (147, 97, 150, 100)
    assert scale.area(4) == 30


@pytest.mark.parametrize("pixels", [[(3, 4)], [(3, 4), (3, 5)]])
def test_a_dot_has_corners_too(pixels):
    mask = np.zeros((10, 10), np.uint8)
    for y, x in pixels:
        mask[y, x] = 1
    (contour,), _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygon = outline(contour, Scale((20, 20), (10, 10)), 1.0)
    assert polygon[0] == (8, 6)
    assert polygon[2] == (7 + 2 * len(pixels), 7) if len(pixels) == 1 else (11, 7)
    assert len(polygon) == 4


def test_a_ragged_outline_stays_small():
    rng = np.random.default_rng(0)
    mask = np.zeros((200, 200), np.uint8)
    for _ in range(400):
        y, x = rng.integers(20, 180, 2)
        cv2.line(mask, (100, 100), (int(x), int(y)), 1)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    polygon = outline(max(contours, key=len), Scale((200, 200), (200, 200)), 0.0)
    assert 3 <= len(polygon) <= MAX_CORNERS
