"""`edgevision bench net`: our engine against what a user would run instead, on one network, in one run.

In: a network file and a scene, made up (`--live`) or a video (`--clip`). Out: a row for each engine, thread count and live share. At every
shot each engine runs once, in an order that turns by one each time (A B C, B C A, ...); all see the same input. `live_macs` is counted
apart, before anything is timed (`peers.layer_inputs`); memory apart, afterwards (`lane_memory`).
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from edgevision.errors import InputError, Unavailable, UnsupportedNetwork
from edgevision.kernels.forms import Float
from edgevision.recompute.graph import Graph, read_graph
from edgevision.recompute.preprocess import Preprocess
from edgevision.study.deviation import Deviation
from edgevision.study.lane_memory import peak_mb
from edgevision.study.lanes import OURS, Gates, Lane, LaneSpec, Timed, open_lane
from edgevision.study.quantize import make_int8
from edgevision.study.shots import Clip, Scene, Shot, Squares, pairs

LIVE = (0.0, 0.01, 0.05, 0.2, 0.5, 1.0)
SHOTS, SHOTS_OF_A_CLIP = 20, 300
COUNTED, COUNTED_OF_SMALL, SMALL_MACS = 4, 16, 5e9  # shots whose work is counted: each takes two whole runs
UNCOUNTED = 2  # shots before the first that is timed, on a made-up scene
CALIBRATION = 8
PAUSE_S = 0.002  # for threads of one engine to fall asleep before the next begins
REFERENCE = "openvino_f32"


@dataclass(frozen=True, slots=True)
class BenchTask:
    """What is asked for. `precisions` are ours; `frames` None takes 20 shots, 300 of a clip; `int8` is the network quantised already."""

    network: Path
    live: tuple[float, ...] = LIVE
    clip: Path | None = None
    precisions: tuple[str, ...] = ("auto",)
    threads: tuple[int, ...] = (1,)
    input_shape: tuple[int, ...] | None = None
    gates: Gates = 0.0
    foreign: str = "never"
    frames: int | None = None
    int8: Path | None = None
    has_memory: bool = True


@dataclass(slots=True)
class Result:
    """`rows` as `--json` prints them; for each, `laps`: milliseconds, and `live`: share of the input, of every shot.

    `notes` say what was left out, and why. `title` names the network, its size and the scene.
    """

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    laps: list[list[float]] = field(default_factory=list)
    live: list[list[float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Once each."""
        if text not in self.notes:
            self.notes.append(text)

    def take(self, other: Result) -> None:
        """Add all of the other's."""
        self.rows += other.rows
        self.laps += other.laps
        self.live += other.live
        for text in other.notes:
            self.note(text)


@dataclass(frozen=True, slots=True, eq=False)
class Files:
    """What the engines run: the file as given, and its quantised form, if there is one. They are the same where the file is quantised."""

    given: Path
    int8: Path | None
    graph: Graph
    preprocess: Preprocess

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the input."""
        return tuple(self.graph.shapes[self.graph.input])

    def of(self, precision: str) -> Path:
        """The file that is run in this precision."""
        return self.int8 if precision == "int8" and self.int8 is not None else self.given


Told = Callable[[str], None]


def bench(task: BenchTask, is_quiet: bool = False) -> Result:
    """Race them all. Raises UnsupportedNetwork for a file that OpenVINO cannot read, InputError for a clip or value that cannot be used."""
    with _progress(is_quiet) as told, tempfile.TemporaryDirectory(prefix="edgevision-bench-") as folder:
        graph = read_graph(task.network, task.input_shape)
        result = Result(_title(task, graph))
        preprocess = Preprocess.from_metadata(graph.metadata, graph.path)
        scenes = _scenes(task, tuple(graph.shapes[graph.input]), preprocess)
        files = Files(task.network, _int8_file(task, graph, scenes[-1], Path(folder), result, told), graph, preprocess)
        told("counting the work that the changes ask for")
        counted = [(scene, _count(files, scene, task)) for scene in scenes]
        for threads in task.threads:
            result.take(_race_all(task, files, counted, threads, told))
    return result


def _title(task: BenchTask, graph: Graph) -> str:
    scene = "one square of random values" if task.clip is None else task.clip.name
    return f"{task.network.name}, input {'x'.join(map(str, graph.shapes[graph.input][1:]))}, {scene}"


@contextmanager
def _progress(is_quiet: bool) -> Iterator[Told]:
    """A line on the terminal that says what is being done; nothing in a pipe."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=is_quiet or not console.is_terminal, transient=True) as bar:
        line = bar.add_task("", total=None)
        yield lambda text: bar.update(line, description=text)


def _scenes(task: BenchTask, shape: tuple[int, ...], preprocess: Preprocess) -> list[Scene]:
    if task.clip is not None:
        return [Clip(shape, preprocess, task.clip)]
    return [Squares(shape, preprocess, share, seed) for seed, share in enumerate(task.live)]


def _shots(task: BenchTask) -> int:
    return task.frames or (SHOTS if task.clip is None else SHOTS_OF_A_CLIP)


def _int8_file(task: BenchTask, graph: Graph, scene: Scene, folder: Path, result: Result, told: Told) -> Path | None:
    """The quantised file: the one given, or made here of the float one with the scene's own shots."""
    if graph.is_quantised:
        return task.network
    if task.int8 is not None:
        return task.int8
    told("quantising with NNCF")
    path = folder / f"{task.network.stem}-int8.xml"
    try:
        make_int8(task.network, path, _calibration(scene, _shots(task)), tuple(graph.shapes[graph.input]))
    except (Unavailable, UnsupportedNetwork) as error:
        result.note(f"int8 is left out: {error}; or give the quantised file with --int8")
        return None
    return path


def _calibration(scene: Scene, count: int) -> list[Float]:
    wanted = set(np.linspace(0, count, CALIBRATION).round().astype(int).tolist())
    return [shot.x.copy() for number, shot in enumerate(scene.play(count)) if number in wanted]


def _count(files: Files, scene: Scene, task: BenchTask) -> dict[Path, float]:
    """By file, the share of the work that the scene's changes ask for: mean over a few shots, by values, without our engine."""
    from edgevision.study.peers.layer_inputs import LayerInputs

    shares = {}
    for path in {files.given, files.int8 or files.given}:
        inputs = LayerInputs(path, files.shape, max(task.threads))
        wanted = COUNTED_OF_SMALL if sum(layer.macs for layer in inputs.layers) < SMALL_MACS else COUNTED
        found = [inputs.live_macs_share(before, after) for before, after in pairs(scene, _shots(task), wanted)]
        shares[path] = float(np.mean(found)) if found else 0.0
    return shares


def _specs(task: BenchTask, files: Files, threads: int) -> Iterator[LaneSpec]:
    """Who takes part: ours in each precision asked for, then the peers."""
    for precision in task.precisions:
        if precision != "int8" or files.int8 is not None:
            yield LaneSpec(OURS, files.of(precision), files.shape, threads, precision, task.gates, task.foreign, files.preprocess)
    if files.graph.is_quantised:
        yield LaneSpec(REFERENCE, files.given, files.shape, threads, "simulated")
        yield LaneSpec("onnxruntime", files.given, files.shape, threads, "int8")
    else:
        yield LaneSpec(REFERENCE, files.given, files.shape, threads)
        yield LaneSpec("openvino_default", files.given, files.shape, threads)
        yield LaneSpec("onnxruntime", files.given, files.shape, threads)
    if files.int8 is not None:
        yield LaneSpec("openvino_int8", files.int8, files.shape, threads)


def _race_all(task: BenchTask, files: Files, scenes: Sequence[tuple[Scene, dict[Path, float]]], threads: int, told: Told) -> Result:
    """Every scene with so many threads."""
    result, entrants = Result(""), []
    told(f"{threads} thread(s): loading the engines")
    for spec in _specs(task, files, threads):
        try:
            entrants.append(Entrant(spec, open_lane(spec)))
        except (Unavailable, UnsupportedNetwork) as error:
            result.note(f"{spec.engine} ({spec.precision}) is left out: {error}")
    races = [(race(entrants, scene, _shots(task), told), counts) for scene, counts in scenes]
    specs = [entrant.spec for entrant in entrants]
    entrants.clear()
    told(f"{threads} thread(s): measuring memory")
    memory = [round(peak_mb(spec, scenes[0][0]), 1) if task.has_memory else None for spec in specs]
    for tally, counts in races:
        for laps, spec, peak in zip(tally.laps, specs, memory, strict=True):
            result.rows.append(laps.row(spec, tally.live_input, counts[spec.path], peak))
            result.laps.append(laps.ms)
            result.live.append(tally.live)
    return result


@dataclass(frozen=True, slots=True)
class Entrant:
    """An engine and what it was made of."""

    spec: LaneSpec
    lane: Lane


@dataclass(slots=True)
class Laps:
    """What one engine did on one scene: milliseconds of each shot, how far it was off."""

    precision: str
    first_ms: float
    ms: list[float] = field(default_factory=list)
    deviation: Deviation = field(default_factory=Deviation)

    def row(self, spec: LaneSpec, live_input: float, live_macs: float, peak: float | None) -> dict[str, Any]:
        """As `--json` prints it."""
        worst = self.deviation.worst
        return {
            "engine": spec.engine,
            "precision": self.precision,
            "threads": spec.threads,
            "live_input": round(live_input, 6),
            "live_macs": round(live_macs, 6),
            "ms_mean": round(float(np.mean(self.ms)), 4),
            "ms_p50": round(float(np.median(self.ms)), 4),
            "ms_p99": round(float(np.percentile(self.ms, 99)), 4),
            "first_ms": round(self.first_ms, 3),
            "disagreement": None if worst is None else float(f"{worst:.3g}"),
            "peak_mb": peak,
        }


@dataclass(slots=True)
class Tally:
    """One scene: `laps` of each entrant, `live` share of the input of each shot."""

    laps: list[Laps]
    live: list[float] = field(default_factory=list)

    @property
    def live_input(self) -> float:
        """Mean over shots."""
        return float(np.mean(self.live))


def race(entrants: Sequence[Entrant], scene: Scene, count: int, told: Told) -> Tally:
    """Show every shot of the scene to every entrant, one after another. Raises InputError where the scene has no second shot."""
    uncounted = UNCOUNTED if isinstance(scene, Squares) else 0
    shots = scene.play(uncounted + count)
    for first in islice(shots, 1):
        for entrant in entrants:
            entrant.lane.begin(first)
    tally = Tally([Laps(entrant.lane.precision, entrant.lane.first_ms) for entrant in entrants])
    reference = next((place for place, entrant in enumerate(entrants) if entrant.spec.engine == REFERENCE), None)
    for number, shot in enumerate(shots):
        answers = [_run(entrants[place].lane, shot, PAUSE_S) for place in _order(len(entrants), number)]
        if number < uncounted:
            continue
        told(f"{entrants[0].spec.threads} thread(s), {scene}: {number + 1 - uncounted} of {count}")
        tally.live.append(float(shot.live.mean()))
        for place, (outputs, elapsed_ms) in zip(_order(len(entrants), number), answers, strict=True):
            tally.laps[place].ms.append(elapsed_ms)
            if reference is not None:
                tally.laps[place].deviation.add(outputs, answers[_order(len(entrants), number).index(reference)][0])
    if not tally.live:
        raise InputError(f"{scene}: has no second frame that could be used; give a longer clip")
    return tally


def _order(count: int, number: int) -> list[int]:
    """Who begins at this shot turns by one."""
    return [(place + number) % count for place in range(count)]


def _run(lane: Lane, shot: Shot, pause_s: float) -> Timed:
    time.sleep(pause_s)
    return lane.run(shot)
