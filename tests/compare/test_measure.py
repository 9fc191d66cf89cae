"""Noise and thresholds, worked by hand."""

import numpy as np
import pytest

from edgevision.compare import measure


def test_quantiles_of_counts():
    counts = np.array([10, 10, 0, 0])
    assert measure.quantile(counts, 0.25) == pytest.approx(0.25)
    assert measure.quantile(counts, 0.75) == pytest.approx(1.0)
    assert measure.quantile(np.zeros(4), 0.5) == 0.0


def test_noise_of_a_gaussian():
    random = np.random.default_rng(0)
    residual = np.rint(abs(random.normal(0, 3, 100_000) - random.normal(0, 3, 100_000))).astype(int)
    assert measure.noise_of(np.bincount(residual, minlength=64)[:64]) == pytest.approx(3.0, rel=0.03)


def test_noise_is_not_misled_by_one_bin_of_changes():
    counts = np.zeros((16, 64))
    counts[:, 1:3] = 500
    counts[7, 40] = 3000
    noise = measure.noise_by_level(counts)
    assert noise.max() < 3 * noise[0]


def test_without_samples_the_noise_is_a_guess():
    assert (measure.noise_by_level(np.zeros((16, 64))) == measure.NOISE_GUESS).all()


def test_thresholds_in_every_unit():
    noise = np.full(256, 3.0)
    assert measure.strong_levels(15.0, noise)[0] == 15
    assert measure.strong_levels("5 sigma", noise)[0] == 15
    assert measure.strong_levels("auto", noise)[0] == 21
    assert measure.strong_levels("auto", noise / 10)[0] == measure.AUTO_LEAST_LEVELS


def test_a_noisy_frame_raises_the_threshold_and_a_usual_one_does_not():
    usual = np.zeros((16, 64))
    usual[:, :4] = [40, 60, 40, 20]
    noisy = np.zeros((16, 64), np.int64)
    noisy[:, :8] = 20
    assert measure.excess_levels(usual.astype(np.int64), usual) == 0
    assert 1 <= measure.excess_levels(noisy, usual) <= measure.EXCESS_MOST


def test_the_width_of_windows_sums_is_that_of_a_bell_curve_or_of_a_longer_tail():
    sums = np.abs(np.random.default_rng(0).normal(0, 1.5, 100_000))
    counts = np.bincount((sums * 8).astype(int), minlength=512)[:512]
    assert measure.faint_sigma(counts, counts) == pytest.approx(1.5, rel=0.03)
    counts[24] += 20_000
    assert measure.faint_sigma(counts, counts) > 1.8
    changed = counts.copy()
    changed[300] += 60_000  # changes, not noise
    assert measure.faint_sigma(changed, counts) < 8
    usual = np.bincount((sums * 8).astype(int), minlength=512)[:512].astype(float)
    usual[60] += 3_000  # a few of a hundred windows are always so far off: compression
    still = np.bincount((sums * 8).astype(int), minlength=512)[:512]
    assert measure.faint_sigma(still, usual) == pytest.approx(1.3 * measure.faint_sigma(still, still.astype(float)), rel=0.01)


def test_a_faint_limit_has_a_floor():
    assert measure.faint_limit(1.0, 5.0, 0.0) == 5 * 256
    assert measure.faint_limit(1.0, 5.0, 8.0) == 8 * 256
