"""Is the outbox's promise kept? 20,000 events through a recording proxy to a real Mosquitto, while everything is killed, again and again.

    python benchmarks/reliability/oracle.py [--events 20000] [--kills 220] [--seed 0] [--keep DIR] [--judge DIR] [--json]

A life of the publishing side (`node.py`) commits some events and is killed with -9: at a chosen place between commit, publish, ack and
delete, or at any time. Meanwhile the proxy (`proxy.py`) cuts, swallows answers and refuses by the dice, and broker and proxy are killed,
frozen with SIGSTOP and started again. The last life is left alone until nothing waits. Then, from the proxy's record:

- every event whose commit had returned was taken by the broker with a success code, and so was every number from 1 to the last one;
- a repeated message has the same event id, number and content, but for `historical`;
- on each camera and lane the numbers rise, and a repetition is only ever of the last one sent;
- a defect's messages come in the order of its life, over both lanes;
- `outbox verify` finds nothing and nothing was dropped or set aside.

Exit 1 when one of these does not hold.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from broker import Broker, free_port
from node import PLACES

from edgevision.publish.ledger import Ledger

HERE = Path(__file__).parent
LAST_LIFE_S = 180.0
LIFE_S = 20.0


class Stage:
    """Broker, proxy and node, each of them in a process of its own."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.seed = folder, seed
        self.dice = random.Random(seed)
        self.broker = Broker(folder)
        self.port = free_port()
        self.record, self.log, self.outbox = folder / "record.jsonl", folder / "committed.log", folder / "outbox.sqlite"
        self.proxy: subprocess.Popen[bytes] | None = None
        self.done: Counter[str] = Counter()

    @property
    def kills(self) -> int:
        """How often the node was killed."""
        return sum(count for name, count in self.done.items() if name.startswith("killed"))

    def start_proxy(self, *calm: str) -> None:
        self.seed += 1
        command = ["--listen", self.port, "--broker", self.broker.port, "--record", self.record, "--seed", self.seed, *calm]
        self.proxy = start("proxy.py", command)

    def kill_proxy(self) -> None:
        if self.proxy is not None:
            self.proxy.kill()
            self.proxy.wait()

    def live(self, events: int, place: str, seed: int) -> None:
        """One life of the node, killed at a place or at any time, with trouble around it."""
        die_at = f"{place}:{self.dice.randint(1, max(2, events // 5))}" if place else ":0"
        node = self.start_node(events, die_at, seed)
        end_s = time.monotonic() + (LIFE_S if place else self.dice.uniform(0.3, 1.5))
        while node.poll() is None and time.monotonic() < end_s:
            if self.dice.random() < 0.08:
                self.trouble()
            time.sleep(0.05)
        if node.poll() is None:
            node.kill()
        self.done[f"killed {place or 'at any time'}" if node.wait() == -signal.SIGKILL else "ended by itself"] += 1

    def start_node(self, events: int, die_at: str, seed: int) -> subprocess.Popen[bytes]:
        words = ["--port", self.port, "--outbox", self.outbox, "--log", self.log]
        return start("node.py", [*words, "--events", events, "--die-at", die_at, "--seed", seed])

    def trouble(self) -> None:
        """One thing goes wrong outside the node."""
        what = self.dice.choice(("broker killed", "broker frozen", "proxy killed", "proxy frozen"))
        self.done[what] += 1
        if what == "broker killed":
            self.broker.kill()
            self.broker.start()
        elif what == "proxy killed":
            self.kill_proxy()
            self.start_proxy()
        else:
            frozen = self.broker.process if what == "broker frozen" else self.proxy
            if frozen is not None:
                frozen.send_signal(signal.SIGSTOP)
                time.sleep(self.dice.uniform(0.05, 1.2))
                frozen.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.kill_proxy()
        self.broker.kill()


def start(script: str, words: Iterable[object]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(HERE / script), *map(str, words)])


def run(stage: Stage, events: int, kills: int) -> None:
    """All the lives, then the last one, which is left alone."""
    stage.broker.start()
    stage.start_proxy()
    each = max(4, events // kills)
    life = 0
    while stage.kills < kills or committed(stage) < events:
        place = (*PLACES, "", "", "")[life % (len(PLACES) + 3)]
        stage.live(each, place, stage.seed * 10_000 + life)
        life += 1
        if sys.stderr.isatty():
            print(f"\r{life} lives, {committed(stage)} events committed ", end="", file=sys.stderr)
    stage.kill_proxy()
    stage.start_proxy("--cut", "0", "--swallow", "0", "--refuse", "0")
    last = stage.start_node(0, ":0", 0)
    last.wait(LAST_LIFE_S)


def committed(stage: Stage) -> int:
    return stage.log.read_bytes().count(b"\n") if stage.log.exists() else 0


def judge(folder: Path) -> dict[str, Any]:
    """What the record says, as numbers and as a list of broken promises."""
    lines = [json.loads(line) for line in (folder / "record.jsonl").read_text().splitlines()]
    sent = [line["payload"] for line in lines if line["what"] == "sent"]
    acked = {line["event_id"] for line in lines if line["what"] == "acked" and line["code"] < 0x80}
    wanted = set((folder / "committed.log").read_text().split())
    by_seq: dict[int, dict[str, Any]] = {}
    broken = [f"committed and never taken by the broker: {event_id}" for event_id in sorted(wanted - acked)]
    for payload in sent:
        plain = {name: value for name, value in payload.items() if name != "historical"}
        if by_seq.setdefault(payload["seq"], plain) != plain:
            broken.append(f"number {payload['seq']} was sent with two contents")
    ids = Counter(payload["event_id"] for payload in by_seq.values())
    broken += [f"event {event_id} has {count} numbers" for event_id, count in ids.items() if count > 1]
    missing = set(range(1, max(by_seq, default=0) + 1)) - {seq for seq, payload in by_seq.items() if payload["event_id"] in acked}
    broken += [f"number {seq} was never taken by the broker" for seq in sorted(missing)]
    broken += out_of_order(sent)
    with Ledger(folder / "outbox.sqlite") as ledger:
        broken += ledger.verify()
        stats = ledger.stats(time.time())
    lost = {name: count for name, count in stats["totals"].items() if count and name.startswith(("dropped", "set_aside"))}
    broken += [f"{name}: {count}" for name, count in lost.items()] + [f"broken file {name}" for name in stats["broken_files"]]
    return {
        "committed": len(wanted),
        "taken_by_the_broker": len(acked),
        "never_taken": len(wanted - acked),
        "sent": len(sent),
        "repeated": len(sent) - len(by_seq),
        "historical": sum(payload["historical"] for payload in sent),
        "refused": sum(line["what"] == "refused" for line in lines),
        "broken_promises": broken,
    }


def out_of_order(sent: list[dict[str, Any]]) -> list[str]:
    """Where numbers do not rise on a camera and lane, or a defect's messages are not in the order of its life."""
    broken = []
    last: dict[tuple[str, bool], int] = {}
    steps: dict[str, int] = {}
    for payload in sent:
        key = (payload["camera"], payload["historical"])
        if payload["seq"] < last.get(key, 0):
            broken.append(f"{key}: number {payload['seq']} after {last[key]}")
        last[key] = payload["seq"]
        track = payload["track_id"]
        if payload["step"] > steps.get(track, -1) + 1:
            broken.append(f"defect {track}: step {payload['step']} after {steps.get(track)}")
        steps[track] = max(steps.get(track, -1), payload["step"])
    return broken


def run_and_judge(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    stage = Stage(folder, options.seed)
    begun_s = time.monotonic()
    try:
        run(stage, options.events, options.kills)
    finally:
        stage.stop()
    seconds = round(time.monotonic() - begun_s, 1)
    return {"seconds": seconds, "kills_of_the_node": stage.kills, "done": dict(sorted(stage.done.items())), **judge(folder)}


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--events", type=int, default=20_000)
    arguments.add_argument("--kills", type=int, default=220)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--keep", type=Path, help="folder in which record, log and outbox stay")
    arguments.add_argument("--judge", type=Path, metavar="DIR", help="only judge what an earlier run kept")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    if options.judge is not None:
        report = judge(options.judge)
    elif options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        report = run_and_judge(options.keep, options)
    else:
        with tempfile.TemporaryDirectory(prefix="edgevision-oracle-") as folder:
            report = run_and_judge(Path(folder), options)
    print(json.dumps(report) if options.json else "\n".join(f"{name}: {value}" for name, value in report.items()))
    return 1 if report["broken_promises"] else 0


if __name__ == "__main__":
    sys.exit(main())
