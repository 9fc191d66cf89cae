"""A Mosquitto of our own on a free loopback port. In: configuration lines. Out: a process that can be killed and started again."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path


class Broker:
    """Anonymous, on loopback, in memory only; `extra` lines are added to its configuration."""

    def __init__(self, folder: Path, *extra: str):
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            sys.exit("mosquitto is not installed: apt-get install mosquitto")
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._file = folder / "mosquitto.conf"
        self._command = [program, "-c", str(self._file)]
        lines = (f"listener {self.port} 127.0.0.1", "allow_anonymous true", "persistence false", f"user {getpass.getuser()}", *extra)
        self._file.write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while not is_listening(self.port):
            time.sleep(0.01)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
