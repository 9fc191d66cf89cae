"""What a quantised file says of itself: whole-numbered weights, and where activations become bytes. In: OpenVINO's model, then plain nodes.

Two spellings mean the same. NNCF writes FakeQuantize, and weights as Convert, Multiply of an int8 constant; ONNX's QuantizeLinear and
DequantizeLinear arrive as FakeQuantize, Convert, Convert, Subtract, Multiply. Both become one FakeQuantize whose range is its output's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Float, Store
from edgevision.recompute.node import Node

LEVELS = 256
_OFF_GRID = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class WholeWeights:
    """Weights as `steps` (int8) of `scale` (float64, one or one an output channel, ready to broadcast)."""

    steps: NDArray[np.int8]
    scale: NDArray[np.float64]


def find_weights(model: Any) -> dict[str, WholeWeights]:
    """By friendly name, every constant that is made of whole numbers. To be asked before constants are folded: then the name remains."""
    found: dict[str, WholeWeights] = {}
    for operation in model.get_ordered_ops():
        kind = operation.get_type_name()
        weights = _scaled(operation) if kind == "Multiply" else _faked(operation) if kind == "FakeQuantize" else None
        if weights is not None:
            found[operation.get_friendly_name()] = weights
    return found


def _scaled(multiply: Any) -> WholeWeights | None:
    """(constant - zero) * scale."""
    source, scale = (multiply.input(place).get_source_output().get_node() for place in (0, 1))
    zero: NDArray[Any] | None = np.zeros(())
    if source.get_type_name() == "Subtract":
        zero = _value(source.input(1).get_source_output().get_node())
        source = source.input(0).get_source_output().get_node()
    if source.get_type_name() != "Convert":
        return None
    held = source.input(0).get_source_output().get_node()
    if held.get_type_name() != "Constant" or held.get_element_type().get_type_name() not in ("i8", "u8"):
        return None
    factor = _value(scale)
    if zero is None or factor is None:
        return None
    return _whole(np.array(held.get_data()).astype(np.float64) - zero, np.asarray(factor, np.float64))


def _faked(operation: Any) -> WholeWeights | None:
    """FakeQuantize of a constant: weights that a training tool left in f32."""
    values = [_value(operation.input(place).get_source_output().get_node()) for place in range(5)]
    if any(value is None for value in values):
        return None
    data, low, high, out_low, out_high = (np.asarray(value, np.float64) for value in values)
    last = operation.get_attributes()["levels"] - 1
    if np.any(high <= low) or np.any(out_high <= out_low):
        return None
    scale = (out_high - out_low) / last
    return _whole(np.rint((np.clip(data, low, high) - low) / (high - low) * last) + np.rint(out_low / scale), scale)


def _whole(steps: NDArray[np.float64], scale: NDArray[np.float64]) -> WholeWeights | None:
    if np.any(steps != np.rint(steps)) or steps.min(initial=0) < -128 or steps.max(initial=0) > 127:
        return None
    return WholeWeights(steps.astype(np.int8), scale)


def _value(operation: Any) -> NDArray[Any] | None:
    """A constant's values, also behind a Convert or a Reshape, as float64; None for anything else."""
    kind = operation.get_type_name()
    if kind == "Constant":
        return np.array(operation.get_data())
    if kind not in ("Convert", "Reshape", "Unsqueeze"):
        return None
    inner = _value(operation.input(0).get_source_output().get_node())
    return None if inner is None else inner.astype(np.float64).reshape(tuple(operation.output(0).get_partial_shape().to_shape()))


def store_of(node: Node, constants: Mapping[str, NDArray[Any]]) -> Store | str:
    """How the bytes of a FakeQuantize are held, or why it cannot be done with one byte a value."""
    if int(node.attributes["levels"]) != LEVELS:
        return f"FakeQuantize with {node.attributes['levels']} levels"
    if any(tensor not in constants for tensor in node.inputs[1:]):
        return "FakeQuantize whose range is not constant"
    ranges = [constants[tensor] for tensor in node.inputs[1:]]
    if any(np.unique(values).size != 1 for values in ranges):
        return "FakeQuantize with a range for each channel"
    low, high, out_low, out_high = (float(values.reshape(-1)[0]) for values in ranges)
    scale = (out_high - out_low) / (LEVELS - 1)
    if scale <= 0 or abs(low - out_low) > _OFF_GRID * scale or abs(high - out_high) > _OFF_GRID * scale:
        return "FakeQuantize that also rescales"
    zero = -out_low / scale
    if abs(zero - round(zero)) > _OFF_GRID or not 0 <= round(zero) <= LEVELS - 1:
        return "FakeQuantize without a zero on its grid"
    return Store("u8", float(np.float32(scale)), round(zero))


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """For each channel what a byte is worth, and the byte that stands for 0."""

    scale: NDArray[np.float64]
    zeros: NDArray[np.float64]

    @property
    def store(self) -> Store:
        """Bytes in steps of 1; their zero is the channels' own where they have one in common, else 0."""
        return Store("u8", 1.0, int(self.zeros[0]) if self.is_even else 0)

    @property
    def is_even(self) -> bool:
        """Whether all channels share a zero."""
        return bool(np.all(self.zeros == self.zeros[0]))

    def of_positive(self) -> Grid:
        """The same for values that are never negative, with dead channels, whose range around 0 is less than half a step of the others,
        counted from 0 too: in their range nothing changes, beyond it they stop at twice as much of next to nothing.
        """
        is_odd = self.zeros != 0
        is_dead = (LEVELS - 1 - self.zeros) * self.scale < self.scale.max() / 2
        return Grid(self.scale, np.where(is_odd & is_dead, 0.0, self.zeros))


def channel_grid(node: Node, constants: Mapping[str, NDArray[Any]], channels: int) -> Grid | None:
    """The grid of a FakeQuantize with a range for each channel; None for anything else."""
    if int(node.attributes["levels"]) != LEVELS or any(tensor not in constants for tensor in node.inputs[1:]):
        return None
    ranges = [constants[tensor].astype(np.float64) for tensor in node.inputs[1:]]
    if any(values.size not in (1, channels) or (values.size > 1 and values.shape[-3:] != (channels, 1, 1)) for values in ranges):
        return None
    low, high, out_low, out_high = (np.broadcast_to(values.reshape(-1), (channels,)) for values in ranges)
    scale = (out_high - out_low) / (LEVELS - 1)
    if np.any(scale <= 0) or np.any(abs(low - out_low) > _OFF_GRID * scale) or np.any(abs(high - out_high) > _OFF_GRID * scale):
        return None
    zeros = -out_low / scale
    if np.any(abs(zeros - np.rint(zeros)) > _OFF_GRID) or np.any((zeros < -0.5) | (zeros > LEVELS - 0.5)):
        return None
    return Grid(scale, np.rint(zeros))


@dataclass(slots=True, eq=False)
class Tidied:
    """Nodes and constants with every quantisation as one FakeQuantize."""

    nodes: list[Node]
    constants: dict[str, NDArray[Any]]
    shapes: dict[str, tuple[int, ...]]
    types: dict[str, str]


def tidy(tidied: Tidied, outputs: frozenset[str]) -> None:
    """Fold ONNX's spelling into one FakeQuantize, then move those behind a Concat to before it, where bytes can be written at once."""
    _fold_constants(tidied)
    _fold_dequantise(tidied, outputs)
    _raise_above_concat(tidied, outputs)


def _fold_constants(tidied: Tidied) -> None:
    """Weights that OpenVINO leaves behind a FakeQuantize, as they come out of it."""
    for node in [node for node in tidied.nodes if node.op == "FakeQuantize"]:
        if all(tensor in tidied.constants for tensor in node.inputs):
            data, low, high, out_low, out_high = (tidied.constants[tensor].astype(np.float64) for tensor in node.inputs)
            last = int(node.attributes["levels"]) - 1
            steps = np.rint((np.clip(data, low, high) - low) / (high - low) * last)
            tidied.constants[node.outputs[0]] = (steps / last * (out_high - out_low) + out_low).astype(np.float32)
            tidied.nodes.remove(node)


def _fold_dequantise(tidied: Tidied, outputs: frozenset[str]) -> None:
    readers = _readers(tidied.nodes)
    gone: set[int] = set()
    for place, node in enumerate(tidied.nodes):
        if node.op != "FakeQuantize":
            continue
        chain = _chain(node, readers, tidied.constants, outputs)
        merged = _merged(node, chain, tidied) if chain else node
        if chain and isinstance(store_of(merged, tidied.constants), Store):
            tidied.nodes[place] = merged
            gone.update(id(link) for link in chain)
    tidied.nodes[:] = [node for node in tidied.nodes if id(node) not in gone]


def _readers(nodes: list[Node]) -> dict[str, list[Node]]:
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for tensor in node.inputs:
            readers.setdefault(tensor, []).append(node)
    return readers


def _chain(node: Node, readers: Mapping[str, list[Node]], constants: Mapping[str, Any], outputs: frozenset[str]) -> list[Node]:
    """The Convert, Convert[, Subtract][, Multiply] behind a FakeQuantize, each the only reader; [] where it does not begin so."""
    chain: list[Node] = []
    tensor = node.outputs[0]
    for wanted in ("Convert", "Convert", "Subtract", "Multiply"):
        following = readers.get(tensor, [])
        if tensor in outputs or len(following) != 1 or following[0].op != wanted:
            if wanted == "Subtract" and len(chain) == 2:
                continue
            break
        if wanted in ("Subtract", "Multiply") and following[0].inputs[1] not in constants:
            break
        chain.append(following[0])
        tensor = following[0].outputs[0]
    return chain if len(chain) >= 3 else []


def _merged(node: Node, chain: list[Node], tidied: Tidied) -> Node:
    """The FakeQuantize with the output range that the chain makes of its own."""
    inputs, constants = list(node.inputs), tidied.constants
    for place in (3, 4):
        value = constants[inputs[place]].astype(np.float64)
        for link in chain[2:]:
            operand = constants[link.inputs[1]].astype(np.float64)
            value = value - operand if link.op == "Subtract" else value * operand
        name = f"{chain[-1].name}/range{place}"
        constants[name] = np.squeeze(value).astype(np.float32)
        tidied.shapes[name], tidied.types[name] = constants[name].shape, "f32"
        inputs[place] = name
    return replace(node, inputs=tuple(inputs), outputs=chain[-1].outputs, name=chain[-1].name)


def _raise_above_concat(tidied: Tidied, outputs: frozenset[str]) -> None:
    readers = _readers(tidied.nodes)
    makers = {output: node for node in tidied.nodes for output in node.outputs}
    for node in [node for node in tidied.nodes if node.op == "FakeQuantize"]:
        concat = makers.get(node.inputs[0])
        if (
            concat is None
            or concat.op != "Concat"
            or int(concat.attributes["axis"]) not in (1, -3)
            or len(readers[concat.outputs[0]]) != 1
            or concat.outputs[0] in outputs
        ):
            continue
        if any(tensor in tidied.constants for tensor in concat.inputs) or isinstance(store_of(node, tidied.constants), str):
            continue
        _swap(tidied, concat, node)


def _swap(tidied: Tidied, concat: Node, quantise: Node) -> None:
    raised = []
    for place, tensor in enumerate(concat.inputs):
        name = f"{quantise.name}/part{place}"
        tidied.shapes[name], tidied.types[name] = tidied.shapes[tensor], tidied.types[tensor]
        raised.append(replace(quantise, inputs=(tensor, *quantise.inputs[1:]), outputs=(name,), name=name))
    joined = replace(concat, inputs=tuple(node.outputs[0] for node in raised), outputs=quantise.outputs)
    at = next(place for place, node in enumerate(tidied.nodes) if node is concat)
    tidied.nodes[at : at + 1] = [*raised, joined]
    tidied.nodes[:] = [node for node in tidied.nodes if node is not quantise]


def channel_factors(weights: WholeWeights, channels: int, store: Store) -> Float | None:
    """What an int32 sum of each output channel is worth; None where the scale is not one an output channel."""
    scale = weights.scale
    count = int(np.prod(weights.steps.shape)) // channels
    try:
        spread = np.broadcast_to(scale, weights.steps.shape).reshape(channels, count)
    except ValueError:
        return None
    if np.any(spread != spread[:, :1]):
        return None
    return np.ascontiguousarray((spread[:, 0] * float(np.float32(store.scale))).astype(np.float32))
