"""How long an alert takes from the end of its inspection to a subscriber.

    python benchmarks/reliability/latency.py [--seconds 60] [--cameras 1] [--every 0.2] [--log]

The whole service, a real Mosquitto, a part every `--every` seconds on each camera, pictures of NG and WARN parts on disk. The end of the
inspection is before the picture is kept and the message written to the outbox: `ts_result` less `timing_ms.picture`; a millisecond of
rounding counts against us. The hour of four cameras is `endurance.py`. One line of JSON; exit 1 when p99 is above 50 ms.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
from rig import head, rig, verdict, wait_for

LIMIT_MS = 50.0


def config(folder: Path, port: int, cameras: int, every_s: float) -> str:
    lines = [head(folder, port), "web: {enabled: false}\ncameras:\n"]
    for number in range(cameras):
        lines.append(
            f"  cam-{number}:\n    source: {{type: synthetic, seed: {number}, defect_rate: 0.5}}\n"
            f"    trigger: {{type: interval, every_s: {every_s}}}\n    pictures: {{limit_mb: 50, min_free_mb: 0}}\n"
        )
    return "".join(lines)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--cameras", type=int, default=1)
    arguments.add_argument("--every", type=float, default=0.2)
    arguments.add_argument("--log", action="store_true", help="print the service's log at the end")
    options = arguments.parse_args()
    with rig(lambda folder, port: config(folder, port, options.cameras, options.every)) as (service, ear, _folder):
        online = [f"cam-{number}/availability" for number in range(options.cameras)]
        if wait_for(lambda: all(ear.last(topic) == "online" for topic in online), 120) is None:
            sys.exit("a camera did not come online")
        time.sleep(min(10.0, options.seconds / 6))
        begin = len(ear.messages)
        time.sleep(options.seconds)
        messages = [message for message in list(ear.messages)[begin:] if message.topic.endswith(("/event", "/result"))]
        starts = service.starts
    bodies = [message.body for message in messages]
    picture_ms = [(body.get("timing_ms") or {}).get("picture", 0.0) for body in bodies]
    told_s = [datetime.fromisoformat(body["ts_result"]).timestamp() for body in bodies]
    heard_ms = [1000 * (message.at_s - at_s) for message, at_s in zip(messages, told_s, strict=True)]
    late_ms = [heard + picture for heard, picture in zip(heard_ms, picture_ms, strict=True)]
    inspect_ms = [body["timing_ms"]["total"] for body in bodies if body["type"] == "result"]
    p50, p99 = np.percentile(late_ms, (50, 99))
    return verdict(
        {
            "messages": len(messages), "cameras": options.cameras, "seconds": options.seconds,
            "alert_ms": {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(max(late_ms), 2)},
            "inspect_ms_p50": round(float(np.median([each for each in inspect_ms if each is not None])), 2),
            "with_picture": sum(body["image"] is not None for body in bodies),
            "picture_ms_p50": round(float(np.median([each for each in picture_ms if each] or [0.0])), 2),
            "starts": starts,
        },
        bool(p99 <= LIMIT_MS and starts == 1),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
