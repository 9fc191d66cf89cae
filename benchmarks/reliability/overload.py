"""More parts than the camera can look at: `python benchmarks/reliability/overload.py [--parts 1000] [--rate 100] [--kill N]`.

Parts are asked for over MQTT faster than they can be inspected. Each must get exactly one verdict: an inspection, or NOT_INSPECTED with the
reason. With `--kill N` the camera's worker is killed with -9 N times meanwhile; a part that the node then did not take (it answers so)
is asked for again, as a line would.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path

from rig import children, command, head, rig, verdict, wait_for


def config(folder: Path, port: int) -> str:
    """A camera that looks at every pixel of a large picture, and lets eight parts wait."""
    return (
        head(folder, port)
        + "cameras:\n  cam:\n    source: {type: synthetic, fps: 30, width: 1920, height: 1088}\n"
        + "    recompute: {policy: {type: all}}\n    trigger: {type: mqtt, max_parts: 8, timeout_s: 2}\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0, help="parts a second")
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="kill the camera's worker so many times")
    parser.add_argument("--log", action="store_true", help="show the service's log at the end")
    arguments = parser.parse_args()
    wanted = [f"part-{number}" for number in range(arguments.parts)]
    asked: Counter[str] = Counter()
    kills = 0
    with rig(config) as (service, ear, _):
        if wait_for(lambda: ear.last("cam/availability") == "online", 60) is None:
            return verdict({"error": "the camera did not come online"}, False)
        since_s = time.monotonic()

        def answers() -> dict[str, dict[str, object]]:
            bodies = (json.loads(message.payload) for message in ear.all("response/inspect_now"))
            return {str(body["transaction"]): body for body in bodies}

        def told() -> Counter[str]:
            return Counter(message.body["part_id"] for message in ear.all("cam/result"))

        due = list(wanted)
        while due:
            for part in due:
                asked[part] += 1
                ear.say("request/inspect_now", camera="cam", part_id=part, transaction=f"{part}/{asked[part]}")
                time.sleep(1 / arguments.rate)
                if kills < arguments.kill and sum(asked.values()) >= len(wanted) * (kills + 1) // (arguments.kill + 1):
                    for pid in children(service.process.pid):
                        if "worker_main" in command(pid):
                            os.kill(pid, signal.SIGKILL)
                            kills += 1
            wait_for(lambda: len(answers()) == sum(asked.values()), 10)
            wait_for(lambda: ear.last("cam/availability") == "online", 60)
            said = answers()
            due = [part for part in wanted if said.get(f"{part}/{asked[part]}", {}).get("status") == "error"]
        wait_for(lambda: len(told()) == len(wanted), 60)
        time.sleep(1.0)
        counts = told()
        verdicts = Counter(message.body["verdict"] for message in ear.all("cam/result"))
        reasons = Counter((message.body["reason"] or "").split(":")[0][:40] for message in ear.all("cam/result") if message.body["reason"])
        seconds = time.monotonic() - since_s
    facts = {
        "parts": len(wanted), "asked": sum(asked.values()), "seconds": round(seconds, 1), "kills": kills, "verdicts": dict(verdicts),
        "reasons": dict(reasons.most_common(6)), "without": sum(counts[part] == 0 for part in wanted),
        "twice": sum(counts[part] > 1 for part in wanted), "unasked": len(set(counts) - set(wanted)),
        "unanswered": sum(asked.values()) - len(answers()),
    }  # fmt: skip
    return verdict(facts, facts["without"] == facts["twice"] == facts["unasked"] == 0)


if __name__ == "__main__":
    sys.exit(main())
