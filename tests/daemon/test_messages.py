from __future__ import annotations

from edgevision.daemon.messages import Composer
from edgevision.publish.outbox import Outbox
from edgevision.publish.payload import Identity
from edgevision.publish.topics import Topics
from edgevision.records import Draft, Inspection

TOPICS = Topics("edgevision", "n")


def told(event_id, kind, track):
    body = {"event_id": event_id, "type": kind, "track_id": track, "camera": "cam", "verdict": "NG", "frame": {"seq": 4}, "reason": None}
    return Draft(event_id, "cam", TOPICS.event("cam"), body, "ng")


def test_a_defect_of_which_only_its_message_is_left_gets_its_end(tmp_path):
    outbox = Outbox(tmp_path / "outbox.sqlite")
    outbox.commit([told("1", "new", "a"), told("2", "new", "b"), told("3", "update", "a")])
    last = outbox.last_of_tracks("cam")
    assert {track: body["event_id"] for track, body in last.items()} == {"a": "3", "b": "2"}
    assert outbox.last_of_tracks("other") == {}
    (end,) = Composer(TOPICS, Identity("n", "boot", "0", "sha"), clock=lambda: 5.0).compose_forgotten([last["a"]])
    assert (end.body["type"], end.body["reason"], end.body["track_id"], end.rank) == ("end", "restart", "a", "ng")
    assert end.body["event_id"] == end.event_id != "3"
    assert "frame" not in end.body
    outbox.commit([end])
    assert outbox.last_of_tracks("cam")["a"]["type"] == "end"
    outbox.close()


def test_a_frame_of_a_recording_has_no_age():
    seen = Inspection.not_made("cam", "too dark", 3.0, 0.7, part_id="P-1", frame_seq=4)
    composer = Composer(TOPICS, Identity("n", "boot", "0", "sha"), clock=lambda: 5.0)
    (live,), (recorded,) = composer.compose(seen), composer.compose(seen, is_recorded=True)
    assert (live.body["frame"]["age_ms"], recorded.body["frame"]["age_ms"]) == (2000.0, None)
    assert recorded.body["frame"]["seq"] == live.body["frame"]["seq"] == 4
