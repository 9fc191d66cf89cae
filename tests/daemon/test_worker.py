"""A worker's turns, with everything around it faked: what is told, in which order, by which configuration."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from edgevision.capture.camera import CameraCounters, CameraSettings, CameraState
from edgevision.capture.parts import PartRequest, Refusal
from edgevision.compare.adjust import Adjuster, AdjustSettings
from edgevision.compare.encoder import Encoder, EncoderSettings
from edgevision.daemon.messages import Composer
from edgevision.daemon.tally import Tally
from edgevision.daemon.worker import Outlets, Setup, Worker
from edgevision.errors import BadFrame, EndOfStream, InputError, Unavailable
from edgevision.publish.payload import Identity
from edgevision.publish.topics import Topics
from edgevision.records import Frame, Inspection, Notice, Scene, Verdict

IMAGE = np.zeros((8, 8, 3), np.uint8)


class Feed:
    """Gives what it is told to, then ends. Whatever is callable is called in its place in the order."""

    def __init__(self, *items, waiting=()):
        self.items, self.waiting, self.log = deque(items), waiting, []
        self.camera = SimpleNamespace(
            state=CameraState.ONLINE, counters=CameraCounters(), warnings=(), is_recorded=False, is_finite=False, pid=1
        )

    def open(self):
        self.log.append("open")

    def close(self):
        self.log.append("close")

    def next(self, timeout_s):
        while self.items and callable(self.items[0]):
            self.items.popleft()()
            return None
        if not self.items:
            raise EndOfStream("cam: the source ended")
        item = self.items.popleft()
        if isinstance(item, Exception):
            raise item
        return item

    def refuse_all(self, reason):
        waiting, self.waiting = self.waiting, ()
        return tuple(Refusal(PartRequest(part_id, 1.0), reason) for part_id in waiting)


class Pipeline:
    """Inspects nothing: OK for every frame."""

    def __init__(self, name="old"):
        self.camera, self.name, self.network = "cam", name, object()
        self.tracks = SimpleNamespace(restore=lambda plain: None, snapshot=lambda: {"tracks": []})
        self.taken_over = []

    def inspect(self, frame):
        seen = Inspection.not_made("cam", None, frame.ts, 0.7, part_id=frame.part_id, frame_seq=frame.seq)
        return replace(seen, verdict=Verdict.OK, reason=self.name)

    def not_inspected(self, reason, ts, seq=None, part_id=None, job_id=None):
        return Inspection.not_made("cam", reason, ts, 0.7, part_id=part_id)

    def take_over(self, old, has_same_files):
        assert has_same_files
        self.taken_over.append(old.name)

    def finish(self, ts, reason):
        return ()


def frame(seq, part_id=None):
    return Frame(IMAGE, float(seq), seq, part_id=part_id or f"part-{seq}")


def setup_of(feed, name="old", **more):
    return Setup(feed, Pipeline(name), Composer(Topics("edgevision", "n"), Identity("n", "boot", "1", name), clock=lambda: 9.0), **more)


class Desk:
    """Keeps what was committed; fails as often as it is told to."""

    def __init__(self, failures=()):
        self.bodies, self.failures = [], list(failures)

    def __call__(self, drafts):
        if self.failures:
            raise self.failures.pop(0)
        self.bodies += [draft.body for draft in drafts]

    @property
    def told(self):
        return [(body["part_id"], body["verdict"], body["config_sha256"], body["reason"]) for body in self.bodies]


def worker_of(setup, desk, reports=None):
    tracks = SimpleNamespace(read=lambda: None, write=lambda plain: None)
    reports = [] if reports is None else reports
    return Worker(setup, Outlets(desk, Tally("cam"), tracks, report=reports.append), clock=lambda: 5.0)


def test_every_part_gets_one_verdict_whatever_becomes_of_it():
    refusal = Refusal(PartRequest("B", 2.0), "overload: 8 parts wait already")
    feed = Feed(frame(1, "A"), refusal, BadFrame("cam: frame 3 is stale", 3, "C"), waiting=("D",))
    desk = Desk()
    worker = worker_of(setup_of(feed), desk)
    worker.run()
    assert [(part, verdict) for part, verdict, _, _ in desk.told] == [
        ("A", "OK"), ("B", "NOT_INSPECTED"), ("C", "NOT_INSPECTED"), ("D", "NOT_INSPECTED"),
    ]  # fmt: skip
    assert (worker.exit_code, worker.has_failed, feed.log) == (0, False, ["open", "close"])


def test_nothing_is_shown_before_it_is_kept_and_a_refusing_disk_is_asked_again(monkeypatch):
    monkeypatch.setattr("edgevision.daemon.worker.COMMIT_RETRY_S", 0.0)
    desk, reports = Desk([Unavailable("disk full")] * 3), []
    worker = worker_of(setup_of(Feed(frame(1))), desk, reports)
    worker.run()
    assert [part for part, *_ in desk.told] == ["part-1"]
    assert reports[-1].counters["commit_failures"] == 3
    assert reports[-1].verdicts == {"OK": 1}


def test_what_can_never_be_kept_ends_the_worker_with_the_cause():
    worker = worker_of(setup_of(Feed(frame(1))), Desk([InputError("rank is 'x'")]))
    worker.run()
    assert worker.has_failed
    assert "rank is 'x'" in worker.trouble


def test_another_configuration_begins_between_two_frames_and_keeps_the_camera():
    feed, desk, done = Feed(), Desk(), []
    old, new = setup_of(feed), setup_of(feed, "new")
    worker = worker_of(old, desk)
    feed.items.extend([frame(1), lambda: worker.replace(new, lambda: done.append(len(desk.told))), frame(2)])
    worker.run()
    assert desk.told == [("part-1", "OK", "old", "old"), ("part-2", "OK", "new", "new")]
    assert (done, new.pipeline.taken_over, feed.log) == ([1], ["old"], ["open", "close"])


def test_another_camera_leaves_no_part_behind():
    desk, feed, second = Desk(), Feed(waiting=("W",)), Feed(frame(7))
    new = setup_of(second, "new")
    worker = worker_of(setup_of(feed), desk)
    feed.items.extend([frame(1), lambda: worker.replace(new)])
    worker.run()
    assert desk.told == [
        ("part-1", "OK", "old", "old"),
        ("W", "NOT_INSPECTED", "old", "the configuration changed before this part's turn"),
        ("part-7", "OK", "new", "new"),
    ]
    assert (feed.log, second.log, new.pipeline.taken_over) == (["open", "close"], ["open", "close"], [])


class OtherScene:
    """From the second frame on the camera shows something else."""

    def __init__(self, reaction):
        self.settings = CameraSettings(scene_check=reaction)

    def look(self, image, ts, life):
        return "another camera" if ts > 1 else None


@pytest.mark.parametrize(("reaction", "verdict"), [("warn", "WARN"), ("refuse", "NOT_INSPECTED")])
def test_another_scene_is_never_ok(reaction, verdict):
    desk, reports = Desk(), []
    worker_of(setup_of(Feed(frame(1), frame(2)), scene=OtherScene(reaction)), desk, reports).run()
    assert [told[1] for told in desk.told] == ["OK", verdict]
    assert desk.told[1][3] == "another camera"
    assert reports[-1].last.scene is (Scene.MISALIGNED if reaction == "warn" else Scene.NORMAL)


def test_losses_are_counted_by_reason():
    feed, reports = Feed(), []

    def lose():
        feed.camera.counters = CameraCounters(restarts=3, died=1, hung=1, attempts_failed=4, stale_frames=2, frozen_frames=4, bad_frames=7)
        feed.camera.state = CameraState.WAITING

    feed.items.extend([frame(1), lose, frame(2)])
    worker_of(setup_of(feed), Desk(), reports).run()
    assert reports[-1].reconnects == {"died": 1, "hung": 1, "failed": 1, "unreachable": 4}
    assert reports[-1].drops == {"stale": 2, "frozen": 4, "bad": 1}
    assert "offline" in [report.availability for report in reports]


class Belts(Pipeline):
    """Tells of each frame how far it was said to have moved."""

    def inspect(self, frame):
        return replace(super().inspect(frame), reason=str(frame.way_px))


@pytest.mark.parametrize("when_lost", ["measure", "refuse"])
def test_a_lost_encoder_is_never_passed_over(when_lost):
    encoder, desk = Encoder(EncoderSettings(px_per_count=2.0, stale_s=1.0, when_lost=when_lost)), Desk()

    def read(count, ts):
        return lambda: encoder.read(count, ts)

    feed = Feed(
        frame(1), frame(2), read(10, 3), frame(3), read(14, 4), frame(4), frame(7), frame(8), read(30, 9), frame(9), read(31, 10), frame(10)
    )
    setup = replace(setup_of(feed, encoder=encoder), pipeline=Belts())
    worker = worker_of(setup, desk)
    worker.run()
    told = [(part.removeprefix("part-"), verdict, reason) for part, verdict, _, reason in desk.told]
    if when_lost == "measure":
        ways = [(part, verdict) for part, verdict, reason in told]
        assert ways == [(part, "WARN" if part in ("1", "7") else "OK") for part in ("1", "2", "3", "4", "7", "8", "9", "10")]
        assert "measured in the picture" in told[0][2]
        assert [reason for _, verdict, reason in told if verdict == "OK"] == ["None", "None", "8.0", "None", "None", "2.0"]
    else:
        assert [part for part, verdict, _ in told if verdict == "NOT_INSPECTED"] == ["1", "2", "7", "8"]
        assert [reason for _, verdict, reason in told if verdict == "OK"] == [
            "None",
            "8.0",
            "32.0",
            "2.0",
        ]  # it is absolute: nothing is lost
        assert "3.0 s older than the frame" in told[4][2]


def test_a_step_of_the_noise_is_suggested_with_its_reason():
    adjuster, asked = Adjuster(AdjustSettings(enabled=True, noise_sigma=1.0, every_s=60, bounds=(1.0, 1.2))), []
    setup = setup_of(Feed(*(frame(k) for k in range(65))), adjuster=adjuster)
    setup.pipeline.noise_measured = 1.5
    inspect = setup.pipeline.inspect
    setup.pipeline.inspect = lambda taken: replace(inspect(taken), mode="partial", timing_ms={"total": 1.0})
    worker = worker_of(setup, Desk())
    worker._outlets = replace(worker._outlets, suggest=lambda *words: asked.append(words))
    worker.run()
    ((key, text, why),) = asked
    assert (key, text) == ("adjusted_noise", "1.1")
    assert "bounds end at 1.2" in why


class Sides(Pipeline):
    """Looks and tells apart."""

    def look(self, frame):
        return self.inspect(frame)

    def tell(self, inspection):
        return inspection


class Rollout:
    """Lets a candidate judge every second part, and sends it back with the third frame."""

    def __init__(self):
        self.settings, self.understudy, self.log = SimpleNamespace(share=0.5), object(), []

    def begin(self, frame):
        self.log.append(frame.seq)

    def choose(self, frame, active):
        if frame.seq % 2:
            return active
        return replace(active, verdict=Verdict.NG, judged_by="candidate", notices=(Notice("rollout", "candidate", "it differs"),))

    def take_way_back(self):
        return "it differs" if self.log[-1] == 3 else None

    def close(self):
        self.log.append("close")


def test_a_candidate_speaks_under_its_own_name_and_is_sent_back_by_the_way_of_every_value():
    rollout, desk, asked, reports = Rollout(), Desk(), [], []
    setup = setup_of(Feed(*(frame(k) for k in range(1, 5))), rollout=rollout)
    mine, its = Identity("n", "boot", "1", "old", "a.onnx", "a" * 64), Identity("n", "boot", "1", "old", "b.onnx", "b" * 64)
    composer = replace(setup.composer, identity=mine, candidate=its)
    worker = worker_of(replace(setup, pipeline=Sides(), composer=composer), desk, reports)
    worker._outlets = replace(worker._outlets, suggest=lambda *words: asked.append(words))
    worker.run()
    results = [body for body in desk.bodies if body["type"] == "result"]
    assert [(body["verdict"], body["judged_by"], body["model"]["name"]) for body in results] == [
        ("OK", "active", "a.onnx"), ("NG", "candidate", "b.onnx"), ("OK", "active", "a.onnx"), ("NG", "candidate", "b.onnx"),
    ]  # fmt: skip
    assert asked == [("candidate_share", "0", "it differs")]
    (notice,) = [body for body in desk.bodies if body["type"] == "notice"]  # told once, as nothing has changed
    assert (notice["kind"], notice["phase"], notice["verdict"], notice["text"]) == ("rollout", "new", "WARN", "it differs")
    assert (reports[-1].notices, reports[-1].noticed) == ({"candidate": "it differs"}, {"rollout": 1})
    assert rollout.log == [1, 2, 3, 4, "close"]
