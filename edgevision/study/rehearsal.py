"""A network rehearses a recording with other and other gates. In: a network, a recording. Out: `Run`s. Keeps the exact answers.

The recording is dealt out in blocks of frames: every second block is searched on, the others are held out; the first two only let the
gates' errors grow to what they come to. A run of the searched blocks alone takes what was live in between as one frame, not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load import threshold_of
from edgevision.recompute.plan import AttentionStep, Step
from edgevision.records import Image, Mask
from edgevision.study.disagreement import Disagreement, Scale, Span, disagreement, probable_outputs, scale_of
from edgevision.study.frame_truth import FrameTruth
from edgevision.study.gate_search import Gates, Point
from edgevision.study.recording import Deltas, Recording

BLOCKS = 12
LEAST_FRAMES = 2 * BLOCKS
ROUNDS = 3

Frames = NDArray[np.bool_]
Answers = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """What a network is given at one frame: the picture in use, live pixels (None: run whole), the exact answers, whether they differ."""

    number: int
    picture: Image
    live: Mask | None
    exact: Answers
    is_news: bool
    is_counted: bool


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """One set of gates, a row a frame: `answers` (frame, 4) as in `Disagreement`, `shares` of the dense macs, `ms`, `scores` against the
    truth; NaN if not counted or not known."""

    answers: NDArray[np.float64]
    shares: NDArray[np.float64]
    ms: NDArray[np.float64]
    scores: NDArray[np.float64]

    @classmethod
    def empty(cls, frames: int) -> Run:
        """Nothing counted yet."""
        return cls(np.full((frames, 4), np.nan), *(np.full(frames, np.nan) for _ in range(3)))

    def row(self, frames: Frames) -> dict[str, float]:
        """Means over these frames, and the worst disagreement."""
        answers, ms = self.answers[frames], self.ms[frames]
        total, error, flips, _ = np.nanmean(answers, axis=0)
        return {
            "macs_share": float(np.nanmean(self.shares[frames])),
            "disagreement": float(total),
            "error": float(error),
            "flips": float(flips),
            "disagreement_worst": float(np.nanmax(answers[:, 0])),
            "ms_mean": float(np.nanmean(ms)),
            "ms_p50": float(np.nanmedian(ms)),
            "ms_p99": float(np.nanpercentile(ms, 99)),
        } | ({} if np.isnan(self.scores[frames]).all() else {"accuracy": float(np.nanmean(self.scores[frames]))})


class Rehearsal:
    """One network and one recording of at least LEAST_FRAMES frames, on which any set of gates is measured."""

    def __init__(self, network: SelectiveNetwork, recording: Recording, truth: FrameTruth | None = None) -> None:
        self.network, self._recording, self._truth = network, recording, truth
        self.steps = [step.name for step in network.plan.steps if isinstance(step, Step | AttentionStep)]
        block = np.arange(recording.frames) // max(1, recording.frames // BLOCKS)
        self._is_run = block % 2 == 0
        self.searched, self.held_out = self._is_run & (block >= 2), ~self._is_run & (block >= 2)
        self._exact = {name: Deltas() for name in network.outputs}
        self._scales = self._note_exact()

    def _note_exact(self) -> dict[str, Scale]:
        """The exact answers, and from them how each output is judged."""
        probable, threshold = probable_outputs(self.network.graph), threshold_of(self.network.metadata) or 0.5
        spans = {name: Span() for name in self._exact}
        outputs: dict[str, NDArray[np.float32]] = {}
        self.network.set_gates(0.0)
        for picture, live in self._recording.play():
            outputs = self.network.first(picture) if live is None else self.network.next(picture, live)
            for name, values in outputs.items():
                self._exact[name].add(values)
                spans[name].add(values)
        return {name: scale_of(values, spans[name].read(), name in probable, threshold) for name, values in outputs.items()}

    def measure(self, gates: Gates) -> Point:
        """On the searched blocks."""
        run = self.run(gates, self._is_run)
        answers = np.nanmean(run.answers[self.searched], axis=0)
        return Point(dict(gates), float(answers[0]), float(answers[3]), float(np.nanmean(run.shares[self.searched])))

    def row(self, gates: Gates) -> dict[str, Any]:
        """The held-out blocks' figures, the searched ones' beside them."""
        return self._row(self.run(gates))

    def rows(self, sets: Sequence[Gates], told: Callable[[], None] = lambda: None) -> list[dict[str, Any]]:
        """A row for each set of gates. All take turns, ROUNDS times, so that all are timed alike; of each frame the quickest counts."""
        runs = [Run.empty(self._recording.frames) for _ in sets]
        for number in range(ROUNDS):
            for place, gates in enumerate(sets):
                again = self.run(gates, is_judged=number == 0)
                runs[place] = again if number == 0 else replace(runs[place], ms=np.fmin(runs[place].ms, again.ms))
                told()
        return [self._row(run) for run in runs]

    def _row(self, run: Run) -> dict[str, Any]:
        searched = run.row(self.searched)
        kept = ("macs_share", "disagreement", "accuracy")
        return {**run.row(self.held_out), "searched": {key: searched[key] for key in kept if key in searched}}

    def frozen(self) -> float:
        """What an answer that stays as it was on the first frame would disagree by, on the held-out blocks: limits must be far below."""
        found = np.zeros(self._recording.frames)
        first: dict[str, NDArray[np.float32]] = {}
        for turn in self._turns(np.ones(self._recording.frames, np.bool_)):
            first = first or {name: values.copy() for name, values in turn.exact.items()}
            found[turn.number] = disagreement(first, turn.exact, self._scales).total if turn.is_news else found[turn.number - 1]
        return float(found[self.held_out].mean())

    def run(self, gates: Gates, wanted: Frames | None = None, is_judged: bool = True) -> Run:
        """These frames, or all, in order from an empty Memory."""
        run, last = Run.empty(self._recording.frames), Disagreement(0.0, 0.0, 0.0, 0.0)
        dense = self.network.plan.dense_macs
        self.network.set_gates(gates)
        for turn in self._turns(np.ones(self._recording.frames, np.bool_) if wanted is None else wanted):
            began = time.perf_counter()
            outputs = self.network.first(turn.picture) if turn.live is None else self.network.next(turn.picture, turn.live)
            seconds = time.perf_counter() - began
            costs = self.network.costs
            if is_judged and (turn.is_news or costs.mode != "cached"):
                last = disagreement(outputs, turn.exact, self._scales)
            if turn.is_counted:
                run.answers[turn.number], run.shares[turn.number], run.ms[turn.number] = last, costs.macs / dense, seconds * 1e3
                if is_judged and self._truth is not None:
                    run.scores[turn.number] = self._truth.score(outputs, turn.number)
        return run

    def _turns(self, wanted: Frames) -> Iterator[Turn]:
        """The wanted frames; what was live on those passed over is live on the next one, which does not count."""
        passed: list[Mask | None] = []
        is_news = False
        exact = zip(*(deltas.play() for deltas in self._exact.values()), strict=True)
        for number, ((picture, live), answers) in enumerate(zip(self._recording.play(), exact, strict=True)):
            is_news = is_news or any(differs for _, differs in answers)
            if not wanted[number]:
                passed.append(live)
                continue
            truth = {name: values for name, (values, _) in zip(self._exact, answers, strict=True)}
            yield Turn(number, picture, _joined([*passed, live]), truth, is_news, is_counted=number > 0 and not passed)
            passed, is_news = [], False


def _joined(masks: list[Mask | None]) -> Mask | None:
    """Live in any of them; None where one asks for a whole run."""
    if len(masks) == 1:
        return masks[0]
    known = [mask for mask in masks if mask is not None]
    return np.logical_or.reduce(known) if len(known) == len(masks) else None
