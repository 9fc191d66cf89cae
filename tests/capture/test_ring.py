"""The three slots, without processes."""

import os
import threading

import numpy as np
import pytest

from edgevision.capture.ring import SLOTS, Ring, SlotMemory
from edgevision.capture.wire import Ended, FrameBad, FrameReady


def put(ring: Ring, number: int, shape=(4, 5)) -> None:
    ring.put_frame(np.full(shape, number, np.uint8), FrameReady(number, 0.0, None, 0, shape, "uint8"))


def value(item) -> int:
    return int(item.memory.view(item.note.slot, item.note.shape, item.note.dtype).max())


def test_live_keeps_the_newest_and_counts_the_rest():
    ring = Ring(is_lossless=False)
    for number in range(10):
        put(ring, number)
    item = ring.take()
    assert (item.note.seq, value(item), item.note.dropped) == (9, 9, 9)


def test_the_lent_slot_is_never_written():
    ring = Ring(is_lossless=False)
    put(ring, 1)
    lent = ring.take()
    for number in range(2, 50):
        put(ring, number)
        assert value(lent) == 1
    assert value(ring.take()) == 49


def test_lossless_waits_and_loses_nothing():
    ring = Ring(is_lossless=True)
    writer = threading.Thread(target=lambda: [put(ring, number) for number in range(50)], daemon=True)
    writer.start()
    seen = []
    for _ in range(50):
        item = ring.take()
        seen.append((item.note.seq, value(item), item.note.dropped))
    writer.join(5)
    assert seen == [(number, number, 0) for number in range(50)]


def test_the_end_comes_after_the_last_frame():
    ring = Ring(is_lossless=False)
    put(ring, 1)
    ring.put_last(Ended(1))
    assert isinstance(ring.take().note, FrameReady)
    assert isinstance(ring.take().note, Ended)


def test_bad_frames_keep_their_place():
    ring = Ring(is_lossless=True)
    put(ring, 0)
    ring.put_bad(FrameBad(1, "bad"))
    put(ring, 2)
    assert [ring.take().note.seq for _ in range(3)] == [0, 1, 2]


def test_a_larger_frame_gets_larger_memory_and_the_old_one_stays_whole():
    ring = Ring(is_lossless=True)
    put(ring, 1)
    put(ring, 2, (400, 500))
    first, second = ring.take(), None
    assert value(first) == 1
    second = ring.take()
    assert second.memory is not first.memory
    assert value(second) == 2
    for number in range(3, 9):
        put(ring, number)
        assert value(ring.take()) == number


@pytest.mark.parametrize(
    ("slot", "shape", "dtype"),
    [(-1, (1,), "uint8"), (SLOTS, (1,), "uint8"), (0, (10**9,), "uint8"), (0, (4,), "object"), (0, (0,), "uint8")],
)
def test_a_note_that_does_not_fit_is_refused(slot, shape, dtype):
    memory = SlotMemory.make(100)
    with pytest.raises(ValueError, match="cannot hold"):
        memory.view(slot, shape, dtype)
    memory.close()


def test_memory_that_could_be_shrunk_is_refused():
    fd = os.memfd_create("loose")
    os.ftruncate(fd, SLOTS * 4096)
    with pytest.raises(ValueError, match="not 3 sealed slots"):
        SlotMemory(fd, 4096)
    os.close(fd)
