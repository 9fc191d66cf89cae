"""`edgevision gates`: a gate for each step of a network, found by measured disagreement per multiply-accumulate saved on a clip.

In: a network, a clip, a limit. Out: a gate file, a report, perhaps a plot. The first half of the frames is searched on (`gate_search`), the
second half, never searched on, says what the gates are worth: should the limit be passed there, the search's own limit is lowered and it
is run again. The disagreement (`disagreement`) is between the gated and the exact network on the same pictures in use (`recording`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.gate_file import GateFile, write_gates
from edgevision.recompute.load import DEFAULT, load_for_frames, threshold_of
from edgevision.recompute.plan import Step
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.disagreement import Disagreement, Scale, Span, disagreement, probable_outputs, scale_of
from edgevision.study.gate_curve import check_plot, draw
from edgevision.study.gate_search import Found, Gates, Point, find_gates, scaled
from edgevision.study.recording import Deltas, Recording, record
from edgevision.study.replay import pipeline_for

LADDER = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)
SCALES = (0.25, 0.5, 2.0, 4.0)
ROUNDS = 3
BACK_OFFS = 3


@dataclass(frozen=True, slots=True)
class GateTask:
    """What is asked for. `network` is a path or `default`; `out` None writes no file; settings are those of the configuration's camera."""

    network: str
    clip: Path
    limit: float = 0.005
    frames: int = 240
    out: Path | None = None
    plot: Path | None = None
    config: Path | None = None
    camera: str | None = None


@dataclass(slots=True)
class Run:
    """One set of gates over the whole clip, frame by frame; the first frame, which runs whole, left out."""

    answers: list[Disagreement] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)

    def row(self, frames: slice) -> dict[str, float]:
        """Means over these frames, and the worst disagreement."""
        answers, ms = np.array(self.answers[frames]), np.array(self.ms[frames])
        total, error, flips, _ = answers.mean(axis=0)
        return {
            "macs_share": float(np.mean(self.shares[frames])),
            "disagreement": float(total),
            "error": float(error),
            "flips": float(flips),
            "disagreement_worst": float(answers[:, 0].max()),
            "ms_mean": float(ms.mean()),
            "ms_p50": float(np.median(ms)),
            "ms_p99": float(np.percentile(ms, 99)),
        }


class Bench:
    """One network and one clip, on which any set of gates is measured."""

    def __init__(self, network: SelectiveNetwork, recording: Recording) -> None:
        self.network, self._recording = network, recording
        self.steps = [step.name for step in network.plan.steps if isinstance(step, Step)]
        self.split = recording.frames // 2
        self.searched, self.held_out = slice(self.split // 3, self.split - 1), slice(self.split - 1, None)
        self._exact = {name: Deltas() for name in network.outputs}
        self._scales: dict[str, Scale] = {}
        self._note_exact()

    def _note_exact(self) -> None:
        """The exact answers, and from them how each output is judged."""
        probable, threshold = probable_outputs(self.network.graph), threshold_of(self.network.metadata) or 0.5
        spans = {name: Span() for name in self._exact}
        self.network.set_gates(0.0)
        for picture, live in self._recording.play():
            outputs = self.network.first(picture) if live is None else self.network.next(picture, live)
            for name, values in outputs.items():
                self._exact[name].add(values)
                spans[name].add(values)
        self._scales = {name: scale_of(values, spans[name].read(), name in probable, threshold) for name, values in outputs.items()}

    def measure(self, gates: Gates) -> Point:
        """On the half that is searched on, less its first third, in which the gates' errors are still growing to what they come to."""
        run = self.run(gates, self.split)
        answers = np.array(run.answers[self.searched])
        return Point(dict(gates), float(answers[:, 0].mean()), float(answers[:, 3].mean()), float(np.mean(run.shares[self.searched])))

    def run(self, gates: Gates, frames: int | None = None) -> Run:
        """Frame by frame over the first `frames`, or all."""
        run, last = Run(), Disagreement(0.0, 0.0, 0.0, 0.0)
        dense = self.network.plan.dense_macs
        self.network.set_gates(gates)
        exact = zip(*(deltas.play() for deltas in self._exact.values()), strict=True)
        for number, ((picture, live), answers) in enumerate(zip(self._recording.play(), exact, strict=True)):
            if number == frames:
                break
            began = time.perf_counter()
            outputs = self.network.first(picture) if live is None else self.network.next(picture, live)
            seconds = time.perf_counter() - began
            costs = self.network.costs
            if costs.mode != "cached" or any(has_changed for _, has_changed in answers):
                truth = {name: values for name, (values, _) in zip(self._exact, answers, strict=True)}
                last = disagreement(outputs, truth, self._scales)
            if number > 0:
                run.answers.append(last)
                run.shares.append(costs.macs / dense)
                run.ms.append(seconds * 1e3)
        return run

    def row(self, gates: Gates) -> dict[str, Any]:
        """The held-out half's figures, the searched half's beside them. Run twice: of each frame the quicker time counts."""
        once, again = self.run(gates), self.run(gates)
        once.ms = [min(pair) for pair in zip(once.ms, again.ms, strict=True)]
        searched = once.row(self.searched)
        return {**once.row(self.held_out), "searched": {key: searched[key] for key in ("macs_share", "disagreement")}}


def find(task: GateTask, is_quiet: bool = False) -> dict[str, Any]:
    """Search, verify, write. The report has `text` for a person; `is_within_limit` says whether the held-out half agrees.

    Raises InputError, ConfigError, UnsupportedNetwork or CameraError, one line each, before the search; the file is written only where
    the held-out half is within the limit.
    """
    _check(task)
    began = time.perf_counter()
    settings = pipeline_for(task.clip, task.config, task.camera).settings
    with _bar(is_quiet) as bar:
        reading = bar.add_task("reading", total=task.frames)
        recording = record(task.clip, task.frames, settings.compare, lambda number: bar.update(reading, completed=number))
        bench = Bench(_network(task, settings.recompute, recording), recording)
        bar.remove_task(reading)
        searching = bar.add_task("searching", total=ROUNDS * (len(bench.steps) + 6) + 7)
        found, row, limits, trials = _search(bench, task.limit, lambda: bar.advance(searching))
        bar.remove_task(searching)
        drawing = bar.add_task("verifying", total=len(LADDER) + len(SCALES) + 1)
        rows = _rows(bench, found, lambda: bar.advance(drawing))
    report = {
        "network": bench.network.plan.path,
        "sha256": bench.network.sha256,
        "clip": task.clip.name,
        "limit": task.limit,
        "frames": recording.frames,
        "frames_searched": bench.split,
        "trials": trials,
        "limits_searched": limits,
        "is_within_limit": row["disagreement"] <= task.limit,
        "gates": dict(found.tuned.gates),
        "tuned": row,
        **rows,
        "seconds": time.perf_counter() - began,
    }
    return _delivered(report, task)


def _search(bench: Bench, limit: float, told: Callable[[], None]) -> tuple[Found, dict[str, Any], list[float], int]:
    """Search, and again with a lower limit while the held-out half passes the one asked for."""
    trials, limits = 0, [limit]

    def measure(gates: Gates) -> Point:
        nonlocal trials
        trials += 1
        told()
        return bench.measure(gates)

    while True:
        found = find_gates(bench.steps, measure, limits[-1], ROUNDS)
        row = bench.row(found.tuned.gates)
        if row["disagreement"] <= limit or len(limits) > BACK_OFFS:
            return found, row, limits, trials
        limits.append(limits[-1] * 0.9 * limit / row["disagreement"])


def _rows(bench: Bench, found: Found, told: Callable[[], None]) -> dict[str, Any]:
    """What stands beside the tuned set: the exact network, uniform gates, the tuned gates scaled."""
    rows: dict[str, Any] = {"uniform": [], "scaled": []}
    for gate in LADDER:
        rows["uniform"].append({"gate": gate, **bench.row(dict.fromkeys(bench.steps, gate))})
        told()
    for scale in SCALES:
        rows["scaled"].append({"scale": scale, **bench.row(scaled(found.tuned.gates, scale))})
        told()
    gate = max(found.uniform.gates.values(), default=0.0)
    rows["uniform_at_limit"] = {"gate": gate, **bench.row(found.uniform.gates)}
    told()
    return rows


def _check(task: GateTask) -> None:
    if not 0 < task.limit < 1:
        raise InputError(f"limit is {task.limit:g}; it must be above 0 and below 1: a disagreement, as a share of how far the output moves")
    for path in (task.out, task.plot):
        if path is not None and (path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK)):
            raise InputError(f"{path}: cannot be written; name a file in a folder that is there and may be written")
    if task.plot is not None:
        check_plot(task.plot)


def _network(task: GateTask, settings: RecomputeSettings, recording: Recording) -> SelectiveNetwork:
    """The network that was named, for frames like these. Raises UnsupportedNetwork when nothing in it could have a gate."""
    named = task.network if task.network == DEFAULT else Path(task.network)
    network = load_for_frames(settings.model_copy(update={"network": named, "gate": 0.0}), *recording.size_px)
    if network.plan.dense_macs == 0:
        raise UnsupportedNetwork(f"{network.plan.path}: no convolution of it runs selectively, so no gate saves work; see its plan")
    return network


def _bar(is_quiet: bool) -> Progress:
    """On a terminal; nothing in a pipe."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f} of {task.total:.0f}"), TimeElapsedColumn()
    return Progress(*columns, console=console, disable=is_quiet or not console.is_terminal, transient=True)


def _delivered(report: dict[str, Any], task: GateTask) -> dict[str, Any]:
    """Writes what was asked for; the report with `out`, `plot` and `text`."""
    if task.out is not None and report["is_within_limit"]:
        measured = {key: report[key] for key in ("clip", "limit", "frames", "tuned", "uniform_at_limit")}
        write_gates(task.out, GateFile(Path(report["network"]).name, report["sha256"], report["gates"], measured))
    if task.plot is not None:
        draw(report, task.plot)
    written = str(task.out) if task.out is not None and report["is_within_limit"] else None
    report = {**report, "out": written, "plot": str(task.plot) if task.plot is not None else None}
    return {**report, "text": text_of(report)}


def text_of(report: Mapping[str, Any]) -> str:
    """The report for a person: a line for each set of gates, then what it means."""
    exact, tuned, uniform = report["uniform"][0], report["tuned"], report["uniform_at_limit"]
    lines = [
        f"{Path(report['network']).name} on {report['clip']}: {report['frames']} frames; figures of the half not searched on",
        f"{'gates':<24}{'MACs':>8}{'disagreement':>14}{'worst':>9}{'flips':>9}{'ms':>8}",
        *(_line(f"{row['gate']:g} for all" if row["gate"] else "exact", row) for row in report["uniform"]),
        _line(f"{uniform['gate']:g} for all, at limit", uniform),
        _line("tuned by step", tuned),
        f"tuned: {tuned['macs_share']:.2%} of the work, exact {exact['macs_share']:.2%}, one gate for all {uniform['macs_share']:.2%}; "
        f"{report['trials']} trials, {report['seconds']:.0f} s",
    ]
    if len(report["limits_searched"]) > 1:
        lines.append(f"searched to {report['limits_searched'][-1]:.4g}, because the half not searched on passed {report['limit']:g} before")
    if not report["is_within_limit"]:
        lines.append(f"the disagreement passes {report['limit']:g} on frames not searched on: nothing was written; give more --frames")
    return "\n".join([*lines, *(f"{what}: {report[what]}" for what in ("out", "plot") if report[what])])


def _line(name: str, row: Mapping[str, float]) -> str:
    return (
        f"{name:<24}{row['macs_share']:>8.2%}{row['disagreement']:>14.5f}{row['disagreement_worst']:>9.4f}"
        f"{row['flips']:>9.5f}{row['ms_mean']:>8.2f}"
    )
