"""Commands from outside: what is done, what is refused, what is written down. The node is a few lines; config and outbox are real."""

from __future__ import annotations

import json

import pytest

from edgevision.capture.trigger import parse_request
from edgevision.config import load
from edgevision.daemon.audit import Audit
from edgevision.daemon.changes import Changes
from edgevision.daemon.requests import Command, Requests
from edgevision.daemon.rollout_book import RolloutBook
from edgevision.errors import CameraError, Unavailable
from edgevision.publish.outbox import Outbox
from edgevision.publish.topics import Topics
from edgevision.records import Draft

LINE = "cameras:\n  cam:\n    source: {type: synthetic}\n    judge: {ng: 0.7}\n  other:\n    source: {type: synthetic}\n"


class Node:
    def __init__(self, path):
        self.path = path
        self.parts, self.asked, self.reloads, self.counts = [], [], [], []
        self.answer = {"status": "ok"}
        self.env = {}

    def cameras(self):
        return tuple(load(self.path, env={}).cameras)

    def offer(self, camera, body):
        if camera == "other":
            raise CameraError("other: its worker does not listen; ask again later")
        self.parts.append(parse_request(body, 5.0).part_id)
        return True

    def count(self, camera, count, ts):
        self.counts.append((camera, count, ts))

    def ask(self, camera, verb, body, done):
        self.asked.append((camera, verb))
        done({"status": "ok", "path": "p.jpg"})

    def reload(self, changes, done):
        self.reloads.append(dict(changes))
        done(self.answer)

    def try_changes(self, changes):
        as_env = {f"EDGEVISION_{path.upper().replace('.', '__')}": text for path, text in changes.items()}
        return load(self.path, env={**as_env, **self.env})


class Bench:
    def __init__(self, folder):
        (folder / "line.yaml").write_text(LINE)
        self.folder = folder
        self.node = Node(folder / "line.yaml")
        self.changes = Changes(folder / "changes.json")
        self.outbox = Outbox(folder / "o.sqlite")
        self.topics = Topics("edgevision", "line")
        self.audit = Audit(folder / "audit.jsonl", clock=lambda: 0.0)
        self.requests = Requests(self.topics, self.node, self.changes, self.audit, self.outbox, clock=lambda: 7.0)
        self.answers, self.shown = [], 0
        self.requests._reply = lambda topic, payload: self.answers.append((topic, json.loads(payload)))
        self.requests._show = self.show

    def show(self):
        self.shown += 1

    def ask(self, verb, payload=b"{}"):
        self.requests.obey(Command(self.topics.request(verb), payload, (verb,)))
        topic, answer = self.answers.pop()
        assert topic == f"edgevision/line/response/{verb}"
        return answer

    def set(self, camera, key, payload):
        self.requests.obey(Command(self.topics.setting(camera, key, "set"), payload, (camera, key)))

    def audited(self):
        return [json.loads(line) for line in (self.folder / "audit.jsonl").read_text().splitlines()]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.outbox.close()


def test_a_part_is_queued_and_the_transaction_returned(bench):
    answer = bench.ask("inspect_now", b'{"transaction": "t1", "camera": "cam", "part_id": "A17"}')
    assert answer == {"status": "ok", "queued": True, "transaction": "t1"}
    assert bench.node.parts == ["A17"]
    assert bench.ask("inspect_now", b'{"camera": "other", "part_id": "A"}')["error"] == "other: its worker does not listen; ask again later"


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        (b"{", "not JSON"),
        (b"[1]", "send an object"),
        (b"[" * 4000, "not JSON"),
        (b'{"camera": "cam"}', "part_id is missing"),
        (b'{"camera": "can", "part_id": "A"}', "did you mean 'cam'"),
        (b'{"part_id": "A"}', "must be one of cam, other"),
        (b'{"camera": ["cam"], "part_id": "A"}', "must be one of cam, other"),
        (b" " * 5000, "the limit is"),
    ],
)
def test_a_bad_request_is_answered_and_queues_nothing(bench, payload, said):
    answer = bench.ask("inspect_now", payload)
    assert answer["status"] == "error"
    assert said in answer["error"]
    assert bench.node.parts == []


def test_an_unknown_verb_says_what_is_known(bench):
    assert "inspect_now" in bench.ask("explode")["error"]
    assert bench.audited()[-1]["outcome"].startswith("refused")


def test_what_a_worker_does_is_answered_by_it(bench):
    assert bench.ask("snapshot", b'{"camera": "cam", "transaction": 7}') == {"status": "ok", "path": "p.jpg", "transaction": 7}
    bench.ask("learn_reference", b'{"camera": "cam"}')
    assert bench.node.asked == [("cam", "snapshot"), ("cam", "learn_reference")]


def test_delivered_messages_are_sent_again(bench):
    bench.outbox.commit([Draft(f"m{number}", "cam", "b/n/cam/event", {}, "ng") for number in range(3)])
    bench.outbox.acked([1, 2, 3])
    assert bench.ask("replay", b'{"from_seq": 2}') == {"status": "ok", "queued": 2}
    for bad in (b"{}", b'{"from_seq": "2"}', b'{"from_seq": true}', b'{"from_seq": -1}', b'{"from_seq": 1e99}'):
        assert "from_seq must be" in bench.ask("replay", bad)["error"]
    bench.outbox.set_aside(2, "too large")
    assert bench.ask("retry") == {"status": "ok", "queued": 1}
    assert bench.ask("ack", b'{"alarms": true, "by": "Maria"}') == {"status": "ok", "cleared": 0}
    assert "nothing to acknowledge" in bench.ask("ack")["error"]
    assert '"by": "Maria"' in bench.audited()[-3]["payload"]


def test_a_value_is_checked_kept_written_down_and_applied(bench):
    bench.set("cam", "ng_threshold", b"0.85")
    assert bench.node.reloads == [{"cameras.cam.judge.ng": "0.85"}]
    again = Changes(bench.folder / "changes.json")
    again.read()
    assert again.kept == {"cameras.cam.judge.ng": "0.85"}
    (line,) = bench.audited()
    assert (line["topic"], line["before"], line["after"]) == ("edgevision/line/cam/ng_threshold/set", "0.7", "0.85")
    bench.set("cam", "enabled", b"OFF")
    assert bench.changes.kept["cameras.cam.enabled"] == "false"
    bench.set("cam", "ng_threshold", b"")  # back to the file's value
    assert bench.changes.kept == {"cameras.cam.enabled": "false"}
    assert bench.shown == 3


@pytest.mark.parametrize(
    ("camera", "key", "payload"),
    [
        ("cam", "ng_threshold", b"1.5"),
        ("cam", "ng_threshold", b"nan"),
        ("cam", "ng_threshold", b"much"),
        ("cam", "ng_threshold", b"1" * 5000),
        ("cam", "enabled", b"on"),
        ("cam", "min_area", b"2.5"),
        ("cam", "recipe", b"a\nb"),
        ("cam", "recipe", b"\xff"),
        ("cam", "source", b"x"),
        ("cam", "measurements", b"64"),  # its network is not turbovit
        ("cam", "measurements", b"2.5"),
        ("cam", "sparsity", b"nan"),
        ("cat", "enabled", b"ON"),
    ],
)
def test_a_bad_value_changes_nothing_and_is_written_down(bench, camera, key, payload):
    bench.set(camera, key, payload)
    assert (bench.changes.kept, bench.node.reloads, bench.shown) == ({}, [], 1)
    assert bench.audited()[-1]["outcome"].startswith("refused: ")


def test_what_the_environment_fixes_cannot_be_set(bench):
    bench.node.env = {"EDGEVISION_CAMERAS__CAM__JUDGE__NG": "0.9"}
    bench.set("cam", "ng_threshold", b"0.8")
    assert bench.changes.kept == {}
    assert "fixed by an environment variable" in bench.audited()[-1]["outcome"]


def test_a_value_that_a_worker_refuses_is_taken_back(bench):
    bench.node.answer = {"status": "error", "error": "cam: no memory for it"}
    bench.set("cam", "ng_threshold", b"0.8")
    assert bench.changes.kept == {}
    assert bench.audited()[-1]["outcome"] == "taken back: cam: no memory for it"


def test_without_a_record_nothing_is_changed(bench):
    (bench.folder / "audit.jsonl").mkdir()
    bench.set("cam", "ng_threshold", b"0.8")
    assert bench.changes.kept == {}
    assert bench.node.reloads == []


def test_commands_pass_through_a_thread_of_their_own(bench):
    bench.requests.start(lambda topic, payload: bench.answers.append((topic, json.loads(payload))), bench.show)
    bench.requests("edgevision/line/request/replay", b'{"from_seq": 0}')
    bench.requests("edgevision/line/cam/enabled/set", b"OFF")
    bench.requests("edgevision/line/nonsense", b"OFF")
    bench.requests.stop(5.0)
    assert bench.answers == [("edgevision/line/response/replay", {"status": "ok", "queued": 0})]
    assert bench.changes.kept == {"cameras.cam.enabled": "false"}


def test_a_newer_or_broken_file_of_changes(tmp_path):
    told = []
    path = tmp_path / "changes.json"
    path.write_text('{"schema": 1, "changes": [')
    changes = Changes(path)
    changes.read(lambda level, text: told.append(text))
    assert "set aside as changes.json.broken" in told[0]
    assert not path.exists()
    path.write_text('{"schema": 9, "changes": {}}')
    with pytest.raises(Exception, match="its schema is 9, this version reads up to 1"):
        changes.read()


def test_the_audit_is_bounded(tmp_path):
    audit = Audit(tmp_path / "audit.jsonl", limit_bytes=2000)
    for number in range(100):
        audit.note("t", b"x" * 5000, f"outcome {number}")
    kept = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert kept < 2 * (2000 + 1000)
    assert "outcome 99" in (tmp_path / "audit.jsonl").read_text()
    with pytest.raises(Unavailable, match="without a record nothing is changed"):
        Audit(tmp_path / "audit.jsonl" / "x").note("t", b"", "outcome")


def test_what_a_worker_suggests_is_set_written_down_and_taken_back_like_any_value(bench, caplog):
    bench.set("cam", "adjust", b"ON")
    bench.requests.suggest("cam", "adjusted_noise", "1.65", "the noise was 2 gray levels")
    bench.requests.obey(bench.requests._queue.get_nowait())
    assert bench.node.reloads[-1] == {"cameras.cam.compare.adjust.enabled": "true", "cameras.cam.compare.adjust.noise_sigma": "1.65"}
    line = bench.audited()[-1]
    assert (line["before"], line["after"]) == ("", "1.65")
    assert line["outcome"] == "suggested by the camera: the noise was 2 gray levels"
    assert "cam/adjusted_noise adjusted to 1.65, was empty: the noise was 2 gray levels" in caplog.text
    again = Changes(bench.folder / "changes.json")
    again.read()  # as after a restart
    assert bench.node.try_changes(again.kept).cameras["cam"].compare.adjust.within == 1.65
    bench.set("cam", "adjusted_noise", b"1.5")
    assert bench.node.try_changes(bench.changes.kept).cameras["cam"].compare.adjust.within == 1.5
    bench.set("cam", "adjusted_noise", b"")
    bench.set("cam", "adjust", b"")
    assert bench.changes.kept == {}


def test_counts_of_an_encoder_wait_for_nothing_and_leave_no_trace(bench):
    topic = bench.topics.setting("cam", "encoder", "set")
    for payload in (b"1234", b"-7.5", b'{"count": 12, "ts": 3.25}'):
        bench.requests(topic, payload)
    assert bench.node.counts == [("cam", 1234.0, 7.0), ("cam", -7.5, 7.0), ("cam", 12.0, 3.25)]
    for payload in (
        b"",
        b"x",
        b"true",
        b"[1]",
        b'{"ts": 1}',
        b'{"count": "1"}',
        b"NaN",
        b"1e400",
        b"[" * 9000,
        b'{"count": 1, "ts": null}',
    ):
        bench.requests(topic, payload)
    bench.requests(bench.topics.setting("cap", "encoder", "set"), b"1")
    assert len(bench.node.counts) == 3
    assert not (bench.folder / "audit.jsonl").exists()
    assert bench.requests._queue.empty()


def test_a_candidate_is_given_a_share_and_sent_back_by_one_command(bench):
    assert bench.ask("rollout", b'{"camera": "cam", "share": 1, "transaction": 1}') == {"status": "ok", "transaction": 1}
    assert bench.node.reloads == [{"cameras.cam.candidate.share": "1.0"}]
    assert bench.ask("rollback", b'{"camera": "cam"}') == {"status": "ok"}
    assert bench.node.reloads[-1] == {"cameras.cam.candidate.share": "0.0"}
    lines = [(line["topic"].split("/", 2)[2], line.get("before"), line.get("after")) for line in bench.audited()]
    assert lines == [
        ("request/rollout", None, None), ("cam/candidate_share/set", "0", "1"),
        ("request/rollback", None, None), ("cam/candidate_share/set", "1", "0"),
    ]  # fmt: skip
    bench.node.env = {"EDGEVISION_NODE__STATE_DIR": str(bench.folder)}
    book = RolloutBook(bench.folder / "rollout" / "cam")
    book.state.results = {"agree": 18, "NG to OK": 2, "late": 5}
    book.write()
    said = bench.ask("rollout", b'{"camera": "cam", "share": 0.1}')["error"]
    assert said.startswith("cam: the candidate judged 2 of 25 parts otherwise, the limit is 5% (candidate.limit); look at them with")
    assert bench.ask("rollout", b'{"camera": "cam", "share": 0.1, "anyway": true}')["status"] == "ok"
    assert bench.ask("rollback", b'{"camera": "cam"}') == {"status": "ok"}
    book.state.results = {"agree": 17, "NG to OK": 2}  # too few to say anything
    book.write()
    assert bench.ask("rollout", b'{"camera": "cam", "share": 0.1}')["status"] == "ok"
    assert bench.ask("rollback", b'{"camera": "cam"}') == {"status": "ok"}
    said = bench.ask("rollout", b'{"camera": "cam", "share": true}')["error"]
    assert said == 'request: share is true; it must be a number from 0 to 1; send {"camera": "...", "share": 0.2}'
    bench.set("cam", "candidate", b"ON")
    answer = bench.ask("rollout", b'{"camera": "cam", "share": 0.5}')
    assert answer["status"] == "error"
    assert "one defect on many frames is not divided" in answer["error"]
