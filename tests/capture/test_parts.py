"""Each part leaves the queue exactly once: as a frame, or refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.capture.parts import PartQueue, PartRequest
from edgevision.records import Frame

IMAGE = np.zeros((1, 1), np.uint8)


def frame(ts: float) -> Frame:
    return Frame(IMAGE, ts, int(ts * 100))


@pytest.fixture
def queue() -> PartQueue:
    return PartQueue(max_parts=2, timeout_s=1.0)


def test_the_first_frame_captured_after_the_request_shows_the_part(queue):
    queue.offer(PartRequest("a", 10.0, "job"))
    assert not queue.show(frame(9.9))
    assert queue.show(frame(10.1))
    assert not queue.show(frame(10.2))
    taken = queue.take()
    assert (taken.part_id, taken.job_id, taken.ts) == ("a", "job", 10.1)
    assert queue.take() is None


def test_one_frame_serves_one_part_in_order(queue):
    queue.offer(PartRequest("a", 10.0))
    queue.offer(PartRequest("b", 10.0))
    queue.show(frame(10.1))
    queue.show(frame(10.2))
    assert [(queue.take().part_id), (queue.take().part_id)] == ["a", "b"]


def test_the_part_is_in_view_only_after_the_delay():
    queue = PartQueue(max_parts=2, timeout_s=1.0, delay_s=0.5)
    queue.offer(PartRequest("a", 10.0))
    assert not queue.show(frame(10.4))
    assert queue.show(frame(10.5))


def test_overflow_is_refused_by_id(queue):
    assert [queue.offer(PartRequest(name, 10.0)) for name in "abc"] == [True, True, False]
    (refusal,) = queue.refusals(10.0)
    assert refusal.request.part_id == "c"
    assert "the limit is max_parts" in refusal.reason
    assert queue.refusals(10.0) == ()


def test_a_message_delivered_twice_is_one_part(queue):
    assert queue.offer(PartRequest("a", 10.0))
    assert not queue.offer(PartRequest("a", 10.1))
    queue.show(frame(10.2))
    assert not queue.offer(PartRequest("a", 10.3))
    assert queue.refusals(10.3) == ()


@pytest.mark.parametrize("now_ts", [11.1, 8.0])
def test_no_frame_in_time_is_refused_and_so_it_is_when_the_clock_was_set_back(queue, now_ts):
    queue.offer(PartRequest("a", 10.0))
    assert queue.refusals(10.9) == ()
    assert [refusal.request.part_id for refusal in queue.refusals(now_ts)] == ["a"]
    assert not queue.show(frame(11.2))


def test_all_can_be_refused_at_the_end(queue):
    queue.offer(PartRequest("a", 10.0))
    queue.offer(PartRequest("b", 10.0))
    queue.show(frame(10.1))
    queue.refuse_all("the program ends")
    assert {(refusal.request.part_id, refusal.reason) for refusal in queue.refusals(10.1)} == {
        ("a", "the program ends"),
        ("b", "the program ends"),
    }
    assert len(queue) == 0


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["offer", "show", "take", "refusals", "gap"]), st.floats(0, 0.5)), max_size=80))
def test_whatever_happens_each_part_leaves_exactly_once(steps):
    queue, now, offered, left = PartQueue(3, 1.0), 100.0, [], []
    for what, pause in steps:
        now += pause
        if what == "offer":
            offered.append(f"p{len(offered)}")
            queue.offer(PartRequest(offered[-1], now))
        elif what == "show":
            queue.show(frame(now))
        elif what == "take":
            taken = queue.take()
            left += [taken.part_id] if taken else []
        elif what == "refusals":
            left += [refusal.request.part_id for refusal in queue.refusals(now)]
        else:
            now += 5
    queue.refuse_all("end")
    left += [refusal.request.part_id for refusal in queue.refusals(now)]
    assert sorted(left) == sorted(offered)
