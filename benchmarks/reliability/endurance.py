"""Four cameras for an hour: `python benchmarks/reliability/endurance.py [--minutes 60] [--fps 10] [--plot FILE.png]`.

Measured every ten seconds over all processes: memory (their own and what they share with each other, which is what could leak; `resident`
counts the libraries too, once a process), file descriptors, threads, processes. Their slopes, from the fourth minute on or from a third of
a shorter run, must be flat; and from the end of an inspection until a subscriber has its event must take at most 50 ms at the 99th
percentile. Which process has more or fewer threads than before is told as it happens. A scene that stays busy once costs its worker two
threads for good, OpenVINO's (`recompute/foreign.py`): so many are allowed for, and told of.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from datetime import datetime
from pathlib import Path

import numpy as np
from rig import Ear, children, command, head, rig, verdict, wait_for

CAMERAS = 4
EVERY_S = 10.0
WARM_S = 240.0
LIMIT_MS = 50.0
LIMIT_MB_PER_HOUR = 20.0  # of all processes together: what is less is not told from noise in an hour
SIZE = "width: 640, height: 368"


def config(folder: Path, port: int, fps: float) -> str:
    source = f"type: synthetic, fps: {fps:g}, defect_rate: 0.5, {SIZE}"
    cameras = "".join(f"  cam{n}: {{source: {{{source}, seed: {n}}}}}\n" for n in range(CAMERAS))
    return head(folder, port) + f"cameras:\n{cameras}"


def threads_of(pid: int) -> dict[int, int]:
    """By process, of this one and all below it."""
    found = {}
    for one in (pid, *children(pid)):
        with contextlib.suppress(OSError):
            found[one] = len(list(Path(f"/proc/{one}/task").iterdir()))
    return found


def changes_between(before: dict[int, int], now: dict[int, int], minute: float) -> list[str]:
    """What a person would want to know of the threads."""
    roles = {pid: next((role for role in ("worker_main", "decoder", "run") if role in command(pid)), "?") for pid in now}
    return [
        f"minute {minute:.1f}: {roles[pid]} {pid}: {before.get(pid, 0)} -> {count} threads"
        for pid, count in now.items()
        if before.get(pid) != count
    ]


def measure(pid: int) -> dict[str, float]:
    """Of this process and all below it, as of now."""
    total = {"memory_mb": 0.0, "resident_mb": 0.0, "fds": 0.0, "threads": 0.0, "processes": 0.0}
    for one in (pid, *children(pid)):
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            kb = {name: int(rollup.split(f"{name}:")[1].split()[0]) for name in ("Rss", "Pss_Anon", "Pss_Shmem")}
            total["memory_mb"] += (kb["Pss_Anon"] + kb["Pss_Shmem"]) / 1024
            total["resident_mb"] += kb["Rss"] / 1024
            total["fds"] += len(list(Path(f"/proc/{one}/fd").iterdir()))
            total["threads"] += len(list(Path(f"/proc/{one}/task").iterdir()))
            total["processes"] += 1
    return total


def latencies_ms(ear: Ear) -> list[float]:
    """From the end of each inspection (`ts_result`, whole milliseconds) until its event was here."""
    events = [message for message in ear.all("event") if not message.is_retained]
    return [(message.at_s - datetime.fromisoformat(message.body["ts_result"]).timestamp()) * 1e3 for message in events]


def draw(path: Path, times: list[float], samples: list[dict[str, float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, rows = pyplot.subplots(3, 1, sharex=True, figsize=(9, 6))
    for axes, name in zip(rows, ("memory_mb", "fds", "threads"), strict=True):
        axes.plot([at / 60 for at in times], [sample[name] for sample in samples])
        axes.set_ylabel(name)
        axes.set_ylim(0, 1.15 * max(sample[name] for sample in samples))
    rows[-1].set_xlabel("minutes")
    figure.suptitle("Four cameras: all processes together")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--fps", type=float, default=10.0, help="frames a second of each camera")
    parser.add_argument("--plot", type=Path, help="draw the curves")
    parser.add_argument("--log", action="store_true", help="show the service's log at the end")
    arguments = parser.parse_args()
    times: list[float] = []
    samples: list[dict[str, float]] = []
    threads: dict[int, int] = {}
    told: list[str] = []
    with rig(lambda folder, port: config(folder, port, arguments.fps)) as (service, ear, _):
        if wait_for(lambda: all(ear.last(f"cam{n}/availability") == "online" for n in range(CAMERAS)), 120) is None:
            return verdict({"error": "the cameras did not come online"}, False)
        since_s = time.monotonic()
        while (at_s := time.monotonic() - since_s) < arguments.minutes * 60:
            times.append(at_s)
            samples.append(measure(service.process.pid))
            now = threads_of(service.process.pid)
            told += (news := changes_between(threads, now, at_s / 60) if threads else [])
            threads = now
            if news:
                print("\n".join(news), file=sys.stderr, flush=True)
            time.sleep(EVERY_S)
        late_ms = np.array(latencies_ms(ear) or [np.nan])
        starts = service.starts
    warm_s = min(WARM_S, arguments.minutes * 20)
    kept = [index for index, at in enumerate(times) if at >= warm_s]
    hours = np.array([times[index] / 3600 for index in kept])
    slopes = {name: float(np.polyfit(hours, [samples[index][name] for index in kept], 1)[0]) for name in samples[0]}
    if arguments.plot is not None:
        draw(arguments.plot, times, samples)
    p50, p99, most = np.percentile(late_ms, (50, 99, 100))
    facts = {
        "minutes": round(times[-1] / 60, 1), "last": {name: round(value, 1) for name, value in samples[-1].items()},
        "first_warm": {name: round(value, 1) for name, value in samples[kept[0]].items()},
        "slope_per_hour": {name: round(value, 2) for name, value in slopes.items()}, "events": len(late_ms),
        "alert_ms_p50": round(float(p50), 1), "alert_ms_p99": round(float(p99), 1), "alert_ms_max": round(float(most), 1),
        "service_starts": starts, "threads_changed": told,
    }  # fmt: skip
    first, last = samples[kept[0]], samples[-1]
    room = {"fds": 0, "threads": 2 * CAMERAS, "processes": 0}
    is_flat = slopes["memory_mb"] <= LIMIT_MB_PER_HOUR and all(last[name] <= first[name] + more for name, more in room.items())
    return verdict(facts, bool(is_flat and p99 <= LIMIT_MS and starts == 1))


if __name__ == "__main__":
    sys.exit(main())
