"""The recipe from `init` to its golden run: pitting is told soon after it breaks out, and nothing before."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from edgevision.records import Phase, Verdict
from edgevision.study.parts.wear import SeriesSettings, series
from edgevision.study.replay import compare, read_golden

SERIES = SeriesSettings()


def test_it_says_what_it_said_when_it_shipped(run):
    folder, _, lines = run
    assert compare(read_golden(folder / "golden.jsonl"), lines) == []


def test_pitting_is_told_within_three_pictures_and_where_it_is(run):
    _, said, _ = run
    new = [(number, event.defect) for number, one in enumerate(said) for event in one.events if event.phase is Phase.NEW]
    assert new
    number, defect = new[0]
    assert SERIES.onset <= number <= SERIES.onset + 3
    marks = list(series(np.random.default_rng(0), SERIES))[-1].marks
    rows, columns = np.nonzero(marks)
    x, y = defect.region.centroid_px
    assert columns.min() - 4 <= x <= columns.max() + 4
    assert rows.min() - 4 <= y <= rows.max() + 4


def test_nothing_is_told_before_and_a_slipped_white_balance_is_not_inspected(run):
    _, said, _ = run
    assert {one.verdict for one in said[: SERIES.onset]} <= {Verdict.OK, Verdict.NOT_INSPECTED}
    assert [number for number, one in enumerate(said) if one.verdict is Verdict.NOT_INSPECTED] == [SERIES.fault]
    assert "colour_limit" in str(said[SERIES.fault].reason)


def test_growth_is_told_again(run):
    _, said, _ = run
    assert sum(event.phase is Phase.UPDATE for one in said for event in one.events) >= 2


def test_what_the_readme_says_is_there():
    text = (Path(__file__).parent / "README.md").read_text()
    assert "edgevision init --recipe wear" in text
    assert "mosquitto_sub" in text
