"""What an operation can mean here, and the operations with windows. In: a node and its graph. Out: a Meaning, or Unfit with the reason.

To teach the engine an operation: write its reading in one of the `operations_*` files and enter it in the table there; its kernel, if new,
in both backends. Here is what needs plain pictures: convolution, pooling, resizing, quantisation. Keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Combine, Convolve, Float, Form, Pool, Resize, Store, Window
from edgevision.recompute.arrangement import Arrangement
from edgevision.recompute.graph import Graph, Node
from edgevision.recompute.interpolate import axes
from edgevision.recompute.quantised import Grid, channel_grid, store_of


class Unfit(Exception):
    """There is no selective kernel for this node: why. It goes to an island."""


@dataclass(frozen=True, slots=True, eq=False)
class Compute:
    """Forms to apply one after another; `sources` feed the first."""

    forms: tuple[Form, ...]
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """Outputs that are channels of the source: (output, first channel, how many). No work."""

    source: str
    slices: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Join:
    """Channels of several tensors, one after another. No work. `is_private`: nobody else reads the sources."""

    sources: tuple[str, ...]
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Arrange:
    """The output, a tensor of the file, is the source's picture in another order. No work; carried out when somebody looks."""

    source: str
    arrangement: Arrangement


@dataclass(frozen=True, slots=True)
class Quantise:
    """The source, from here on held so; a Grid is one for each channel."""

    store: Store | Grid


Meaning = Compute | View | Join | Quantise | Arrange


def translate(node: Node, graph: Graph) -> Meaning:
    """What the node means. Raises Unfit."""
    if node.op not in _TABLE:
        raise Unfit(f"{node.op} has no selective kernel")
    for tensor in (*node.inputs, node.outputs[0]):
        if tensor not in graph.constants and not is_picture(tensor, graph):
            raise Unfit(f"{node.op} of {list(graph.shapes[tensor])} is not on a picture")
    if all(tensor in graph.constants for tensor in node.inputs):
        raise Unfit(f"{node.op} of constants")
    return _TABLE[node.op](node, graph)


def is_picture(tensor: str, graph: Graph) -> bool:
    """One f32 image: (1, channels, height, width)."""
    shape = graph.shapes[tensor]
    return len(shape) == 4 and shape[0] == 1 and min(shape) > 0 and graph.types[tensor] == "f32"


def _constant(node: Node, graph: Graph, place: int) -> NDArray[np.generic]:
    tensor = node.inputs[place]
    if tensor not in graph.constants:
        raise Unfit(f"{node.op} with an input {place} that is not constant")
    return graph.constants[tensor]


def _floats(node: Node, graph: Graph, place: int) -> Float:
    return np.ascontiguousarray(_constant(node, graph, place), dtype=np.float32)


def _window(node: Node, graph: Graph, kernel: tuple[int, ...]) -> Window:
    """The node's geometry; the end of the padding follows from the output's size."""
    attributes = node.attributes
    (top, left), (height, width) = _padding(node, graph, kernel), kernel
    stride, dilation = attributes["strides"], attributes.get("dilations") or [1, 1]
    return Window((height, width), (int(stride[0]), int(stride[1])), (int(dilation[0]), int(dilation[1])), (top, left))


def _padding(node: Node, graph: Graph, kernel: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns before the picture. `auto_pad` is resolved from the shapes, as the odd one goes to one side or the other."""
    begin = [int(pad) for pad in node.attributes["pads_begin"]]
    mode = str(node.attributes.get("auto_pad", "explicit")).lower()
    if mode not in ("same_upper", "same_lower"):
        return (0, 0) if mode == "valid" else (begin[0], begin[1])
    pads = []
    for axis in (0, 1):
        source, output = graph.shapes[node.inputs[0]][2 + axis], graph.shapes[node.outputs[0]][2 + axis]
        reach = (kernel[axis] - 1) * int((node.attributes.get("dilations") or [1, 1])[axis]) + 1
        total = max(0, (output - 1) * int(node.attributes["strides"][axis]) + reach - source)
        pads.append(total // 2 if mode == "same_upper" else total - total // 2)
    return pads[0], pads[1]


def _convolution(node: Node, graph: Graph) -> Meaning:
    weights = _floats(node, graph, 1)
    groups = 1
    if node.op == "GroupConvolution":
        groups = weights.shape[0]
        weights = weights.reshape(-1, *weights.shape[2:])
    window = _window(node, graph, weights.shape[2:])
    return Compute((Convolve(window, weights, np.zeros(weights.shape[0], np.float32), groups),), node.inputs[:1])


def _batch_norm(node: Node, graph: Graph) -> Meaning:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, as one scale and one shift a channel."""
    place = 0 if node.inputs[0] not in graph.constants else 2
    gamma, beta, mean, variance = (_floats(node, graph, i).astype(np.float64) for i in range(5) if i != place)
    scale = gamma / np.sqrt(variance + float(node.attributes["epsilon"]))
    shift = beta - mean * scale
    return Compute((Combine("mul", scale.astype(np.float32)), Combine("add", shift.astype(np.float32))), (node.inputs[place],))


def _pool(node: Node, graph: Graph) -> Meaning:
    if len(node.outputs) > 1 and graph.uses()[node.outputs[1]]:
        raise Unfit("MaxPool whose indices are read")
    kernel = node.attributes["kernel"]
    window = _window(node, graph, (int(kernel[0]), int(kernel[1])))
    if any(
        (graph.shapes[node.outputs[0]][2 + a] - 1) * window.stride[a] - window.pad[a] >= graph.shapes[node.inputs[0]][2 + a] for a in (0, 1)
    ):
        raise Unfit(f"{node.op} with a window beyond the picture")
    mode = "max" if node.op == "MaxPool" else "average"
    count_pad = mode == "average" and not node.attributes["exclude-pad"]
    if count_pad and _overhangs(node, graph, window):
        raise Unfit("AvgPool that counts padding in its last windows")
    return Compute((Pool(window, mode, count_pad),), node.inputs[:1])


def _overhangs(node: Node, graph: Graph, window: Window) -> bool:
    """Whether rounding up lets the last window reach beyond the declared padding, where OpenVINO counts only what is declared."""
    end = [int(pad) for pad in node.attributes["pads_end"]]
    source, output = graph.shapes[node.inputs[0]][2:], graph.shapes[node.outputs[0]][2:]
    last = [(output[a] - 1) * window.stride[a] - window.pad[a] + (window.kernel[a] - 1) * window.dilation[a] + 1 for a in (0, 1)]
    return any(last[a] > source[a] + end[a] for a in (0, 1))


def _interpolate(node: Node, graph: Graph) -> Meaning:
    mode = str(node.attributes["mode"])
    source, output = graph.shapes[node.inputs[0]], graph.shapes[node.outputs[0]]
    if mode not in ("nearest", "linear", "linear_onnx") or source[1] != output[1]:
        raise Unfit(f"Interpolate in mode {mode}")
    if node.attributes["antialias"] or any(node.attributes["pads_begin"]) or any(node.attributes["pads_end"]):
        raise Unfit("Interpolate with padding or antialiasing")
    if mode == "linear" and (output[2] < source[2] or output[3] < source[3]):
        raise Unfit("Interpolate linear to a smaller size")
    rows, columns = axes(node.attributes, _scales(node, graph, source, output), source[2:], output[2:])
    return Compute((Resize(rows, columns, mode == "nearest"),), node.inputs[:1])


def _scales(node: Node, graph: Graph, source: tuple[int, ...], output: tuple[int, ...]) -> tuple[float, float]:
    """Output over input along rows and columns: as given, or from the sizes."""
    if str(node.attributes["shape_calculation_mode"]) != "scales" or len(node.inputs) < 2:
        return output[2] / source[2], output[3] / source[3]
    values = _constant(node, graph, 1 if len(node.inputs) < 4 and "f" in _constant(node, graph, 1).dtype.kind else 2).reshape(-1)
    last = len(node.inputs) - 1
    places = [int(axis) for axis in _constant(node, graph, last).reshape(-1)] if values.size != 4 else [0, 1, 2, 3]
    given = {place % 4: float(value) for place, value in zip(places, values, strict=True)}
    return given.get(2, 1.0), given.get(3, 1.0)


def _fake_quantize(node: Node, graph: Graph) -> Meaning:
    store = store_of(node, graph.constants)
    if isinstance(store, Store):
        return Quantise(store)
    grid = channel_grid(node, graph.constants, graph.shapes[node.inputs[0]][1])
    if grid is None:
        raise Unfit(store)
    return Quantise(grid)


_TABLE: Mapping[str, Callable[[Node, Graph], Meaning]] = MappingProxyType(
    {
        "Convolution": _convolution,
        "FakeQuantize": _fake_quantize,
        "GroupConvolution": _convolution,
        "BatchNormInference": _batch_norm,
        "MaxPool": _pool,
        "AvgPool": _pool,
        "Interpolate": _interpolate,
    }
)
