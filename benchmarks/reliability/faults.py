"""What becomes of a fault in the engine or the change map: `python benchmarks/reliability/faults.py [--kinds a,b] [--seeds 3]`.

The synthetic line, 640x368 at 30 frames a second (`--parts`: one frame of each part instead, a part a second), through two pipelines: a
sound one, and one into which a fault is put after a while. Told are: how soon an audit fails, when the camera runs dense, what was said
meanwhile that the sound one did not say, and how it comes back once the fault is mended; of bits that turned over in Memory, when all of
both Memories is bit for bit alike again, as nothing is left to be caught then (`gone`). `--healthy N`: N frames without a fault, in which
no audit may fail. `--service KIND`: once through the whole service (worker, broker, page), with the fault put in by a plugin.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from faulty import KINDS
from rig import free_port, head, rig, verdict, wait_for

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.pipeline import Pipeline
from edgevision.records import Frame, Inspection, Scene, Verdict

FPS = 30.0
BEFORE = 200
COOLDOWN_S = 5.0
MENDED_AFTER = 45  # frames that the fault stays once the camera runs dense
LIMIT = 4000
GONE_EVERY = 15
CONFIG = """
cameras:
  cam:
    source: {type: synthetic}
    recompute: {audit_cooldown_s: %g}
    judge: {warn: 0.8, ng: 0.9, min_area_px: 12, k_of_n: [6, 10]}
"""
PLUGIN = """
import sys
sys.path.insert(0, "{here}")
import numpy as np
from pathlib import Path
from faulty import KINDS
from edgevision.pipeline import Pipeline

class Nothing:
    name = "fault"
    def judge(self, regions, frame, change):
        return ()

def register(registry):
    right, state = Pipeline.look, {{"frames": 0, "mend": None}}
    def look(self, frame):
        state["frames"] += 1
        if state["frames"] == 60:
            state["mend"] = KINDS["{kind}"](self, np.random.default_rng(0))
        if state["mend"] is not None and Path("{mended}").exists():
            state["mend"]()
            state["mend"] = None
        return right(self, frame)
    Pipeline.look = look
    registry.register("rule", "fault", Nothing)
"""


def pipeline(cooldown_s: float = COOLDOWN_S) -> Pipeline:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(CONFIG % cooldown_s)
        file.flush()
        return Pipeline.from_config(file.name)


class Stream:
    """The line's frames; with `is_parts` one of each part, a part a second. `part` is the part that stands, None while the belt moves."""

    def __init__(self, seed: int, is_parts: bool) -> None:
        self.line = Line(SyntheticSettings(seed=seed, width=640, height=368, defect_rate=0.5, contrast=(26.0, 40.0)))
        self.is_parts = is_parts

    def __iter__(self) -> Iterator[tuple[Frame, int | None]]:
        for k in range(1_000_000):
            number = sum(self.line.belt.standing(k)) // 2 if self.is_parts else k
            image, truth = self.line.frame(number)
            ts = 1000.0 + (k if self.is_parts else k / FPS)
            yield ev.Frame(image, ts, k, part_id=f"part-{k}" if self.is_parts else None), truth.station


@dataclass
class Story:
    """What became of one fault. Frames count from the fault on, None: never."""

    kind: str
    seed: int
    caught: int | None = None
    by: str = ""
    gone: int | None = None
    dense: int | None = None
    right_ng: int = 0  # frames that the sound pipeline called NG from the fault on: where there are none, nothing could go wrong
    wrong_ok: int = 0  # frames called OK that the sound pipeline called NG, from the fault to the camera's running dense
    wrong_parts: int = 0  # parts of which that is so on every frame that the sound one called NG, six at least where it saw as many
    wrong_dense: int = 0  # the same while it ran dense
    back: int | None = None  # frames from the mending until audits passed again
    not_inspected: int = 0
    parts: dict[int, list[tuple[Verdict, Verdict]]] = field(default_factory=dict)

    def note(self, part: int | None, sound: Inspection, found: Inspection) -> None:
        self.right_ng += sound.verdict is Verdict.NG
        is_wrong = sound.verdict is Verdict.NG and found.verdict is Verdict.OK
        if self.dense is None:
            self.wrong_ok += is_wrong
            if part is not None:
                self.parts.setdefault(part, []).append((sound.verdict, found.verdict))
        elif found.scene is Scene.FALLBACK_DENSE:
            self.wrong_dense += is_wrong
        self.not_inspected += found.verdict is Verdict.NOT_INSPECTED

    def row(self, least: int) -> dict[str, Any]:
        bad = ([mine for sound, mine in seen if sound is Verdict.NG] for seen in self.parts.values())
        self.wrong_parts = sum(len(mine) >= least and set(mine) == {Verdict.OK} for mine in bad)
        names = ("kind", "seed", "caught", "by", "gone", "dense", "right_ng", "wrong_ok", "wrong_parts")
        return {name: getattr(self, name) for name in (*names, "wrong_dense", "not_inspected", "back")}


def story(kind: str, seed: int, is_parts: bool) -> dict[str, Any]:
    """One fault from beginning to end."""
    random = np.random.default_rng(seed)
    told, sound, faulty = Story(kind, seed), pipeline(), pipeline()
    begin = (8 if is_parts else BEFORE) + int(random.integers(0, 8 if is_parts else 60))
    mend, mended = None, None
    for frame, part in Stream(seed, is_parts):
        since = frame.seq - begin
        if since == 0:
            mend = KINDS[kind](faulty, random)
        right, found = sound.inspect(frame), faulty.inspect(frame)
        if since < 0:
            continue
        told.note(part, right, found)
        if told.caught is None and found.audit in ("failed", "fault"):
            told.caught = since
            text = found.notices[0].text if found.notices else found.reason or ""
            told.by = text.split(":")[0]
        if told.dense is None and found.scene is Scene.FALLBACK_DENSE:
            told.dense = since
        is_over = any(notice.is_over for notice in found.notices)
        if mend is not None and mended is None and told.dense is not None and since >= told.dense + (3 if is_parts else MENDED_AFTER):
            mend()
            mended = since
        if told.caught is not None and told.dense is None and is_over and kind.startswith("memory"):  # it was once
            told.back = since - told.caught
            break
        if mended is not None and is_over:
            told.back = since - mended
            break
        if kind.startswith("memory") and told.caught is None and since % GONE_EVERY == 0 and has_same_memory(sound, faulty):
            told.gone = since
            break
        if since > LIMIT // (10 if is_parts else 1):
            break
    return told.row(1 if is_parts else 6)


def has_same_memory(one: Pipeline, other: Pipeline) -> bool:
    """Whether two cameras' Memories are alike, bit for bit."""
    mine, yours = (pipe.network._memory.planes for pipe in (one, other))  # type: ignore[union-attr]
    return all(np.array_equal(mine[name].values.view(np.uint32), yours[name].values.view(np.uint32)) for name in mine)


def healthy(frames: int, seed: int, is_parts: bool = False) -> dict[str, Any]:
    """Frames without a fault: audits made, and failed ones."""
    pipe, made = pipeline(60.0), {"passed": 0, "failed": 0, "fault": 0}
    texts = []
    for frame, _ in Stream(seed, is_parts):
        if frame.seq >= frames:
            break
        found = pipe.inspect(frame)
        if found.audit is not None:
            made[found.audit] += 1
        texts += [notice.text for notice in found.notices]
    return {"frames": frames, "seed": seed, **made, "notices": texts}


def service(kind: str) -> int:
    """Once through the whole service: everything that must tell of it does."""
    port_web = free_port()

    def config(folder: Path, port: int) -> str:
        plugin = folder / "plugins" / "rule_fault"
        plugin.mkdir(parents=True)
        text = PLUGIN.format(here=Path(__file__).parent, kind=kind, mended=folder / "mended")
        (plugin / "plugin.py").write_text(text)
        judge = "judge: {warn: 0.8, ng: 0.9, min_area_px: 12}"
        audits = "recompute: {audit_every: 20, audit_engine_every: 2, audit_cooldown_s: 2}"
        source = "source: {type: synthetic, width: 640, height: 368, defect_rate: 1.0, contrast: [26, 40], fps: 20, stand_s: [1.0, 1.0]}"
        return (
            head(folder, port)
            + f"web: {{port: {port_web}}}\nplugins: {{folders: [{folder / 'plugins'}]}}\n"
            + f"cameras:\n  cam:\n    {source}\n    {audits}\n    {judge}\n    rules: [{{type: fault}}]\n"
        )

    with rig(config) as (_, ear, folder):

        def state() -> dict[str, Any]:
            return json.loads(ear.last("cam/state") or "{}")

        def notices() -> list[dict[str, Any]]:
            return [message.body for message in ear.all("cam/event") if message.body["type"] == "notice"]

        dense_s = wait_for(lambda: state().get("scene") == "fallback_dense", 60)
        wait_for(lambda: len(notices()) >= 2, 10)
        with urllib.request.urlopen(f"http://127.0.0.1:{port_web}/metrics", timeout=10) as answer:
            metrics = answer.read().decode()
        warned = state().get("warnings", [])
        (folder / "mended").touch()
        back_s = wait_for(lambda: state().get("scene") == "normal" and not state().get("warnings"), 60)
        wait_for(lambda: bool(notices()) and notices()[-1]["phase"] == "end", 10)
        log = (folder / "service.log").read_text()
        told = notices()
    facts = {
        "kind": kind, "dense_s": dense_s, "back_s": back_s, "state_warns": bool(warned), "notices": [one["phase"] for one in told],
        "text": told[0]["text"] if told else None, "log_warns": "audit" in log and "WARNING" in log,
        "metric": any(line.startswith("edgevision_audits_total") and "passed" not in line for line in metrics.splitlines()),
        "metric_dense": 'edgevision_full_runs_total{camera="cam",reason="audit"}' in metrics,
    }  # fmt: skip
    holds = dense_s is not None and back_s is not None and bool(warned) and facts["log_warns"] and facts["metric"] and facts["metric_dense"]
    return verdict(facts, holds and told[0]["phase"] == "new" and told[-1]["phase"] == "end")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parts", action="store_true", help="one frame of each part, a part a second")
    parser.add_argument("--healthy", type=int, metavar="N", help="N frames without a fault")
    parser.add_argument("--service", metavar="KIND", help="once through the whole service")
    parser.add_argument("--log", action="store_true", help="show the service's log at the end")
    arguments = parser.parse_args()
    if arguments.service:
        return service(arguments.service)
    if arguments.healthy:
        facts = healthy(arguments.healthy, arguments.seeds, arguments.parts)
        return verdict(facts, facts["failed"] == facts["fault"] == 0)
    rows = []
    for kind in arguments.kinds.split(","):
        for seed in range(arguments.seeds):
            rows.append(story(kind, seed, arguments.parts))
            print(json.dumps(rows[-1]), flush=True)
    idle = sorted({row["kind"] for row in rows} - {row["kind"] for row in rows if row["right_ng"]})  # of which nothing could be lost
    lost = sum(row["wrong_parts"] if arguments.parts else row["wrong_ok"] for row in rows)
    ends = [row["gone"] is not None or (row["caught"] is not None and row["back"] is not None) for row in rows]
    return verdict({"stories": len(rows), "ended": sum(ends), "nothing_to_lose": idle, "wrong_ok": lost}, all(ends) and not idle)


if __name__ == "__main__":
    sys.exit(main())
