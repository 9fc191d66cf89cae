"""Frozen and killed processes: `python benchmarks/reliability/freeze.py`.

One camera's decoder, then its worker, is stopped with SIGSTOP, then the worker is killed: that camera is offline within 5 s and no other,
and it comes back. The supervisor is stopped with SIGSTOP: the watchdog starts the service anew. It is killed with -9: no process
is left and no camera held (each camera's source holds a file lock, as a device is held).
"""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from rig import Ear, Service, children, command, head, is_running, rig, verdict, wait_for

LIMIT_S = 5.0
WATCHDOG_S = 6.0
GONE_S = 0.4  # before the stand-in for systemd starts the service anew
PLUGIN = """
import fcntl, time
import numpy as np
from pydantic import Field
from edgevision.errors import CameraError
from edgevision.records import Settings

class HeldSettings(Settings):
    lock: str = Field(description="A file that stands for the device: one may hold it.")

class Source:
    def __init__(self, settings):
        self._path, self._n = settings.lock, 0
    def open(self):
        self._file = open(self._path, "w")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise CameraError(f"{self._path}: another program holds it") from error
    def read(self):
        time.sleep(0.1)
        self._n += 1
        return np.random.default_rng(self._n).integers(90, 110, (120, 160, 3)).astype(np.uint8), time.time()
    def close(self):
        self._file.close()

def register(registry):
    registry.register("source", "held", Source, HeldSettings)
"""


def config(folder: Path, port: int) -> str:
    plugin = folder / "plugins" / "source_held"
    plugin.mkdir(parents=True)
    (plugin / "plugin.py").write_text(PLUGIN)
    cameras = "".join(f"  {name}: {{source: {{type: held, lock: {folder / name}.lock}}}}\n" for name in ("a", "b"))
    return head(folder, port) + f"plugins: {{folders: [{folder / 'plugins'}]}}\ncameras:\n{cameras}"


def offline_after(service: Service, ear: Ear, kind: str, folder: Path, number: int = signal.SIGSTOP) -> dict[str, float | bool | None]:
    """Send a signal to camera a's process of this kind; how long until it is offline, whether b stays, how long until it is back."""
    found = [pid for pid in children(service.process.pid) if kind in command(pid)]
    pid = next(pid for pid in found if holds(pid, folder / "a.lock")) if "decoder" in kind else worker_of(service, folder)
    since = len(ear.messages)
    os.kill(pid, number)
    offline_s = wait_for(lambda: ear.last("a/availability") == "offline", 20)
    if "worker" in kind and number == signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
    back_s = wait_for(lambda: ear.last("a/availability") == "online", 40)
    is_alone = not any(message.topic.endswith("b/availability") for message in ear.messages[since:])
    return {"offline_s": offline_s, "back_s": back_s, "other_camera_untouched": is_alone}


def holds(pid: int, path: Path) -> bool:
    return any(os.path.realpath(link) == str(path) for link in Path(f"/proc/{pid}/fd").glob("*"))


def worker_of(service: Service, folder: Path) -> int:
    """The worker whose decoder holds camera a."""
    workers = [pid for pid in children(service.process.pid) if "worker_main" in command(pid)]
    return next(pid for pid in workers if any(holds(child, folder / "a.lock") for child in children(pid)))


def is_held(path: Path) -> bool:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def killed(service: Service, folder: Path) -> dict[str, Any]:
    """Kill the supervisor with -9; what is left of it."""
    pids = children(service.process.pid)
    service.process.kill()
    held = lambda: [name for name in "ab" if is_held(folder / f"{name}.lock")]  # noqa: E731
    gone_s = wait_for(lambda: not any(map(is_running, pids)), 10, 0.002)
    free_s = wait_for(lambda: not held(), GONE_S, 0.002)  # a process is dead a moment before its last thread has let go of its files
    return {"processes": len(pids), "gone_s": gone_s, "cameras_free_s": free_s}


def frozen(service: Service) -> dict[str, Any]:
    """Stop the supervisor with SIGSTOP; how long until the watchdog has started it anew."""
    since_s = time.monotonic()
    os.kill(service.process.pid, signal.SIGSTOP)
    wait_for(lambda: service.starts == 2, WATCHDOG_S + 10)
    return {"restarted_s": round(time.monotonic() - since_s, 2), "watchdog_s": WATCHDOG_S, "by_watchdog": service.killed_by_watchdog}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--short", action="store_true", help="freeze a worker and kill the supervisor only")
    parser.add_argument("--log", action="store_true", help="show the service's log at the end")
    arguments = parser.parse_args()
    facts: dict[str, Any] = {}
    with rig(config, WATCHDOG_S) as (service, ear, folder):
        are_online = lambda: all(ear.last(f"{name}/availability") == "online" for name in "ab")  # noqa: E731
        cases = [("worker_frozen", "worker_main", signal.SIGSTOP)]
        if not arguments.short:
            cases += [("decoder_frozen", "capture.decoder", signal.SIGSTOP), ("worker_killed", "worker_main", signal.SIGKILL)]
        for name, kind, number in cases:
            if wait_for(are_online, 60) is None:
                return verdict({**facts, "error": "the cameras did not come online"}, False)
            facts[name] = offline_after(service, ear, kind, folder, number)
        is_well = all((case["offline_s"] or 99) <= LIMIT_S and case["back_s"] and case["other_camera_untouched"] for case in facts.values())
        if not arguments.short:
            facts["supervisor_frozen"] = frozen(service)
            is_well &= facts["supervisor_frozen"]["by_watchdog"] == 1 and facts["supervisor_frozen"]["restarted_s"] <= WATCHDOG_S + 2
            service.wait_ready()
        wait_for(are_online, 60)
        facts["supervisor_killed"] = killed(service, folder)
    is_well &= None not in facts["supervisor_killed"].values()
    return verdict(facts, is_well)


if __name__ == "__main__":
    sys.exit(main())
