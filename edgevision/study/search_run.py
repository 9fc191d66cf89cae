"""`edgevision search`, end to end: what measures, what judges, what is written. In: SearchRun. Out: a report, files in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgevision.errors import InputError
from edgevision.networks.turbovit import PATCH_PX
from edgevision.study.gate_curve import check_plot
from edgevision.study.peers.turbovit_latency import engine_ms, openvino_ms
from edgevision.study.search import SearchTask, chosen, search
from edgevision.study.search_report import draw_front, explanation, write_chosen
from edgevision.study.search_space import UNITS
from edgevision.study.waiting import counting_bar


@dataclass(frozen=True, slots=True)
class SearchRun:
    """What is asked for. `limits`: milliseconds, megabytes, millions of parameters; None does not bind."""

    data: Path
    out: Path
    limits: tuple[float | None, float | None, float | None]
    px: int = 224
    threads: int = 1
    engine: str = "ours"
    networks: int = 24
    steps: int = 80
    train_px: int = 64
    seed: int = 0
    ray: str | None = None


def run_search(run: SearchRun, is_quiet: bool = False) -> dict[str, Any]:
    """Search and write `evaluations.jsonl`, `pareto.png`, `explanation.txt` and a YAML of each chosen network. `text` is for people.

    Raises InputError for limits that cannot be kept, a size that is not whole units, or a folder of another search.
    """
    from edgevision.study.train.classify import TeachSettings
    from edgevision.study.train.proxy import short_training
    from edgevision.study.train.surfaces import load_surface

    whole = PATCH_PX * UNITS[0]
    if run.px % whole:
        raise InputError(f"--px is {run.px}; turbovit takes whole units of {whole} px; give {max(whole, round(run.px / whole) * whole)}")
    plot = run.out / "pareto.png"
    check_plot(plot)
    settings = TeachSettings(seed=run.seed, steps=run.steps, px=run.train_px, threads=run.threads)
    judge = short_training(run.data, settings, run.ray)
    latency, memory, size = run.limits
    task = SearchTask(load_surface(run.data).labels, latency, memory, size, run.px, run.seed, run.networks)
    measured = engine_ms if run.engine == "ours" else openvino_ms
    with counting_bar(is_quiet) as bar:
        shown = bar.add_task("searching", total=run.networks)
        found = search(
            task,
            lambda spec: measured(spec, run.px, run.threads),
            judge,
            run.out,
            lambda text, done: bar.update(shown, description=text, completed=done),
        )
    text = explanation(task, found)
    (run.out / "explanation.txt").write_text(text + "\n", encoding="utf-8")
    draw_front(task, found, plot)
    return {
        "text": text,
        "looked_at": len(found) - 1,
        "judged": sum(not one.refused and bool(np.isfinite(one.accuracy)) for one in found),
        "files": write_chosen(found, run.out),
        "plot": str(plot),
        "chosen": {
            name: {key: getattr(one, key) for key in ("accuracy", "latency_ms", "memory_mb", "parameters_m", "gmacs", "utility")}
            for name, one in chosen(found).items()
        },
    }
