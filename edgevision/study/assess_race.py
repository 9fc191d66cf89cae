"""What inspecting a recording would cost, and how right it would be: ours against the whole network, on frames spread over the recording.

In: a recording, the frames to look at, a camera's settings. Out: a `Race`. Ours runs on stretches of consecutive frames and is not reset
between them, so that what a change map misses can build up; the frame after a gap is run but not counted. At checkpoints the whole network
runs on the raw frame: in our own kernels, for the answer, and in OpenVINO, for the time. Beside the settings in force, the same frames go
through the change map with other thresholds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare import measure
from edgevision.compare.background import ChangeDetector, allowed_pixels
from edgevision.compare.settings import ChangeSettings
from edgevision.config import CameraConfig
from edgevision.errors import BadFrame, ConfigError, EngineFault, InputError
from edgevision.judge.rules import AreaScoreRule
from edgevision.recompute.audit import Audits, AuditSettings
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load import span_px_of, threshold_of
from edgevision.recompute.plan import Step
from edgevision.recompute.refresh import RollingRefresh
from edgevision.records import ChangeMap, Costs, Frame, Verdict
from edgevision.segment.decoders import decoder_for
from edgevision.stages import facts_of
from edgevision.study.assess_energy import Meter, Spent
from edgevision.study.disagreement import Scale, Span, disagreement, probable_outputs, scale_of
from edgevision.study.peers.openvino_dense import OpenVinoDense
from edgevision.study.recording import read_frames
from edgevision.study.turbovit_export import dense_file

STRETCHES = 12
CHECKS = 60
SCALES = (0.35, 0.5, 0.7, 1.4, 2.0, 3.0)  # of the change threshold in force
LEAST_LEVELS = 2.0
QUIET_SHARE = 0.002
Answers = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which frames are looked at: numbers in order; `counted` those that do not follow a gap, `checked` those where dense runs too."""

    numbers: tuple[int, ...]
    counted: frozenset[int]
    checked: frozenset[int]

    def only(self, numbers: frozenset[int]) -> Chosen:
        """These frames alone."""
        return Chosen(tuple(sorted(numbers)), self.counted & numbers, self.checked & numbers)


def choose(frames: int, wanted: int, checks: int = CHECKS) -> Chosen:
    """All frames where there are no more than `wanted`, else STRETCHES stretches of consecutive ones, spread evenly."""
    if frames <= wanted:
        numbers = list(range(frames))
    else:
        length = max(2, wanted // STRETCHES)
        starts = np.linspace(0, frames - length, STRETCHES).round().astype(int)
        numbers = sorted({int(start) + step for start in starts for step in range(length)})
    counted = [number for place, number in enumerate(numbers) if place and numbers[place - 1] == number - 1]
    every = np.linspace(0, len(counted) - 1, min(checks, len(counted))).round().astype(int)
    return Chosen(tuple(numbers), frozenset(counted), frozenset(counted[place] for place in every))


@dataclass(slots=True)
class Tally:
    """One way of running the network: milliseconds, CPU seconds and joules of each counted frame."""

    name: str
    precision: str
    ms: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    joules: list[float] = field(default_factory=list)

    def add(self, spent: Spent) -> None:
        """Take one run."""
        self.ms.append(spent.seconds * 1e3)
        self.cpu_s.append(spent.cpu_s)
        if spent.joules is not None:
            self.joules.append(spent.joules)


@dataclass(slots=True)
class Agreement:
    """How the answers with one threshold (`levels` as gray levels, `threshold` as it is set) compare with the whole "
    "network's on the raw frames, check by check.

    `errors` and `flips` are by output: rms difference, and the share of decisions that differ. `verdicts`: whether a frame's was the same.
    """

    levels: float
    is_operating_point: bool
    threshold: float | str = ""
    macs_share: list[float] = field(default_factory=list)
    ms: list[float] = field(default_factory=list)
    errors: list[dict[str, float]] = field(default_factory=list)
    flips: list[dict[str, float]] = field(default_factory=list)
    verdicts: list[bool] = field(default_factory=list)
    too_mild: int = 0


@dataclass(slots=True, eq=False)
class Race:
    """Everything measured. `steps` tell by name how each was run first, in order, `live_steps` the live share, frame by frame.

    `frozen` is an answer that never changes, `restless` the whole network's own answer to the frame before, where next to nothing moved:
    both beside the whole network's answer. `spans` tell how far outputs move, `probable` which are probabilities.
    """

    chosen: Chosen
    ours: Tally
    dense: list[Tally]
    curve: list[Agreement]
    frozen: Agreement
    restless: Agreement
    verdicts: dict[str, int] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    macs_share: list[float] = field(default_factory=list)
    live_input: list[float] = field(default_factory=list)
    live_steps: list[dict[str, float]] = field(default_factory=list)
    steps: dict[str, str] = field(default_factory=dict)
    whole_ms: list[float] = field(default_factory=list)
    probable: frozenset[str] = frozenset()
    network: CameraNetwork | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Once each."""
        if text not in self.notes:
            self.notes.append(text)


class SelectiveLane:
    """Change map and network for one camera, as the pipeline has them; with `is_audited` its audits too."""

    def __init__(self, settings: CameraConfig, network: CameraNetwork, is_audited: bool = False) -> None:
        self.network = network
        self._detector = ChangeDetector(settings.compare)
        self._refresh = RollingRefresh(settings.recompute.keyframe_s)
        self._audits = Audits(network, AuditSettings.of(settings.recompute)) if is_audited else None

    def prepare(self, frame: Frame) -> None:
        """Compile what is still to be compiled, so that no frame pays for it. Forgets the scene."""
        self._detector.prepare(frame.image)
        self.network.first(frame.image)
        height, width = frame.image.shape[:2]
        spot = np.zeros((height, width), np.bool_)
        spot[: height // 4, : width // 4] = True
        self.network.next(frame.image, spot)
        self.network.verify((0.0, 0.0, 0.2, 0.2))
        self.network.reset()

    def run(self, frame: Frame) -> tuple[ChangeMap, Answers]:
        """Inspect one frame. Raises BadFrame."""
        change = self._detector.measure(frame.image, frame.ts, self._refresh.rows(frame.ts, frame.image.shape[0]))
        is_full = change.full_reason is not None
        outputs = self.network.first(change.corrected) if is_full else self.network.next(change.corrected, change.live)
        if self._audits is not None:
            self._audits.check(change.corrected, outputs, change.live, frame.ts, frame.image)
        self._detector.commit(change, change.live)
        return change, outputs


class Judge:
    """The verdict on one answer, by the camera's own settings; None where they cannot read the network's outputs."""

    def __init__(self, settings: CameraConfig, network: CameraNetwork, size_px: tuple[int, int]) -> None:
        self._rule = AreaScoreRule(settings.judge)
        self._decoder = decoder_for(settings.segment, size_px, facts_of(network, *size_px))

    def verdict(self, outputs: Answers, frame: Frame, change: ChangeMap) -> Verdict:
        """NG, WARN or OK of this frame alone. Raises InputError where the settings do not fit the outputs."""
        self._decoder.reset()
        regions = self._decoder.decode(outputs, {})
        levels = [defect.level for defect in self._rule.judge(regions, frame, change)]
        return Verdict.NG if Verdict.NG in levels else Verdict.WARN if levels else Verdict.OK


def looked_at(settings: ChangeSettings, network: CameraNetwork, size_px: tuple[int, int]) -> dict[str, NDArray[np.float32]]:
    """By output that is a picture: 1 where compare.roi and compare.ignore let anything be seen, else 0. Empty where they let all be."""
    allowed = allowed_pixels(settings, *size_px)
    if allowed.all():
        return {}
    height, width = span_px_of(network, *size_px)
    seen = np.zeros((height, width), np.uint8)
    seen[: size_px[0], : size_px[1]] = allowed[:height, :width]
    pictures = {name: shape[2:] for name, shape in network.outputs.items() if len(shape) == 4}
    return {
        name: cv2.resize(seen, (columns, rows), interpolation=cv2.INTER_NEAREST).astype(np.float32)
        for name, (rows, columns) in pictures.items()
    }


def chosen_frames(recording: Path, chosen: Chosen) -> Iterator[tuple[int, Frame]]:
    """The chosen frames that can be read, with their numbers."""
    wanted = set(chosen.numbers)
    for number, frame in enumerate(read_frames(recording, chosen.numbers[-1] + 1)):
        if number in wanted:
            yield number, frame


def scaled(threshold: float | str, scale: float, levels: float) -> float | str:
    """A threshold that many times as high, of the same kind: in sigmas of the noise where that is what makes it, else in gray levels."""
    if isinstance(threshold, str) and threshold != "auto":
        return f"{scale * measure.sigmas_of(threshold):.3g} sigma"
    if threshold == "auto" and levels > measure.AUTO_LEAST_LEVELS:
        return f"{scale * measure.AUTO_SIGMAS:.3g} sigma"
    return round(max(LEAST_LEVELS, scale * levels), 2)


class Racer:
    """Runs a race. Throwaway."""

    def __init__(self, settings: CameraConfig, network: CameraNetwork, levels: float, chosen: Chosen, int8: Path | None = None) -> None:
        self._settings, self._network, self._meter = settings, network, Meter()
        self._ours = SelectiveLane(settings, network, is_audited=True)
        self._twin = network.sibling()
        thresholds = [scaled(settings.compare.pixel_threshold, scale, levels) for scale in SCALES]
        self._lanes = [self._lane(threshold) for threshold in thresholds]
        self._dense = self._peers(int8)
        self._scales: dict[str, Scale] = {}
        self._judge: Judge | None = None
        self._first: dict[str, NDArray[np.float32]] = {}
        self._masks: dict[str, NDArray[np.float32]] = {}
        self._before: Frame | None = None
        curve = [Agreement(scale * levels, False, threshold) for scale, threshold in zip(SCALES, thresholds, strict=True)]
        self.race = Race(
            chosen,
            Tally("edgevision", _precision(network)),
            [Tally(name, peer.precision) for name, peer in self._dense],
            [*curve, Agreement(levels, True, settings.compare.pixel_threshold)],
            Agreement(levels, False),
            Agreement(levels, False),
            network=network,
        )

    def _lane(self, threshold: float | str) -> SelectiveLane:
        compare = self._settings.compare.model_copy(update={"pixel_threshold": threshold})
        return SelectiveLane(self._settings.model_copy(update={"compare": compare}), self._network.sibling())

    def _peers(self, int8: Path | None) -> list[tuple[str, OpenVinoDense]]:
        threads, shape = self._settings.recompute.threads, self._network.input_shape
        is_quantised = isinstance(self._network, SelectiveNetwork) and self._network.graph.is_quantised
        with dense_file(self._settings.recompute, shape) as path:
            if is_quantised:
                return [("OpenVINO int8", OpenVinoDense(path, shape, "default", threads))]
            peers = [
                ("OpenVINO f32", OpenVinoDense(path, shape, "f32", threads)),
                ("OpenVINO default", OpenVinoDense(path, shape, "default", threads)),
            ]
        if int8 is not None:
            peers.append(("OpenVINO int8", OpenVinoDense(int8, shape, "default", threads)))
        return peers

    def run(self, frames: Iterator[tuple[int, Frame]], told: Callable[[int], None]) -> Race:
        """All of them, in order."""
        for done, (number, frame) in enumerate(frames, 1):
            if done == 1:
                self._ours.prepare(frame)
                self._start(frame)
            try:
                self._step(number, frame)
            except BadFrame:
                continue
            except EngineFault as error:
                self.race.note(f"frame {number}: {error}")
            told(done)
        if not self.race.ours.ms:
            raise InputError("not one of the frames looked at could be used; give a longer recording")
        return self.race

    def _start(self, frame: Frame) -> None:
        size = frame.image.shape[0], frame.image.shape[1]
        self._masks = looked_at(self._settings.compare, self._network, size)
        try:
            self._judge = Judge(self._settings, self._network, size)
        except (InputError, ConfigError) as error:
            self._no_verdicts(error)

    def _no_verdicts(self, error: Exception) -> None:
        self._judge = None
        self.race.note(f"verdicts are not compared, because the settings do not read this network's answer: {error}")

    def _step(self, number: int, frame: Frame) -> None:
        race, is_counted = self.race, number in self.race.chosen.counted
        (change, outputs), spent = self._meter.measured(lambda: self._ours.run(frame))
        costs = self._network.costs
        if is_counted:
            race.ours.add(spent)
            race.macs_share.append(costs.macs / max(1, costs.dense_macs))
            race.live_input.append(change.fraction)
            self._note_steps(costs)
        truth = self._truth(frame, change) if number in race.chosen.checked else None
        self._note(race.curve[-1], truth, outputs, frame, change)
        if is_counted:
            race.curve[-1].macs_share.append(race.macs_share[-1])
            race.curve[-1].ms.append(race.ours.ms[-1])
        for lane, agreement in zip(self._lanes, race.curve, strict=False):
            self._run_other(lane, agreement, frame, truth, is_counted)
        if truth is not None:
            self._note(race.frozen, truth, self._first, frame, change)
            if self._before is not None and change.fraction < QUIET_SHARE:
                self._note(race.restless, truth, self._twin.first(self._before.image), frame, change)
        self._before = frame

    def _run_other(self, lane: SelectiveLane, agreement: Agreement, frame: Frame, truth: _Truth | None, is_counted: bool) -> None:
        began = time.perf_counter()
        change, outputs = lane.run(frame)
        elapsed_ms = (time.perf_counter() - began) * 1e3
        if is_counted:
            costs = lane.network.costs
            agreement.macs_share.append(costs.macs / max(1, costs.dense_macs))
            agreement.ms.append(elapsed_ms)
        self._note(agreement, truth, outputs, frame, change)

    def _note_steps(self, costs: Costs) -> None:
        """By name; crops of one part of a network count together. A step that was not run is not among them."""
        live: dict[str, float] = {}
        for step in costs.steps:
            name = step.name.partition(f" {step.how} ")[0]
            self.race.steps.setdefault(name, step.how)
            live[name] = min(1.0, live.get(name, 0.0) + step.live_fraction)
        self.race.live_steps.append(live)

    def _truth(self, frame: Frame, change: ChangeMap) -> _Truth:
        """The whole network's answer on the raw frame, and the peers' times on the same input."""
        began = time.perf_counter()
        whole = self._twin.first(frame.image)
        self.race.whole_ms.append((time.perf_counter() - began) * 1e3)
        x = self._twin.used()
        for tally, (_, peer) in zip(self.race.dense, self._dense, strict=True):
            elapsed, spent = self._meter.measured(lambda peer=peer: peer.infer(x)[1])  # type: ignore[misc]
            tally.add(Spent(elapsed / 1e3, spent.cpu_s, spent.joules))
        answers = self._masked(whole)
        if not self._scales:
            self._set_scales(answers)
        self._first = self._first or {name: values.copy() for name, values in answers.items()}
        for name, values in answers.items():
            self.race.spans.setdefault(name, Span()).add(values)
        said = self._verdict(answers, frame, change)
        if said is not None:
            self.race.verdicts[said.value] = self.race.verdicts.get(said.value, 0) + 1
        return _Truth(answers, said)

    def _masked(self, outputs: Answers) -> dict[str, NDArray[np.float32]]:
        """A copy in which nothing is said of places that are not looked at."""
        return {name: values * self._masks[name] if name in self._masks else values.copy() for name, values in outputs.items()}

    def _set_scales(self, answers: Answers) -> None:
        network = self._network
        probable = probable_outputs(network.graph) if isinstance(network, SelectiveNetwork) else frozenset()
        self.race.probable = probable
        threshold = self._settings.segment.threshold or threshold_of(network.metadata) or 0.5
        self._scales = {name: scale_of(values, 1.0, name in probable, threshold) for name, values in answers.items()}

    def _verdict(self, outputs: Answers, frame: Frame, change: ChangeMap) -> Verdict | None:
        if self._judge is None:
            return None
        try:
            return self._judge.verdict(outputs, frame, change)
        except InputError as error:
            self._no_verdicts(error)
            return None

    def _note(self, agreement: Agreement, truth: _Truth | None, outputs: Answers, frame: Frame, change: ChangeMap) -> None:
        if truth is None or not outputs:
            return
        outputs = self._masked(outputs)
        found = {
            name: disagreement({name: outputs[name]}, {name: truth.answers[name]}, {name: scale}) for name, scale in self._scales.items()
        }
        agreement.errors.append({name: one.error for name, one in found.items()})
        agreement.flips.append({name: one.flips for name, one in found.items()})
        said = self._verdict(outputs, frame, change)
        if said is not None and truth.verdict is not None:
            agreement.verdicts.append(said is truth.verdict)
            agreement.too_mild += _SEVERITY.index(said) < _SEVERITY.index(truth.verdict)


_SEVERITY: Sequence[Verdict] = (Verdict.OK, Verdict.WARN, Verdict.NG)


@dataclass(frozen=True, slots=True, eq=False)
class _Truth:
    answers: Answers
    verdict: Verdict | None


def _precision(network: Any) -> str:
    """Of our arithmetic, in a word."""
    if not isinstance(network, SelectiveNetwork):
        return "f32"
    kinds = [network.plan.precision(step) for step in network.plan.steps if isinstance(step, Step)]
    return "int8" if "int8" in kinds else "bf16" if "bf16" in kinds else "f32"
