"""Lines, noise and thresholds, worked by hand."""

import numpy as np
import pytest

from edgevision.compare import measure


def test_a_line_is_found_from_its_sums():
    x = np.arange(20, 220)
    y = 1.2 * x - 8
    gain, offset = measure.solve_line((len(x), x.sum(), y.sum(), (x * x).sum(), (x * y).sum()), 0)
    assert gain == pytest.approx(1.2, abs=0.01)
    assert offset == pytest.approx(-8, abs=1)


def test_one_gray_level_only_moves_the_gain():
    gain, offset = measure.solve_line((10, 1000, 900, 100_000, 90_000), 0)
    assert gain == pytest.approx(0.9, abs=0.01)
    assert abs(offset) < 0.5


def test_a_gain_beyond_reason_is_held():
    assert measure.solve_line((10, 100, 2000, 1000, 20_000), 0)[0] == 2.5


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


def test_a_negligible_correction_is_none():
    assert measure.relaxed(measure.line(1.001, 0.0, 0), 0.01, 0).is_identity
    assert not measure.relaxed(measure.line(1.01, 0.0, 0), 0.01, 0).is_identity


def test_a_noisy_frame_raises_the_threshold_and_a_usual_one_does_not():
    usual = np.zeros((16, 64))
    usual[:, :4] = [40, 60, 40, 20]
    noisy = np.zeros((16, 64), np.int64)
    noisy[:, :8] = 20
    assert measure.excess_levels(usual.astype(np.int64), usual) == 0
    assert 1 <= measure.excess_levels(noisy, usual) <= measure.EXCESS_MOST
