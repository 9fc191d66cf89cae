"""Runs nodes that have no selective kernel, whole, through OpenVINO, whenever what they read changed. One of OpenVINO's doors.

Always by this one path, so that the same input gives the same bits. In: planes or loose arrays. Out: planes, compared bit by bit and
marked live where they differ, or loose arrays. Keeps one infer request a camera.

The whole network can be compiled here, too, for foreign mode.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Core, Layout, Model, Shape, Type, get_version, opset13
from openvino import Tensor as OpenVinoTensor
from openvino.preprocess import PrePostProcessor

from edgevision.errors import UnsupportedNetwork
from edgevision.kernels.forms import Backend, Plane
from edgevision.kernels.plain.runs import forget
from edgevision.kernels.plain.store import decode, encode
from edgevision.recompute.copies import TensorOf
from edgevision.recompute.graph import Graph, as_written, read_graph
from edgevision.recompute.memory import Memory
from edgevision.recompute.plan import IslandStep, Tensor


def compile_island(step: IslandStep, graph: Graph, threads: int) -> Any:
    """OpenVINO's compiled model of the island alone, in f32. Cuts the graph's own model: each node belongs to one island only."""
    ports = [graph.ports[tensor] for tensor, _ in step.sources]
    parameters = [opset13.parameter(port.get_partial_shape(), port.get_element_type()) for port in ports]
    _cut([graph.ports[tensor] for tensor, _ in step.targets], dict(zip(map(_key, ports), parameters, strict=True)))
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
    }
    try:
        model = Model([graph.ports[tensor] for tensor, _ in step.targets], parameters, step.name)
        return Core().compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise UnsupportedNetwork(f"{graph.path}: node '{step.name}': OpenVINO cannot run it: {str(error).splitlines()[-1]}") from error


def _cut(targets: list[Any], parameters: Mapping[tuple[str, int], Any]) -> None:
    """Let all between the parameters' ports and the targets read the parameters. By port: a file may give many nodes one name."""
    waiting = [port.get_node() for port in targets]
    seen = {node.get_name() for node in waiting}
    while waiting:
        for entrance in waiting.pop().inputs():
            source = entrance.get_source_output()
            if _key(source) in parameters:
                entrance.replace_source_output(parameters[_key(source)].output(0))
            elif source.get_node().get_name() not in seen:
                seen.add(source.get_node().get_name())
                waiting.append(source.get_node())


def _key(port: Any) -> tuple[str, int]:
    return port.get_node().get_name(), port.get_index()


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A whole network compiled. Its input is read as a plane holds it, (row, column, channel); bytes, as what they stand for."""

    compiled: Any
    entrance: Tensor

    def request(self) -> tuple[Any, NDArray[Any]]:
        """An infer request of one camera, and the array (row, column, channel) that it reads, to be written by `feed`."""
        tensor, store = self.entrance, self.entrance.store
        request = self.compiled.create_infer_request()
        if store.kind == "u8":
            planes = np.zeros((1, tensor.channels, tensor.height, tensor.width), np.float32)
            request.set_input_tensor(_tensor(planes, "f32"))
            return request, planes[0].transpose(1, 2, 0)
        array = np.zeros((1, tensor.height, tensor.width, tensor.channels), store.dtype)
        request.set_input_tensor(_tensor(array, store.kind))
        return request, array[0]

    def feed(self, array: NDArray[Any], held: NDArray[Any]) -> None:
        """Write what a plane holds. Channel by channel: they are few, and NumPy's inner loop is then over rows."""
        store = self.entrance.store
        table = decode(np.arange(256, dtype=np.uint8), store) if store.kind == "u8" else None
        for channel in range(array.shape[2]):
            if table is None:
                np.copyto(array[:, :, channel], held[:, :, channel])
            else:
                np.take(table, held[:, :, channel], out=array[:, :, channel], mode="clip")


def _tensor(array: NDArray[Any], kind: str) -> Any:
    """OpenVINO's view of the array. NumPy has no bf16, so that its words are told by name."""
    return OpenVinoTensor(array, Shape(array.shape), Type.bf16) if kind == "bf16" else OpenVinoTensor(array, shared_memory=True)


def compile_whole(graph: Graph, entrance: Tensor, precision: str, threads: int) -> Whole:
    """The network in OpenVINO as a user would run it in `precision`; int8 files as they are. Raises UnsupportedNetwork."""
    again = read_graph(graph.path, graph.shapes[graph.input])
    if again.sha256 != graph.sha256:
        raise UnsupportedNetwork(f"{graph.path}: the file was replaced while in use; restart to use the new one")
    settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "ENABLE_CPU_PINNING": False}
    if precision != "int8":
        settings["INFERENCE_PRECISION_HINT"] = precision
    model = as_written(graph.path, graph.shapes[graph.input]) if precision == "int8" else again.model
    steps, kind = PrePostProcessor(model), entrance.store.kind
    if kind != "u8":  # as an operator of its own the way from bytes to floats would take as long as the network
        steps.input().tensor().set_layout(Layout("NHWC")).set_element_type({"f32": Type.f32, "bf16": Type.bf16}[kind])
        steps.input().model().set_layout(Layout("NCHW"))
    if kind == "bf16":
        steps.input().preprocess().convert_element_type(Type.f32)
    try:
        compiled = Core().compile_model(steps.build(), "CPU", settings)
    except RuntimeError as error:
        raise UnsupportedNetwork(f"{graph.path}: OpenVINO cannot run it whole: {str(error).splitlines()[-1]}") from error
    if len(compiled.outputs) != len(graph.outputs):
        raise UnsupportedNetwork(f"{graph.path}: two outputs share a name; name each output once")
    return Whole(compiled, entrance)


def machine() -> tuple[str, str]:
    """The CPU's name and OpenVINO's version."""
    return str(Core().get_property("CPU", "FULL_DEVICE_NAME")), get_version()


@dataclass(slots=True, eq=False)
class Island:
    """One island of one camera. `sources`: name, where it lies if it is a picture, and the array that OpenVINO reads.

    `has_moved` while a picture that it reads or writes lies elsewhere than at the last call.
    """

    step: IslandStep
    memory: Memory
    backend: Backend
    request: Any
    sources: tuple[tuple[str, TensorOf | None, NDArray[Any]], ...]
    targets: Mapping[str, Plane]
    pixels: int = 0
    seconds: float = 0.0
    has_moved: bool = False

    @property
    def live_fraction(self) -> float:
        """An island runs whole or not at all."""
        return float(self.pixels)

    def __call__(self, everything: bool) -> None:
        """Run if a source changed."""
        began = time.perf_counter()
        self.pixels = 0
        for plane in self.targets.values():
            if plane.live_px:
                forget(plane)
        self.memory.fresh.difference_update(name for name, is_picture in self.step.targets if not is_picture)
        if self._feed(everything or self.has_moved):
            self.pixels = 1
            self._run()
        self.seconds = time.perf_counter() - began

    def _feed(self, everything: bool) -> bool:
        """Copy what changed to where OpenVINO reads it; whether anything did."""
        is_fed = False
        for name, picture, array in self.sources:
            if everything or (picture.is_live if picture else name in self.memory.fresh):
                is_fed = True
                if picture:
                    picture.copy_to(array)
                else:
                    array[...] = self.memory.loose[name]
        return is_fed or everything

    def _run(self) -> None:
        self.request.infer()
        for place, (name, is_picture) in enumerate(self.step.targets):
            result = self.request.get_output_tensor(place).data
            if is_picture:
                self._store(self.targets[name], result[0].transpose(1, 2, 0))
            elif name not in self.memory.loose or not _same_bits(self.memory.loose[name], result):
                self.memory.loose[name] = np.array(result)
                self.memory.fresh.add(name)

    def _store(self, plane: Plane, new: NDArray[np.float32]) -> None:
        old, held = plane.values, np.ascontiguousarray(encode(np.ascontiguousarray(new), plane.store))
        bits = f"u{held.itemsize}"
        hit = (held.view(bits) != np.ascontiguousarray(old).view(bits)).any(axis=2)
        old[hit] = held[hit]
        plane.live[...] = hit
        plane.live_px = self.backend.scan(plane.live, plane.live, plane.extent)


def _same_bits(a: NDArray[Any], b: NDArray[Any]) -> bool:
    return a.shape == b.shape and a.tobytes() == b.tobytes()


def bind_island(step: IslandStep, compiled: Any, memory: Memory, backend: Backend) -> Island:
    """The island over one camera's Memory."""
    request = compiled.create_infer_request()
    sources = tuple(
        (name, TensorOf(memory, name, ref) if ref else None, request.get_input_tensor(place).data)
        for place, (name, ref) in enumerate(step.sources)
    )
    targets = {name: memory.planes[name] for name, is_picture in step.targets if is_picture}
    return Island(step, memory, backend, request, sources, targets)
