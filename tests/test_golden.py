"""Golden runs: each folder below `golden/` is a case of `config.yaml`, `frames/` and `expected.jsonl`. To add a test, add a folder.

Make or renew a case, and read what changed before you commit it:

    edgevision replay tests/golden/CASE/frames --config tests/golden/CASE/config.yaml --out tests/golden/CASE/expected.jsonl
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevision.study.replay import replay

CASES = sorted(path for path in (Path(__file__).parent / "golden").iterdir() if path.is_dir())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_run_is_as_it_was(case):
    summary = replay(case / "frames", case / "config.yaml", None, None, case / "expected.jsonl", is_quiet=True)
    assert summary["differences"] == 0, summary["text"]
    assert summary["frames"] == len(list((case / "frames").iterdir()))


def test_there_are_cases():
    assert len(CASES) >= 2
