"""When parts become due."""

import contextlib
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgevision.capture.trigger import FileTrigger, IntervalTrigger, TriggerSettings, build_trigger, parse_request
from edgevision.errors import InputError


def test_free_run_and_mqtt_are_never_due_by_themselves():
    for kind in ("free_run", "mqtt"):
        assert build_trigger(TriggerSettings(type=kind), "cam").due(1e9) == ()


def test_interval_is_due_on_its_grid_and_makes_up_for_nothing():
    trigger = IntervalTrigger(2.0, "cam")
    times = [100.0, 101.9, 102.0, 102.5, 107.1, 107.5, 108.0]
    due = {now: trigger.due(now) for now in times}
    assert [now for now, parts in due.items() if parts] == [100.0, 102.0, 107.1, 108.0]
    assert due[102.0][0].part_id == "cam-102000"
    assert due[102.0][0].ts == 102.0


def test_interval_survives_a_clock_set_back():
    trigger = IntervalTrigger(2.0, "cam")
    trigger.due(1000.0)
    assert trigger.due(500.0)


def test_a_new_file_names_a_part_once(tmp_path):
    (tmp_path / "old.txt").touch()
    trigger = FileTrigger(tmp_path, poll_s=0.1)
    assert trigger.due(1.0) == ()
    for name in ("A17.txt", "B2.json", ".hidden", "C.tmp"):
        (tmp_path / name).touch()
    assert trigger.due(1.05) == ()  # too soon to look again
    assert {part.part_id for part in trigger.due(1.2)} == {"A17", "B2"}
    (tmp_path / "A17.txt").write_text("changed")
    assert trigger.due(1.4) == ()


def test_a_folder_that_is_away_for_a_while_names_no_part_when_it_is_back(tmp_path):
    folder, away = tmp_path / "in", tmp_path / "away"
    folder.mkdir()
    (folder / "a.txt").touch()
    trigger = FileTrigger(folder, poll_s=0.1)
    folder.rename(away)
    assert trigger.due(1.0) == ()
    away.rename(folder)
    assert trigger.due(2.0) == ()


def test_a_file_written_again_names_the_part_in_its_first_line(tmp_path):
    path = tmp_path / "part.txt"
    path.write_text("A1\n")
    trigger = FileTrigger(path, poll_s=0.1)
    assert trigger.due(1.0) == ()
    path.write_text("A2\nmore")
    os.utime(path, ns=(1, 1))
    assert [part.part_id for part in trigger.due(2.0)] == ["A2"]
    assert trigger.due(3.0) == ()


def test_file_needs_a_path():
    with pytest.raises(ValidationError, match="path is missing"):
        TriggerSettings(type="file")


def test_a_request_names_a_part():
    request = parse_request(b'{"part_id": "A17", "job_id": 3, "transaction": "x"}', 5.0)
    assert (request.part_id, request.job_id, request.ts) == ("A17", "3", 5.0)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"A17",
        b"[]",
        b"{}",
        b'{"part_id": ""}',
        b'{"part_id": null}',
        b'{"part_id": true}',
        b'{"part_id": "a\\nb"}',
        b'{"part_id": [1]}',
        b"\xff\xfe",
        b"[" * 4000,
        b"x" * 5000,
        json.dumps({"part_id": "x" * 129}).encode(),
        b'{"part_id": ' + b"9" * 4000 + b"}",
    ],
)
def test_a_bad_request_is_refused_in_one_line(message):
    with pytest.raises(InputError) as caught:
        parse_request(message, 0.0)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.booleans() | st.text(), lambda x: st.dictionaries(st.text(), x)).map(json.dumps)
)
def test_no_message_does_harm(message):
    with contextlib.suppress(InputError):
        assert parse_request(message, 0.0).part_id
