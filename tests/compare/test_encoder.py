"""The belt's way from counts: by hand-worked times, over wraps and losses; errors do not add up."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from pydantic import ValidationError

from edgevision.compare.encoder import Encoder, EncoderSettings
from edgevision.compare.settings import ChangeSettings
from edgevision.errors import InputError


def encoder(**more):
    return Encoder(EncoderSettings(px_per_count=0.5, **more))


def test_between_readings_and_beyond_the_newest():
    one = encoder()
    one.read(100, 0.0)
    one.read(120, 0.1)
    assert one.way_px(0.05) is None  # the first frame: there is none before it
    assert one.trouble is None
    assert one.way_px(0.1) == pytest.approx(5.0)  # ten counts
    assert one.way_px(0.2) == pytest.approx(10.0)  # as fast as it ran
    one.read(130, 0.2)  # it had slowed down: what was told too much is taken back
    assert one.way_px(0.2) == pytest.approx(-5.0)


def test_lost_counts_are_never_passed_over():
    one = encoder(stale_s=0.5)
    assert one.way_px(0.0) is None
    assert "sent no count yet" in one.trouble
    one.read(0, 1.0)
    assert (one.way_px(1.0), one.trouble) == (None, None)
    assert one.way_px(1.4) == 0.0
    assert one.way_px(1.7) is None
    assert "0.7 s older than the frame, the limit is 0.5 s" in one.trouble
    one.read(40, 2.0)
    assert one.way_px(2.0) is None  # the picture was followed meanwhile
    one.read(50, 2.1)
    assert one.way_px(2.1) == pytest.approx(5.0)
    assert one.way_px(0.2) is None
    assert "older than the encoder's counts" in one.trouble


def test_where_frames_are_refused_meanwhile_the_way_goes_on():
    one = encoder(when_lost="refuse")
    one.read(0, 1.0)
    one.way_px(1.0)
    assert one.way_px(9.0) is None
    one.read(400, 10.0)
    assert one.way_px(10.0) == 200.0


def test_a_counter_that_begins_again_at_0():
    one = encoder(wraps_at=65536)
    one.read(65530, 0.0)
    one.way_px(0.0)
    one.read(4, 0.1)
    assert one.way_px(0.1) == 5.0
    one.read(65530, 0.2)  # and back
    assert one.way_px(0.2) == -5.0


def test_late_and_impossible_readings():
    one = encoder()
    one.read(10, 1.0)
    one.read(0, 0.9)  # overtaken by a newer one
    one.way_px(1.0)
    one.read(20, 1.1)
    assert one.way_px(1.1) == 5.0
    one.read(5, -100.0)  # the clock was set back
    assert (one.way_px(-100.0), one.trouble) == (-7.5, None)
    for count in (np.nan, np.inf, 1e16):
        with pytest.raises(InputError, match="count is"):
            one.read(count, 2.0)


@given(strategies.lists(strategies.floats(-5, 30), min_size=4, max_size=40), strategies.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_all_ways_together_are_the_belts(speeds, start):
    """Readings every 50 ms, frames at any time in between: wherever the counts are known, the sum of all ways is the belt's."""
    one, random = encoder(wraps_at=2**16), np.random.default_rng(len(speeds))
    places = np.cumsum(speeds)
    ways = []
    for k, place in enumerate(places):
        one.read((start + place) % 2**16, 0.05 * k)
        ways.append(one.way_px(0.05 * (k + random.random() * 0.9)))
    one.way_px(0.05 * (len(places) - 1))
    known = sum(way for way in ways if way is not None) + (one.way_px(0.05 * (len(places) - 1)) or 0.0)
    last = one._told
    assert known == pytest.approx(0.5 * (last - one._readings[0][1]), abs=60)  # the first frame's own place is not known here
    assert last == pytest.approx(one._readings[-1][1], abs=1e-6)


def test_an_encoder_belongs_to_a_belt():
    with pytest.raises(ValidationError, match="motion is none"):
        ChangeSettings(encoder={"px_per_count": 0.5})
    with pytest.raises(ValidationError, match="from 1e-9"):
        ChangeSettings(motion="shift", encoder={"px_per_count": 0})
