from __future__ import annotations

from edgevision.daemon.reconcile import reconcile

SNAPSHOT = {"schema": 1, "part_id": None, "tracks": [{"track_id": "a"}, {"track_id": "b"}]}


def test_what_both_know_goes_on():
    told = {"a": {"type": "new"}, "b": {"type": "update"}}
    assert reconcile(SNAPSHOT, told) == (SNAPSHOT, ())


def test_what_was_ended_does_not_go_on():
    kept, forgotten = reconcile(SNAPSHOT, {"a": {"type": "end"}, "b": {"type": "new"}})
    assert [track["track_id"] for track in kept["tracks"]] == ["b"]
    assert forgotten == ()


def test_what_was_told_and_is_not_remembered_must_be_ended():
    told = {"a": {"type": "new"}, "c": {"type": "update"}, "d": {"type": "end"}}
    assert reconcile(SNAPSHOT, told) == (SNAPSHOT, ({"type": "update"},))
    assert reconcile(None, told) == (None, ({"type": "new"}, {"type": "update"}))


def test_a_track_whose_messages_have_left_the_history_goes_on():
    assert reconcile(SNAPSHOT, {}) == (SNAPSHOT, ())
