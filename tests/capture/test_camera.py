"""Cameras whose decoder children hang, die, lie and lag. The children are real; the misbehaving sources are plugins."""

import contextlib
import os
import signal
import time

import pytest

from edgevision.capture.camera import Backoff, Camera, CameraSettings, CameraState
from edgevision.errors import BadFrame, CameraError, EndOfStream

QUICK = CameraSettings(backoff_min_s=0.01, backoff_max_s=0.05)
GRAY = "np.full((48, 64), self.n % 256, np.uint8)"
COUNTING = f"""
finite = True
lossless = True
def read(self):
    if self.n == 20: raise EndOfStream("done")
    self.n += 1
    return {GRAY}, float(self.n)
"""
LIVE = f"""
def read(self):
    time.sleep(0.01)
    self.n += 1
    return {GRAY}, time.time()
"""

pytestmark = pytest.mark.usefixtures("no_child_left")


def test_lossless_gives_every_frame_once_in_order_whatever_the_taker_does(plugin, take_all):
    with Camera("cam", "count", plugin=plugin("count", COUNTING)) as camera:
        first = camera.next(10)
        time.sleep(0.2)  # the child fills its slots and waits
        taken = take_all(camera)
    values = [int(frame.image[0, 0]) for frame in (first, *taken.frames)]
    assert values == list(range(1, 21))
    assert [frame.seq for frame in (first, *taken.frames)] == list(range(20))
    assert isinstance(taken.end, EndOfStream)
    assert (camera.counters.frames, camera.counters.dropped, camera.counters.restarts) == (20, 0, 0)
    assert camera.state is CameraState.ENDED


def test_images_are_read_only_and_outlive_the_next_frame(plugin, take_all):
    with Camera("cam", "count", plugin=plugin("count", COUNTING)) as camera:
        frames = take_all(camera).frames
    assert not frames[0].image.flags.writeable
    assert frames[0].image.max() == 1


def test_newest_wins_for_a_live_source_and_the_dropped_are_counted(plugin):
    with Camera("cam", "live", plugin=plugin("live", LIVE)) as camera:
        before = camera.next(10)
        time.sleep(0.5)
        after = camera.next(10)
        dropped = camera.counters.dropped
    assert after.dropped_since_last >= 3
    assert after.seq - before.seq == after.dropped_since_last + 1
    assert dropped >= after.dropped_since_last
    assert time.time() - after.ts < 1.0


def test_a_camera_that_repeats_its_picture_is_frozen_until_it_sends_another(plugin, tmp_path):
    flag = tmp_path / "well_again"
    body = f"""
    def read(self):
        time.sleep(0.01)
        self.n += Path({str(flag)!r}).exists()
        return {GRAY}, time.time()
    """
    with Camera("cam", "frozen", settings=CameraSettings(frozen_s=0.1), plugin=plugin("frozen", body)) as camera:
        frames, bad = 0, ""
        while camera.state is not CameraState.FROZEN:
            try:
                frames += camera.next(1) is not None
            except BadFrame as error:
                bad = str(error)
        assert frames >= 1
        assert bad == "cam: the same picture bit for bit for more than frozen_s=0.1: the camera is frozen; switch it off and on"
        flag.touch()
        while camera.state is CameraState.FROZEN:
            with contextlib.suppress(BadFrame):
                camera.next(1)
        assert camera.state is CameraState.ONLINE
        assert camera.counters.frozen_frames == camera.counters.bad_frames >= 1


@pytest.mark.parametrize("kind", ["recorded = True", "simulated = True", "lossless = True"])
def test_pictures_that_are_no_sensors_or_not_of_now_may_be_equal(plugin, kind):
    body = f"""
    {kind}
    def read(self):
        time.sleep(0.01)
        return {GRAY}, time.time()
    """
    with Camera("cam", "equal", settings=CameraSettings(frozen_s=0.03), plugin=plugin("equal", body)) as camera:
        frames = [frame for _ in range(12) if (frame := camera.next(10)) is not None]
    assert len(frames) == 12


def test_a_hung_live_source_is_killed_at_its_deadline_and_started_again(plugin, tmp_path):
    flag = tmp_path / "hung_once"
    body = f"""
    def read(self):
        time.sleep(0.01)
        self.n += 1
        if self.n == 3 and not Path({str(flag)!r}).exists():
            Path({str(flag)!r}).touch()
            time.sleep(1e6)
        return {GRAY}, time.time()
    """
    settings = CameraSettings(deadline_s=1.0, backoff_min_s=0.01)
    with Camera("cam", "hang", settings=settings, plugin=plugin("hang", body)) as camera:
        pids, seqs, since_s = set(), [], time.monotonic()
        while camera.counters.restarts == 0 or camera.state is not CameraState.ONLINE:
            frame = camera.next(0.2)
            pids |= {camera.pid} - {None}
            seqs += [] if frame is None else [frame.seq]
            assert time.monotonic() - since_s < 20
    assert camera.counters.hung == 1
    assert "deadline_s=1" in camera.counters.last_error
    assert len(pids) == 2
    assert seqs == sorted(set(seqs))


def test_a_source_that_hangs_for_ever_holding_the_interpreter_cannot_hold_the_parent(plugin):
    body = """
    def read(self):
        import ctypes
        ctypes.PyDLL(None).sleep(10**6)  # PyDLL keeps the interpreter's lock
    """
    settings = CameraSettings(deadline_s=0.3, backoff_min_s=0.01, backoff_max_s=0.01)
    with Camera("cam", "stuck", settings=settings, plugin=plugin("stuck", body)) as camera:
        since_s = time.monotonic()
        while camera.counters.hung < 2:
            assert camera.next(0.1) is None
            assert time.monotonic() - since_s < 20


def test_a_source_that_never_opens_is_killed(plugin):
    settings = CameraSettings(start_s=1.0)
    with Camera("cam", "slow", settings=settings, plugin=plugin("slow", "def open(self): time.sleep(1e6)")) as camera:
        since_s = time.monotonic()
        while camera.counters.hung == 0:
            assert camera.next(0.2) is None
            assert time.monotonic() - since_s < 20
    assert "start_s=1" in camera.counters.last_error


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGSEGV])
def test_a_child_killed_from_outside_costs_one_restart_and_no_frame(plugin, take_all, sig):
    with Camera("cam", "count", settings=QUICK, plugin=plugin("count", COUNTING)) as camera:
        taken = take_all(camera, frames=7)
        os.kill(camera.pid, sig)
        rest = take_all(camera)
    assert [frame.seq for frame in taken.frames + rest.frames] == list(range(20))
    assert [int(frame.image[0, 0]) for frame in taken.frames + rest.frames] == list(range(1, 21))
    assert (camera.counters.restarts, camera.counters.died) == (1, 1)
    assert sig.name in camera.counters.last_error


def test_a_stopped_child_is_noticed(plugin):
    settings = CameraSettings(deadline_s=0.4, backoff_min_s=0.01)
    with Camera("cam", "live", settings=settings, plugin=plugin("live", LIVE)) as camera:
        assert camera.next(10) is not None
        os.kill(camera.pid, signal.SIGSTOP)
        since_s = time.monotonic()
        while camera.counters.hung == 0:
            with contextlib.suppress(BadFrame):  # the last frame of the stopped child is stale
                camera.next(0.1)
            assert time.monotonic() - since_s < 5


def test_a_frame_that_kills_its_reader_twice_is_passed_over(plugin, take_all):
    body = f"""
    finite = True
    lossless = True
    def recover(self, crashes, place): pass
    def skip(self): self.n += 1
    def read(self):
        if self.n == 8: raise EndOfStream("done")
        if self.n == 4: os.kill(os.getpid(), signal.SIGABRT)
        self.n += 1
        return {GRAY}, float(self.n)
    """
    with Camera("cam", "mine", settings=QUICK, plugin=plugin("mine", body)) as camera:
        taken = take_all(camera)
    assert [frame.seq for frame in taken.frames] == [0, 1, 2, 3, 5, 6, 7]
    assert len(taken.bad) == 1
    assert "frame 4" in taken.bad[0]
    assert camera.counters.died == 2
    assert isinstance(taken.end, EndOfStream)


def test_a_finite_source_that_only_dies_is_given_up(plugin, take_all):
    body = """
    finite = True
    def read(self): os.kill(os.getpid(), signal.SIGABRT)
    """
    with Camera("cam", "dead", settings=QUICK, plugin=plugin("dead", body)) as camera:
        taken = take_all(camera)
        with pytest.raises(CameraError, match="given up"):
            camera.next(0.1)
    assert not isinstance(taken.end, EndOfStream)
    assert "SIGABRT" in str(taken.end)
    assert "\n" not in str(taken.end)
    assert (camera.counters.died, camera.state, camera.is_over) == (4, CameraState.FAILED, True)


def test_a_live_source_that_cannot_be_reached_is_tried_again_without_end(plugin):
    body = "def open(self): raise CameraError('rtsp://user:secret@host/x: connection refused')"
    with Camera("cam", "away", settings=QUICK, plugin=plugin("away", body)) as camera:
        since_s = time.monotonic()
        while camera.counters.attempts_failed < 5:
            assert camera.next(0.1) is None
            assert time.monotonic() - since_s < 20
    assert camera.counters.restarts == 0
    assert camera.counters.last_error == "rtsp://***@host/x: connection refused"


def test_bad_frames_are_told_and_the_next_one_follows(plugin, take_all):
    body = f"""
    finite = True
    lossless = True
    def read(self):
        self.n += 1
        if self.n == 6: raise EndOfStream("done")
        if self.n == 2: raise BadFrame("img_2.jpg: damaged")
        if self.n == 3: return np.zeros((4, 4), np.float32), 0.0
        if self.n == 4: return np.zeros((4, 4, 7), np.uint8), 0.0
        return {GRAY}, 0.0
    """
    with Camera("cam", "bad", plugin=plugin("bad", body)) as camera:
        taken = take_all(camera)
    assert [frame.seq for frame in taken.frames] == [0, 4]
    assert taken.bad[0] == "cam: img_2.jpg: damaged"
    assert "float32" in taken.bad[1]
    assert "(4, 4, 7)" in taken.bad[2]
    assert camera.counters.bad_frames == 3


GROWING = """
finite = True
lossless = True
def read(self):
    self.n += 1
    if self.n == 5: raise EndOfStream("done")
    size = (480, 640) if self.n == 3 else (48, 64)
    return np.full(size, self.n, np.uint8), 0.0
"""


def test_a_frame_of_another_size_is_refused_and_those_of_the_first_size_go_on(plugin, take_all):
    with Camera("cam", "grow", plugin=plugin("grow", GROWING)) as camera:
        taken = take_all(camera)
    assert [frame.seq for frame in taken.frames] == [0, 1, 3]
    assert taken.bad == [
        "cam: frame 2 is 640x480 gray uint8, the first was 64x48 gray uint8; set the camera back, or restart it if the change is meant"
    ]


def test_a_larger_frame_is_followed_in_larger_memory_when_asked(plugin, take_all):
    with Camera("cam", "grow", settings=CameraSettings(size_change="follow"), plugin=plugin("grow", GROWING)) as camera:
        taken = take_all(camera)
    assert [frame.image.shape for frame in taken.frames] == [(48, 64), (48, 64), (480, 640), (48, 64)]
    assert [int(frame.image.max()) for frame in taken.frames] == [1, 2, 3, 4]


def test_a_stale_frame_is_never_given(plugin, take_all):
    body = f"""
    def read(self):
        self.n += 1
        time.sleep(0.02)
        return {GRAY}, time.time() - (10 if self.n < 4 else 0)
    """
    with Camera("cam", "lag", plugin=plugin("lag", body)) as camera:
        taken = take_all(camera, frames=1)
    assert taken.bad
    assert all("stale" in text for text in taken.bad)
    assert camera.counters.stale_frames == len(taken.bad)
    assert time.time() - taken.frames[0].ts < 2


def test_a_picture_over_the_limit_is_refused(plugin, take_all):
    with Camera("cam", "count", settings=CameraSettings(max_pixels=1000), plugin=plugin("count", COUNTING)) as camera:
        taken = take_all(camera)
    assert not taken.frames
    assert "the limit is 1000" in taken.bad[0]


def test_memory_is_limited(plugin, take_all):
    body = "finite = True\ndef read(self): return np.ones((40_000, 40_000), np.uint8), 0.0"
    with Camera("cam", "bomb", settings=CameraSettings(memory_limit_mb=512, max_restarts=0), plugin=plugin("bomb", body)) as camera:
        taken = take_all(camera)
    assert "allocate" in str(taken.end) or "MemoryError" in str(taken.end)


def test_plugin_that_raises_nonsense_is_named(plugin):
    with Camera("cam", "odd", settings=QUICK, plugin=plugin("odd", "def read(self): return 1 / 0")) as camera:
        while camera.counters.attempts_failed == 0:
            camera.next(0.1)
    assert "source 'odd' raised ZeroDivisionError" in camera.counters.last_error


def test_unknown_source_is_final_and_one_line():
    with Camera("cam", "fiel", {}) as camera, pytest.raises(CameraError, match="did you mean 'file'"):
        camera.next(10)
    assert camera.is_over


def test_idle_source_is_not_hung(plugin):
    body = "def read(self):\n    time.sleep(0.05)\n    raise TimeoutError"
    with Camera("cam", "idle", settings=CameraSettings(deadline_s=1.0), plugin=plugin("idle", body)) as camera:
        for _ in range(5):
            assert camera.next(0.3) is None
        assert camera.counters.hung == 0


def test_close_twice_and_before_open_and_open_again(plugin, take_all):
    camera = Camera("cam", "count", plugin=plugin("count", COUNTING))
    camera.close()
    with pytest.raises(CameraError, match="closed"):
        camera.next(0.1)
    camera.open()
    taken = take_all(camera, frames=5)
    camera.close()
    camera.close()
    assert camera.pid is None
    with camera:
        rest = take_all(camera)
    assert [frame.seq for frame in taken.frames + rest.frames] == list(range(20))


def test_nothing_stays_open(plugin, take_all):
    folder = plugin("count", COUNTING)
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Camera("cam", "count", plugin=folder) as camera:
            take_all(camera, frames=4)
    assert set(os.listdir("/proc/self/fd")) == before


def test_backoff_doubles_to_its_cap_with_chance_and_starts_again():
    chances = iter([1.0, 1.0, 1.0, 1.0, 0.0, 0.5])
    backoff = Backoff(0.5, 3.0, lambda: next(chances))
    assert [backoff.lose(0.0) for _ in range(5)] == [0.5, 1.0, 2.0, 3.0, 1.5]
    assert backoff.wait_s(1.0) == 0.5
    assert backoff.wait_s(9.0) == 0.0
    backoff.reset()
    assert backoff.lose(0.0) == 0.375
