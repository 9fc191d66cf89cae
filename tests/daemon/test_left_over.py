from __future__ import annotations

from edgevision.config import load
from edgevision.daemon.left_over import REASON, tell_left_over
from edgevision.errors import Unavailable
from edgevision.publish.outbox import Outbox, OwedPart
from edgevision.publish.topics import Topics
from edgevision.records import Draft

TOPICS = Topics("edgevision", "n")


def test_a_part_is_owed_over_a_kill_until_its_result_is_committed_and_told_once(tmp_path):
    (tmp_path / "line.yaml").write_text("cameras: {a: {source: {type: synthetic}, judge: {ng: 0.8}}}\n")
    config = load(tmp_path / "line.yaml")
    outbox = Outbox(tmp_path / "outbox.sqlite")
    for camera, part in (
        ("a", OwedPart("A", 1.0, "job")),
        ("a", OwedPart("B", 2.0)),
        ("gone", OwedPart("C", 3.0)),
        ("a", OwedPart("D", 4.0)),
    ):
        outbox.owe(camera, part)
        outbox.owe(camera, part)
    outbox.commit([Draft("1", "a", TOPICS.result("a"), {"event_id": "1", "type": "result", "part_id": "B"}, "ok")])
    outbox.forgive("a", "D")
    outbox.close()  # as after kill -9: nobody has told of A and C

    outbox = Outbox(tmp_path / "outbox.sqlite")
    told: list[Draft] = []
    assert outbox.owed() == (("a", OwedPart("A", 1.0, "job")), ("gone", OwedPart("C", 3.0)))
    assert tell_left_over(outbox.owed(), config, TOPICS, "boot", lambda drafts: (told.extend(drafts), outbox.commit(drafts))) == 2
    said = [(draft.camera, draft.body["part_id"], draft.body["job_id"], draft.body["verdict"], draft.body["reason"]) for draft in told]
    assert said == [("a", "A", "job", "NOT_INSPECTED", REASON), ("gone", "C", None, "NOT_INSPECTED", REASON)]
    assert told[0].body["threshold"] == 0.8
    assert outbox.owed() == ()
    assert tell_left_over(outbox.owed(), config, TOPICS, "boot", outbox.commit) == 0
    outbox.close()


def test_what_cannot_be_told_now_stays_owed(tmp_path):
    (tmp_path / "line.yaml").write_text("cameras: {a: {source: {type: synthetic}}}\n")

    def full(drafts):
        raise Unavailable("disk full")

    assert tell_left_over([("a", OwedPart("A", 1.0))], load(tmp_path / "line.yaml"), TOPICS, "boot", full) == 0
