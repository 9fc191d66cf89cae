"""A real Mosquitto on a free loopback port, started, killed and configured by the test; and a subscriber that remembers."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgevision.publish.mqtt import MqttSettings, tail

READY = "$SYS/broker/version"


class Mosquitto:
    """One broker process. Its configuration is anonymous on loopback, plus `extra` lines."""

    def __init__(self, program: str, folder: Path, extra: tuple[str, ...] = ()):
        self.program = program
        self.folder = folder
        self.port = free_port()
        self.configure(*extra)
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, *extra: str) -> None:
        lines = (f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence false", f"user {getpass.getuser()}", *extra)
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        command = [self.program, "-c", str(self.folder / "mosquitto.conf")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        await_true(lambda: is_listening(self.port))

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(1)

    def settings(self, **changes: object) -> MqttSettings:
        quick = {"reconnect_min_s": 0.02, "reconnect_max_s": 0.1, "connect_timeout_s": 2.0}
        return MqttSettings.model_validate({"port": self.port, **quick, **changes})


class Subscriber:
    """Hears everything on a Mosquitto, across its restarts."""

    def __init__(self, settings: MqttSettings):
        topics = ("#", READY)
        self.heard: list[tuple[str, bytes]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=tail, args=(settings, topics, self._hear, self._stop.is_set, 0.02), daemon=True)

    def _hear(self, topic: str, payload: bytes) -> None:
        self.heard.append((topic, payload))

    def await_ready(self, times: int = 1) -> None:
        """Wait until the broker has taken the subscription for the n-th time: it then tells its version."""
        await_true(lambda: len(self.of(READY)) >= times)

    def of(self, ending: str) -> list[bytes]:
        return [payload for topic, payload in list(self.heard) if topic.endswith(ending)]

    def __enter__(self) -> Subscriber:
        self._thread.start()
        self.await_ready()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(5)


@pytest.fixture
def make_mosquitto(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """A function that makes brokers; those still running at the end are killed."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if program is None:
        if os.environ.get("CI") == "true":
            pytest.fail("mosquitto is not installed; the CI must have it: apt-get install mosquitto")
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    made: list[Mosquitto] = []

    def make(*extra: str) -> Mosquitto:
        made.append(Mosquitto(program, tmp_path, extra))
        return made[-1]

    yield make
    for broker in made:
        if broker.process is not None and broker.process.poll() is None:
            broker.kill()


@pytest.fixture
def mosquitto(make_mosquitto: Callable[..., Mosquitto]) -> Mosquitto:
    """A running broker."""
    broker = make_mosquitto()
    broker.start()
    return broker


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def await_true(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait for something outside this process."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it did not come true in time"
        time.sleep(0.01)
