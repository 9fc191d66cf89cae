"""Faults put into a running pipeline are caught, the camera runs dense or does not say OK, and comes back once they are mended."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.records import Scene, Verdict

sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "reliability"))
from faulty import KINDS

CONFIG = """
cameras:
  cam:
    source: {type: synthetic}
    judge: {warn: 0.8, ng: 0.9, min_area_px: 12}
    recompute: {audit_every: 8, audit_engine_every: 2, audit_cooldown_s: 0.5}
"""
CAUGHT_WITHIN, STAYS, ALL = 48, 8, 90


@pytest.fixture(scope="module")
def images():
    """A part comes, stands, and leaves, with a defect."""
    line = Line(SyntheticSettings(seed=3, width=480, height=272, defect_rate=1.0, contrast=(34.0, 40.0), gap_rate=0.0))
    first = line.belt.standing(1)[0] - 12
    return [line.frame(first + k)[0] for k in range(ALL)]


def frames(images):
    return (ev.Frame(image, 1000.0 + k / 30, k) for k, image in enumerate(images))


@pytest.fixture(scope="module")
def right(images, tmp_path_factory):
    """The verdicts of a sound pipeline, whose audits all pass."""
    path = tmp_path_factory.mktemp("sound") / "line.yaml"
    path.write_text(CONFIG)
    sound = ev.Pipeline.from_config(path)
    found = [sound.inspect(frame) for frame in frames(images)]
    assert {one.audit for one in found} == {None, "passed"}
    assert not any(one.notices for one in found)
    return [one.verdict for one in found]


@pytest.mark.parametrize("kind", ["kernel_skips", "intake_skips", "blind_whole", "thresholds_high", "output_frozen"])
def test_a_fault_is_caught_told_and_recovered_from(tmp_path, images, right, kind):
    (tmp_path / "line.yaml").write_text(CONFIG)
    pipe, mend, caught, dense, mended, over, wrong = ev.Pipeline.from_config(tmp_path / "line.yaml"), None, None, None, None, None, 0
    for k, frame in enumerate(frames(images)):
        if k == 6:
            mend = KINDS[kind](pipe, np.random.default_rng(1))
        found = pipe.inspect(frame)
        if caught is not None and mended is None:
            wrong += found.verdict is Verdict.OK and right[k] is Verdict.NG
        if caught is None and found.audit in ("failed", "fault"):
            caught = k
            assert "audit: " in found.notices[0].text
            assert found.verdict is not Verdict.OK or found.audit == "fault"
        if dense is None and found.scene is Scene.FALLBACK_DENSE:
            dense = k
        if dense is not None and mended is None and k >= dense + STAYS:
            mend()
            mended = k
        if mended is not None and any(notice.is_over for notice in found.notices):
            over = k
    assert caught is not None
    assert caught - 6 < CAUGHT_WITHIN
    assert dense is not None
    assert dense - caught <= 2
    assert over is not None
    assert over - mended < 25
    assert wrong == 0
    assert found.scene is Scene.NORMAL
    assert found.verdict is right[-1]


def test_a_network_that_never_answers_rightly_is_never_ok(tmp_path, images):
    """Not even whole runs can be trusted: nothing is called OK until they can."""
    (tmp_path / "line.yaml").write_text(CONFIG.replace("audit_cooldown_s: 0.5", "audit_cooldown_s: 60"))
    pipe, said = ev.Pipeline.from_config(tmp_path / "line.yaml"), []
    for k, frame in enumerate(frames(images[:50])):
        if k == 6:
            KINDS["output_frozen"](pipe, np.random.default_rng(1))
        said.append(pipe.inspect(frame))
    dense = next(k for k, found in enumerate(said) if found.scene is Scene.FALLBACK_DENSE)
    assert {found.verdict for found in said[dense + 1 :]} == {Verdict.NOT_INSPECTED}
    assert "dense audit" in said[-1].reason
