"""Random configurations under load: `python benchmarks/reliability/reload.py [--configs 1000] [--seed 0]`.

Each one, valid or not, is written over the file and SIGHUP is sent, while cameras run and parts are triggered. All that a message repeats
of a configuration follows from its number, so it shows by which one it was made: never may one mix two, and never may one be of a
configuration that was refused. What the node says of itself must be what was to be expected.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from rig import Ear, Service, head, rig, verdict, wait_for

from edgevision.config import load
from edgevision.errors import ConfigError

SETTLE_S = 120.0
LATE_S = 2.0
BROKEN = (
    "cameras: {{}}\n",
    "cameras: {{a: {{sorce: {{type: synthetic}}}}}}\n",
    "cameras:\n\ta: 1\n",
    "{text}  z: {{source: {{type: synthetic}}, judge: {{ng: 1.5}}}}\n",
    "{text}  z: {{source: {{type: synthetic}}, judge: {{ng: 0.1, warn: 0.9}}}}\n",
    "{text}  z: {{source: {{type: nothing}}}}\n",
    "{text}cameras: {{}}\n",
    "{text}  Z!: {{source: {{type: synthetic}}}}\n",
    "\x00\x01\x02",
    "{text}  z: {{source: {{type: synthetic}}, recompute: {{network: broken.onnx}}}}\n",  # found only when a worker loads it
    "{text}  z: {{source: {{type: synthetic}}, recompute: {{network: missing.onnx}}}}\n",
)


def ng_of(number: int) -> float:
    return round(0.5 + number % 400 / 1000, 4)


def camera(name: str, number: int, chance: random.Random) -> str:
    """One camera; what is told in messages follows from the number, what makes the worker's life hard from chance."""
    seed = chance.choice((1, 1, 1, 2))
    size = "width: 320, height: 176"
    compare = chance.choice(("", "", "", ", compare: {min_area: 12}", ", recompute: {keyframe_s: 5}"))
    trigger = ", trigger: {type: interval, every_s: 0.1}" if name != "b" else ""
    return (
        f"  {name}: {{source: {{type: synthetic, fps: 20, defect_rate: 1, seed: {seed}, {size}}}, recipe_id: r{number}, station: s{number},"
        f" judge: {{ng: {ng_of(number)}, warn: 0.4}}{compare}{trigger}}}\n"
    )


def config_text(number: int, prefix: str, chance: random.Random) -> str:
    names = ["a", "b", *(["c"] if chance.random() < 0.3 else [])]
    return prefix + "cameras:\n" + "".join(camera(name, number, chance) for name in names)


def reload(service: Service, path: Path, text: str) -> float | None:
    """Write, SIGHUP, wait for the end of the reload; the seconds it took."""
    path.write_text(text)
    mark = len(service.notices)
    service.process.send_signal(signal.SIGHUP)

    def is_done() -> bool:
        told = [notice for _, notice in service.notices[mark:]]
        begun = next((index for index, notice in enumerate(told) if "RELOADING=1" in notice), None)
        return begun is not None and any("READY=1" in notice for notice in told[begun:])

    return wait_for(is_done, SETTLE_S, 0.005)


def check_messages(ear: Ear, applied: dict[str, int], reigns: list[tuple[float, str]]) -> dict[str, Any]:
    """How many results and events were made by one configuration, and which were not; which by one replaced long before."""
    counts: Counter[str] = Counter(late=0)
    bad = []
    ends = {sha256: end_s for (_, sha256), (end_s, _) in pairwise(reigns)}
    for message in [*ear.all("result"), *ear.all("event")]:
        body = message.body
        number = applied.get(body["config_sha256"])
        counts["late"] += message.at_s > ends.get(body["config_sha256"], float("inf")) + LATE_S
        counts["messages"] += 1
        said = (body["recipe_id"], body["station"])
        is_whole = number is not None and said == (f"r{number}", f"s{number}")
        if body["type"] == "result" and is_whole and number is not None:
            is_whole = body["threshold"] == ng_of(number)
        if not is_whole:
            bad.append([message.topic, body["type"], body["reason"], *said, body["threshold"], number])
    return {**counts, "mixed": len(bad), "examples": bad[:5]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", action="store_true", help="show the service's log at the end")
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    applied: dict[str, int] = {}
    wrong: list[str] = []
    took: list[float] = []
    counts: Counter[str] = Counter()
    prefix = ""

    def first(folder: Path, port: int) -> str:
        nonlocal prefix
        prefix = head(folder, port)
        (folder / "broken.onnx").write_bytes(b"this is no network")
        return config_text(0, prefix, chance)

    with rig(first) as (service, ear, folder):
        applied[load(folder / "line.yaml").sha256] = 0
        in_force = load(folder / "line.yaml").sha256
        reigns = [(time.time(), in_force)]
        since_s = time.monotonic()
        for number in range(1, arguments.configs + 1):
            text = config_text(number, prefix, chance)
            is_meant_well = chance.random() < 0.6
            if not is_meant_well:
                text = chance.choice(BROKEN).format(text=text)
            (folder / "trial.yaml").write_text(text)
            try:
                sha256 = load(folder / "trial.yaml").sha256
                is_valid = is_meant_well
            except ConfigError:
                is_valid = False
            if is_valid:
                applied[sha256] = number
                in_force = sha256
            seconds = reload(service, folder / "line.yaml", text)
            counts["valid" if is_valid else "refused"] += 1
            if seconds is None:
                wrong.append(f"{number}: no end of the reload within {SETTLE_S:g} s")
                break
            took.append(seconds)
            if is_valid:
                reigns.append((time.time(), in_force))
            is_told = lambda ok=is_valid, sha=in_force: state_of(ear) == (ok, sha)  # noqa: E731
            if wait_for(is_told, 5) is None:
                wrong.append(f"{number}: said {state_of(ear)}, not {(is_valid, in_force)}")
        minutes = (time.monotonic() - since_s) / 60
        starts = service.starts
    found = check_messages(ear, applied, reigns)
    took.sort()
    facts = {
        **counts, "minutes": round(minutes, 1), "service_starts": starts, "wrong": wrong[:5], **found,
        "reload_s_p50": round(took[len(took) // 2], 2), "reload_s_max": round(took[-1], 2),
    }  # fmt: skip
    return verdict(facts, not wrong and found["mixed"] == found["late"] == 0 and starts == 1 and found["messages"] > 0)


def state_of(ear: Ear) -> tuple[bool, str] | None:
    states = [message for message in list(ear.messages) if message.topic == "edgevision/test/state"]
    return (states[-1].body["config_ok"], states[-1].body["config_sha256"]) if states else None


if __name__ == "__main__":
    sys.exit(main())
