from __future__ import annotations

import numpy as np

from edgevision.compare.settle import TILE_PX, Settle
from edgevision.kernels.plain import change as kernels

MOVING = np.array([[row, 32, 64] for row in range(20, 24)], np.int32)  # 16 pixels a row in each of two tiles
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


def test_what_shows_noise_alone_is_not_taken_anew():
    settle = Settle(32, 32, 3)
    used = np.full((32, 96), 100, np.uint8)
    image, tiles = used.copy(), np.array([[True, True], [False, False]])
    image[:16, :48] += 2  # of noise, a sigma of 1 makes 1.1
    image[:16, 48:] += 1
    frame = (image, used, (np.full((1, 96), 1 << 14, np.uint16), np.full(96, 16, np.int16), 32, 9, 5, 255))
    assert np.argwhere(settle.worth(kernels, frame, 3, 1.0, tiles)).tolist() == [[0, 0]]


def test_off_means_never():
    settle = Settle(320, 640, 0)
    assert [due(settle, MOVING), *[due(settle, MOVING[:0]) for _ in range(5)]] == [None] * 6


def test_over_a_belt_what_was_touched_moves_along():
    settle = Settle(320, 640, 3)
    due(settle, MOVING)  # the tiles of columns 32 to 63
    for _ in range(2):
        settle.shift(0, 8)  # the network's step, half a tile
        due(settle, MOVING[:0])
    settle.shift(0, 8)
    tiles = due(settle, MOVING[:0])  # 24 px on: columns 56 to 87
    assert np.argwhere(tiles).tolist() == [[1, 3], [1, 4], [1, 5]]
    due(settle, MOVING)
    settle.shift(0, 700)
    assert [due(settle, MOVING[:0]) for _ in range(4)] == [None] * 4  # it has left the picture
