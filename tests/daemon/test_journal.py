from __future__ import annotations

import logging

from edgevision.daemon.journal import OncePerSecond, start_journal


def record(text, *args):
    return logging.LogRecord("edgevision", logging.ERROR, "", 0, text, args, None)


def test_one_line_a_second_and_problem_with_the_total():
    now_s = 0.0
    limit = OncePerSecond(lambda: now_s)
    assert limit.filter(record("camera %s lost", "a"))
    assert limit.filter(record("camera %s lost", "b"))
    assert not limit.filter(record("camera %s lost", "a"))
    assert limit.filter(record("outbox full"))
    assert not limit.filter(record("camera %s lost", "a"))
    now_s = 1.5
    passed = record("camera %s lost", "a")
    assert limit.filter(passed)
    assert passed.getMessage() == "camera a lost (2 more like it)"


def test_numbers_make_no_new_problem_and_one_problem_hides_no_other():
    limit = OncePerSecond(lambda: 0.0)
    assert limit.filter(record("%s", "frame 17 is damaged"))
    assert not limit.filter(record("%s", "frame 18 is damaged"))
    assert limit.filter(record("%s", "the broker is away"))


def test_a_line_is_one_line_and_has_its_priority_under_systemd(monkeypatch, capsys):
    monkeypatch.setenv("JOURNAL_STREAM", "8:1")
    logger = start_journal()
    logger.error("two\nlines")
    monkeypatch.delenv("JOURNAL_STREAM")
    start_journal().error("two\nlines")
    assert capsys.readouterr().err.splitlines() == ["<3>two | lines", "ERROR two | lines"]
