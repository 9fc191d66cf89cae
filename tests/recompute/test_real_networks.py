"""Networks that others trained: each loads and agrees with OpenVINO, first and after changes, or is refused in one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper
import openvino
import pytest

from edgevision.errors import UnsupportedNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.plan import IslandStep

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "onnx-models"
REFUSED = "superres_with_prepost_op18"
NETWORKS = (
    "FastestDet", "SINet_Softmax", "light_resnet50", "light_shufflenet", "light_squeezenet", "mnist", "samplenet_cifar",
    "superres_core_derived", "ultraface_RFB-320", "ultraface_slim-320_simplified", "yunet_n_320_320", "yunet_n_dynamic",
)  # fmt: skip
ISLANDS = {"mnist": "MatMul", "samplenet_cifar": "MatMul", "ultraface_RFB-320": "Concat", "ultraface_slim-320_simplified": "Concat"}
LIGHT = ("light_resnet50", "light_shufflenet", "light_squeezenet")
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
    if name not in LIGHT:
        for got, expected in zip(out.values(), expected_outputs(path, shape, net.used()), strict=True):
            assert got.shape == expected.shape
            assert np.abs(got - expected).max() <= 1e-4 * max(np.ptp(expected), 1e-6)
    assert net.verify() == {}
    assert [step.why.split()[0] for step in net.plan.steps if isinstance(step, IslandStep)] == list(ISLANDS.get(name, "").split())


@pytest.mark.parametrize("name", LIGHT)
def test_gives_the_answer_that_comes_with_the_file(name):
    """Networks of the onnx package's tests, all weights alike: the last bits of sums of 1e9 decide, and OpenVINO's own answer is off."""
    net = SelectiveNetwork.load(path_of(name))
    expected = onnx.TensorProto.FromString((FOLDER / f"{name}_output_0.pb").read_bytes())
    count = int(np.prod(net.input_shape))
    (got,) = net.first((np.arange(count).reshape(net.input_shape) / count).astype(np.float32)).values()
    assert np.abs(got - onnx.numpy_helper.to_array(expected)).max() <= 1e-6


def test_every_network_is_here():
    names = {path.stem for path in FOLDER.glob("*.onnx")}
    assert not names or names == {*NETWORKS, REFUSED}


def test_prepost_inside_the_network_is_refused_in_one_line():
    with pytest.raises(UnsupportedNetwork, match=r"node .pre_process_0. \(com.microsoft.extensions.DecodeImage\)") as caught:
        SelectiveNetwork.load(path_of(REFUSED))
    assert "\n" not in str(caught.value)
