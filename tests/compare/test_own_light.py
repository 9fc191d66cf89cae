"""A frame out of its own light: what a lamp does is undone, what is shown stays, a white balance too, and what white hides is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.compare.own_light import EVEN_LEVEL, OwnLight

SIDE = 96


def scene(seed: int = 0) -> np.ndarray:
    """(H, W, 3), between 30 and 110, with texture and a bright bar at one side."""
    random = np.random.default_rng(seed)
    gray = 50 + 10 * random.random((SIDE, SIDE, 1)) + 20 * np.sin(np.arange(SIDE) / 9)[None, :, None] ** 2
    gray[:, 70:80] += 25
    return np.rint(gray * [0.9, 1.0, 1.1]).astype(np.uint8)


def lit(image: np.ndarray, gain: float, right: float = 0.0, down: float = 0.0) -> np.ndarray:
    at = np.linspace(-1, 1, SIDE)
    field = gain * np.exp(right * at)[None, :, None] * np.exp(down * at)[:, None, None]
    return np.clip(np.rint(image * (field if image.ndim == 3 else field[..., 0])), 0, 255).astype(np.uint8)


def apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(int) - other).mean())


def test_half_of_an_even_picture_becomes_the_golden_one():
    golden = np.full((SIDE, SIDE), 100, np.uint8)
    assert (OwnLight("gray", golden).taken_out(golden // 2) == 100).all()


def test_nothing_is_done_where_nothing_is_asked_for_and_in_the_same_light():
    image = scene()
    assert OwnLight("none").taken_out(image) is image
    assert OwnLight("gray", image).taken_out(image) is image
    assert OwnLight("gray", image).taken_out(lit(image, 1.01)).max() < image.max() + 3  # below what is another light


@settings(max_examples=12, deadline=None)
@given(st.floats(0.5, 1.4), st.floats(-0.3, 0.3), st.floats(-0.3, 0.3))
def test_another_lamp_makes_no_difference_alone_or_beside_a_golden_picture(gain, right, down):
    image = scene()
    seen = lit(image, gain, right, down)
    assert apart(OwnLight("colour").taken_out(seen), OwnLight("colour").taken_out(image)) < 2
    assert apart(OwnLight("gray", image).taken_out(seen), image) < 2


def test_alone_it_is_brought_to_an_even_gray():
    out = OwnLight("colour").taken_out(lit(scene(), 0.7, 0.4))
    assert np.abs(out.mean(axis=(0, 1)) - EVEN_LEVEL).max() < 8


def test_a_part_that_is_gone_does_not_bend_the_light():
    golden = scene()
    image = golden.copy()
    image[:, : SIDE * 2 // 5] = 25
    out = OwnLight("gray", golden).taken_out(lit(image, 0.6, 0.3))
    assert apart(out[:, SIDE // 2 :], golden[:, SIDE // 2 :]) < 2


def test_a_white_balance_that_slips_is_kept_by_gray_and_taken_out_by_colour():
    golden = scene()
    slipped = np.rint(golden * [0.8, 1.0, 1.2]).astype(np.uint8)
    kept, gone = (OwnLight(kind, golden).taken_out(slipped).mean(axis=(0, 1)) / golden.mean(axis=(0, 1)) for kind in ("gray", "colour"))
    assert kept[2] / kept[0] == pytest.approx(1.5, rel=0.02)
    assert gone == pytest.approx([1, 1, 1], rel=0.02)


def test_what_white_hides_is_taken_for_the_golden_picture_and_counted_and_a_dark_place_is_still_seen():
    golden = np.full((SIDE, SIDE), 60, np.uint8)
    golden[:, 48:] = 200
    image = golden.copy()
    image[10:20, 10:20] = 30  # where nothing is hidden
    image[10:20, 60:70] = 90  # in the bright half, but not white itself
    light = OwnLight("gray", golden)
    out = light.taken_out(lit(image, 2.0))
    assert light.hidden == pytest.approx(0.5, abs=0.02)
    assert np.abs(out.astype(int) - image).max() <= 2
    light.taken_out(image)
    assert light.hidden == 0


def test_a_picture_that_is_nearly_all_white_is_left_as_it_is():
    golden = np.full((SIDE, SIDE), 180, np.uint8)
    white = np.full((SIDE, SIDE), 255, np.uint8)
    assert OwnLight("gray", golden).taken_out(white) is white


def test_a_camera_of_twelve_bits_keeps_within_them():
    golden = scene()[..., 1].astype(np.uint16) * 16
    seen = np.minimum(golden * 2, 4095).astype(np.uint16)
    assert OwnLight("gray", golden, bits=12).taken_out(seen) == pytest.approx(golden, abs=40)
    assert OwnLight("colour", None, bits=12).taken_out(seen).max() <= 4095
