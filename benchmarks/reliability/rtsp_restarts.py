"""A network camera that goes away again and again: `python benchmarks/reliability/rtsp_restarts.py [--times 50]`.

A real RTSP server (GStreamer's) is killed, or frozen first so that the connection stays open and silent, and started again on its port. The
camera must be back within 10 s of the server, and no part may be inspected on a frame from the time when there was no server.
"""

from __future__ import annotations

import argparse
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from datetime import datetime
from pathlib import Path

from rig import Ear, free_port, head, rig, verdict, wait_for

SERVER = Path(__file__).parents[2] / "tests" / "capture" / "rtsp_server.py"
LIMIT_S = 10.0
ON_THE_WAY_S = 0.3
SYSTEM_PYTHON = "/usr/bin/python3"  # which has GStreamer


class Server:
    """The test pattern's process, always on one port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.process = self.start()

    def start(self) -> subprocess.Popen[str]:
        self.process = subprocess.Popen(
            [SYSTEM_PYTHON, str(SERVER), str(self.port)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        if not (self.process.stdout and self.process.stdout.readline().strip()):
            sys.exit("GStreamer's RTSP server is absent (Debian: apt-get install python3-gi gir1.2-gst-rtsp-server-1.0)")
        wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0, 10)
        return self.process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def inspected_on(ear: Ear, outages: list[tuple[float, float]]) -> int:
    """How many parts were inspected on a frame that cannot be there."""
    wrong = 0
    for message in ear.all("cam/result"):
        body = message.body
        ts = datetime.fromisoformat(body["ts_capture"]).timestamp()
        is_dark = any(down_s + ON_THE_WAY_S < ts < up_s for down_s, up_s in outages)
        wrong += is_dark and body["verdict"] != "NOT_INSPECTED"
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", action="store_true", help="show the service's log at the end")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    server = Server()
    outages: list[tuple[float, float]] = []
    back_s: list[float | None] = []

    def config(folder: Path, port: int) -> str:
        source = f"{{type: rtsp, url: 'rtsp://127.0.0.1:{server.port}/test'}}"
        trigger = "{type: interval, every_s: 0.2, timeout_s: 1}"
        return head(folder, port) + f"cameras:\n  cam: {{source: {source}, trigger: {trigger}}}\n"

    with rig(config) as (service, ear, _):
        if wait_for(lambda: ear.last("cam/availability") == "online", 60) is None:
            return verdict({"error": "the camera did not come online"}, False)
        for number in range(arguments.times):
            time.sleep(chance.uniform(0.5, 2.0))
            down_s = time.time()
            if number % 2:
                server.process.send_signal(signal.SIGSTOP)  # half-open: nothing comes, nothing is closed
                time.sleep(chance.uniform(0.5, 5.0))
            server.kill()
            time.sleep(chance.uniform(0.0, 3.0))
            wait_for(lambda: ear.last("cam/availability") == "offline", 10)
            outages.append((down_s, time.time()))
            server.start()
            back_s.append(wait_for(lambda: ear.last("cam/availability") == "online", 30))
        time.sleep(1.0)
        starts = service.starts
        wrong = inspected_on(ear, outages)
        verdicts = Counter(message.body["verdict"] for message in ear.all("cam/result"))
    server.kill()
    came = sorted(seconds for seconds in back_s if seconds is not None)
    facts = {
        "times": arguments.times, "never_back": back_s.count(None), "back_s_p50": round(came[len(came) // 2], 2) if came else None,
        "back_s_max": round(came[-1], 2) if came else None, "verdicts": dict(verdicts), "inspected_while_gone": wrong,
        "service_starts": starts,
    }  # fmt: skip
    return verdict(facts, not facts["never_back"] and bool(came) and came[-1] <= LIMIT_S and wrong == 0 and starts == 1)


if __name__ == "__main__":
    sys.exit(main())
