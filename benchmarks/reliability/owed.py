"""Parts that were accepted when the supervisor is killed: `python benchmarks/reliability/owed.py [--parts 50] [--kills 3]`.

Each round asks for parts over MQTT that will be in view only later, kills the whole service with -9 and lets it start again. Each part that
the node said it took must have exactly one verdict in the end, over all kills; `seq` must never come twice.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from rig import head, rig, verdict, wait_for


def config(folder: Path, port: int) -> str:
    source = "{type: synthetic, fps: 5, width: 640, height: 368}"
    trigger = "{type: mqtt, max_parts: 1000, timeout_s: 60, delay_s: 3}"
    return head(folder, port) + f"web: {{enabled: false}}\ncameras:\n  cam:\n    source: {source}\n    trigger: {trigger}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=50, help="in each round")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--log", action="store_true", help="show the service's log at the end")
    arguments = parser.parse_args()
    asked = 0
    with rig(config) as (service, ear, _):
        for number in range(arguments.kills + 1):
            if wait_for(lambda: ear.last("cam/availability") == "online", 120) is None:
                return verdict({"error": "the camera did not come online"}, False)
            for _ in range(arguments.parts):
                ear.say("request/inspect_now", camera="cam", part_id=f"part-{asked}", transaction=f"part-{asked}")
                asked += 1
                time.sleep(0.02)
            wait_for(lambda due=asked: len(ear.all("response/inspect_now")) >= due, 10)
            if number < arguments.kills:
                os.kill(service.process.pid, signal.SIGKILL)
                wait_for(lambda starts=number + 2: service.starts == starts, 30)
                service.wait_ready()
                time.sleep(1.0)
        accepted = {m.body["transaction"] for m in ear.all("response/inspect_now") if m.body["status"] == "ok"}
        wait_for(lambda: accepted <= {m.body["part_id"] for m in ear.all("cam/result")}, 120)
        time.sleep(2.0)
        results = {message.body["event_id"]: message.body for message in ear.all("cam/result")}
    counts = Counter(body["part_id"] for body in results.values())
    numbers = Counter(body["seq"] for body in results.values())
    facts = {
        "asked": asked, "accepted": len(accepted), "kills": arguments.kills,
        "verdicts": dict(Counter(body["verdict"] for body in results.values())),
        "without": sum(counts[part] == 0 for part in accepted), "twice": sum(count > 1 for count in counts.values()),
        "numbers_twice": sum(count > 1 for count in numbers.values()),
    }  # fmt: skip
    return verdict(facts, facts["without"] == facts["twice"] == facts["numbers_twice"] == 0 and len(accepted) > 0)


if __name__ == "__main__":
    sys.exit(main())
