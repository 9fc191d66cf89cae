from __future__ import annotations

import logging

from edgevision.daemon.journal import OncePerSecond


def record(text, *args):
    return logging.LogRecord("edgevision", logging.ERROR, "", 0, text, args, None)


def test_one_line_a_second_and_problem_with_the_total():
    now_s = 0.0
    limit = OncePerSecond(lambda: now_s)
    assert limit.filter(record("camera %s lost", "a"))
    assert not limit.filter(record("camera %s lost", "b"))
    assert limit.filter(record("outbox full"))
    assert not limit.filter(record("camera %s lost", "a"))
    now_s = 1.5
    passed = record("camera %s lost", "a")
    assert limit.filter(passed)
    assert passed.getMessage() == "camera a lost (2 more like it)"
