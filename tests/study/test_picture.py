from __future__ import annotations

import numpy as np
import pytest

from edgevision.records import Defect, Event, Phase, Region, Verdict
from edgevision.study.picture import CAPTION_PX, colour, draw_event, write_on


def event(box):
    x1, y1, x2, y2 = box
    region = Region("dent", 0.8, box, 100, ((x1, y1), (x2, y1), (x2, y2)), ((x1 + x2) / 2, (y1 + y2) / 2))
    return Event("e", "t", Phase.NEW, 0.0, 0.0, 3, Verdict.NG, None, Defect(region, Verdict.NG, 0.7, "area_score"))


@pytest.mark.parametrize("shape", [(720, 1280, 3), (96, 128), (40, 60, 3)])
@pytest.mark.parametrize("corner", [(0, 0), (20, 10), (40, 20)])
def test_the_frame_is_left_as_it_was_and_drawn_on_a_copy(shape, corner):
    image = np.full(shape, 90, np.uint8)
    x, y = corner
    picture = draw_event(image, event((x, y, x + 12, y + 12)), "frame 3")
    assert picture.shape == (shape[0] + CAPTION_PX, shape[1], 3)
    assert (image == 90).all()
    assert (picture[: shape[0]] != 90).any()


def test_sixteen_bits_become_eight():
    assert colour(np.full((4, 4), 0x8000, np.uint16)).tolist() == np.full((4, 4, 3), 128).tolist()


def test_words_on_a_picture_can_be_read_wherever_their_box_lies():
    for corner in ((100, 60), (196, 60), (0, 0)):  # in the middle, at the right edge, in the upper left corner
        picture = np.full((120, 200, 3), 140, np.uint8)
        write_on(picture, "pit 0.71", corner, (60, 60, 235))
        rows, columns = np.nonzero((picture == 20).all(axis=2))
        assert columns.max() - columns.min() > 40  # the bar is as long as the words, none of it cut off
        assert (picture[rows.min() : rows.max(), columns.min() : columns.max(), 2] > 200).sum() > 30
