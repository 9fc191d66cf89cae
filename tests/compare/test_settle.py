from __future__ import annotations

import numpy as np

from edgevision.compare.settle import TILE_PX, Settle
from edgevision.kernels.plain import change as kernels

MOVING = np.array([[20, 32, 64], [21, 32, 64]], np.int32)  # 16 pixels in each of two tiles a row: 32 in both together
NOISE = np.array([[20, 33, 38]], np.int32)


def due(settle, runs):
    return settle.due(kernels, runs, len(runs))


def test_a_place_is_taken_anew_once_after_it_came_to_rest():
    settle = Settle(320, 640, 3)
    for _ in range(4):
        assert due(settle, MOVING) is None
    assert due(settle, MOVING[:0]) is None
    assert due(settle, MOVING[:0]) is None
    tiles = due(settle, MOVING[:0])
    assert np.argwhere(tiles).tolist() == [[20 // TILE_PX, 2], [20 // TILE_PX, 3]]
    assert due(settle, MOVING[:0]) is None


def test_noise_is_no_motion():
    settle = Settle(320, 640, 3)
    assert [due(settle, NOISE) for _ in range(8)] == [None] * 8


def test_a_quiet_middle_waits_for_its_edges():
    settle = Settle(320, 640, 2)
    due(settle, MOVING)
    edge = MOVING + np.array([0, 96, 96], np.int32)  # six tiles on
    assert [due(settle, edge) for _ in range(6)] == [None] * 6


def test_off_means_never():
    settle = Settle(320, 640, 0)
    assert [due(settle, MOVING), *[due(settle, MOVING[:0]) for _ in range(5)]] == [None] * 6
