"""Where regions lie, by hand."""

from __future__ import annotations

import numpy as np

from edgevision.records import Region
from edgevision.segment.places import around, displaced

SPOT = Region("hole", 0.9, (0, 2, 4, 6), 16, ((0, 2), (4, 2), (4, 6)), (2.0, 4.0))


def test_a_region_off_its_frame_is_put_where_it_lies():
    (moved,) = displaced((SPOT,), (0, 5), (10, 8))
    assert (moved.box_px, moved.polygon, moved.centroid_px) == ((5, 2, 8, 6), ((5, 2), (8, 2), (8, 6)), (7.0, 4.0))
    assert displaced((SPOT,), (0, 8), (10, 8)) == ()


def test_what_is_around_a_region_ends_at_the_frame():
    wanted = np.zeros((10, 8), np.bool_)
    wanted[1:7, :5] = True
    assert np.array_equal(around((SPOT,), 1, (10, 8)), wanted)
    assert not around((), 1, (10, 8)).any()
