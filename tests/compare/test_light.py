"""Lines and gains by place, worked by hand and on pictures with one light and another."""

import numpy as np
import pytest

from edgevision.compare import light
from edgevision.compare.light import Lamp, Line
from edgevision.kernels.compiled import change as kernels


def test_a_line_is_found_from_its_sums():
    x = np.arange(20, 220)
    y = 1.2 * x - 8
    gain, offset = light.solve_line((len(x), x.sum(), y.sum(), (x * x).sum(), (x * y).sum()), 0)
    assert gain == pytest.approx(1.2, abs=0.01)
    assert offset == pytest.approx(-8, abs=1)


def test_one_gray_level_only_moves_the_gain():
    gain, offset = light.solve_line((10, 1000, 900, 100_000, 90_000), 0)
    assert gain == pytest.approx(0.9, abs=0.01)
    assert abs(offset) < 0.5


def test_a_gain_beyond_reason_is_held():
    assert light.solve_line((10, 100, 2000, 1000, 20_000), 0)[0] == 2.5


def test_each_channel_has_its_own_line():
    x = np.arange(20, 200, dtype=np.int64)
    lines = ((1.2, -8.0), (0.9, 5.0), (1.0, 0.0))
    sums = [(len(x), x.sum(), (a * x + b).sum(), (x * x).sum(), (x * (a * x + b)).sum()) for a, b in lines]
    found = light.solve_channels(np.array(sums, np.int64), 0)
    assert found.gains == pytest.approx((1.2, 0.9, 1.0), abs=0.02)
    assert found.offsets == pytest.approx((-8, 5, 0), abs=2)


def test_a_negligible_correction_is_none():
    assert light.relaxed(Line((1.001,), (0.0,)), 0.01, 0).is_identity
    assert not light.relaxed(Line((1.01,), (0.0,)), 0.01, 0).is_identity


def fitted(after: np.ndarray, before: np.ndarray) -> tuple[Lamp, np.ndarray]:
    """The lamp after one fit, and the picture in the light of the one before."""
    height, width = after.shape[:2]
    channels = 1 if after.ndim == 2 else after.shape[2]
    lamp = Lamp((height, width, channels), after.dtype, 0)
    flat, used = after.reshape(height, -1), before.reshape(height, -1)
    samples = np.zeros((5, flat.size), np.int32)
    place = (np.ones((height, width), np.uint8), np.full(256, 40, np.int32))
    n = kernels.gather(flat, used, place, (0, 255), channels, (0, 0), (5, 5), samples)[0]
    lamp.fit(kernels, samples, n, 0.0)
    out = np.zeros_like(flat)
    runs = np.array([(row, 0, width) for row in range(height)], np.int32)
    kernels.correct_runs(flat, lamp.light, runs, height, channels, out)
    return lamp, out.reshape(after.shape)


def pictures(change, height=240, width=320) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width]
    scene = (100 + 40 * np.sin(rows / 31) + 30 * np.cos(columns / 23))[..., None] * (0.9, 1.0, 1.1)
    random = np.random.default_rng(0)
    before, after = (np.clip(np.rint(one + random.normal(0, 2, scene.shape)), 0, 255) for one in (scene, change(scene)))
    return after.astype(np.uint8), before.astype(np.uint8)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("white balance", lambda scene: scene * (0.85, 1.0, 1.12)),
        ("one side", lambda scene: scene * np.linspace(0.8, 1.15, scene.shape[1])[:, None]),
        ("bands", lambda scene: scene * (1 + 0.07 * np.sin(np.arange(scene.shape[0]) / 20))[:, None, None]),
        ("both", lambda scene: scene * (1 + 0.06 * np.sin(np.arange(240) / 18))[:, None, None] * np.linspace(0.85, 1.1, 320)[:, None]),
    ],
)
def test_light_that_differs_by_place_or_colour_is_taken_up(name, change):
    after, before = pictures(change)
    lamp, corrected = fitted(after, before)
    far = corrected.astype(float) - before
    assert abs(far.mean()) < 0.3
    assert np.sqrt((far**2).mean()) < 3.6  # two frames' noise is 2.8
    assert lamp.has_places == (name != "white balance")


def test_a_faint_large_stain_is_no_light():
    def stained(scene):
        scene = scene.copy()
        scene[60:120, 80:200] += 8
        return scene

    after, before = pictures(stained)
    lamp, corrected = fitted(after, before)
    assert not lamp.has_places
    assert (corrected.astype(float) - before)[60:120, 80:200].mean() == pytest.approx(8, abs=1)
