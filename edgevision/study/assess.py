"""`edgevision assess`: what an owner asks before adopting this, answered from a recording of his own camera.

In: a recording, perhaps a configuration, a network, prices. Out: a report as plain data, and as one HTML file (`assess_page`). The
recording is looked at twice: all of it through the change map alone (`assess_watch`), and frames spread over it through ours and through
the whole network (`assess_race`). Both stop when their time is up, and the report says what was looked at.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.compare.background import allowed_pixels
from edgevision.compare.golden import Golden
from edgevision.compare.golden import load as load_golden
from edgevision.config import CameraConfig
from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load import DEFAULT, load_for_frames
from edgevision.records import Image
from edgevision.study.against import Teacher
from edgevision.study.assess_cost import Cost, Prices, Scene, best_dense, cost_of, energy_words
from edgevision.study.assess_race import Agreement, Race, Racer, Tally, choose, chosen_frames
from edgevision.study.assess_reach import Locality, locality
from edgevision.study.assess_watch import Beside, Watched, beside, watch
from edgevision.study.replay import pipeline_for
from edgevision.study.report import check_page, write_whole
from edgevision.study.waiting import counting_bar

NETWORKS = (".onnx", ".xml")
LEAST_FRAMES = 60
MOST_FRAMES = 3000
LANES = 7
BUSY = 0.3  # of a whole run, about what one lane costs a frame when time is planned
GOOD_AGREEMENT, FAIR_AGREEMENT = 0.995, 0.97
UNDISTURBED = 0.8  # CPU seconds a second, of one engine that has the PC to itself
EXCUSED = 1.5  # times the network's own restlessness
TELLING, LEAST_TELLING, STEADY_VERDICTS = 4.0, 1e-3, 0.95
GOOD_SAVING, LEAST_SAVING = 2.0, 1.15


UNTELLING = (
    "the whole network's answer hardly moves on this recording, so agreement with it proves little: take one that shows what is to be found"
)


@dataclass(frozen=True, slots=True)
class AssessTask:
    """What is asked for. `network` None: the configuration's. `fps` None: the recording's. `frames` None: what fits into `minutes`."""

    recording: Path
    network: str | None = None
    reference: Path | None = None
    out: Path | None = None
    config: Path | None = None
    camera: str | None = None
    int8: Path | None = None
    fps: float | None = None
    frames: int | None = None
    minutes: float = 4.0
    prices: Prices = field(default_factory=Prices)


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All that a report is made of. `costs` has ours first."""

    task: AssessTask
    settings: CameraConfig
    watched: Watched
    race: Race
    scene: Scene
    costs: tuple[Cost, ...]
    locality: Locality | None
    beside: Beside | None = None

    @property
    def ours(self) -> Cost:
        """What ours costs."""
        return self.costs[0]

    @property
    def rival(self) -> Cost:
        """The cheapest whole run."""
        return best_dense(self.costs[1:])

    @property
    def saving(self) -> float:
        """How many times less CPU time ours takes than the cheapest whole run."""
        return self.rival.cpu_s / self.ours.cpu_s if self.ours.cpu_s > 0 else float("inf")

    @property
    def operating(self) -> Agreement:
        """The settings in force."""
        return next(one for one in self.race.curve if one.is_operating_point)

    def agreement(self, one: Agreement) -> float:
        """Mean share of the answer that is the whole network's: 1 less the rms difference (of how far the output moves) and the flips."""
        return 1.0 - float(np.mean(self.disagreements(one))) if one.errors else float("nan")

    @property
    def is_telling(self) -> bool:
        """Whether the recording moves the whole network's answer enough to tell a right answer from one that never changes."""
        said = self.race.frozen.verdicts
        if said and float(np.mean(said)) < STEADY_VERDICTS:
            return True
        ours, frozen = self.agreement(self.operating), self.agreement(self.race.frozen)
        return 1 - frozen > max(TELLING * (1 - ours), LEAST_TELLING)

    @property
    def is_disturbed(self) -> bool:
        """Whether other programs took so much of the PC that times are longer than they would be."""
        tally = self.race.dense[0]
        return sum(tally.cpu_s) < UNDISTURBED * sum(tally.ms) / 1e3

    def frame_ms(self, tally: Tally) -> NDArray[np.float64]:
        """What each frame took; on a disturbed PC, what it took of one core."""
        return np.array(tally.cpu_s) * 1e3 if self.is_disturbed and self.settings.recompute.threads == 1 else np.array(tally.ms)

    @property
    def is_in_time(self) -> bool:
        """Whether the slowest frame in a hundred is done before the next one comes."""
        return float(np.percentile(self.frame_ms(self.race.ours), 99)) < 1e3 / self.scene.fps

    @property
    def restlessness(self) -> float:
        """By how much the whole network's answer differs between two frames although next to nothing moved; 0 where that is not known."""
        return 1.0 - self.agreement(self.race.restless) if self.race.restless.errors else 0.0

    @property
    def is_right(self) -> bool:
        """Whether the answer is the whole network's, as far as that is sure of its own."""
        return 1.0 - self.agreement(self.operating) <= max(1.0 - GOOD_AGREEMENT, EXCUSED * self.restlessness)

    def disagreements(self, one: Agreement) -> list[float]:
        """Of each check: of the output where it is worst. Differences between probabilities count as they are, others by their span."""
        spans = {name: 1.0 if name in self.race.probable else span.read() for name, span in self.race.spans.items()}
        return [
            max(errors[name] / spans[name] + flips[name] for name in errors) for errors, flips in zip(one.errors, one.flips, strict=True)
        ]


def assess(task: AssessTask, is_quiet: bool = False) -> dict[str, Any]:
    """Measure, and write the report. The result has `text` for a person.

    Raises InputError, ConfigError, UnsupportedNetwork or CameraError, one line each.
    """
    if task.out is not None:
        check_page(task.out)
    for named in (task.network, task.int8):
        if named is not None and named != DEFAULT:
            _check_network(Path(named))
    began = time.perf_counter()
    settings = _settings(task)
    golden = None if task.reference is None else load_golden(task.reference)
    with counting_bar(is_quiet) as bar:
        watching = bar.add_task("looking at every frame", total=None)
        limit_s = task.minutes * 60
        watched = watch(task.recording, settings.compare, 0.4 * limit_s, lambda number: bar.update(watching, completed=number))
        bar.remove_task(watching)
        teacher = None if golden is None else _teacher(golden, settings, watched, task)
        network = load_for_frames(settings.recompute, *watched.picture.shape[:2])
        chosen = choose(watched.frames, task.frames or _affordable(network, watched, 0.6 * limit_s))
        racing = bar.add_task("running the network", total=len(chosen.numbers))
        racer = Racer(settings, network, watched.levels, chosen, task.int8)
        race = racer.run(chosen_frames(task.recording, chosen), lambda done: bar.update(racing, completed=done))
        held = None if teacher is None else beside(chosen_frames(task.recording, race.chosen.only(race.chosen.checked)), teacher)
    findings = replace(_findings(task, settings, watched, race), beside=held)
    report = {**_plain(findings), "seconds": round(time.perf_counter() - began, 1)}
    if task.out is not None:
        from edgevision.study.assess_page import assess_page

        write_whole(task.out, assess_page(findings))
    return {**report, "out": None if task.out is None else str(task.out), "text": text_of(report, task)}


def _settings(task: AssessTask) -> CameraConfig:
    """The camera's, with the network and the reference that were named; nothing runs whole in OpenVINO behind the report's back."""
    settings = pipeline_for(task.recording, task.config, task.camera).settings
    changes: dict[str, Any] = {"foreign": "never"}
    if task.network is not None:
        named = task.network if task.network == DEFAULT else Path(task.network)
        changes |= {"network": named} | ({"gate": 0.0} if named != settings.recompute.network else {})
    return settings.model_copy(update={"recompute": settings.recompute.model_copy(update=changes)})


def _teacher(golden: Golden, settings: CameraConfig, watched: Watched, task: AssessTask) -> Teacher:
    """Raises InputError for a reference of another size than the recording's."""
    if golden.mean.shape != watched.picture.shape:
        sizes = f"{_size(golden.mean)}, the recording's pictures are {_size(watched.picture)}"
        raise InputError(f"{task.reference}: the reference is {sizes}; teach one from this camera with `edgevision reference learn GOOD`")
    return Teacher(golden, settings.compare, allowed_pixels(settings.compare, *golden.mean.shape[:2]))


def _check_network(path: Path) -> None:
    """Raises UnsupportedNetwork, before any frame is looked at, for what is no network file."""
    if path.suffix.lower() not in NETWORKS or not path.is_file():
        what = "no such file" if not path.exists() else "is no network file"
        raise UnsupportedNetwork(f"{path}: {what}; give an .onnx file or the .xml of an OpenVINO IR")


def _size(image: Image) -> str:
    """In words."""
    return f"{image.shape[1]}x{image.shape[0]} {'gray' if image.ndim == 2 else 'colour'}"


def _affordable(network: CameraNetwork, watched: Watched, limit_s: float) -> int:
    """How many frames the network's lanes can be run on in this time."""
    network.first(watched.picture)
    began = time.perf_counter()
    network.first(watched.picture)
    whole_s = time.perf_counter() - began
    network.reset()
    return int(np.clip(limit_s / (LANES * (BUSY * whole_s + 0.004)), LEAST_FRAMES, MOST_FRAMES))


def _findings(task: AssessTask, settings: CameraConfig, watched: Watched, race: Race) -> Findings:
    scene = Scene(task.fps or watched.fps, watched.decode_s / watched.frames, len(os.sched_getaffinity(0)))
    costs = tuple(cost_of(tally, scene, task.prices) for tally in (race.ours, *race.dense))
    network = race.network
    where = locality(network.plan) if isinstance(network, SelectiveNetwork) else None
    return Findings(task, settings, watched, race, scene, costs, where)


def layers_of(findings: Findings) -> list[dict[str, Any]]:
    """The network's steps in order: mean live share, and the share of all multiply-accumulates that lies there."""
    race, network = findings.race, findings.race.network
    if not race.live_steps:
        return []
    means = {name: sum(live.get(name, 0.0) for live in race.live_steps) / len(race.live_steps) for name in race.steps}
    macs: dict[str, int] = {}
    if isinstance(network, SelectiveNetwork):
        macs = {step.name: network.plan.macs(step) for step in network.plan.steps}
    total = max(1, sum(macs.values()))
    return [
        {"name": name, "how": how, "live": round(means[name], 6), "macs_share": round(macs.get(name, 0) / total, 5)}
        for name, how in race.steps.items()
    ]


def curve_of(findings: Findings) -> list[dict[str, Any]]:
    """The thresholds in order: what each would cost and how its answers compare."""
    rows = []
    for one in sorted(findings.race.curve, key=lambda point: point.levels):
        differences = findings.disagreements(one)
        rows.append(
            {
                "levels": round(one.levels, 3),
                "pixel_threshold": one.threshold,
                "is_operating_point": one.is_operating_point,
                "agreement": round(1.0 - float(np.mean(differences)), 6),
                "agreement_worst": round(1.0 - float(np.max(differences)), 6),
                "same_verdict": round(float(np.mean(one.verdicts)), 6) if one.verdicts else None,
                "too_mild": one.too_mild if one.verdicts else None,
                "macs_share": round(float(np.mean(one.macs_share)), 6),
                "ms_mean": round(float(np.mean(one.ms)), 4),
            }
        )
    return rows


def grade(findings: Findings) -> str:
    """The verdict on adopting it here: `yes`, `maybe` or `no`."""
    right = findings.agreement(findings.operating)
    if (right < FAIR_AGREEMENT and not findings.is_right) or findings.saving < LEAST_SAVING:
        return "no"
    is_sure = findings.is_right and findings.is_telling and not findings.operating.too_mild
    return "yes" if is_sure and findings.saving >= GOOD_SAVING else "maybe"


def _plain(findings: Findings) -> dict[str, Any]:
    """What `--json` prints."""
    watched, race, task = findings.watched, findings.race, findings.task
    shares = np.array(watched.shares)
    where = findings.locality
    return {
        "recording": str(task.recording),
        "network": str(getattr(race.network, "plan", "")).split(":")[0] or None,
        "size_px": [watched.picture.shape[1], watched.picture.shape[0]],
        "fps": round(findings.scene.fps, 4),
        "frames_watched": watched.frames,
        "is_cut_short": watched.is_cut_short,
        "frames_not_usable": watched.lost_frames,
        "frames_run": len(race.chosen.numbers),
        "frames_compared": len(findings.operating.errors),
        "light_changes": watched.whole,
        "reference": None if findings.beside is None else _plain_beside(findings.beside),
        "changed_share": {
            **{f"p{q}": round(float(np.percentile(shares, q)), 6) for q in (50, 90, 99)},
            "mean": round(float(shares.mean()), 6),
        },
        "nothing_changed": round(float(np.mean(shares == 0)), 6),
        "threshold_levels": round(watched.levels, 3),
        "noise_levels": round(watched.noise_levels, 4),
        "work_share": round(float(np.mean(race.macs_share)), 6),
        "whole_run_ms": round(float(np.median(race.whole_ms)), 3),
        "agreement": round(findings.agreement(findings.operating), 6),
        "frozen_agreement": round(findings.agreement(race.frozen), 6),
        "restlessness": round(findings.restlessness, 6),
        "verdicts": race.verdicts,
        "is_telling": findings.is_telling,
        "saving": round(findings.saving, 3),
        "grade": grade(findings),
        "energy": energy_words((race.ours, *race.dense), task.prices),
        "decode_cpu_s": round(findings.scene.decode_s * 1e3, 4),
        "engines": [cost.row() for cost in findings.costs],
        "curve": curve_of(findings),
        "layers": layers_of(findings),
        "reach": None if where is None else {"px": list(where.reach_px), "share": round(where.share, 6), "culprit": where.culprit},
        "is_in_time": findings.is_in_time,
        "is_disturbed": findings.is_disturbed,
        "notes": race.notes,
    }


def _plain_beside(held: Beside) -> dict[str, Any]:
    shares = [share for _, share in held.shares] or [0.0]
    return {
        "frames": len(held.shares),
        "misaligned": held.misaligned,
        "differs_mean": round(float(np.mean(shares)), 6),
        "differs_most": round(float(np.max(shares)), 6),
    }


def text_of(report: dict[str, Any], task: AssessTask) -> str:
    """For a person at the terminal."""
    ours, *dense = report["engines"]
    lines = [
        f"{Path(report['recording']).name}: {report['frames_watched']} frames looked at, {report['frames_run']} run through the network",
        f"changed: {report['changed_share']['p50']:.2%} of the picture on a median frame, "
        f"{report['changed_share']['p99']:.2%} on a busy one",
        f"{'engine':<20}{'ms mean':>9}{'p99':>8}{'worst':>8}{'CPU s/1000':>12}{'Wh/1000':>9}{'cameras':>9}",
        *(
            f"{row['name']:<20}{row['ms_mean']:>9.2f}{row['ms_p99']:>8.1f}{row['ms_worst']:>8.1f}{row['cpu_s']:>12.2f}{row['wh']:>9.3f}"
            f"{row['cameras']:>9.1f}"
            for row in (ours, *dense)
        ),
        f"{report['saving']:.1f} times less CPU than the cheapest whole run; agreement {report['agreement']:.3%} on "
        f"{report['frames_compared']} frames (an answer that never changes: {report['frozen_agreement']:.3%})",
        *([] if report["is_telling"] else [UNTELLING]),
        *report["notes"],
    ]
    return "\n".join([*lines, *([f"report: {task.out}"] if task.out is not None else [])])


def default_out(recording: Path, what: str) -> Path:
    """Where a report goes when no file was named."""
    return Path(f"{what}-{recording.resolve().stem or 'recording'}.html")
