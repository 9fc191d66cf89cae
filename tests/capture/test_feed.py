"""A camera and its trigger together: each part told once, whatever the worker's pace."""

import time

import numpy as np
import pytest

from edgevision.capture.camera import Camera, CameraSettings
from edgevision.capture.feed import Feed
from edgevision.capture.parts import Refusal
from edgevision.capture.trigger import TriggerSettings
from edgevision.errors import CameraError, EndOfStream, InputError

pytestmark = pytest.mark.usefixtures("no_child_left")

RECORDING = """
finite = True
lossless = True
def read(self):
    if self.n == 100: raise EndOfStream("done")
    self.n += 1
    return np.full((8, 8), self.n, np.uint8), 1000 + self.n / 10
"""
LIVE = """
def read(self):
    time.sleep(0.02)
    self.n += 1
    return np.full((8, 8), self.n % 256, np.uint8), time.time()
"""


def told(feed: Feed, limit_s: float = 20.0, pause_s: float = 0.0, count: int = 10**9) -> list:
    """All that the feed tells, until its end or so much."""
    items, until_s = [], time.monotonic() + limit_s
    while len(items) < count:
        assert time.monotonic() < until_s, items
        try:
            item = feed.next(0.2)
        except CameraError:
            break
        items += [] if item is None else [item]
        time.sleep(pause_s)
    return items


def test_free_run_gives_the_cameras_frames(plugin):
    with Feed(Camera("cam", "rec", plugin=plugin("rec", RECORDING))) as feed:
        assert [frame.seq for frame in told(feed)] == list(range(100))


def test_a_part_asked_for_while_free_running_is_shown_by_the_next_frame(plugin):
    with Feed(Camera("cam", "live", plugin=plugin("live", LIVE))) as feed:
        told(feed, count=1)
        asked_ts = time.time()
        feed.offer({"part_id": "A1"})
        frames = told(feed, count=5)
    (part,) = [frame for frame in frames if frame.part_id == "A1"]
    assert part.ts >= asked_ts
    with pytest.raises(CameraError, match="closed"):
        feed.offer({"part_id": "A2"})


def test_a_part_that_the_source_names_and_cannot_show_is_refused(plugin):
    body = """
    finite = lossless = True
    part_id = None
    def read(self):
        self.n += 1
        if self.n == 4: raise EndOfStream("done")
        self.part_id = f"P{self.n}"
        if self.n == 2: raise BadFrame("P2.jpg: damaged")
        return np.zeros((8, 8), np.uint8), float(self.n)
    """
    with Feed(Camera("cam", "named", plugin=plugin("named", body))) as feed:
        first, second, third = told(feed)
    assert (first.part_id, second.request.part_id, third.part_id) == ("P1", "P2", "P3")
    assert "P2.jpg: damaged" in second.reason


@pytest.mark.parametrize("pause_s", [0.0, 0.05])
def test_interval_over_a_recording_is_the_same_however_slow_the_worker(plugin, pause_s):
    settings = TriggerSettings(type="interval", every_s=1.0, max_parts=3)
    with Feed(Camera("cam", "rec", plugin=plugin("rec", RECORDING)), settings) as feed:
        parts = told(feed, pause_s=pause_s)
        with pytest.raises(EndOfStream):
            feed.next(0.1)
    assert [(part.part_id, part.seq) for part in parts] == [(f"cam-{1000100 + 1000 * k}", 10 * k) for k in range(10)]


def test_a_part_shows_in_the_first_frame_after_its_request_though_the_worker_is_busy(plugin):
    with Feed(Camera("cam", "live", plugin=plugin("live", LIVE)), TriggerSettings(type="mqtt")) as feed:
        while feed.camera.counters.frames == 0:
            assert feed.next(0.05) is None
        asked_ts = time.time()
        assert feed.offer(b'{"part_id": "A1", "job_id": "J"}')
        time.sleep(0.5)  # the worker is at another part
        asked_again_ts = time.time()
        assert feed.offer({"part_id": "A2"})
        first, second = told(feed, count=2)
    assert (first.part_id, first.job_id, second.part_id) == ("A1", "J", "A2")
    assert asked_ts <= first.ts < asked_again_ts <= second.ts


def test_overload_gives_each_part_one_answer(plugin):
    with Feed(Camera("cam", "live", plugin=plugin("live", LIVE)), TriggerSettings(type="mqtt", max_parts=4, timeout_s=5)) as feed:
        for number in range(50):
            feed.offer({"part_id": f"P{number}"})
        items = told(feed, count=50)
    names = [item.request.part_id if isinstance(item, Refusal) else item.part_id for item in items]
    assert sorted(names) == sorted(f"P{number}" for number in range(50))
    assert sum(isinstance(item, Refusal) for item in items) >= 40
    assert all("overload" in item.reason for item in items if isinstance(item, Refusal))


def test_a_camera_that_is_away_refuses_the_part_in_time(plugin):
    camera = Camera(
        "cam", "away", settings=CameraSettings(backoff_min_s=0.05), plugin=plugin("away", "def open(self): raise CameraError('off')")
    )
    with Feed(camera, TriggerSettings(type="mqtt", timeout_s=0.3)) as feed:
        feed.offer({"part_id": "A1"})
        (refusal,) = told(feed, count=1)
    assert refusal.request.part_id == "A1"
    assert "no frame within timeout_s=0.3" in refusal.reason


def test_a_camera_that_is_over_refuses_what_waits_and_takes_no_more(plugin):
    settings = TriggerSettings(type="mqtt", timeout_s=60, delay_s=60)
    with Feed(Camera("cam", "rec", plugin=plugin("rec", RECORDING)), settings) as feed:
        feed.offer({"part_id": "A1"})
        (refusal,) = told(feed)
        with pytest.raises(CameraError, match="ended"):
            feed.offer({"part_id": "A2"})
    assert refusal.request.part_id == "A1"
    assert "ended after 100 frames" in refusal.reason


def test_at_the_end_of_the_program_all_are_told(plugin):
    with Feed(Camera("cam", "live", plugin=plugin("live", LIVE)), TriggerSettings(type="mqtt", delay_s=60)) as feed:
        feed.offer({"part_id": "A1"})
    assert [(refusal.request.part_id, refusal.reason) for refusal in feed.refuse_all("restart")] == [("A1", "restart")]
    with pytest.raises(CameraError, match="closed"):
        feed.offer({"part_id": "A2"})
    with pytest.raises(InputError):
        feed.offer(b"nonsense")


def test_frames_are_what_the_source_gave(plugin):
    settings = TriggerSettings(type="interval", every_s=5.0)
    with Feed(Camera("cam", "rec", plugin=plugin("rec", RECORDING)), settings) as feed:
        parts = told(feed)
    assert [np.unique(part.image).tolist() for part in parts] == [[1], [51]]
