"""A belt is followed: by hand-worked shifts, at any speed, past parts and noise; where nothing tells its way, none is guessed."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edgevision.compare.belt import Belt, entering, move
from edgevision.compare.settings import ChangeSettings
from edgevision.errors import InputError

SIZE = (60, 200)


def settings(**more) -> ChangeSettings:
    return ChangeSettings(motion="shift", **more)


def belt_pictures(random, ways, axis=1, noise=2.0):
    """Frames of a textured belt after so many pixels of way each."""
    reach = 4000
    shape = [*SIZE]
    shape[axis] = 2 * reach
    texture = random.normal(120, 25, shape)
    for way in ways:
        start = reach - int(way)
        shown = np.take(texture, range(start, start + SIZE[axis]), axis)
        yield np.clip(shown + random.normal(0, noise, shown.shape), 0, 255).astype(np.uint8)


def test_hand_worked():
    belt = Belt(settings(), 4)
    first = np.tile(np.arange(0, 240, 12, dtype=np.uint8), (3, 1))
    belt.next(first)
    shown = np.roll(first, 3, axis=1)
    shown[:, :3] = 250
    seen = belt.next(shown, 3.0)
    assert (seen.moved_px, seen.off_px, seen.entered) == ((0, 0), (0, 3), None)
    assert np.array_equal(seen.picture, first)  # what has left the frame is kept, what has entered waits
    shown = np.roll(shown, 2, axis=1)
    shown[:, :2] = 251
    seen = belt.next(shown, 2.0)
    assert (seen.moved_px, seen.off_px) == ((0, 4), (0, 1))
    assert seen.picture[0].tolist() == [251, 250, 250, 250, *first[0, :16]]
    assert seen.entered is not None
    assert np.flatnonzero(seen.entered[0]).tolist() == [0, 1, 2, 3]
    belt.commit()
    assert belt.next(shown, 0.0).entered is None


def test_a_rim_is_looked_at_anew_by_a_network_that_resizes():
    belt, picture = Belt(settings(), 4, 2), np.zeros((3, 20), np.uint8)
    belt.next(picture)
    entered = belt.next(picture, -5.0).entered
    assert entered is not None
    assert np.flatnonzero(entered[0]).tolist() == [0, 1, *range(14, 20)]


@pytest.mark.parametrize(("axis", "name"), [(1, "x"), (0, "y")])
@pytest.mark.parametrize("speed", [1.0, 7.0, -5.0, 2.4])
def test_any_speed_is_measured_and_errors_do_not_add_up(axis, name, speed):
    random, belt = np.random.default_rng(3), Belt(settings(motion_axis=name, motion_max_px=20), 8)
    ways, moved = [round(speed * k) for k in range(60)], 0
    for way, picture in zip(ways, belt_pictures(random, ways, axis), strict=True):
        seen = belt.next(picture)
        moved += seen.moved_px[axis]
        assert moved % 8 == 0
        assert moved + seen.off_px[axis] == way


@pytest.mark.parametrize("speed", [13.7, -2.4])
def test_fractions_of_a_pixel_do_not_add_up(speed):
    random, belt = np.random.default_rng(6), Belt(settings(), 8)
    coarse, moved = np.clip(random.normal(120, 40, (60, 600)), 0, 255), 0
    for k in range(80):
        places = (np.arange(200) - speed * k) / 3.0  # three pixels for each place of the texture
        shown = np.stack([np.interp(places, np.arange(600), row, period=600) for row in coarse])
        seen = belt.next(np.clip(shown + random.normal(0, 2, shown.shape), 0, 255).astype(np.uint8))
        moved += seen.moved_px[1]
        assert abs(moved + seen.off_px[1] - speed * k) <= 1.0


def test_a_belt_that_stops_and_turns_is_followed():
    random = np.random.default_rng(4)
    belt, ways, moved = Belt(settings(), 8), [0, 10, 20, 20, 20, 14, 2, -20, -20], 0
    for way, picture in zip(ways, belt_pictures(random, ways), strict=True):
        seen = belt.next(picture)
        moved += seen.moved_px[1]
        assert moved + seen.off_px[1] == way


def test_where_nothing_tells_the_way_none_is_taken():
    random, belt = np.random.default_rng(5), Belt(settings(), 8)
    for _ in range(4):
        plain = np.clip(random.normal(100, 2, SIZE), 0, 255).astype(np.uint8)
        assert belt.next(plain).moved_px == (0, 0)
    other = random.integers(0, 256, SIZE, np.uint8)
    seen = belt.next(other)
    assert (seen.moved_px, seen.off_px) == ((0, 0), (0, 0))
    assert np.array_equal(seen.picture, other)


def test_moving_an_array_keeps_what_stays():
    row = np.arange(6)[None]
    for pixels, wanted, new in [
        (2, [0, 1, 0, 1, 2, 3], [0, 1]),
        (-1, [1, 2, 3, 4, 5, 5], [5]),
        (9, list(range(6)), list(range(6))),
    ]:
        array = row.copy()
        move(array, pixels, 1)
        assert array[0].tolist() == wanted
        assert np.arange(6)[entering(pixels, 6)].tolist() == new


def test_a_golden_picture_does_not_move(tmp_path):
    with pytest.raises(ValidationError, match="motion is shift and reference is golden"):
        settings(reference="golden", golden=tmp_path / "golden.png")


def test_a_way_that_is_none_is_refused():
    belt, picture = Belt(settings(), 8), np.zeros(SIZE, np.uint8)
    belt.next(picture)
    for way in (np.nan, np.inf, 1e12):
        with pytest.raises(InputError, match="way_px is"):
            belt.next(picture, way)
    assert belt.next(np.zeros(SIZE, np.uint8), 1e6).moved_px == (0, 1_000_000)
