"""The engines that a benchmark races, behind one face: ours and its peers. In: shots. Out: outputs in the file's order, and milliseconds.

Ours is handed a shot's live pixels; its time has the change map, the network and, on a clip, the audits in it. A peer is handed the whole
input, ready made; its time is the inference alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

from numpy.typing import NDArray

from edgevision.recompute.audit import Audits, AuditSettings
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.preprocess import Preprocess
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.shots import Shot

OURS = "ours"
PEERS = ("openvino_f32", "openvino_default", "openvino_int8", "onnxruntime")
Gates = float | Mapping[str, float]
Timed = tuple[list[NDArray[Any]], float]


@dataclass(frozen=True, slots=True)
class LaneSpec:
    """Which engine on which file. `engine` is ours or one of PEERS; `precision`, `gates` and `foreign` are for ours.

    May go to another process.
    """

    engine: str
    path: Path
    shape: tuple[int, ...]
    threads: int
    precision: str = "auto"
    gates: Gates = 0.0
    foreign: str = "never"
    preprocess: Preprocess = field(default_factory=Preprocess)


class Lane(Protocol):
    """One engine, loaded. `begin` with a whole shot comes before `run`; what they return is valid until the next call."""

    precision: str
    first_ms: float

    def begin(self, shot: Shot) -> Timed:
        """Run the whole network."""

    def run(self, shot: Shot) -> Timed:
        """Run what the shot asks for."""


def open_lane(spec: LaneSpec) -> Lane:
    """Load the engine. Raises UnsupportedNetwork or Unavailable where it cannot take part."""
    return Ours(spec) if spec.engine == OURS else Peer(spec)


class Ours:
    """The selective engine. Takes pictures once a shot brings one, tensors until then."""

    def __init__(self, spec: LaneSpec) -> None:
        self._net = SelectiveNetwork.load(spec.path, spec.precision, spec.threads, spec.gates, spec.shape, foreign=spec.foreign)
        self._preprocess = spec.preprocess
        self._audits: Audits | None = None
        self.precision = "int8" if self._net.graph.is_quantised else "f32" if spec.precision == "auto" else spec.precision
        self.first_ms = 0.0

    def begin(self, shot: Shot) -> Timed:
        """The first time of all is `first_ms`."""
        if shot.frame is not None and self._audits is None:
            self._net.set_preprocess(self._preprocess)
            self._audits = Audits(self._net, AuditSettings.of(RecomputeSettings()))
        outputs, elapsed_ms = self.run(shot)
        self.first_ms = self.first_ms or elapsed_ms
        return outputs, elapsed_ms

    def run(self, shot: Shot) -> Timed:
        """Raises EngineFault when an audit finds the engine wrong."""
        x = shot.x if shot.frame is None else shot.frame
        start = time.perf_counter()
        outputs = self._net.first(x) if shot.is_whole else self._net.next(x, shot.live)
        if self._audits is not None and shot.frame is not None:
            self._audits.check(shot.frame, outputs, shot.live, shot.ts, shot.frame)
        elapsed_ms = (time.perf_counter() - start) * 1e3
        return list(outputs.values()), elapsed_ms + shot.map_ms


class Peer:
    """A dense engine: the same whatever is live."""

    def __init__(self, spec: LaneSpec) -> None:
        self._engine, self.precision = _open_peer(spec)
        self.first_ms = float(self._engine.first_ms)

    def begin(self, shot: Shot) -> Timed:
        """As any other shot."""
        return self.run(shot)

    def run(self, shot: Shot) -> Timed:
        """All of it."""
        outputs, elapsed_ms = self._engine.infer(shot.x)
        return list(outputs.values()), elapsed_ms


_KINDS = MappingProxyType({"openvino_f32": "f32", "openvino_default": "default", "openvino_int8": "default"})


def _open_peer(spec: LaneSpec) -> tuple[Any, str]:
    """Its libraries are loaded only where it is asked for."""
    if spec.engine == "onnxruntime":
        from edgevision.study.peers.onnx_runtime import OnnxRuntimeDense

        return OnnxRuntimeDense(spec.path, spec.shape, spec.threads), "f32" if spec.precision == "auto" else spec.precision
    from edgevision.study.peers.openvino_dense import OpenVinoDense

    kind = spec.precision if spec.precision == "simulated" else _KINDS[spec.engine]
    engine = OpenVinoDense(spec.path, spec.shape, kind, spec.threads)
    return engine, engine.precision
