"""Networks for the tests, written with the onnx package: one operation at a time, or whole U-Nets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


class GraphWriter:
    """Collects nodes; every method returns the name of the tensor it makes."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.shape = shape
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, values: Any) -> str:
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def conv(
        self, x: str, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, act: str = "Relu", group: int = 1, **more: Any
    ) -> str:
        fan = inputs // group * kernel * kernel
        weights = self.random.standard_normal((outputs, inputs // group, kernel, kernel)) * np.sqrt(2 / fan)
        bias = self.random.standard_normal(outputs) * 0.1
        names = self.constant(weights.astype(np.float32)), self.constant(bias.astype(np.float32))
        more.setdefault("pads", [kernel // 2] * 4)
        y = self.node("Conv", x, *names, kernel_shape=[kernel] * 2, strides=[stride] * 2, group=group, **more)
        return self.node(act, y) if act else y

    def double(self, x: str, mode: str = "nearest") -> str:
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        rule = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} if mode == "nearest" else {}
        return self.node("Resize", x, "", scales, mode=mode, **rule)

    def save(self, path: Path, *outputs: str, **metadata: str) -> Path:
        inputs = [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(self.shape))]
        made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "graph", inputs, made, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        for key, value in metadata.items():
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        onnx.save(model, str(path))
        return path


def write_unet(path: Path, height: int = 48, width: int = 64, mode: str = "nearest") -> Path:
    """The form of the shipped network, with random weights."""
    g = GraphWriter((1, 3, height, width))
    one = g.conv(g.conv("image", 3, 16, stride=2), 16, 16)
    two = g.conv(g.conv(one, 16, 32, stride=2), 32, 32)
    three = g.conv(g.conv(two, 32, 64, stride=2), 64, 64)
    two_up = g.conv(g.node("Concat", g.double(three, mode), two, axis=1), 96, 32)
    one_up = g.conv(g.node("Concat", g.double(two_up, mode), one, axis=1), 48, 16)
    head = g.node("Sigmoid", g.conv(one_up, 16, 4, kernel=1, act=""))
    g.nodes[-1].output[0] = "defect"
    return g.save(path, "defect" if head else "", mean="0.5, 0.5, 0.5", std="0.25,0.25,0.25", labels="scratch,stain,hole,dent")


@pytest.fixture
def writer() -> Callable[..., GraphWriter]:
    return GraphWriter


@pytest.fixture(scope="session")
def unet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_unet(tmp_path_factory.mktemp("unet") / "unet.onnx")


@pytest.fixture(scope="session")
def unet_linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_unet(tmp_path_factory.mktemp("unet") / "linear.onnx", mode="linear")


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(1)
