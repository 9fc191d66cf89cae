from __future__ import annotations

import json
import logging

import pytest

from edgevision.daemon.journal import OncePerSecond, start_journal, tell_held


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
    assert passed.held == 2


def test_what_was_held_back_last_is_told_once_it_rests_or_at_the_end():
    now_s = 0.0
    limit = OncePerSecond(lambda: now_s)
    for number in range(4):
        limit.filter(record("frame %s is stale", number))
    assert limit.take_held(is_over=False) == []
    now_s = 1.5
    (rest,) = limit.take_held(is_over=False)
    assert (rest.getMessage(), rest.held) == ("frame 3 is stale", 2)
    assert limit.take_held(is_over=True) == []
    limit.filter(record("outbox full"))
    limit.filter(record("outbox full"))
    (end,) = limit.take_held(is_over=True)
    assert (end.getMessage(), end.held) == ("outbox full", 0)


def test_the_rest_is_written_as_any_line(monkeypatch, capsys):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logger = start_journal()
    for number in range(3):
        logger.error("frame %s is stale", number)
    tell_held(is_over=True)
    assert capsys.readouterr().err == "ERROR frame 0 is stale\nERROR frame 2 is stale (1 more like it)\n"


def test_for_programs_a_line_is_an_object(monkeypatch, capsys):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logger = start_journal(form="json", camera="cam-1")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.exception("failed")
    line = json.loads(capsys.readouterr().err)
    assert (line["level"], line["camera"], line["text"], line["held"]) == ("error", "cam-1", "failed", 0)
    assert "ValueError: two\nlines" in line["trace"]


def test_how_many_were_held_back_is_in_the_line(monkeypatch, capsys):
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    logger = start_journal()
    now_s = 0.0
    logger.handlers[0].filters[0]._clock = lambda: now_s
    for _ in range(4):
        logger.error("camera lost")
    now_s = 2.0
    logger.error("camera lost")
    assert capsys.readouterr().err.splitlines() == ["ERROR camera lost", "ERROR camera lost (3 more like it)"]


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


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_line_shows_a_credential(form, capsys):
    logger = start_journal(form=form)
    try:
        raise OSError("rtsp://user:secret@cam/1 refused")
    except OSError:
        logger.exception("cam: rtsp://user:secret@cam/1?token=secret")
    said = capsys.readouterr().err
    assert "secret" not in said
    assert "rtsp://***@cam/1?token=***" in said
