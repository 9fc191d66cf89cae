"""Weights to ONNX. In: layers, weights, facts. Out: a file that carries its own preprocessing in its metadata. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgevision.networks.unet import Layer, shapes

OPSET = 17
ACTIVATIONS = MappingProxyType({"relu": "Relu", "sigmoid": "Sigmoid"})


def write_onnx(
    path: Path,
    steps: Sequence[Layer],
    weights: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
    size_px: tuple[int, int],
    facts: Mapping[str, str],
) -> None:
    """Write the network for pictures of `size_px` (height, width); any other multiple of its stride works after a reshape.

    What no step takes in is an output.
    """
    tensors = [numpy_helper.from_array(np.array([1, 1, 2, 2], dtype=np.float32), "twice")]
    for name, (weight, bias) in weights.items():
        tensors += [numpy_helper.from_array(weight, f"{name}.weight"), numpy_helper.from_array(bias, f"{name}.bias")]
    nodes = [node for step in steps for node in nodes_of(step)]
    height, width = size_px
    entry = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])
    sizes, taken = shapes(steps, height, width), {name for step in steps for name in step.inputs}
    results = [helper.make_tensor_value_info(s.name, TensorProto.FLOAT, [1, *sizes[s.name]]) for s in steps if s.name not in taken]
    model = helper.make_model(
        helper.make_graph(nodes, "edgevision", [entry], results, tensors),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=8,
    )
    helper.set_model_props(model, dict(facts))
    model.producer_name = "edgevision train"
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())


def nodes_of(step: Layer) -> list[onnx.NodeProto]:
    """The ONNX nodes of one step."""
    if step.op == "concat":
        return [helper.make_node("Concat", list(step.inputs), [step.name], name=step.name, axis=1)]
    if step.op == "average":
        return [
            helper.make_node(
                "AveragePool", [step.inputs[0]], [step.name], name=step.name, kernel_shape=[step.kernel] * 2, strides=[step.stride] * 2
            )
        ]
    if step.op == "add":
        return [helper.make_node("Add", list(step.inputs), [step.name], name=step.name)]
    if step.op == "upsample":
        return [
            helper.make_node(
                "Resize",
                [step.inputs[0], "", "twice"],
                [step.name],
                name=step.name,
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        ]
    sums = f"{step.name}.sum" if step.activation in ACTIVATIONS else step.name
    convolution = helper.make_node(
        "Conv",
        [step.inputs[0], f"{step.name}.weight", f"{step.name}.bias"],
        [sums],
        name=f"{step.name}.conv",
        kernel_shape=[step.kernel] * 2,
        strides=[step.stride] * 2,
        pads=[step.kernel // 2 * step.dilation] * 4,
        dilations=[step.dilation] * 2,
    )
    if step.activation not in ACTIVATIONS:
        return [convolution]
    return [convolution, helper.make_node(ACTIVATIONS[step.activation], [sums], [step.name], name=step.name)]
