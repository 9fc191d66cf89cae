"""`edgevision gates`: a gate for each step of a network, found by measured disagreement per multiply-accumulate saved on a clip.

In: a network, a clip, a limit. Out: a gate file, a report, perhaps a plot. Every second block of frames is searched on (`gate_search`), the
others, held out, say what the gates are worth: should the limit be passed there, the search's own limit is lowered and it is run again.
The disagreement is between the gated and the exact network on the same pictures in use (`recording`, `rehearsal`, `disagreement`). Where
the truth of the frames is given, too, each set of gates also has an accuracy (`frame_truth`), and the report names the largest of the one
gates for all that loses at most `points` on the frames searched on, with what it loses on the others.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.gate_file import GateFile, write_gates
from edgevision.recompute.graph import read_metadata
from edgevision.recompute.load import DEFAULT, TURBOVIT, load_for_frames, network_path
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.frame_truth import read_truth
from edgevision.study.gate_curve import check_plot, draw
from edgevision.study.gate_search import Found, Gates, Point, find_gates, scaled
from edgevision.study.recording import Recording, record
from edgevision.study.rehearsal import LEAST_FRAMES, Rehearsal
from edgevision.study.rehearsal import ROUNDS as TIMING_ROUNDS
from edgevision.study.replay import pipeline_for
from edgevision.study.waiting import counting_bar

LADDER = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.08)
SCALES = (0.25, 0.5, 2.0, 4.0)
ROUNDS = 3
BACK_OFFS = 3
FAR_BELOW = 4


@dataclass(frozen=True, slots=True)
class GateTask:
    """What is asked for. `network` is a path, `default`, or `turbovit`, the configuration's own; `out` None writes no file; settings are
    those of the configuration's camera. `points`: what may be lost of the accuracy, as a share."""

    network: str
    clip: Path
    limit: float = 0.005
    frames: int = 240
    out: Path | None = None
    plot: Path | None = None
    config: Path | None = None
    camera: str | None = None
    truth: Path | None = None
    points: float = 0.01


def find(task: GateTask, is_quiet: bool = False) -> dict[str, Any]:
    """Search, verify, write. The report has `text` for a person; `is_within_limit` says whether the frames held out agree.

    Raises InputError, ConfigError, UnsupportedNetwork or CameraError, one line each, before the search; the file is written only where
    the frames held out are within the limit.
    """
    _check(task)
    began = time.perf_counter()
    settings = pipeline_for(task.clip, task.config, task.camera).settings
    with counting_bar(is_quiet) as bar:
        reading = bar.add_task("reading", total=task.frames)
        recording = record(
            task.clip,
            (LEAST_FRAMES, task.frames),
            settings.compare,
            settings.recompute.keyframe_s,
            lambda number: bar.update(reading, completed=number),
        )
        network = _network(task, settings.recompute, recording)
        truth = None if task.truth is None else read_truth(task.truth, network, recording.frames, recording.size_px)
        rehearsal = Rehearsal(network, recording, truth)
        bar.remove_task(reading)
        searching = bar.add_task("searching", total=ROUNDS * (len(rehearsal.steps) + 6) + 7)
        found, limits, trials = _search(rehearsal, task.limit, lambda: bar.advance(searching))
        bar.remove_task(searching)
        timing = bar.add_task("timing", total=(len(LADDER) + len(SCALES) + 2) * TIMING_ROUNDS)
        rows = _rows(rehearsal, found, lambda: bar.advance(timing))
    report = {
        "network": rehearsal.network.plan.path,
        "sha256": rehearsal.network.sha256,
        "clip": task.clip.name,
        "limit": task.limit,
        "frames": recording.frames,
        "frames_searched": int(rehearsal.searched.sum()),
        "frames_held_out": int(rehearsal.held_out.sum()),
        "trials": trials,
        "limits_searched": limits,
        "is_within_limit": rows["tuned"]["disagreement"] <= task.limit,
        "frozen": rehearsal.frozen(),
        "uniform_equal_macs_share": equal_share(rows["uniform"], rows["tuned"]["disagreement"]),
        "gates": dict(found.tuned.gates),
        "within_points": within_points(rows["uniform"], task.points) if truth is not None else None,
        **rows,
        "seconds": time.perf_counter() - began,
    }
    return _delivered(report, task)


def _search(rehearsal: Rehearsal, limit: float, told: Callable[[], None]) -> tuple[Found, list[float], int]:
    """Search, and again with a lower limit while the frames held out pass the one asked for: what was found, the limits, the trials."""
    trials, limits = 0, [limit]

    def measure(gates: Gates) -> Point:
        nonlocal trials
        trials += 1
        told()
        return rehearsal.measure(gates)

    while True:
        found = find_gates(rehearsal.steps, measure, limits[-1], ROUNDS)
        held_out = rehearsal.row(found.tuned.gates)["disagreement"]
        if held_out <= limit or len(limits) > BACK_OFFS:
            return found, limits, trials
        limits.append(limits[-1] * 0.9 * limit / held_out)


def _rows(rehearsal: Rehearsal, found: Found, told: Callable[[], None]) -> dict[str, Any]:
    """The tuned set and what stands beside it: the exact network and uniform gates, the one at the limit, the tuned gates scaled."""
    one = max(found.uniform.gates.values(), default=0.0)
    uniform = [dict.fromkeys(rehearsal.steps, gate) for gate in (*LADDER, one)]
    tuned = [found.tuned.gates, *(scaled(found.tuned.gates, scale) for scale in SCALES)]
    rows = rehearsal.rows([*uniform, *tuned], told)
    of_ladder, at_limit, of_tuned, of_scaled = rows[: len(LADDER)], rows[len(LADDER)], rows[len(LADDER) + 1], rows[len(LADDER) + 2 :]
    return {
        "tuned": of_tuned,
        "uniform_at_limit": {"gate": one, **at_limit},
        "uniform": [{"gate": gate, **row} for gate, row in zip(LADDER, of_ladder, strict=True)],
        "scaled": [{"scale": scale, **row} for scale, row in zip(SCALES, of_scaled, strict=True)],
    }


def within_points(uniform: Sequence[Mapping[str, Any]], points: float) -> dict[str, float]:
    """The largest gate of the ladder up to which none loses more than `points` on the frames searched on, and what it loses on the others.

    `uniform`: rows by gate, ascending, the exact one first, all with an accuracy.
    """
    exact, best = uniform[0], uniform[0]
    for row in uniform:
        if exact["searched"]["accuracy"] - row["searched"]["accuracy"] > points:
            break
        best = row
    return {"points": points, "gate": best["gate"], "lost": exact["accuracy"] - best["accuracy"], "macs_share": best["macs_share"]}


def equal_share(uniform: Sequence[Mapping[str, float]], disagreement: float) -> float:
    """The work that one gate for all would need for this disagreement: between two of the ladder's, along its logarithm."""
    known = [row for row in uniform if row["disagreement"] > 0]
    if not known or disagreement <= 0:
        return float(uniform[0]["macs_share"])
    ladder = np.maximum.accumulate(np.log([row["disagreement"] for row in known]))
    return float(np.interp(np.log(disagreement), ladder, [row["macs_share"] for row in known]))


def _check(task: GateTask) -> None:
    if not 0 < task.limit < 1:
        raise InputError(f"limit is {task.limit:g}; it must be above 0 and below 1: a disagreement, as a share of how far the output moves")
    if task.frames < LEAST_FRAMES:
        raise InputError(f"frames is {task.frames}; it must be {LEAST_FRAMES} or more, as half of them are held out")
    if not 0 <= task.points < 1:
        raise InputError(f"points is {task.points:g}; it must be at least 0 and below 1: what may be lost of the accuracy, as a share")
    if task.network != TURBOVIT:  # a file that cannot be read is told before the clip is
        path = network_path(chosen(RecomputeSettings(), task.network))
        read_turbovit(path) if path.suffix == ".npz" else read_metadata(path)
    out = task.out
    if out is not None and (out.is_dir() or not os.access(out if out.exists() else out.parent, os.W_OK)):
        raise InputError(f"{out}: cannot be written; name a file in a folder that is there and may be written")
    if task.plot is not None:
        check_plot(task.plot)


def chosen(settings: RecomputeSettings, network: str) -> RecomputeSettings:
    """The settings with the network that a path names; `.npz` is a network of tokens."""
    if network in (DEFAULT, TURBOVIT):
        return settings.model_copy(update={"network": network})
    if Path(network).suffix == ".npz":
        tokens = settings.turbovit.model_copy(update={"weights": Path(network)})
        return settings.model_copy(update={"network": TURBOVIT, "turbovit": tokens})
    return settings.model_copy(update={"network": Path(network)})


def _network(task: GateTask, settings: RecomputeSettings, recording: Recording) -> SelectiveNetwork:
    """The network that was named, for frames like these. Raises UnsupportedNetwork when nothing in it could have a gate."""
    changes = {"gate": 0.0, "engine": "selective", "foreign": "never"}
    network = load_for_frames(chosen(settings, task.network).model_copy(update=changes), *recording.size_px)
    if not isinstance(network, SelectiveNetwork) or network.plan.dense_macs == 0:
        raise UnsupportedNetwork(
            f"{task.network}: no convolution of it runs selectively, so no gate saves work; `edgevision plan` says why"
        )
    return network


def _delivered(report: dict[str, Any], task: GateTask) -> dict[str, Any]:
    """Writes what was asked for; the report with `out`, `plot` and `text`."""
    if task.out is not None and report["is_within_limit"]:
        measured = {key: report[key] for key in ("clip", "limit", "frames", "frozen", "tuned", "uniform_at_limit")}
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
        f"{Path(report['network']).name} on {report['clip']}: {report['frames']} frames; figures of those held out",
        f"{'gates':<24}{'MACs':>8}{'disagreement':>14}{'worst':>9}{'flips':>9}{'ms':>8}" + ("  accuracy" if "accuracy" in tuned else ""),
        *(_line(f"{row['gate']:g} for all" if row["gate"] else "exact", row) for row in report["uniform"]),
        _line(f"{uniform['gate']:g} for all, at limit", uniform),
        _line("tuned by step", tuned),
        f"an answer that stayed as it was on the first frame would disagree by {report['frozen']:.5f}",
        f"tuned: {tuned['macs_share']:.2%} of the work, exact {exact['macs_share']:.2%}, one gate for all at equal disagreement "
        f"{report['uniform_equal_macs_share']:.2%}; "
        f"{report['trials']} trials, {report['seconds']:.0f} s",
    ]
    if report["within_points"]:
        within = report["within_points"]
        lines.append(
            f"accuracy: {within['gate']:g} for all is the largest that loses at most {100 * within['points']:g} points on the frames "
            f"searched on; on the others it loses {100 * within['lost']:.2f} and needs {within['macs_share']:.2%} of the work"
        )
    if report["limit"] > report["frozen"] / FAR_BELOW:
        lines.append(f"limit {report['limit']:g} is not far below that: give a lower one, or a clip in which more happens")
    if len(report["limits_searched"]) > 1:
        lines.append(f"searched to {report['limits_searched'][-1]:.4g}, because the frames held out passed {report['limit']:g} before")
    if not report["is_within_limit"]:
        lines.append(f"the disagreement passes {report['limit']:g} on the frames held out: nothing was written; give more --frames")
    return "\n".join([*lines, *(f"{what}: {report[what]}" for what in ("out", "plot") if report[what])])


def _line(name: str, row: Mapping[str, float]) -> str:
    return (
        f"{name:<24}{row['macs_share']:>8.2%}{row['disagreement']:>14.5f}{row['disagreement_worst']:>9.4f}"
        f"{row['flips']:>9.5f}{row['ms_mean']:>8.2f}" + (f"{row['accuracy']:>10.2%}" if "accuracy" in row else "")
    )
