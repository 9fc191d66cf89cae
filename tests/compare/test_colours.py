"""A white balance that slips is no light and no wear: by hand, and through the change detector and the golden view."""

from __future__ import annotations

import numpy as np
import pytest

import edgevision as ev
from edgevision.compare.golden import learn
from edgevision.compare.light import refuse_colours
from edgevision.errors import BadFrame


def scene(seed=0):
    return np.random.default_rng(seed).integers(40, 180, (96, 128, 3), dtype=np.uint8)


def in_light(image, gains):
    return np.clip(np.rint(image * np.array(gains)), 0, 255).astype(np.uint8)


def test_the_limit_by_hand():
    now, used = np.full(9, 100), np.array([100, 105, 107] * 3)
    samples = np.array([now, used, [0, 1, 2] * 3, [0] * 9, [0] * 9], np.int32)
    refuse_colours(samples, 9, 0.08)
    samples[1] = [100, 105, 110] * 3
    refuse_colours(samples, 9, 0.0)  # not asked for
    with pytest.raises(BadFrame, match=r"red is 9% weaker against blue than it was, the limit is 8% \(compare.colour_limit\)"):
        refuse_colours(samples, 9, 0.08)


def test_a_dimmed_lamp_passes_a_slipped_balance_does_not_and_the_next_frame_goes_on():
    detector = ev.ChangeDetector(ev.ChangeSettings(colour_limit=0.08))
    detector.update(scene())
    detector.update(in_light(scene(), (0.85, 0.85, 0.85)))
    with pytest.raises(BadFrame, match="check the camera's white balance"):
        detector.update(in_light(scene(), (1.0, 1.0, 0.85)))
    assert detector.update(scene()).fraction < 0.01


def test_the_first_frame_is_held_beside_the_golden_picture(tmp_path):
    learn([scene()]).save(tmp_path / "part.npz")
    settings = ev.ChangeSettings(reference="golden", golden=tmp_path / "part.npz", align_px=0, colour_limit=0.08)
    detector = ev.ChangeDetector(settings)
    with pytest.raises(BadFrame, match=r"red is 1[3-7]% weaker against (blue|green)"):
        detector.update(in_light(scene(), (1.0, 1.0, 0.85)))
    assert not detector.update(scene()).foreground.any()
