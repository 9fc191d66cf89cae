"""The recipe from `init` to its golden run: good parts pass in any light, absent and broken ones do not, another product is not judged."""

from __future__ import annotations

from pathlib import Path

from edgevision.records import Verdict
from edgevision.study.parts.presence import SeriesSettings
from edgevision.study.replay import compare, read_golden


def test_it_says_what_it_said_when_it_shipped(run):
    folder, _, lines = run
    assert compare(read_golden(folder / "golden.jsonl"), lines) == []


def test_every_part_has_the_verdict_that_is_true(run):
    _, said, _ = run
    faults = SeriesSettings().faults
    wanted = [Verdict.OK if fault == "none" else Verdict.NG for fault in faults]
    assert [one.verdict for one in said[: len(faults)]] == wanted


def test_a_view_that_is_blocked_is_not_judged(run):
    _, said, _ = run
    assert said[-1].verdict is Verdict.NOT_INSPECTED
    assert "golden_fraction" in str(said[-1].reason)


def test_what_the_readme_says_is_there():
    text = (Path(__file__).parent / "README.md").read_text()
    assert "edgevision init --recipe presence" in text
    assert "mosquitto_sub" in text
