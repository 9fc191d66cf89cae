"""No number is given out twice, whatever becomes of the outbox's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevision.publish.high_water import AHEAD, HighWater
from edgevision.publish.outbox import Outbox
from edgevision.records import Draft


def commit(path: Path, *names: str, tell: object = None) -> list[int]:
    """The numbers that drafts of these names get."""
    outbox = Outbox(path)
    outbox.commit([Draft(name, "cam", "e/n/cam/event", {"event_id": name, "type": "new"}, "ng") for name in names])
    taken = []
    while heads := outbox.window(20):
        taken += [head.seq for head in heads]
        outbox.acked(taken[-1:])
    outbox.close()
    return taken


def test_the_mark_is_ahead_and_seldom_written(tmp_path):
    mark = HighWater(tmp_path / "o.sqlite")
    assert mark.least(0) == 0
    mark.cover(1, 0)
    assert mark.mark == 1 + AHEAD
    (tmp_path / "o.sqlite.seq").unlink()
    mark.cover(1 + AHEAD, AHEAD)
    assert not (tmp_path / "o.sqlite.seq").exists()
    mark.cover(2 + AHEAD, 1 + AHEAD)
    again = HighWater(tmp_path / "o.sqlite")
    assert again.mark == 2 + 2 * AHEAD
    assert again.least(AHEAD) == 2 + 2 * AHEAD
    assert again.least(1 + AHEAD) == 1 + AHEAD  # killed before the commit: a sound file goes on without a hole
    assert again.least(0, is_new=True) == 2 + 2 * AHEAD


@pytest.mark.parametrize("text", ["", "x", "-5", "9" * 30])
def test_a_mark_that_is_none_says_nothing(tmp_path, text):
    (tmp_path / "o.sqlite.seq").write_text(text)
    assert HighWater(tmp_path / "o.sqlite").mark == 0


@pytest.mark.parametrize("what", ["nothing can be read", "it is gone", "sound"])
def test_numbers_go_on(tmp_path, what):
    path = tmp_path / "outbox.sqlite"
    first = commit(path, "a", "b")
    assert first == [1, 2]
    if what == "nothing can be read":
        path.write_bytes(b"no database" * 1000)
    elif what == "it is gone":
        path.unlink()
    then = commit(path, "c", "d")
    if what == "sound":
        assert then == [3, 4]
    else:
        assert min(then) > 2
        assert max(then) <= 2 + AHEAD + 4
