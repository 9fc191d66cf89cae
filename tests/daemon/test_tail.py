from __future__ import annotations

import json

import pytest
from rich.text import Text

from edgevision.daemon.tail import as_line
from edgevision.publish.payload import gap_body

BODY = {
    "type": "new", "camera": "cam", "verdict": "NG", "ts_capture": "2026-03-01T12:00:00.000Z", "part_id": "A17", "reason": None,
    "defects": [{"label": "scratch", "score": 0.9, "box_px": [1, 2, 3, 4]}],
}  # fmt: skip


def shown(body):
    return Text.from_markup(as_line("edgevision/n/cam/event", json.dumps(body).encode())).plain


def test_a_defect_is_one_line():
    assert shown(BODY) == "2026-03-01T12:00:00.000Z  cam          NG   new    part A17  scratch 0.90 at [1, 2, 3, 4]"


def test_a_gap_says_what_will_never_come():
    line = shown(gap_body("id", "cam", 0.0, {"ok": 3, "ng": 1}, (7, 12), "over 512 MB"))
    assert line.endswith("cam          GAP  messages 7 to 12 will never come (3 ok, 1 ng): over 512 MB")


def test_what_others_send_is_shown_as_it_is():
    assert shown(BODY | {"part_id": "[/red][bold]", "camera": "[link=x]"}).count("[/red][bold]") == 1


@pytest.mark.parametrize("payload", [b"\xff", b"[]", b"{}", b'{"type": "gap", "lost": 3}', b'{"type": "new", "verdict": 1, "defects": 2}'])
def test_what_is_no_event_is_shown_raw(payload):
    assert Text.from_markup(as_line("some/topic", payload)).plain.startswith("some/topic")
