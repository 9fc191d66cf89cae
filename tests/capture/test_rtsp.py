"""Network cameras: a real RTSP server stopped and started again; and what can be said of addresses without one."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from edgevision.capture.camera import Camera, CameraSettings, CameraState
from edgevision.capture.rtsp import RtspSettings, RtspSource, StreamClock, full_url
from edgevision.errors import BadFrame, CameraError

SYSTEM_PYTHON = "/usr/bin/python3"


class Server:
    """The test pattern's process; keeps its port over a restart."""

    def __init__(self) -> None:
        self.port = "0"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [SYSTEM_PYTHON, str(Path(__file__).with_name("rtsp_server.py")), self.port]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        answer = self.process.stdout.readline().strip()
        if not answer:
            self.stop()
            text = "GStreamer's RTSP server for the system's Python is absent (python3-gi, gir1.2-gst-rtsp-server-1.0)"
            pytest.fail(text) if os.environ.get("CI") == "true" else pytest.skip(text)
        self.port = answer

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None


@pytest.fixture
def server():
    """A running test pattern."""
    if not Path(SYSTEM_PYTHON).exists():
        pytest.skip(f"{SYSTEM_PYTHON} is absent")
    server = Server()
    server.start()
    yield server
    server.stop()


@pytest.mark.parametrize("backend", ["pyav", "opencv"])
def test_a_stopped_server_is_reconnected_once_and_no_old_frame_is_given(server, backend):
    url = f"rtsp://user:secret@127.0.0.1:{server.port}/test"
    settings = CameraSettings(backoff_min_s=0.1, backoff_max_s=0.5, stale_s=1.0)
    ages, states, until_s = [], [], time.monotonic() + 40
    with Camera("cam", "rtsp", {"url": url, "backend": backend}, settings) as camera:
        while len(ages) < 30:
            assert time.monotonic() < until_s, camera.counters
            try:
                frame = camera.next(0.2)
            except BadFrame:
                continue
            states += [camera.state] if not states or states[-1] is not camera.state else []
            if frame is None:
                continue
            ages.append(time.time() - frame.ts)
            assert frame.image.shape == (240, 320, 3)
            if len(ages) == 15:
                server.stop()
                while camera.state is CameraState.ONLINE:
                    with contextlib.suppress(BadFrame):
                        camera.next(0.2)
                server.start()
        assert camera.counters.restarts == 1
        assert "secret" not in camera.counters.last_error
        assert max(ages) < 1.5
    assert states.count(CameraState.ONLINE) == 2


def test_a_server_that_falls_silent_is_left_and_found_again(server):
    source = {"url": f"rtsp://127.0.0.1:{server.port}/test", "open_timeout_s": 0.5, "read_timeout_s": 0.5}
    settings = CameraSettings(backoff_min_s=0.1, backoff_max_s=0.3, stale_s=1.0)
    ages, until_s = [], time.monotonic() + 30
    with Camera("cam", "rtsp", source, settings) as camera:
        while len(ages) < 20:
            assert time.monotonic() < until_s, camera.counters
            with contextlib.suppress(BadFrame):
                frame = camera.next(0.2)
                ages += [] if frame is None else [time.time() - frame.ts]
            if len(ages) == 10 and server.process.returncode is None and camera.counters.restarts == 0:
                os.kill(server.process.pid, signal.SIGSTOP)
            if camera.counters.restarts == 1:
                os.kill(server.process.pid, signal.SIGCONT)
    assert max(ages) < 1.5
    assert "no data came in time" in camera.counters.last_error


@pytest.mark.parametrize("backend", ["pyav", "opencv"])
def test_a_server_that_is_away_is_said_so_without_the_password(backend):
    source = RtspSource(RtspSettings(url="rtsp://user:secret@127.0.0.1:9/test", backend=backend, open_timeout_s=1))
    with pytest.raises(CameraError) as caught:
        source.open()
    assert "127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_password_comes_from_its_file(tmp_path):
    (tmp_path / "pw").write_text("p@ss/word\n")
    settings = RtspSettings(url="rtsp://cam:554/live?x=1", username="us er", password_file=tmp_path / "pw")
    assert full_url(settings) == "rtsp://us%20er:p%40ss%2Fword@cam:554/live?x=1"
    with pytest.raises(CameraError, match="No such file"):
        full_url(RtspSettings(url="rtsp://cam/", username="u", password_file=tmp_path / "none"))


def test_settings_do_not_show_the_address():
    assert "secret" not in repr(RtspSettings(url="rtsp://u:secret@h/"))


def test_a_burst_of_held_back_frames_is_old_and_drift_is_not():
    clock = StreamClock()
    assert clock.age_s(None, 5.0) == 0.0
    assert clock.age_s(0.0, 100.0) == 0.0
    assert clock.age_s(1.0, 101.2) == pytest.approx(0.2, abs=0.01)
    assert clock.age_s(2.0, 101.9) == 0.0  # prompter than any before
    assert clock.age_s(3.0, 107.9) == pytest.approx(5.0, abs=0.01)  # five seconds in some buffer
    assert clock.age_s(7.9, 107.9) == pytest.approx(0.1, abs=0.01)
    assert clock.age_s(90_000.0, 108.0) == 0.0  # the camera's clock jumped
    drifting = StreamClock()
    ages = [drifting.age_s(second, second * 1.0005) for second in range(0, 36_000, 10)]
    assert max(ages) < 0.01
