import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgevision as ev
from edgevision.segment.boxes import rectangle
from edgevision.segment.places import placed

SHIFTS = {(0, 0): (2, -3), (0, 1): (-3, 1), (1, 0): (0, 4), (1, 1): (3, 3)}  # (down, right) of each quarter


def board(seed=3, side=640):
    """Squares of copper, black and white."""
    return np.kron(np.random.default_rng(seed).integers(0, 2, (side // 20, side // 20)), np.ones((20, 20))).astype(np.uint8) * 255


def askew(picture):
    """Each quarter lies off by its own way."""
    out, half = picture.copy(), len(picture) // 2
    for (row, column), shift in SHIFTS.items():
        place = slice(row * half, (row + 1) * half), slice(column * half, (column + 1) * half)
        out[place] = np.roll(picture, shift, (0, 1))[place]
    return out


@pytest.fixture
def detector_of(tmp_path):
    """Makes a detector that compares with a board, as recipe pcb does."""

    def make(template, **others):
        cv2.imwrite(str(tmp_path / "board.png"), template)
        told = {"pixel_threshold": 80, "vibration_px": 1, "despeckle": 8, "min_area": 12, "blind_fraction": 1.0, "align_px": 0}
        made = ev.ChangeDetector(
            ev.ChangeSettings(reference="golden", golden=tmp_path / "board.png", golden_fraction=1.0, **(told | others))
        )
        change = made.begin(template)
        made.commit(change, change.live)
        return made

    return make


def test_each_place_is_moved_back_by_its_own_way_and_a_defect_stays_where_it_is(detector_of):
    template = board()
    image = askew(template)
    image[500:514, 450:464] = 255 - image[500:514, 450:464]
    whole, each = detector_of(template, steady_px=3), detector_of(template, places_px=5)
    far, near = whole.measure(image), each.measure(image)
    assert near.fraction < far.fraction / 4
    assert near.live[500 - 3 : 514 - 3, 450 - 3 : 464 - 3].mean() > 0.8  # in the template's place
    assert each.off_px(456, 503) == (3, 3)
    assert whole.off_px(456, 503) == (0, 0)
    assert each.shake_px == 4
    (region,) = placed((rectangle((447, 497, 461, 511), "copper", 0.9),), each.off_px, image.shape)
    assert region.box_px == (450, 500, 464, 514)


def test_what_lies_as_it_should_is_left_as_it_is(detector_of):
    template = board()
    each = detector_of(template, places_px=5)
    image = template.copy()
    image[300:310, 300:310] = 255 - image[300:310, 300:310]
    change = each.measure(image)
    assert (change.corrected[change.live] == image[change.live]).all()
    assert (each.shake_px, each.off_px(305, 305)) == (0, (0, 0))
    assert change.live[300:310, 300:310].mean() > 0.8


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(-4, 4), st.integers(-4, 4))
def test_a_board_that_lies_off_as_a_whole_differs_nowhere_but_at_its_border(tmp_path_factory, seed, down, right):
    from_border = 24
    template = board(seed % 1000)
    cv2.imwrite(str(path := tmp_path_factory.mktemp("board") / "board.png"), template)
    made = ev.ChangeDetector(
        ev.ChangeSettings(reference="golden", golden=path, align_px=0, places_px=5, blind_fraction=1.0, pixel_threshold=80)
    )
    made.commit(change := made.begin(template), change.live)
    live = made.measure(np.roll(template, (down, right), (0, 1))).live
    assert not live[from_border:-from_border, from_border:-from_border].any()


def test_without_a_golden_picture_nothing_says_where_a_place_should_lie():
    with pytest.raises(ValueError, match="places_px is 5 and reference is running"):
        ev.ChangeSettings(places_px=5)


def test_a_frame_too_small_for_its_places_is_left_as_it_is(detector_of):
    small = board(side=20)
    small[:, 10:] = 255 - small[:, 10:]
    assert detector_of(small, places_px=5).measure(np.roll(small, 2, 1)).fraction >= 0


def test_nothing_is_foreground_where_nobody_asks_for_it(tmp_path):
    template = board()
    image = template.copy()
    image[300:320, 300:320] = 255 - image[300:320, 300:320]
    cv2.imwrite(str(tmp_path / "board.png"), template)
    told = ev.ChangeSettings(reference="golden", golden=tmp_path / "board.png", align_px=0, blind_fraction=1.0)
    maps = []
    for has_foreground in (True, False):
        made = ev.ChangeDetector(told, has_foreground=has_foreground)
        made.commit(change := made.begin(template), change.live)
        maps.append(made.measure(image))
    assert maps[0].foreground.any()
    assert not maps[1].foreground.any()
    assert (maps[0].live == maps[1].live).all()
