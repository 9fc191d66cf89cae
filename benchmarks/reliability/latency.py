"""How long an alert takes from the end of its inspection to a subscriber, and what the service holds on to meanwhile.

    python benchmarks/reliability/latency.py [--seconds 60] [--cameras 1] [--every 0.2] [--json]

The whole service, a real Mosquitto, a part every `--every` seconds on each camera, pictures of NG and WARN parts on disk. The end of the
inspection is `ts_result` of the message, before it is written to the outbox; a millisecond of rounding counts against us. Resident memory
of all processes, their descriptors and threads are looked at every five seconds; the slope is a straight line through the second half.
With `--seconds 3600 --cameras 4` it is the hour of the README's table. Exit 1 when p99 is above 50 ms.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
from rig import Service, children, head, rig, verdict, wait_for

LIMIT_MS = 50.0
LOOK_S = 5.0


def config(folder: Path, port: int, cameras: int, every_s: float) -> str:
    lines = [head(folder, port), "web: {enabled: false}\ncameras:\n"]
    for number in range(cameras):
        lines.append(
            f"  cam-{number}:\n    source: {{type: synthetic, seed: {number}, defect_rate: 0.5}}\n"
            f"    trigger: {{type: interval, every_s: {every_s}}}\n    pictures: {{limit_mb: 50, min_free_mb: 0}}\n"
        )
    return "".join(lines)


def holdings(service: Service) -> tuple[float, int, int]:
    """Resident megabytes, descriptors and threads of the service and all below it."""
    resident = descriptors = threads = 0
    for pid in (service.process.pid, *children(service.process.pid)):
        with suppress(OSError):
            status = Path(f"/proc/{pid}/status").read_text()
            fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
            resident += int(fields["VmRSS"].split()[0])
            threads += int(fields["Threads"])
            descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return resident / 1024, descriptors, threads


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--cameras", type=int, default=1)
    arguments.add_argument("--every", type=float, default=0.2)
    arguments.add_argument("--json", action="store_true", help="kept for likeness: the answer is JSON anyway")
    arguments.add_argument("--log", action="store_true", help="print the service's log at the end")
    options = arguments.parse_args()
    with rig(lambda folder, port: config(folder, port, options.cameras, options.every)) as (service, ear, _folder):
        online = [f"cam-{number}/availability" for number in range(options.cameras)]
        if wait_for(lambda: all(ear.last(topic) == "online" for topic in online), 120) is None:
            sys.exit("a camera did not come online")
        time.sleep(min(10.0, options.seconds / 6))
        begin, ends_s = len(ear.messages), time.monotonic() + options.seconds
        looks = []
        while time.monotonic() < ends_s:
            looks.append((time.monotonic(), *holdings(service)))
            time.sleep(min(LOOK_S, max(0.0, ends_s - time.monotonic())))
        messages = [message for message in list(ear.messages)[begin:] if message.topic.endswith(("/event", "/result"))]
        starts = service.starts
    late_ms = [1000 * (message.at_s - datetime.fromisoformat(message.body["ts_result"]).timestamp()) for message in messages]
    inspect_ms = [body["timing_ms"]["total"] for body in (message.body for message in messages) if body["type"] == "result"]
    held = np.array(looks)[len(looks) // 2 :]
    hours = (held[:, 0] - held[0, 0]) / 3600
    slopes = [float(np.polyfit(hours, held[:, column], 1)[0]) if len(held) > 2 else 0.0 for column in (1, 2, 3)]
    p50, p99 = np.percentile(late_ms, (50, 99))
    return verdict(
        {
            "messages": len(messages), "cameras": options.cameras, "seconds": options.seconds,
            "alert_ms": {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "max": round(max(late_ms), 2)},
            "inspect_ms_p50": round(float(np.median([each for each in inspect_ms if each is not None])), 2),
            "with_picture": sum(message.body["image"] is not None for message in messages),
            "resident_mb": round(float(held[-1, 1]), 1), "resident_mb_per_hour": round(slopes[0], 2),
            "descriptors": int(held[-1, 2]), "descriptors_per_hour": round(slopes[1], 2),
            "threads": int(held[-1, 3]), "threads_per_hour": round(slopes[2], 2), "starts": starts,
        },
        bool(p99 <= LIMIT_MS and starts == 1),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
