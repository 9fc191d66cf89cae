"""`edgevision search`: TurboViTs for this PC, within hard limits. In: SearchTask, a judge. Out: candidates. Keeps what it measured.

A generator proposes networks, what breaks a limit is refused before it is judged, and what was judged leads the generator (METHODS 5;
the published tool is closed, so this is an evolutionary search of ours). Parameters and memory are counted, latency is measured on this PC
on random weights, accuracy is the judge's: a short training. Every generation follows from the seed and what was found before it, and
every finding is written at once: a search that was stopped goes on where it was. START READING HERE: `search`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import log10
from pathlib import Path
from typing import Any

import numpy as np

from edgevision.errors import InputError
from edgevision.networks.turbovit import TurboViTSpec, layers, macs, parameters
from edgevision.study.search_space import crossed, drawn, memory_mb, mutated, smallest

Measure = Callable[[TurboViTSpec], float]  # milliseconds a picture, the median
Judge = Callable[[Sequence[TurboViTSpec]], Iterator[float]]  # accuracies in the order of the specs, each as it is known
Told = Callable[[str, int], object]
PROPOSALS = 400  # for one network within the counted limits, before the search gives up
MEASURED = 12  # networks measured for one within the latency limit, before the least of them is taken for refused
CROSSED = 0.3  # of the proposals come from two parents
FRESH = 0.15  # and as many from none
REFERENCE = "stand-in"


@dataclass(frozen=True, slots=True)
class SearchTask:
    """What is asked for. Limits that are None do not bind; `px` is the side of the picture at which latency is measured."""

    labels: tuple[str, ...]
    latency_ms: float | None = None
    memory_mb: float | None = None
    parameters_m: float | None = None
    px: int = 224
    seed: int = 0
    networks: int = 24
    generation: int = 6

    def limits(self) -> dict[str, float]:
        """Those that bind, by the names of a candidate's figures."""
        given = {"parameters_m": self.parameters_m, "memory_mb": self.memory_mb, "latency_ms": self.latency_ms}
        return {name: limit for name, limit in given.items() if limit is not None}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One network that was looked at. `refused`: the first limit that it broke, "" for none; what was not looked at any more is NaN."""

    number: int
    spec: TurboViTSpec
    parameters_m: float
    memory_mb: float
    gmacs: float
    latency_ms: float
    accuracy: float
    refused: str = ""
    note: str = ""

    @property
    def utility(self) -> float:
        """METHODS 5: 20 log10(a^2 / (p^.5 m^.5)), accuracy in percent, parameters and multiply-adds in millions."""
        return 20 * log10(max(1e-9, (100 * self.accuracy) ** 2 / (self.parameters_m**0.5 * (1e3 * self.gmacs) ** 0.5)))


def search(task: SearchTask, measure: Measure, judge: Judge, folder: Path, told: Told = lambda text, done: None) -> list[Candidate]:
    """All that was looked at, the stand-in first; goes on from `folder`. Raises InputError for limits that no network can keep."""
    refuse_impossible(task, measure)
    book = _Book(folder / "evaluations.jsonl", task)
    base = TurboViTSpec(labels=task.labels, trained_px=task.px)
    if not book.found:
        book.add(replace(_weighed(task, 0, base, measure), note=REFERENCE))
    _judge(book, judge, told)
    while (missing := task.networks - len(book.judged())) > 0:
        told("proposing", len(book.judged()))
        random = np.random.default_rng((task.seed, len(book.found)))
        parents = front(book.judged())
        if not sum(_propose(task, random, parents, book, measure) for _ in range(min(task.generation, missing))):
            break
        _judge(book, judge, told)
    return book.found


def _judge(book: _Book, judge: Judge, told: Told) -> None:
    """Have all judged that wait for it."""
    waiting = book.waiting()
    told("training", len(book.judged()))
    for one, accuracy in zip(waiting, judge([one.spec for one in waiting]), strict=True):
        book.enter(one.number, accuracy)
        told("training", len(book.judged()))


def refuse_impossible(task: SearchTask, measure: Measure) -> None:
    """Raises InputError where the least network of the space breaks a limit: with what it needs, which is the nearest that can be kept."""
    least = smallest(task.labels, task.px)
    found = {"parameters_m": parameters(least) / 1e6, "memory_mb": memory_mb(least, task.px)}
    names = {"parameters_m": "million parameters", "memory_mb": "MB of memory", "latency_ms": "ms"}
    for name, limit in task.limits().items():
        value = found[name] if name in found else measure(least)
        if value > limit:
            nearest = np.ceil(value * 100 + 1) / 100
            raise InputError(
                f"the limit is {limit:g} {names[name]}; the smallest network at {task.px} px has {value:.3g}; give {nearest:g} or more"
            )


def _propose(task: SearchTask, random: np.random.Generator, parents: Sequence[Candidate], book: _Book, measure: Measure) -> bool:
    """Whether a new network within all limits was found; it is in the book, as is what was refused on the way."""
    seen, measured = {one.spec for one in book.found}, 0
    base = TurboViTSpec(labels=task.labels, trained_px=task.px)
    for _ in range(PROPOSALS):
        spec = _from_parents(random, parents, base)
        if spec in seen:
            continue
        seen.add(spec)
        one = _weighed(task, len(book.found), spec, measure)
        book.add(one)
        measured += one.refused == "latency_ms"
        if not one.refused or measured >= MEASURED:
            return not one.refused
    return False


def _from_parents(random: np.random.Generator, parents: Sequence[Candidate], base: TurboViTSpec) -> TurboViTSpec:
    """Drawn anew, from one parent of the front, or from two."""
    if not parents or random.random() < FRESH:
        return drawn(random, base)
    one, other = (parents[int(random.integers(len(parents)))].spec for _ in range(2))
    return mutated(random, crossed(random, one, other) if random.random() < CROSSED else one)


def _weighed(task: SearchTask, number: int, spec: TurboViTSpec, measure: Measure) -> Candidate:
    """Counted, and measured where nothing counted is over its limit."""
    limits = task.limits()
    counted = {"parameters_m": parameters(spec) / 1e6, "memory_mb": memory_mb(spec, task.px)}
    gmacs = sum(macs(layers(spec), task.px, task.px).values()) / 1e9
    refused = next((name for name, value in counted.items() if value > limits.get(name, np.inf)), "")
    latency = float("nan") if refused and number else measure(spec)
    refused = refused or ("latency_ms" if latency > limits.get("latency_ms", np.inf) else "")
    return Candidate(number, spec, counted["parameters_m"], counted["memory_mb"], gmacs, latency, float("nan"), refused)


def front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those than which no other is both quicker and more accurate, the quickest first."""
    best: list[Candidate] = []
    for one in sorted(candidates, key=lambda one: (one.latency_ms, -one.accuracy, one.number)):
        if not best or one.accuracy > best[-1].accuracy:
            best.append(one)
    return best


def chosen(candidates: Sequence[Candidate]) -> dict[str, Candidate]:
    """Of the front: the quickest, the one of most utility, the most accurate; and the quickest at least as accurate as the stand-in."""
    within = [one for one in candidates if not one.refused and np.isfinite(one.accuracy)]
    best = front(within)
    if not best:
        return {}
    found = {"quickest": best[0], "most-useful": max(best, key=lambda one: one.utility), "most-accurate": best[-1]}
    reference = next((one for one in candidates if one.note == REFERENCE), None)
    if reference is not None and (equal := [one for one in best if one.accuracy >= reference.accuracy]):
        found["as-good-as-stand-in"] = equal[0]
    return found


class _Book:
    """What was found, in a file: a line for what was looked at, one for how it was judged. Raises InputError for another search's."""

    def __init__(self, path: Path, task: SearchTask) -> None:
        self._path = path
        head = {"schema": "edgevision.search/1", **{k: v for k, v in asdict(task).items() if k != "networks"}}
        head = json.loads(json.dumps(head))
        self.found: list[Candidate] = []
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines()
            if not lines or json.loads(lines[0]) != head:
                raise InputError(f"{path}: is of another search (other limits, seed or labels); name another --out, or delete it")
            for line in map(json.loads, lines[1:]):
                if "spec" in line:
                    self.found.append(_read(line))
                else:
                    self.found[line["number"]] = replace(self.found[line["number"]], accuracy=line["accuracy"])
        else:
            path.write_text(json.dumps(head) + "\n", encoding="utf-8")

    def judged(self) -> list[Candidate]:
        """Those within the limits, with their accuracy."""
        return [one for one in self.found if not one.refused and np.isfinite(one.accuracy)]

    def waiting(self) -> list[Candidate]:
        """Those whose accuracy is to be found: within the limits, or the stand-in."""
        return [one for one in self.found if np.isnan(one.accuracy) and (not one.refused or one.note)]

    def add(self, one: Candidate) -> None:
        """Write down what was looked at."""
        self.found.append(one)
        self._write(_plain(one))

    def enter(self, number: int, accuracy: float) -> None:
        """Write down how it was judged."""
        self.found[number] = replace(self.found[number], accuracy=accuracy)
        self._write({"number": number, "accuracy": accuracy})

    def _write(self, line: Mapping[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _plain(one: Candidate) -> dict[str, Any]:
    """As JSON has it, which knows no NaN."""
    figures = {name: None if isinstance(value, float) and np.isnan(value) else value for name, value in asdict(one).items()}
    return {**figures, "spec": asdict(one.spec)}


def _read(found: Mapping[str, Any]) -> Candidate:
    spec: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in found["spec"].items()}
    figures: dict[str, Any] = {name: float("nan") if value is None else value for name, value in found.items()}
    return Candidate(**{**figures, "spec": TurboViTSpec(**spec)})
