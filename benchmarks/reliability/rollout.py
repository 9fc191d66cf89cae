"""A candidate's way in and back through the whole service: `python benchmarks/reliability/rollout.py [--parts 30]`.

Two cameras whose parts are asked for over MQTT. The candidate of `even` has nearly the active thresholds, that of `odd` calls everything
OK. Both look on, then are given a share of the parts with `edgevision rollout`: `even`'s a tenth, half, all; `odd`'s is refused, and, given
half all the same, must be sent back by itself. `even`'s share must outlive a kill -9 of the service, go back by one command, be sent back
when the worker dies at work, and be written into the file.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rig import Ear, children, command, head, rig, verdict, wait_for

from edgevision.daemon.rollout import is_chosen
from edgevision.records import Frame

CAMERA = """
  {name}:
    source: {{type: synthetic, seed: {seed}, width: 480, height: 272, fps: 10, defect_rate: 1.0, contrast: [30, 40], gap_rate: 0}}
    capture: {{deadline_s: 15}}
    trigger: {{type: mqtt, timeout_s: 4, max_parts: 64}}
    judge: {{warn: 0.8, ng: 0.9, min_area_px: 12}}   # the active one's
    candidate:
      enabled: true
      every: 1
      window: 20
      limit: {limit}
      patience_ms: 2000
      judge: {judge}
"""


def config(folder: Path, port: int) -> str:
    even, odd = "{ng: 0.89}", "{warn: 1.0, ng: 1.0}"
    cameras = CAMERA.format(name="even", seed=1, judge=even, limit=0.2) + CAMERA.format(name="odd", seed=2, judge=odd, limit=0.05)
    return f"{head(folder, port)}web: {{enabled: false}}\ncameras:{cameras}"


def rollout(path: Path, *words: str) -> dict[str, Any]:
    """The verb as a user calls it."""
    done = subprocess.run(
        [sys.executable, "-m", "edgevision", "rollout", str(path), *words, "--json"], capture_output=True, text=True, check=False
    )
    answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {"error": done.stderr.strip()}
    return answer


class Line:
    """Asks for parts and hears of them."""

    def __init__(self, ear: Ear) -> None:
        self.ear, self.asked = ear, 0

    def parts(self, camera: str, count: int) -> list[dict[str, Any]]:
        """The results of so many new parts that were inspected; what got no frame is asked for under another name."""
        results: list[dict[str, Any]] = []
        until_s = time.monotonic() + 120
        while len(results) < count and time.monotonic() < until_s:
            wait_for(lambda: self.ear.last(f"{camera}/availability") == "online", 60)
            names = {f"{camera}-{self.asked + k}" for k in range(count - len(results))}
            self.asked += len(names)
            for name in sorted(names):
                self.ear.say("request/inspect_now", camera=camera, part_id=name)
                time.sleep(0.2)

            def found(names: set[str] = names) -> list[dict[str, Any]]:
                bodies = [message.body for message in self.ear.all(f"{camera}/result")]
                return [body for body in bodies if body["part_id"] in names]

            wait_for(lambda: len(found()) == len(names), 15)  # noqa: B023
            results += [body for body in found() if body["verdict"] != "NOT_INSPECTED"]
        return results

    def until_candidate(self, camera: str) -> None:
        """Parts until one is judged by the candidate, which has to be loaded first."""
        until_s = time.monotonic() + 90
        while time.monotonic() < until_s and "candidate" not in by_judge(self.parts(camera, 4)):
            pass


def by_judge(results: list[dict[str, Any]]) -> dict[str, int]:
    return dict(Counter(body["judged_by"] for body in results))


def is_right(results: list[dict[str, Any]], share: float) -> bool:
    """Was each part judged by whom its id says, at that one's threshold. One that its judge was late for is the active one's."""
    thresholds = {"active": 0.9, "candidate": 0.89}
    its = [body for body in results if body["judged_by"] == "candidate"]
    chosen = {body["part_id"]: is_chosen(Frame(None, 0.0, 0, part_id=body["part_id"]), share) for body in results}  # type: ignore[arg-type]
    return (
        all(chosen[body["part_id"]] for body in its)
        and 2 * len(its) >= sum(chosen.values())
        and all(body["threshold"] == thresholds[body["judged_by"]] for body in results)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", type=int, default=30)
    parser.add_argument("--log", action="store_true", help="show the service's log at the end")
    count = parser.parse_args().parts
    facts: dict[str, Any] = {}
    with rig(config) as (service, ear, folder):
        path, line = folder / "line.yaml", Line(ear)
        for camera in ("even", "odd"):
            topic = f"{camera}/availability"
            wait_for(lambda topic=topic: ear.last(topic) == "online", 90)  # type: ignore[misc]
            until_s = time.monotonic() + 90
            while time.monotonic() < until_s and not rollout(path, "status", "--camera", camera)["compared"]:
                line.parts(camera, 3)
        facts["looking_on"] = {camera: by_judge(line.parts(camera, more * count)) for camera, more in (("even", 1), ("odd", 3))}
        facts["status"] = {camera: rollout(path, "status", "--camera", camera) for camera in ("even", "odd")}
        facts["status"] = {name: {key: one[key] for key in ("compared", "agree", "results")} for name, one in facts["status"].items()}
        facts["refused"] = rollout(path, "share", "0.1", "--camera", "odd").get("error")
        facts["share_odd"] = rollout(path, "share", "0.5", "--anyway", "--camera", "odd").get("status")
        facts["share_tenth"] = rollout(path, "share", "0.1", "--camera", "even").get("status")
        results = line.parts("even", count)
        facts["tenth"] = {"by": by_judge(results), "right": is_right(results, 0.1)}
        facts["share_half"] = rollout(path, "share", "0.5", "--camera", "even").get("status")
        line.until_candidate("even")
        results = line.parts("even", count)
        facts["half"] = {"by": by_judge(results), "right": is_right(results, 0.5)}
        odd = by_judge(line.parts("odd", 2 * count))
        back = wait_for(lambda: ear.last("odd/candidate_share/state") == "0" or not line.parts("odd", 5), 60)
        facts["sent_back"] = {"by": odd, "within_s": back, "after": by_judge(line.parts("odd", 5))}
        facts["why"] = rollout(path, "status", "--camera", "odd")["sent_back"]
        service.process.kill()
        wait_for(lambda: service.starts == 2, 30)
        service.wait_ready()
        wait_for(lambda: ear.last("even/availability") == "online", 60)
        line.until_candidate("even")
        results = line.parts("even", count)
        facts["after_kill_9"] = {"share": ear.last("even/candidate_share/state"), "by": by_judge(results), "right": is_right(results, 0.5)}
        since_s = time.monotonic()
        facts["back"] = rollout(path, "back", "--camera", "even").get("status")
        facts["back_s"] = round(time.monotonic() - since_s, 1)
        facts["after_back"] = by_judge(line.parts("even", 8))
        rollout(path, "share", "1", "--camera", "even")
        line.until_candidate("even")
        facts["all"] = by_judge(line.parts("even", 8))
        for pid in children(service.process.pid):
            if "worker_main" in command(pid):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: ear.last("even/availability") == "offline", 10)
        wait_for(lambda: ear.last("even/candidate_share/state") == "0" or not line.parts("even", 1), 60)
        facts["after_crash"] = {"by": by_judge(line.parts("even", 5)), "why": rollout(path, "status", "--camera", "even")["sent_back"]}
        facts["commit"] = rollout(path, "commit", "--camera", "even").get("written")
        wait_for(lambda: ear.last("even/candidate/state") == "OFF", 30)
        results = line.parts("even", 5)
        facts["committed"] = {"by": by_judge(results), "threshold": sorted({body["threshold"] for body in results})}
        facts["comment_stays"] = path.read_text().count("# the active one's") == 2
        audit = (folder / "state" / "audit.jsonl").read_text()
        facts["audited"] = audit.count("candidate_share/set")
    holds = (
        facts["tenth"]["right"] and "otherwise" in str(facts["refused"])
        and facts["half"]["right"] and "candidate" in facts["half"]["by"]
        and facts["after_kill_9"]["right"] and facts["after_kill_9"]["share"] == "0.5" and back is not None
        and set(facts["sent_back"]["after"]) == set(facts["after_back"]) == set(facts["after_crash"]["by"]) == {"active"}
        and facts["committed"]["threshold"] == [0.89] and facts["comment_stays"]
    )  # fmt: skip
    return verdict(facts, bool(holds))


if __name__ == "__main__":
    sys.exit(main())
