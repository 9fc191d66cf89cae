"""Quantised files, in both spellings: what they mean, layer by layer and as a whole, and the exactness of bytes in Memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, save
from openvino import opset13 as op

from edgevision.errors import UnsupportedNetwork
from edgevision.kernels import cpu_has_bf16
from edgevision.kernels.compiled import helpers
from edgevision.recompute.engine import SelectiveNetwork

EXACT = {"INFERENCE_PRECISION_HINT": "f32", "LP_TRANSFORMS_MODE": "NO"}


def constant(values):
    return op.constant(np.asarray(values, np.float32))


def quantised(x, low: float, high: float):
    return op.fake_quantize(x, constant(low), constant(high), constant(low), constant(high), 256)


def weights(random, shape, channels: int):
    """int8 behind Convert and Multiply, as NNCF writes them."""
    steps = random.integers(-127, 128, shape).astype(np.int8)
    scale = random.uniform(0.001, 0.01, (channels, *[1] * (len(shape) - 1))).astype(np.float32)
    return op.multiply(op.convert(op.constant(steps), "f32"), op.constant(scale))


def on_its_grid(low: float, high: float) -> tuple[float, float]:
    """The range moved so that 0 is one of its 256 values."""
    scale = (high - low) / 255
    zero = round(-low / scale)
    return -zero * scale, (255 - zero) * scale


@st.composite
def layers(draw):
    return {
        "inputs": draw(st.sampled_from((1, 3, 4, 8, 19))),
        "outputs": draw(st.sampled_from((1, 5, 16, 33))),
        "kernel": draw(st.sampled_from((1, 3, 5))),
        "stride": draw(st.sampled_from((1, 2))),
        "is_depthwise": draw(st.booleans()),
        "is_relu": draw(st.booleans()),
        "low": draw(st.sampled_from((0.0, -1.0, -3.0))),
        "seed": draw(st.integers(0, 99)),
    }


def write_layer(folder: Path, layer) -> tuple[Path, float]:
    """One convolution of bytes, its output bytes again; the step of the output."""
    random = np.random.default_rng(layer["seed"])
    inputs = layer["inputs"]
    x = op.parameter([1, inputs, 11, 17], np.float32)
    y = quantised(x, *on_its_grid(layer["low"], 2.0))
    stride, pad = [layer["stride"]] * 2, [layer["kernel"] // 2] * 2
    if layer["is_depthwise"]:
        kernel = weights(random, (inputs, 1, 1, layer["kernel"], layer["kernel"]), inputs)
        y = op.group_convolution(y, kernel, stride, pad, pad, [1, 1])
    else:
        kernel = weights(random, (layer["outputs"], inputs, layer["kernel"], layer["kernel"]), layer["outputs"])
        y = op.convolution(y, kernel, stride, pad, pad, [1, 1])
    count = inputs if layer["is_depthwise"] else layer["outputs"]
    y = op.add(y, constant(random.standard_normal((1, count, 1, 1))))
    y = op.relu(y) if layer["is_relu"] else y
    low, high = on_its_grid(0.0 if layer["is_relu"] else -4.0, 4.0)
    path = folder / "layer.xml"
    ov.save_model(ov.Model([quantised(y, low, high)], [x], "layer"), path, compress_to_fp16=False)
    return path, (high - low) / 255


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layer=layers())
def test_a_layer_is_within_a_step_of_openvino(layer):
    """Of its int8 as it ships, and all but ties equal to what the file says."""
    with tempfile.TemporaryDirectory() as folder:
        path, step = write_layer(Path(folder), layer)
        nets = [SelectiveNetwork.load(path, backend=backend) for backend in ("plain", "compiled")]
        assert nets[0].plan.precision(nets[0].plan.steps[0]) == "int8"
        x = np.random.default_rng(1).uniform(-2, 3, nets[0].input_shape).astype(np.float32)
        plain, compiled = (next(iter(net.first(x).values())) for net in nets)
        assert plain.tobytes() == compiled.tobytes()
        for hints in ({}, EXACT):
            expected = ov.Core().compile_model(path, "CPU", hints)(x)[0]
            assert np.abs(plain - expected).max() <= step * 1.001
        assert (np.abs(plain - expected) > step / 2).mean() < 0.01


class QdqWriter:
    """An ONNX file with QuantizeLinear and DequantizeLinear around every convolution."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants = [], []

    def constant(self, values) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), f"k{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, kind: str, *inputs: str, **attributes) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [f"t{len(self.nodes)}"], name=f"n{len(self.nodes)}", **attributes))
        return self.nodes[-1].output[0]

    def quantise(self, x: str, scale: float, zero: int) -> str:
        names = self.constant(np.float32(scale)), self.constant(np.uint8(zero))
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *names), *names)

    def conv(self, x: str, inputs: int, outputs: int, group: int = 1, **more) -> str:
        steps = self.random.integers(-127, 128, (outputs, inputs // group, 3, 3)).astype(np.int8)
        names = self.constant((0.03 / np.sqrt(inputs / group) * self.random.uniform(0.5, 1, outputs)).astype(np.float32))
        kernel = self.node("DequantizeLinear", self.constant(steps), names, self.constant(np.zeros(outputs, np.int8)), axis=0)
        bias = self.constant(self.random.standard_normal(outputs).astype(np.float32))
        return self.node("Conv", x, kernel, bias, kernel_shape=[3, 3], pads=[1] * 4, group=group, **more)

    def save(self, path: Path, output: str) -> Path:
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 20, 28])
        made = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "graph", [image], [made], self.constants)
        save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
        return path


def write_qdq(path: Path) -> Path:
    """A stem, a pool, a residual block, a depthwise layer, a concat of different scales, a head."""
    g = QdqWriter()
    x = g.quantise(g.node("Relu", g.conv(g.quantise("image", 0.03, 120), 3, 16, strides=[2, 2])), 0.05, 0)
    x = g.node("MaxPool", x, kernel_shape=[2, 2], strides=[1, 1], pads=[0, 0, 1, 1])
    y = g.quantise(g.conv(g.quantise(g.node("Relu", g.conv(x, 16, 16)), 0.05, 0), 16, 16), 0.08, 130)
    x = g.quantise(g.node("Relu", g.node("Add", y, x)), 0.06, 0)
    z = g.quantise(g.node("Clip", g.conv(x, 16, 16, group=16), g.constant(np.float32(0)), g.constant(np.float32(6))), 6 / 255, 0)
    joined = g.quantise(g.node("Concat", x, z, axis=1), 0.05, 0)
    return g.save(path, g.conv(joined, 32, 5))


@pytest.fixture(scope="module")
def qdq(tmp_path_factory) -> Path:
    return write_qdq(tmp_path_factory.mktemp("qdq") / "qdq.onnx")


def test_every_step_of_a_qdq_file_runs_in_int8(qdq):
    net = SelectiveNetwork.load(qdq)
    assert {net.plan.precision(step) for step in net.plan.steps} == {"int8"}
    assert [step.op for step in net.plan.steps].count("copy") == 2, "only what the file rounds twice is copied"


def test_a_qdq_file_means_what_openvino_takes_it_for(qdq, random):
    net = SelectiveNetwork.load(qdq)
    x = random.uniform(-3, 3, net.input_shape).astype(np.float32)
    (got,) = net.first(x).values()
    expected = ov.Core().compile_model(qdq, "CPU", EXACT)(x)[0]
    assert np.abs(got - expected).mean() < 0.002 * np.ptp(expected)


def bits(net):
    return {name: plane.padded.tobytes() for name, plane in net._memory.planes.items()}


needs_bf16 = pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not multiply bf16")


@pytest.mark.parametrize("precision", [pytest.param("bf16", marks=needs_bf16), "int8"])
@pytest.mark.parametrize("threads", [1, 2])
def test_memory_is_bit_identical_to_first(qdq, unet_linear, precision, threads, random, monkeypatch):
    monkeypatch.setattr(helpers, "WORTH_SHARING_NS", 5_000)
    net = SelectiveNetwork.load(qdq if precision == "int8" else unet_linear, precision, threads)
    oracle = SelectiveNetwork.load(qdq if precision == "int8" else unet_linear, precision, backend="plain")
    x = random.standard_normal(net.input_shape).astype(np.float32)
    net.first(x)
    oracle.first(x)
    assert bits(net) == bits(oracle)
    for share in (0.0, 0.001, 0.02, 0.3, 1.0):
        x = random.standard_normal(net.input_shape).astype(np.float32)
        live = random.random(net.input_shape[2:]) < share
        net.next(x, live)
    twin = net.sibling()
    twin.first(net.used())
    assert bits(twin) == bits(net)
    assert not net.verify()


@needs_bf16
@pytest.mark.parametrize("backend", ["plain", "compiled"])
def test_an_infinity_in_the_channel_beside_does_not_spread(writer, tmp_path, random, backend):
    """Three channels joined with a fourth lie as three with a filling would; the fourth overflows, the first three are read alone."""
    g = writer((1, 4, 9, 13))
    beside = g.constant(np.array([0, 0, 0, 3e38], np.float32).reshape(1, 4, 1, 1))
    three, fourth = g.conv("image", 4, 3, kernel=1, act=""), g.node("Conv", "image", beside, kernel_shape=[1, 1])
    joined = g.node("Relu", g.node("Concat", three, fourth, axis=1))
    net = SelectiveNetwork.load(g.save(tmp_path / "beside.onnx", g.conv(three, 3, 4, act=""), joined), "bf16", backend=backend)
    x = random.standard_normal(net.input_shape).astype(np.float32)
    x[0, 3] = 1e-3
    net.first(x)
    x[0, 3, 4, 6] = 5
    outputs = net.next(x, np.ones((9, 13), bool))
    assert np.isinf(outputs[joined]).any()
    assert np.isfinite(next(iter(outputs.values()))).all()


@needs_bf16
def test_bf16_is_no_further_from_f32_than_twice_openvino(unet, random):
    net, exact = SelectiveNetwork.load(unet, "bf16"), SelectiveNetwork.load(unet)
    x = random.standard_normal(net.input_shape).astype(np.float32)
    (ours,), (expected,) = net.first(x).values(), exact.first(x).values()
    theirs = ov.Core().compile_model(unet, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})(x)[0]
    error = np.abs(theirs - expected)
    assert error.any()
    assert np.abs(ours - expected).mean() <= 2 * error.mean()
    assert np.abs(ours - expected).max() <= 2 * error.max()


def test_precision_that_the_file_does_not_have(qdq, unet):
    with pytest.raises(UnsupportedNetwork, match="edgevision quantize"):
        SelectiveNetwork.load(unet, "int8")
    with pytest.raises(UnsupportedNetwork, match="runs in int8"):
        SelectiveNetwork.load(qdq, "f32")


def test_ranges_by_channel_go_into_a_depthwise_convolution(tmp_path, random):
    """NNCF gives the input of a depthwise convolution a range for each channel: bytes in units of their own, no floats in between."""
    x = op.parameter([1, 3, 11, 17], np.float32)
    y = op.clamp(op.convolution(quantised(x, *on_its_grid(-2, 2)), weights(random, (8, 3, 3, 3), 8), [1, 1], [1, 1], [1, 1], [1, 1]), 0, 6)
    high = random.uniform(1, 6, (1, 8, 1, 1))
    low = np.zeros_like(high)
    y = op.fake_quantize(y, constant(low), constant(high), constant(low), constant(high), 256)
    y = op.group_convolution(y, weights(random, (8, 1, 1, 3, 3), 8), [1, 1], [1, 1], [1, 1], [1, 1])
    ov.save_model(ov.Model([y], [x], "net"), tmp_path / "net.xml", compress_to_fp16=False)
    net = SelectiveNetwork.load(tmp_path / "net.xml", backend="plain")
    assert [step.op for step in net.plan.steps] == ["conv 3x3", "depthwise 3x3"]
    assert {net.plan.precision(step) for step in net.plan.steps} == {"int8"}
    picture = random.uniform(-2, 2, net.input_shape).astype(np.float32)
    (got,) = net.first(picture).values()
    expected = ov.Core().compile_model(tmp_path / "net.xml", "CPU", EXACT)(picture)[0]
    assert np.abs(got - expected).max() < 0.02 * np.ptp(expected)
    assert np.median(np.abs(got - expected)) < 1e-5


@pytest.mark.parametrize("is_read_inside", [False, True])
def test_an_output_with_ranges_by_channel_is_not_left_in_steps(tmp_path, random, is_read_inside):
    """Who looks at the output sees values, also where the depthwise convolution behind it takes bytes."""
    x = op.parameter([1, 3, 7, 9], np.float32)
    y = op.relu(op.convolution(x, weights(random, (5, 3, 3, 3), 5), [1, 1], [1, 1], [1, 1], [1, 1]))
    high = random.uniform(0.5, 3, (1, 5, 1, 1))
    low = np.zeros_like(high)
    y = op.fake_quantize(y, constant(low), constant(high), constant(low), constant(high), 256)
    behind = op.group_convolution(y, weights(random, (5, 1, 1, 3, 3), 5), [1, 1], [1, 1], [1, 1], [1, 1])
    ov.save_model(ov.Model([y, behind] if is_read_inside else [y], [x], "net"), tmp_path / "net.xml", compress_to_fp16=False)
    net = SelectiveNetwork.load(tmp_path / "net.xml", backend="plain")
    picture = random.standard_normal(net.input_shape).astype(np.float32)
    expected = ov.Core().compile_model(tmp_path / "net.xml", "CPU", EXACT)(picture)
    for place, got in enumerate(net.first(picture).values()):
        assert np.abs(got - expected[place]).max() <= 0.02 * np.ptp(expected[place])
