"""What white says of the light: where it has come down, samples of it are added; what is black, alone or beside an edge says nothing."""

from __future__ import annotations

import numpy as np

from edgevision.compare.white import with_white

DEPTH = (0, 255)


def samples_of(now, taught, allowed=None, room=100, steps=(1, 1)):
    into = np.full((5, room), -1, np.int32)
    allowed = np.ones(now.shape[:2], np.uint8) if allowed is None else allowed
    n = with_white((now, taught), allowed, DEPTH, ((0, 0), steps), into, 1)
    return into[:, 1:n].T.tolist(), into


def test_white_all_around_that_is_no_longer_white_is_a_sample():
    taught = np.full((4, 5, 1), 255, np.uint8)
    taught[:, 3:] = 0  # an edge: column 2 lies beside it
    now = taught // 2
    found, into = samples_of(now, taught)
    assert found == [[127, 255, 0, row, column] for row in range(4) for column in range(2)]
    assert into[:, 0].tolist() == [-1] * 5  # what was there stays


def test_what_is_black_now_or_not_allowed_is_none_and_the_room_is_kept():
    taught = np.full((4, 4, 1), 255, np.uint8)
    now = np.full((4, 4, 1), 90, np.uint8)
    now[0] = 1
    allowed = np.ones((4, 4), np.uint8)
    allowed[1] = 0
    assert {row for _, _, _, row, _ in samples_of(now, taught, allowed)[0]} == {2, 3}
    assert len(samples_of(now, taught, room=4)[0]) == 3
    assert [one[3:] for one in samples_of(now, taught, steps=(3, 2))[0]] == [[3, 0], [3, 2]]
