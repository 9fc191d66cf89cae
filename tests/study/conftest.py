"""A tiny network for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture
def chain(tmp_path: Path) -> Callable[..., Path]:
    """Writes conv 3x3 -> ReLU -> conv 3x3 with stride 2; `offset` is the bias of the first."""

    def write(shape: tuple[int, ...] = (1, 1, 8, 8), offset: float = 0.0, seed: int = 0, **metadata: str) -> Path:
        random = np.random.default_rng(seed)
        constants = {
            "first": random.uniform(0.1, 1, (2, shape[1], 3, 3)),
            "offset": np.full(2, offset),
            "second": random.uniform(0.1, 1, (1, 2, 3, 3)),
        }
        conv: dict[str, Any] = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
        nodes = [
            helper.make_node("Conv", ["image", "first", "offset"], ["a"], name="one", **conv),
            helper.make_node("Relu", ["a"], ["b"], name="relu"),
            helper.make_node("Conv", ["b", "second"], ["answer"], name="two", strides=[2, 2], **conv),
        ]
        graph = helper.make_graph(
            nodes,
            "chain",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, list(shape))],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, 1, "rows", "columns"])],
            [numpy_helper.from_array(values.astype(np.float32), name) for name, values in constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, metadata)
        path = tmp_path / "chain.onnx"
        onnx.save(model, str(path))
        return path

    return write
