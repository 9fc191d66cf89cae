"""The recipe from `init` to its golden run: good boards pass, bad ones do not, each defect is named; another board is not judged."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

import edgevision as ev
from edgevision.records import Verdict
from edgevision.study.parts import pcb
from edgevision.study.replay import compare, read_golden


def test_it_says_what_it_said_when_it_shipped(run):
    folder, _, lines = run
    assert compare(read_golden(folder / "golden.jsonl"), lines) == []


def test_every_third_board_is_good_and_the_others_are_not(run):
    _, said, _ = run
    assert [one.verdict for one in said] == [Verdict.NG if number % 3 else Verdict.OK for number in range(1, pcb.SAMPLE_BOARDS + 1)]


def test_only_what_differs_from_the_template_is_run(run):
    _, said, _ = run
    assert {one.mode for one in said} <= {"partial", "cached"}
    assert max(one.live_fraction for one in said) < 0.1


def test_defects_are_found_and_named(run):
    _, said, _ = run
    rng = np.random.default_rng(0)
    copper, _ = pcb.sample_template(rng)
    found = true = 0
    for one, (_, drawn) in zip(said, pcb.boards(rng, copper), strict=True):
        for label, (x1, y1, x2, y2), _ in drawn:
            true += 1
            middles = [(region.label, region.centroid_px) for region in one.regions]
            found += any(name == label and x1 <= x <= x2 and y1 <= y <= y2 for name, (x, y) in middles)
    assert found >= 0.85 * true


def test_another_board_is_not_inspected(run):
    folder, _, _ = run
    other = pcb.make(np.random.default_rng(77)).image
    said = ev.Pipeline.from_config(folder / "line.yaml").inspect(ev.Frame(other, 0.0, 0))
    assert said.verdict is Verdict.NOT_INSPECTED
    assert "not the part of its template" in str(said.reason)


def test_the_template_is_a_picture_of_bare_and_copper(run):
    folder, _, _ = run
    template = cv2.imread(str(folder / "template.png"), cv2.IMREAD_UNCHANGED)
    assert template.shape == pcb.SIZE_PX
    assert set(np.unique(template)) == {0, 255}


def test_what_the_readme_says_is_there():
    text = (Path(__file__).parent / "README.md").read_text()
    assert "edgevision init --recipe pcb" in text
    assert "mosquitto_sub" in text
