"""Which layers lose what a quantised network loses. In: a float model and a quantised one of it. Out: `Layer`s. Keeps nothing.

A layer is a node with weights: a convolution or a product of matrices. Its own loss is that of a network in which it alone is quantised,
what it reads and its weights; all others are as the float file has them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

WITH_WEIGHTS = ("Convolution", "GroupConvolution", "MatMul")
Answer = list[NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Layer:
    """`loss`: root mean square of what it alone adds, as a share of the output's range; `macs` of one picture."""

    name: str
    macs: float
    loss: float = 0.0


def layers_of(model: Any) -> tuple[Layer, ...]:
    """Those that have weights of their own, in the order in which they run."""
    return tuple(Layer(node.get_friendly_name(), _macs(node)) for node in _weighted(model))


def answers(model: Any, samples: Sequence[NDArray[np.float32]]) -> list[Answer]:
    """The outputs for each sample, in the file's order."""
    compiled = _compiled(model)
    found = []
    for x in samples:
        told = compiled([x])
        found.append([np.array(told[output], np.float32) for output in compiled.outputs])
    return found


def with_one_quantised(plain: Any, quantised: Callable[[], Any], name: str) -> Any:
    """A fresh copy of the quantised model, as `quantised` gives it, in which the layer of that name alone is quantised."""
    model = quantised()
    weights = {node.get_friendly_name(): node.input_value(_place(node)) for node in _weighted(plain)}
    for node in _weighted(model):
        own = node.get_friendly_name()
        if own != name and own in weights:
            held = ov.op.Constant(_values(weights[own]))
            node.input(_place(node)).replace_source_output(held.output(0))
    for node in model.get_ordered_ops():
        if node.get_type_name() == "FakeQuantize":
            for reader in node.output(0).get_target_inputs():
                if reader.get_node().get_friendly_name() != name:
                    reader.replace_source_output(node.input_value(0))
    return model


def _compiled(model: Any) -> Any:
    return ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1})


def _weighted(model: Any) -> list[Any]:
    return [node for node in model.get_ordered_ops() if node.get_type_name() in WITH_WEIGHTS and _place(node) >= 0]


def _place(node: Any) -> int:
    """The input that holds weights; -1 where both are computed from the picture."""
    for place in (1, 0):
        if _constant(node.input_value(place).get_node()) is not None:
            return place
    return -1


def _constant(node: Any) -> Any:
    """The constant behind a node, which quantised weights are scaled after; None where there is none."""
    for _ in range(6):
        if node.get_type_name() == "Constant":
            return node
        if node.get_type_name() not in ("Convert", "Multiply", "Subtract", "Reshape", "FakeQuantize", "Transpose"):
            return None
        node = node.input_value(0).get_node()
    return None


def _values(output: Any) -> NDArray[np.float32]:
    """What an output that depends on no picture holds."""
    node = output.get_node()
    if node.get_type_name() == "Constant":
        return np.asarray(node.get_data(), np.float32)
    compiled = _compiled(ov.Model([output], []))
    return np.array(compiled([])[compiled.outputs[0]], np.float32)


def _macs(node: Any) -> float:
    """Multiplications of one picture: each weight once a place of the output."""
    weights = node.input_value(_place(node)).get_partial_shape()
    told = node.output(0).get_partial_shape()
    if weights.is_dynamic or told.is_dynamic:
        return 0.0
    sizes = list(told.to_shape())
    places = np.prod(sizes[2:]) if node.get_type_name() != "MatMul" else np.prod(sizes[:-1])
    return float(np.prod(list(weights.to_shape())) * max(places, 1))
