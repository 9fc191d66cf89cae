"""What each layer that multiplies reads, in two whole runs: the values for `study.live_count`.

In: a network file, inputs (1, C, H, W) in pairs. Out: the layers' geometry, the share of live work of each pair. OpenVINO runs the
network in f32 with those tensors made outputs; a position's value there depends on what its window holds alone. A quantised file's
FakeQuantize are worked out as they are written, so that what rounding swallows is no change.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.study.live_count import MacLayer, Window, live_macs_share
from edgevision.study.peers.openvino_model import compile_model, read_model

_CONVOLUTIONS = MappingProxyType({
    "Convolution": False, "GroupConvolution": False, "ConvolutionBackpropData": True, "GroupConvolutionBackpropData": True,
})  # fmt: skip
_SETTINGS = MappingProxyType({"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": False, "ENABLE_CPU_PINNING": False})


class LayerInputs:
    """One network, run whole for the values that its layers read."""

    def __init__(self, path: Path, shape: tuple[int, ...], threads: int = 1) -> None:
        model = read_model(path, shape)
        ports: list[Any] = []
        self.layers = [layer for operation in model.get_ordered_ops() if (layer := _layer(operation, ports)) is not None]
        self._places = _expose(model, ports)
        compiled = compile_model(model, {**_SETTINGS, "INFERENCE_NUM_THREADS": threads}, path)
        self._requests = [compiled.create_infer_request() for _ in range(2)]
        self._last: NDArray[np.float32] | None = None

    def live_macs_share(self, before: NDArray[np.float32], after: NDArray[np.float32]) -> float:
        """The share of the network's multiply-accumulates that the change from `before` to `after` asks for."""
        if self._last is None or not np.array_equal(self._last, before):
            self._requests[1].infer([before])
        self._requests.reverse()
        self._requests[1].infer([after])
        self._last = after.copy()
        values = [[request.get_output_tensor(place).data for place in self._places] for request in self._requests]
        return live_macs_share(self.layers, *values)


def _expose(model: Any, ports: list[Any]) -> list[int]:
    """Make the ports outputs of the model; where each is found among them."""
    count = len(model.outputs)
    if ports:
        model.add_outputs(ports)
    return list(range(count, count + len(ports)))


def _layer(operation: Any, ports: list[Any]) -> MacLayer | None:
    """The layer that this operation is, or None; the tensors that it reads are added to `ports`."""
    kind = operation.get_type_name()
    if kind in _CONVOLUTIONS:
        return _convolution(operation, _CONVOLUTIONS[kind], ports)
    return _product(operation, ports) if kind == "MatMul" else None


def _convolution(operation: Any, is_transposed: bool, ports: list[Any]) -> MacLayer:
    weights = tuple(operation.input(1).get_shape())
    before, after = tuple(operation.input(0).get_shape()), tuple(operation.output(0).get_shape())
    pixels = before if is_transposed else after
    # per position: (groups x) outputs x inputs x kernel, that is all of the weights
    macs = int(np.prod(weights)) * int(np.prod(pixels[2:]))
    source = _add(operation.input(0).get_source_output(), ports)
    if len(after) != 4:
        return MacLayer(operation.get_friendly_name(), (source,), macs)
    facts = operation.get_attributes()
    window = Window(
        kernel=(weights[-2], weights[-1]),
        stride=_pair(facts["strides"]),
        dilation=_pair(facts["dilations"]),
        pad=_pads(operation, facts, is_transposed),
        after=(after[2], after[3]),
        is_transposed=is_transposed,
    )
    return MacLayer(operation.get_friendly_name(), (source,), macs, window)


def _pads(operation: Any, facts: Any, is_transposed: bool) -> tuple[int, int]:
    """Begin pads; for `same_upper` and the like as the sizes make them."""
    auto = str(facts.get("auto_pad", "explicit")).lower()
    if auto not in ("same_upper", "same_lower"):
        return _pair(facts["pads_begin"]) if auto != "valid" else (0, 0)
    weights, after = tuple(operation.input(1).get_shape()), tuple(operation.output(0).get_shape())
    before = tuple(operation.input(0).get_shape())
    small, large = (before, after) if is_transposed else (after, before)
    needed = [
        max(0, (small[2 + k] - 1) * facts["strides"][k] + (weights[k - 2] - 1) * facts["dilations"][k] + 1 - large[2 + k]) for k in (0, 1)
    ]
    return (needed[0] // 2, needed[1] // 2) if auto == "same_upper" else (-(-needed[0] // 2), -(-needed[1] // 2))


def _product(operation: Any, ports: list[Any]) -> MacLayer:
    """Rows of the first factor are positions, where the second is constant and the rows lie in its last axis but one."""
    facts = operation.get_attributes()
    sources = [operation.input(place).get_source_output() for place in (0, 1)]
    first, after = tuple(sources[0].get_shape()), tuple(operation.output(0).get_shape())
    depth = first[-2] if facts["transpose_a"] and len(first) > 1 else first[-1]
    macs = int(np.prod(after)) * int(depth)
    is_by_rows = _is_constant(sources[1].get_node()) and not facts["transpose_a"]
    live = [source for source in sources if not _is_constant(source.get_node())]
    rows = int(np.prod(first[:-1])) if is_by_rows and live[:1] == sources[:1] else 1
    return MacLayer(operation.get_friendly_name(), tuple(_add(source, ports) for source in live), macs, rows=rows)


def _is_constant(node: Any) -> bool:
    """Whether nothing of the picture reaches it: weights, also behind a Convert and a Multiply."""
    waiting: list[Any] = [node]
    seen: set[str] = set()
    while waiting:
        one = waiting.pop()
        if one.get_type_name() == "Parameter":
            return False
        sources = [port.get_source_output().get_node() for port in one.inputs()]
        waiting += [source for source in sources if source.get_name() not in seen]
        seen.update(source.get_name() for source in sources)
    return True


def _add(port: Any, ports: list[Any]) -> int:
    """Where `port` stands among `ports`, entered if it is new."""
    key = port.get_node().get_name(), port.get_index()
    for place, known in enumerate(ports):
        if (known.get_node().get_name(), known.get_index()) == key:
            return place
    ports.append(port)
    return len(ports) - 1


def _pair(values: Any) -> tuple[int, int]:
    return int(values[0]), int(values[1])
