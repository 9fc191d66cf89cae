"""The recipe from `init` to its golden run: a good surface passes, a pit and a crack are told where they lie, an exchanged part is good."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgevision.records import Verdict
from edgevision.study.parts.surface import STANDING, sequence
from edgevision.study.replay import compare, read_golden


def test_it_says_what_it_said_when_it_shipped(run):
    folder, _, lines = run
    assert compare(read_golden(folder / "golden.jsonl"), lines) == []


def test_verdicts_are_true(run):
    _, said, _ = run
    wanted = [Verdict.OK] * STANDING + [Verdict.NG] * 2 * STANDING + [Verdict.OK] * STANDING
    assert [one.verdict for one in said] == wanted


def test_what_is_told_lies_where_the_defect_lies(run):
    _, said, _ = run
    truth = [sample.marks for sample in sequence(np.random.default_rng(0))]
    for one, marks in zip(said[STANDING : 3 * STANDING], truth[STANDING : 3 * STANDING], strict=True):
        found = np.zeros(marks.shape, np.bool_)
        for x1, y1, x2, y2 in (defect.region.box_px for defect in one.defects):
            found[y1:y2, x1:x2] = True
        assert found[marks > 0].mean() > 0.5
        assert found.mean() < 0.2


def test_a_standing_surface_costs_little(run):
    _, said, _ = run
    still = [one.live_fraction for one in said[1:STANDING]]
    assert max(still) < 0.12  # a second lies between two pictures of a replay: a tenth of the picture is refreshed
    assert said[0].live_fraction == 1


def test_what_the_readme_says_is_there():
    text = (Path(__file__).parent / "README.md").read_text()
    assert "edgevision init --recipe surface" in text
    assert "mosquitto_sub" in text
