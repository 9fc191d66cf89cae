"""`edgevision bench attention`: one layer of attention by each method, against dense attention of OpenVINO and torch, in one run.

In: tokens, heads, channels of a head, what each method keeps, a changed share. Out: rows. At every shot one compact square of tokens takes
new values, at a fresh place; each engine runs once, in an order that turns, on the same tokens. Ours is timed all live and at the change,
exactly and gated, everything it does included: packing, choosing, correcting, storing. Peers are given their tokens as they like them.
Where csat takes part, class queries over the same tokens follow, see `cross_bench.py`.
`error_to_dense`: the largest difference from exact dense attention of the same tokens, of any shot, as a share of its range; `error_mean`
the mean one. A network that was trained with a method has learned to live with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError, Unavailable
from edgevision.kernels.forms import Plane
from edgevision.networks.attention import Attention, Tokens
from edgevision.networks.attention.csat import Csat
from edgevision.networks.attention.dense import Dense
from edgevision.networks.attention.hybrid import Hybrid, HybridSettings
from edgevision.networks.attention.sparsifiner import Sparsifiner, SparsifinerSettings
from edgevision.study.attention_scene import Scene, empty_plane, shots
from edgevision.study.cross_bench import cross_note, cross_rows

SHIPPED_GATE = 0.02
SHOTS, UNCOUNTED = 20, 3
SLOW = ("sparsifiner_exact",)  # run where it is asked for
PAUSE_S = 0.002  # for threads of one engine to fall asleep before the next begins
MEGABYTE = 1 << 20
Told = Callable[[str], None]
Answer = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AttentionTask:
    """What is asked for."""

    tokens: int = 4096
    heads: int = 6
    dim: int = 64
    keep: float = 0.1
    measurements: int = 256
    changed: float = 0.05
    gate: float = SHIPPED_GATE
    threads: int = 2
    methods: tuple[str, ...] = ()
    seed: int = 0
    shots: int = SHOTS

    def layer(self) -> Tokens:
        """As square a map as there are tokens for. Raises InputError where there are none."""
        if self.tokens < 1:
            raise InputError(f"--tokens is {self.tokens}; it must be 1 or more")
        rows = next(rows for rows in range(int(self.tokens**0.5), 0, -1) if self.tokens % rows == 0)
        size = rows, self.tokens // rows
        return Tokens(size, size, self.heads, self.dim)


Maker = Callable[[AttentionTask], Attention]
METHODS: Mapping[str, Maker] = MappingProxyType(
    {
        "dense": lambda task: Dense(),
        "sparsifiner": lambda task: Sparsifiner(SparsifinerSettings(keep=task.keep)),
        "sparsifiner_exact": lambda task: Sparsifiner(SparsifinerSettings(keep=task.keep, exact=True)),
        "hybrid": lambda task: Hybrid(HybridSettings(keep=task.keep)),
        "hybrid_delta": lambda task: Hybrid(HybridSettings(keep=task.keep, correction="delta")),
        "hybrid_none": lambda task: Hybrid(HybridSettings(keep=task.keep, correction="none")),
        "csat": lambda task: Csat(task.measurements),
    }
)


@dataclass(frozen=True, slots=True)
class Contestant:
    """`method`, `engine`, and for ours the `gate` and whether all tokens count as changed."""

    method: str
    engine: str
    gate: float = 0.0
    is_whole: bool = True


@dataclass(slots=True)
class Findings:
    """`rows` as `--json` prints them, `notes` of what was left out or runs otherwise, and why."""

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Engine(Protocol):
    """Runs one shot."""

    def run(self, scene: Scene, parts: tuple[Answer, ...]) -> tuple[Answer, float]:
        """(row, column, channel) and milliseconds. `parts`: queries, keys, values (head, token, channel)."""


class Ours:
    """One method's state over the scene's planes."""

    def __init__(self, task: AttentionTask, who: Contestant) -> None:
        self._layer, self._gate, self._share = task.layer(), np.full(1, -1.0, np.float32), who.gate
        self.state = METHODS[who.method](task).open(self._layer, "compiled", task.threads, who.gate > 0)
        self._target: Plane = empty_plane(self._layer)
        self._is_whole, self._is_empty = who.is_whole, True

    def run(self, scene: Scene, parts: tuple[Answer, ...]) -> tuple[Answer, float]:
        """The first shot is whole, and says what the gate is a share of."""
        everything = self._is_whole or self._is_empty
        start = time.perf_counter()
        self.state.run(scene.query, scene.key, scene.value, self._target, everything, self._gate)
        elapsed_ms = (time.perf_counter() - start) * 1e3
        if self._is_empty:
            self._gate[0] = self._share * float(np.ptp(self._target.values))
            self._is_empty = False
        return self._target.values, elapsed_ms


class Peer:
    """A peer's dense attention."""

    def __init__(self, task: AttentionTask, who: Contestant) -> None:
        self._layer, self._engine = task.layer(), _peer(task, who)

    def run(self, scene: Scene, parts: tuple[Answer, ...]) -> tuple[Answer, float]:
        """All of it, whatever changed."""
        made, elapsed_ms = self._engine.run(parts)
        layer = self._layer
        return made.transpose(1, 0, 2).reshape(*layer.query, layer.channels), elapsed_ms


def _peer(task: AttentionTask, who: Contestant) -> Any:
    if who.engine == "torch":
        try:
            from edgevision.study.train.attention_torch import TorchAttention
        except ImportError as error:
            raise Unavailable("torch is not installed: pip install 'edgevision[train]'") from error
        return TorchAttention(task.threads)
    from edgevision.study.peers.openvino_attention import OpenVinoAttention

    _, precision, form = who.engine.split("_")
    return OpenVinoAttention((task.heads, task.tokens, task.dim), form, precision, task.threads)


def contestants(task: AttentionTask) -> Iterator[Contestant]:
    """Peers first."""
    for engine in ("openvino_f32_products", "openvino_f32_fused", "openvino_default_products", "openvino_default_fused", "torch"):
        yield Contestant("dense", engine)
    for method in task.methods or (name for name in METHODS if name not in SLOW):
        yield Contestant(method, "ours")
        yield Contestant(method, "ours", 0.0, is_whole=False)
        if task.gate > 0:
            yield Contestant(method, "ours", task.gate, is_whole=False)


def bench(task: AttentionTask, told: Told) -> Findings:
    """Race them all. Raises InputError for what cannot be."""
    unknown = set(task.methods) - set(METHODS)
    if unknown:
        raise InputError(f"--methods names '{min(unknown)}'; it must be of {', '.join(METHODS)}")
    layer = task.layer()
    found = Findings(
        f"attention of {layer.query[0]} x {layer.query[1]} tokens, {task.heads} heads of {task.dim}, {task.changed:.3g} changed, "
        f"{task.threads} thread(s)"
    )
    racing: list[tuple[Contestant, Engine]] = []
    for who in contestants(task):
        told(f"loading {who.engine}, {who.method}")
        try:
            racing.append((who, Ours(task, who) if who.engine == "ours" else Peer(task, who)))
        except Unavailable as error:
            note = f"{who.method} of {who.engine} is left out: {error}"
            found.notes += [note] if note not in found.notes else []
    laps = _race(task, racing, told)
    for (who, engine), lap in zip(racing, laps, strict=True):
        found.rows.append(_row(task, who, engine, lap))
        note = f"{who.method}: {engine.state.note}" if isinstance(engine, Ours) and engine.state.note else ""
        found.notes += [note] if note and note not in found.notes else []
    if "csat" in (task.methods or METHODS):
        rows = list(cross_rows(layer, min(task.measurements, layer.keys), task.threads, task.shots, told))
        found.rows += rows
        found.notes.append(cross_note(rows))
    return found


@dataclass(slots=True)
class Lap:
    """What one engine did, shot by shot."""

    ms: list[float] = field(default_factory=list)
    macs: list[int] = field(default_factory=list)
    worst: float = 0.0
    mean: float = 0.0


def _row(task: AttentionTask, who: Contestant, engine: Engine, lap: Lap) -> dict[str, Any]:
    """As `--json` prints it."""
    return {
        "method": who.method,
        "engine": who.engine,
        "changed": 1.0 if who.is_whole else task.changed,
        "gate": who.gate,
        "ms_p50": round(float(np.median(lap.ms)), 3),
        "ms_p99": round(float(np.percentile(lap.ms, 99)), 3),
        "error_to_dense": float(f"{lap.worst:.3g}"),
        "error_mean": float(f"{lap.mean:.3g}"),
        "macs": int(np.mean(lap.macs)),
        "mb": round(engine.state.size_bytes / MEGABYTE, 1) if isinstance(engine, Ours) else None,
    }


def _race(task: AttentionTask, racing: Sequence[tuple[Contestant, Engine]], told: Told) -> list[Lap]:
    laps, layer, live_share = [Lap() for _ in racing], task.layer(), task.changed
    for number, (scene, _) in zip(range(UNCOUNTED + task.shots), shots(layer, live_share, task.seed), strict=False):
        told(f"shot {number + 1} of {UNCOUNTED + task.shots}")
        parts = tuple(_by_head(plane, layer) for plane in (scene.query, scene.key, scene.value))
        answers: dict[int, Answer] = {}
        for turn in range(len(racing)):
            place = (turn + number) % len(racing)
            engine = racing[place][1]
            time.sleep(PAUSE_S)
            answer, elapsed_ms = engine.run(scene, parts)
            answers[place] = np.array(answer)
            if number >= UNCOUNTED:
                laps[place].ms.append(elapsed_ms)
                laps[place].macs.append(engine.state.macs if isinstance(engine, Ours) else layer.dense_macs)
        if number >= UNCOUNTED:
            _compare(laps, answers, dense_of(parts, layer), task.shots)
    return laps


def _compare(laps: Sequence[Lap], answers: Mapping[int, Answer], exact: Answer, count: int) -> None:
    scale = float(np.ptp(exact)) or 1.0
    for place, lap in enumerate(laps):
        off = np.abs(answers[place] - exact) / scale
        lap.worst, lap.mean = max(lap.worst, float(off.max())), lap.mean + float(off.mean()) / count


def _by_head(plane: Plane, layer: Tokens) -> Answer:
    """(head, token, channel)."""
    return np.ascontiguousarray(plane.values.reshape(-1, layer.heads, layer.head_dim).transpose(1, 0, 2))


def dense_of(parts: tuple[Answer, ...], layer: Tokens) -> Answer:
    """(row, column, channel): dense attention, written out in NumPy."""
    made = []
    for query, key, value in zip(*parts, strict=True):
        scores = query @ key.T * np.float32(layer.head_dim**-0.5)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        made.append((weights @ value) / weights.sum(axis=1, keepdims=True))
    return np.stack(made, axis=1).reshape(*layer.query, layer.channels)
