"""The synthetic sweep, its short version: what disturbs a camera is hardly live, and faint defects are, all the same.

`benchmarks/change_sweep.py` is the long one, with the share of a network's work.
"""

import numpy as np
import pytest

from edgevision.compare.background import ChangeSettings
from edgevision.study.sweep import DISTURBANCES, SIGMA, Camera, defects, scene_of, strong_edges, sweep


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_what_disturbs_is_still_and_what_is_faint_is_live(disturbance):
    found = sweep(Camera(disturbance, (360, 480), True, 1), 22, ChangeSettings())
    assert found.whole_runs == 0
    assert np.mean(found.live) < 0.012
    seen, every = found.away
    assert every > 80
    assert seen / every > (0.95 if disturbance == "compression" else 0.98)


def test_defects_are_small_and_faint_and_edges_are_set_apart():
    labels, contrast = defects((240, 320), np.random.default_rng(0))
    sizes = np.bincount(labels.ravel())[1:]
    assert sizes.min() >= 12
    assert sizes.max() <= 48
    assert set(np.abs(contrast[labels > 0]).tolist()) == {4 * SIGMA}
    scene = scene_of(240, 320, False, 0)
    assert scene.max() * 2 < 255
    assert 0.02 < strong_edges(scene).mean() < 0.8
