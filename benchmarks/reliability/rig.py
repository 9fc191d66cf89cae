"""What the reliability scripts share: a real broker, a listener, and a stand-in for systemd that runs the service and minds its watchdog.

In: a configuration as text. Out: messages with the time they came, notices, process ids. Everything is ended and removed at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import which
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

READY_S = 180.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(is_so: Callable[[], bool], limit_s: float, step_s: float = 0.02) -> float | None:
    """Seconds until it was so; None when it did not come to that."""
    since_s = time.monotonic()
    while not is_so():
        if time.monotonic() - since_s > limit_s:
            return None
        time.sleep(step_s)
    return time.monotonic() - since_s


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int]:
    """A Mosquitto of our own; its port."""
    program = which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        sys.exit("mosquitto is not installed (Debian: apt-get install mosquitto)")
    port = free_port()
    conf = folder / "mosquitto.conf"
    conf.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n")
    process = subprocess.Popen([program, "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        if wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, 20) is None:
            sys.exit("mosquitto did not start")
        yield port
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Message:
    topic: str
    payload: bytes
    at_s: float  # CLOCK_REALTIME
    is_retained: bool

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.payload)
        return body


class Ear:
    """Hears everything below `edgevision/test`, and can publish."""

    def __init__(self, port: int) -> None:
        self.messages: list[Message] = []
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        self._client.on_connect = lambda client, *_: client.subscribe("edgevision/test/#", 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _hear(self, client: Any, data: Any, message: Any) -> None:
        self.messages.append(Message(message.topic, message.payload, time.time(), message.retain))

    def say(self, topic: str, **body: Any) -> None:
        self._client.publish(f"edgevision/test/{topic}", json.dumps(body), 1)

    def last(self, topic: str) -> str | None:
        found = [message for message in list(self.messages) if message.topic == f"edgevision/test/{topic}"]
        return found[-1].payload.decode() if found else None

    def all(self, suffix: str) -> list[Message]:
        return [message for message in list(self.messages) if message.topic.endswith(f"/{suffix}") and message.payload]

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass
class Service:
    """`edgevision run` under a stand-in for systemd: it hears the notices, and starts the service anew when it dies or falls silent."""

    config: Path
    watchdog_s: float = 30.0
    log: Path = field(default_factory=lambda: Path(os.devnull))
    starts: int = 0
    killed_by_watchdog: int = 0
    notices: list[tuple[float, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._address = f"{self.config.parent}/notify-{os.getpid()}.sock"
        self._socket.bind(self._address)
        self._is_over = False
        self._alive_s = time.monotonic()
        self._has_ready = False
        self.process = self._start()
        for target in (self._listen, self._mind):
            threading.Thread(target=target, daemon=True).start()

    def _start(self) -> subprocess.Popen[bytes]:
        """The service is a child of whoever calls, and outlives it not: the minder's thread lives as long as this program."""
        self._has_ready = False
        self._alive_s = time.monotonic()
        self.starts += 1
        environment = os.environ | {"NOTIFY_SOCKET": self._address, "WATCHDOG_USEC": str(int(self.watchdog_s * 1e6))}
        with self.log.open("ab") as log:
            return subprocess.Popen([sys.executable, "-m", "edgevision", "run", str(self.config)], env=environment, stdout=log, stderr=log)

    def _listen(self) -> None:
        while not self._is_over:
            try:
                text = self._socket.recv(4096).decode()
            except OSError:
                return
            self.notices.append((time.monotonic(), text))
            if "WATCHDOG=1" in text or "READY=1" in text or "EXTEND_TIMEOUT_USEC" in text:
                self._alive_s = time.monotonic()
            if "READY=1" in text:
                self._has_ready = True

    def _mind(self) -> None:
        while not self._is_over:
            time.sleep(0.1)
            limit_s = self.watchdog_s if self._has_ready else READY_S
            if time.monotonic() - self._alive_s > limit_s and self.process.poll() is None:
                self.killed_by_watchdog += 1
                self.process.kill()
            if self.process.poll() is not None and not self._is_over:
                time.sleep(0.5)
                self.process = self._start()

    def wait_ready(self, limit_s: float = READY_S) -> float:
        took_s = wait_for(lambda: self._has_ready, limit_s)
        if took_s is None:
            sys.exit(f"the service was not ready within {limit_s:g} s; see {self.log}")
        return took_s

    def stop(self) -> float:
        """SIGTERM; the seconds it took."""
        self._is_over = True
        since_s = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()
        self._socket.close()
        return time.monotonic() - since_s


def children(pid: int) -> list[int]:
    """All processes below this one."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *children(child)]
    return found


def command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def is_running(pid: int) -> bool:
    """There, and not a zombie."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextlib.contextmanager
def rig(config: Callable[[Path, int], str], watchdog_s: float = 30.0) -> Iterator[tuple[Service, Ear, Path]]:
    """Broker, listener and service around a configuration, made for (folder, port of the broker)."""
    with tempfile.TemporaryDirectory(prefix="edgevision-reliability-") as name, broker(Path(name)) as port:
        folder = Path(name)
        path = folder / "line.yaml"
        path.write_text(config(folder, port))
        ear = Ear(port)
        service = Service(path, watchdog_s, folder / "service.log")
        try:
            service.wait_ready()
            yield service, ear, folder
        finally:
            service.stop()
            ear.close()
            if "--log" in sys.argv:
                print((folder / "service.log").read_text(), file=sys.stderr)


def head(folder: Path, port: int) -> str:
    return f"node: {{id: test, state_dir: {folder / 'state'}}}\nmqtt: {{host: 127.0.0.1, port: {port}}}\n"


def verdict(facts: dict[str, Any], holds: bool) -> int:
    """Print what was found, one JSON line; the exit code."""
    print(json.dumps({"holds": holds, **facts}))
    return 0 if holds else 1
