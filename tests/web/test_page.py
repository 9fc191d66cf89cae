"""What the page says, and that nothing from outside can say it in its own markup."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.records import Snapshot
from edgevision.web.page import now_html, page_html, status_json
from tests.web.test_metrics import CAMERA, VIEW

NOW_S = 5.0 + 3 * 3600


def test_the_numbers_stand_on_it():
    text = now_html(replace(VIEW, alarms=("the disk is full",)), {"cam": "newest.jpg"}, NOW_S)
    for words in ("press-1", "up 3 h", "1 of 1", "the disk is full", "3 dropped (3 overload)", "2 NG, 5 OK", "/pictures/cam/newest.jpg"):
        assert words in text, words
    assert "newest picture: NG, 2026-11-25 21:10:09 UTC" in now_html(VIEW, {"cam": "20261125T211009861Z-NG-7-daf78ab6.jpg"}, NOW_S)
    assert "Needs a person" not in now_html(VIEW, {}, NOW_S)
    assert page_html(VIEW, {}, NOW_S).startswith("<!doctype html>")


def test_a_disabled_camera_is_not_missed():
    view = replace(VIEW, cameras={"cam": CAMERA, "gate": Snapshot("gate", "disabled", None, {}, {})})
    assert "1 of 1" in now_html(view, {}, NOW_S)


def test_programs_get_the_same():
    plain = json.loads(json.dumps(status_json(VIEW)))
    assert plain["cameras"]["cam"]["verdicts"] == {"OK": 5, "NG": 2}
    assert plain["waiting"] == 4


@settings(max_examples=30, deadline=None)
@given(evil=st.text(max_size=40).map(lambda text: f"<script>{text}</script>\"'&"))
def test_nothing_from_outside_is_markup(evil):
    camera = replace(CAMERA, camera=evil, trouble=evil, warnings=(evil,), drops={evil: 1})
    text = page_html(replace(VIEW, node=evil, broker=evil, alarms=(evil,), cameras={evil: camera}), {evil: evil}, NOW_S)
    assert text.count("<script") == 1
    assert evil not in text
