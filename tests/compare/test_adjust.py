"""Thresholds follow the noise: by hand-worked steps, within bounds, and not before their time; what a step changes in the change map."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from edgevision.compare.adjust import FIRST_S, Adjuster, AdjustSettings
from edgevision.compare.background import ChangeDetector
from edgevision.compare.settings import ChangeSettings


def steps(settings, noise, seconds, start=0.0):
    """Every step of an adjuster that is shown this noise once a second."""
    adjuster = Adjuster(settings)
    return [(ts, step) for ts in np.arange(start, start + seconds) if (step := adjuster.note(noise(ts), ts)) is not None]


def test_it_begins_at_what_is_measured_and_then_takes_small_steps():
    first, *_ = steps(AdjustSettings(enabled=True), lambda ts: 1.5 + 0.2 * (ts % 3 == 0), 200)
    assert first[0] == FIRST_S
    assert first[1].value == 1.5
    assert "median of 60 s" in first[1].why
    settings = AdjustSettings(enabled=True, noise_sigma=1.5, every_s=100)
    assert steps(settings, lambda ts: 2.0, 99) == []
    ((when, step),) = steps(settings, lambda ts: 2.0, 150)
    assert (when, step.value) == (100, 1.65)
    assert "the noise was 2 gray levels (median of 100 s), a step is 10% at most; a pixel is live from 11.5 gray levels on" in step.why
    assert "before from 10.5" in step.why
    ((_, step),) = steps(settings, lambda ts: 1.0, 150)
    assert step.value == 1.364  # a step down is taken back by a step up
    assert steps(settings, lambda ts: 1.53, 350) == []  # not worth a step


def test_bounds_hold_and_what_lies_beyond_is_told():
    settings = AdjustSettings(enabled=True, bounds=(1.0, 2.0), every_s=60)
    (first, again, *_) = steps(settings, lambda ts: 7.0, 200)
    assert first[1].value == 2.0
    settings = settings.model_copy(update={"noise_sigma": 2.0})
    ((_, step),) = steps(settings, lambda ts: 7.0, 100)
    assert step.value is None
    assert "bounds end at 2: see to lamp, gain and lens" in step.why
    assert again is not None
    assert steps(settings.model_copy(update={"noise_sigma": 1.0}), lambda ts: 0.4, 100) == []  # quieter than the least is no trouble
    assert settings.model_copy(update={"noise_sigma": 9.0}).within == 2.0  # the file's bounds were drawn in since


def test_a_clock_that_is_set_back_and_frames_without_noise_take_no_step():
    adjuster = Adjuster(AdjustSettings(enabled=True, noise_sigma=1.0, every_s=60))
    assert [adjuster.note(3.0, ts) for ts in np.arange(1000, 1050)] == [None] * 50
    assert [adjuster.note(3.0, ts) for ts in np.arange(0, 59)] == [None] * 59
    assert adjuster.note(None, 1e6) is None
    assert Adjuster(AdjustSettings()).note(3.0, 0.0) is None


def test_a_step_moves_the_thresholds_and_forgets_nothing():
    random = np.random.default_rng(0)
    scene = np.tile(np.linspace(40, 200, 96), (64, 1))

    def frame():
        return np.clip(scene + random.normal(0, 2, scene.shape), 0, 255).astype(np.uint8)

    settings = ChangeSettings(pixel_threshold="7 sigma", faint_sigmas=0)
    detector = ChangeDetector(settings)
    for _ in range(40):
        detector.update(frame())
    measured, before = detector.noise_measured, detector.noise
    assert measured == pytest.approx(2.0, rel=0.2)
    assert np.allclose(before, 2.0, rtol=0.4)
    adjusted = settings.model_copy(update={"adjust": AdjustSettings(enabled=True, noise_sigma=2 * measured)})
    detector.retune(adjusted)
    assert np.allclose(detector.noise, 2 * before, rtol=0.2)
    faint = frame()
    faint[20:30, 20:30] += 18  # between 7 and 14 sigma
    assert detector.update(faint).full_reason is None  # it is no first frame
    for _ in range(70):  # the tolerances follow by bands
        detector.update(frame())
    assert detector.update(faint).live[20:30, 20:30].mean() < 0.1
    detector.retune(settings)
    for _ in range(70):
        detector.update(frame())
    assert detector.update(faint).live[20:30, 20:30].mean() > 0.9
    assert detector.noise_measured == pytest.approx(measured, rel=0.2)  # measured as ever, whatever thresholds stand on


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"adjust": {"enabled": True}, "pixel_threshold": 12.0}, "gray levels that no noise moves"),
        ({"adjust": {"enabled": True}, "noise_sigma": 2.0}, "leave noise_sigma out"),
        ({"adjust": {"bounds": [3, 1]}}, "0 < least <= most"),
    ],
)
def test_what_cannot_be_followed_is_refused(bad, said):
    with pytest.raises(ValidationError, match=said):
        ChangeSettings(**bad)
