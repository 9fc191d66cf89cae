"""Networks that others trained: each loads and agrees with OpenVINO, first and after changes, or is refused in one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import openvino
import pytest

from edgevision.errors import UnsupportedNetwork
from edgevision.recompute.engine import SelectiveNetwork

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "onnx-models"
NETWORKS = ("mnist", "samplenet_cifar", "ultraface_slim-320_simplified", "yunet_n_320_320", "superres_core_derived")
SHAPES = {"superres_core_derived": (1, 1, 24, 40), "yunet_n_dynamic": (1, 3, 96, 160)}


def path_of(name: str) -> Path:
    path = FOLDER / f"{name}.onnx"
    if not path.is_file():
        message = f"{path} is not here"
        pytest.fail(message) if os.environ.get("CI") == "true" else pytest.skip(message)
    return path


def expected_outputs(path: Path, shape: tuple[int, ...] | None, x: np.ndarray) -> list[np.ndarray]:
    model = openvino.Core().read_model(path)
    if shape:
        model.reshape(list(shape))
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return list(compiled(x).values())


@pytest.mark.parametrize("name", NETWORKS)
def test_agrees_with_openvino(name, random):
    path, shape = path_of(name), SHAPES.get(name)
    net = SelectiveNetwork.load(path, input_shape=shape)
    x = random.standard_normal(net.input_shape).astype(np.float32)
    net.first(x)
    live = np.zeros(x.shape[2:], bool)
    live[3:9, 5:8] = True
    out = net.next(np.where(live, random.standard_normal(x.shape), 0).astype(np.float32), live)
    for got, expected in zip(out.values(), expected_outputs(path, shape, net.used()), strict=True):
        assert got.shape == expected.shape
        assert np.abs(got - expected).max() <= 1e-4 * max(np.ptp(expected), 1e-6)
    assert net.verify() == {}


def test_prepost_inside_the_network_is_refused_in_one_line():
    with pytest.raises(UnsupportedNetwork, match="pre-processing") as caught:
        SelectiveNetwork.load(path_of("superres_with_prepost_op18"))
    assert "\n" not in str(caught.value)
