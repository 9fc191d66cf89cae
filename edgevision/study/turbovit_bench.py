"""`edgevision bench turbovit`: the network of tokens, with each way to attend, against OpenVINO and torch on the same network, all dense.

In: a size, a changed share. Out: rows. At every shot one compact square of mask units takes new random values, at a fresh place. Each
engine runs once, in an order that turns by one each time, on the same input; ours is timed all live and at the change, exactly and gated.
`error_to_dense`: the largest difference from OpenVINO's f32 answer, of any shot, as a share of that answer's range. Attention that keeps
few keys answers differently by design: it was, or was not, trained to.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError, Unavailable, UnsupportedNetwork
from edgevision.networks.turbovit import PATCH_KERNEL, TurboViTSpec, layers, macs, refuse_unfit
from edgevision.networks.turbovit_weights import TurboViT, random_turbovit, read_turbovit
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load_tokens import open_tokens, with_keep
from edgevision.recompute.settings import TurboViTSettings
from edgevision.study.attention_bench import Contestant, Findings
from edgevision.study.deviation import Deviation
from edgevision.study.memory_growth import growth_mb
from edgevision.study.turbovit_export import export_turbovit

METHODS = ("dense", "sparsifiner", "hybrid", "csat")
GLOBAL_STAGES = 2  # the last ones: what a method replaces
SHIPPED_GATE = 0.02
SHOTS, UNCOUNTED = 20, 2
PAUSE_S = 0.002  # for threads of one engine to fall asleep before the next begins
Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TurboTask:
    """What is asked for. `changed`: share of the mask units. Without `weights` the network is random, by `seed`."""

    size_px: int = 1024
    changed: float = 0.05
    threads: int = 2
    gate: float = SHIPPED_GATE
    keep: float = 0.1
    methods: tuple[str, ...] = METHODS
    weights: Path | None = None
    seed: int = 0
    shots: int = SHOTS
    has_memory: bool = True
    precision: str = "f32"  # of ours

    def network(self) -> TurboViT:
        """The network with dense attention. Raises UnsupportedNetwork for a file that is none."""
        return random_turbovit(TurboViTSpec(), self.seed) if self.weights is None else read_turbovit(self.weights)


class Engine(Protocol):
    """Runs one shot: the answer, milliseconds, multiply-adds."""

    def run(self, x: NDArray[np.float32], live: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float, int]:
        """`live` is what changed since the last shot."""


class Ours:
    """The selective engine with one method; `is_whole` runs all of it at every shot."""

    def __init__(self, task: TurboTask, who: Contestant) -> None:
        network = task.network()
        kinds = network.spec.kinds[:-GLOBAL_STAGES] + (who.method,) * GLOBAL_STAGES
        settings = with_keep(TurboViTSettings(attention=kinds), task.keep)
        self._net: SelectiveNetwork = open_tokens(
            network, settings, (task.size_px,) * 2, who.gate, task.threads, {"precision": task.precision}
        )
        self._is_whole, self._is_empty = who.is_whole, True

    def run(self, x: NDArray[np.float32], live: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float, int]:
        """The first shot of all is whole."""
        start = time.perf_counter()
        outputs = self._net.first(x) if self._is_whole or self._is_empty else self._net.next(x, live)
        elapsed_ms = (time.perf_counter() - start) * 1e3
        self._is_empty = False
        return next(iter(outputs.values())), elapsed_ms, self._net.costs.macs


class OpenVino:
    """The exported file, dense, in f32 or in what OpenVINO picks."""

    def __init__(self, task: TurboTask, precision: str) -> None:
        from edgevision.study.peers.openvino_dense import OpenVinoDense

        network = task.network()
        with tempfile.TemporaryDirectory(prefix="edgevision-turbovit-") as folder:
            path = Path(folder) / "turbovit.onnx"
            export_turbovit(network, (task.size_px,) * 2, path)
            self._engine = OpenVinoDense(path, (1, 3, task.size_px, task.size_px), precision, task.threads)
        self.precision = self._engine.precision
        self._macs = sum(macs(layers(network.spec), task.size_px, task.size_px).values())

    def run(self, x: NDArray[np.float32], live: NDArray[np.bool_]) -> tuple[NDArray[np.float32], float, int]:
        """All of it, whatever changed."""
        outputs, elapsed_ms = self._engine.infer(x)
        return next(iter(outputs.values())), elapsed_ms, self._macs


def contestants(task: TurboTask) -> Iterator[Contestant]:
    """Peers first: the first one's answer is what all others are compared with."""
    yield Contestant("dense", "openvino_f32")
    yield Contestant("dense", "openvino_default")
    yield Contestant("dense", "torch")
    for method in task.methods:
        yield Contestant(method, "ours")
        yield Contestant(method, "ours", 0.0, is_whole=False)
        if task.gate > 0:
            yield Contestant(method, "ours", task.gate, is_whole=False)


def open_engine(task: TurboTask, who: Contestant) -> Engine:
    """Raises Unavailable or UnsupportedNetwork where it cannot take part."""
    if who.engine == "ours":
        return Ours(task, who)
    if who.engine == "torch":
        return _torch(task)
    return OpenVino(task, who.engine.removeprefix("openvino_"))


def _torch(task: TurboTask) -> Engine:
    try:
        from edgevision.study.train.turbovit_dense import TorchDense
    except ImportError as error:
        raise Unavailable("torch is not installed: pip install 'edgevision[train]'") from error
    return TorchDense(task.network(), task.size_px, task.threads)


def bench(task: TurboTask, told: Told) -> Findings:
    """Race them all. Raises InputError for a size that is not whole units, UnsupportedNetwork for weights that cannot be used."""
    spec = task.network().spec
    refuse_unfit(spec, task.size_px, task.size_px, "--size")
    unknown = set(task.methods) - set(METHODS)
    if unknown:
        raise InputError(f"--methods names '{min(unknown)}'; it must be of {', '.join(METHODS)}")
    found = Findings(f"TurboViT {task.size_px} px, {task.changed:.3g} of the units changed, {task.threads} thread(s)")
    racing: list[tuple[Contestant, Engine]] = []
    for who in contestants(task):
        told(f"loading {who.engine}, {who.method}")
        try:
            racing.append((who, open_engine(task, who)))
        except (Unavailable, UnsupportedNetwork) as error:
            note = f"{who.engine} ({who.method}) is left out: {error}"
            found.notes += [note] if note not in found.notes else []
    laps = _race(task, [engine for _, engine in racing], told, spec)
    for (who, _), (ms, work, deviation) in zip(racing, laps, strict=True):
        told(f"memory of {who.engine}, {who.method}")
        mb = round(growth_mb(_one_run, task, who), 1) if task.has_memory else None
        found.rows.append(_row(task, who, (ms, work, deviation.worst), mb))
    return found


def _row(task: TurboTask, who: Contestant, laps: tuple[Sequence[float], Sequence[int], float | None], mb: float | None) -> dict[str, Any]:
    """As `--json` prints it."""
    ms, work, worst = laps
    return {
        "method": who.method,
        "engine": who.engine,
        "changed": 1.0 if who.is_whole else task.changed,
        "gate": who.gate,
        "ms_p50": round(float(np.median(ms)), 3),
        "ms_p99": round(float(np.percentile(ms, 99)), 3),
        "error_to_dense": None if worst is None else float(f"{worst:.3g}"),
        "macs": int(np.mean(work)),
        "mb": mb,
    }


def _one_run(task: TurboTask, who: Contestant) -> None:
    """Load one engine and run it, for its memory."""
    engine, shots = open_engine(task, who), shots_of(task, task.network().spec)
    for _ in range(UNCOUNTED):
        engine.run(*next(shots))


Laps = tuple[list[float], list[int], Deviation]


def _race(task: TurboTask, engines: Sequence[Engine], told: Told, spec: TurboViTSpec) -> list[Laps]:
    laps: list[Laps] = [([], [], Deviation()) for _ in engines]
    shots = shots_of(task, spec)
    for number in range(UNCOUNTED + task.shots):
        told(f"shot {number + 1} of {UNCOUNTED + task.shots}")
        x, live = next(shots)
        answers: dict[int, NDArray[np.float32]] = {}
        for turn in range(len(engines)):
            place = (turn + number) % len(engines)
            time.sleep(PAUSE_S)
            answer, elapsed_ms, work = engines[place].run(x, live)
            answers[place] = np.array(answer)
            if number >= UNCOUNTED:
                laps[place][0].append(elapsed_ms)
                laps[place][1].append(work)
        for place, (_, _, deviation) in enumerate(laps):
            deviation.add([answers[place]], [answers[0]])
    return laps


def shots_of(task: TurboTask, spec: TurboViTSpec) -> Iterator[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """The whole input, then one square of units anew each time: as many pixels as only these units see."""
    random, size, step = np.random.default_rng(task.seed), task.size_px, spec.step_px
    x = random.standard_normal((1, 3, size, size), np.float32)
    yield x, np.ones((size, size), np.bool_)
    units = size // step
    side = min(max(1, round((task.changed * units**2) ** 0.5)), units)
    while True:
        row, column = random.integers(0, units - side + 1, 2) * step
        live = np.zeros((size, size), np.bool_)
        spill = PATCH_KERNEL // 2 if side < units else 0  # the last pixels are seen by the next unit's first token, too
        live[row : row + side * step - spill, column : column + side * step - spill] = True
        x = x.copy()
        x[:, :, live] = random.standard_normal((3, int(live.sum())), np.float32)
        yield x, live
