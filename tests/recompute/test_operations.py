"""Every operation that has a selective kernel, in all its spellings: no island, like OpenVINO, exact after changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
import pytest

from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.plan import IslandStep

SHAPE = (1, 8, 9, 13)
NETWORKS: dict[str, tuple[Callable[[Any], str], tuple[int, ...]]] = {}


def network(shape: tuple[int, ...] = SHAPE) -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
    """Enter a function that writes a network of this input and returns its output."""

    def enter(write: Callable[[Any], str]) -> Callable[[Any], str]:
        NETWORKS[write.__name__] = write, shape
        return write

    return enter


def floats(g: Any, *shape: int) -> str:
    return g.constant(g.random.standard_normal(shape).astype(np.float32))


def whole(g: Any, *values: int) -> str:
    return g.constant(np.array(values, np.int64))


def reshape(g: Any, x: str, *shape: int) -> str:
    return g.node("Reshape", x, whole(g, *shape))


for kind, given in {
    "Elu": {"alpha": 0.7}, "Selu": {}, "Softplus": {}, "Mish": {}, "Gelu": {"approximate": "tanh"}, "Softsign": {}, "HardSwish": {},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4}, "ThresholdedRelu": {"alpha": 0.5}, "LeakyRelu": {"alpha": 0.2}, "Erf": {}, "Abs": {},
    "Neg": {}, "Exp": {}, "Floor": {}, "Ceil": {}, "Round": {}, "Sign": {}, "Sigmoid": {}, "Tanh": {}, "Celu": {"alpha": 0.5},
}.items():  # fmt: skip
    NETWORKS[kind] = (lambda g, kind=kind, given=given: g.node(kind, g.conv("image", 8, 8, act=""), **given)), SHAPE


@network()
def gelu_of_erf(g):
    x = g.conv("image", 8, 8, act="")
    inner = g.node("Erf", g.node("Div", x, g.constant(np.float32(np.sqrt(2)))))
    return g.node("Mul", g.node("Mul", x, g.node("Add", inner, g.constant(np.float32(1)))), g.constant(np.float32(0.5)))


@network()
def swish_with_beta(g):
    x = g.conv("image", 8, 8, act="")
    return g.node("Mul", x, g.node("Sigmoid", g.node("Mul", x, g.constant(np.float32(1.7)))))


@network()
def square_root_and_logarithm(g):
    x = g.node("Add", g.node("Pow", "image", g.constant(np.float32(2))), g.constant(np.float32(0.1)))
    return g.node("Add", g.node("Sqrt", x), g.node("Log", x))


@network()
def division_by_a_picture(g):
    return g.node("Div", g.conv("image", 8, 8), g.node("Add", g.node("Abs", "image"), g.constant(np.float32(1))))


@network()
def a_constant_for_each_pixel(g):
    return g.node("Mul", g.node("Sub", floats(g, 1, 8, 9, 13), "image"), floats(g, 9, 13))


@network()
def constants_in_every_spelling(g):
    x = "image"
    for shape in ((), (1,), (8, 1, 1), (1, 8, 1, 1), (1, 1, 9, 1), (13,), (1, 1, 1, 13), (8, 9, 1)):
        x = g.node("Add", x, floats(g, *shape))
    return x


@network()
def a_mask_of_pixels(g):
    return g.node("Mul", g.conv("image", 8, 8), g.conv("image", 8, 1, act="Sigmoid"))


@network()
def squeeze_and_excite(g):
    x = g.conv("image", 8, 16)
    pooled = g.node("GlobalAveragePool", x)
    gate = g.conv(g.conv(pooled, 16, 4, kernel=1), 4, 16, kernel=1, act="Sigmoid")
    return g.conv(g.node("Mul", x, gate), 16, 4)


@network()
def squeeze_and_excite_by_matrices(g):
    x = g.conv("image", 8, 16)
    pooled = g.node("ReduceMean", x, whole(g, 2, 3), keepdims=0)
    hidden = g.node("Relu", g.node("Gemm", pooled, floats(g, 4, 16), floats(g, 4), transB=1))
    gate = g.node("HardSigmoid", g.node("MatMul", hidden, floats(g, 4, 16)))
    return g.node("Mul", x, reshape(g, gate, 1, 16, 1, 1))


@network()
def spatial_attention(g):
    x = g.conv("image", 8, 8)
    kinds = [g.node(kind, x, whole(g, 1), keepdims=1) for kind in ("ReduceMean", "ReduceMax")]
    return g.node("Mul", x, g.conv(g.node("Concat", *kinds, axis=1), 2, 1, kernel=7, act="Sigmoid"))


@network()
def global_maximum_and_minimum(g):
    return g.node("Concat", g.node("GlobalMaxPool", "image"), g.node("ReduceMin", "image", whole(g, 2, 3)), axis=1)


@network()
def norm_of_each_row(g):
    return g.node("ReduceL2", "image", whole(g, 3), keepdims=0)


@network()
def context_by_resizing_the_mean(g):
    context = g.conv(g.node("GlobalAveragePool", "image"), 8, 4, kernel=1)
    wide = g.node("Resize", context, "", "", whole(g, 1, 4, 9, 13), mode="nearest")
    return g.conv(g.node("Concat", "image", wide, axis=1), 12, 5)


@network()
def softmax_over_channels(g):
    return g.node("Softmax", g.conv("image", 8, 5, act=""), axis=1)


@network()
def logarithm_of_softmax(g):
    return g.node("LogSoftmax", g.conv("image", 8, 5, act=""), axis=1)


@network()
def normalisation_over_channels(g):
    tokens = g.node("Transpose", g.conv("image", 8, 8, act=""), perm=[0, 2, 3, 1])
    made = g.node("LayerNormalization", tokens, floats(g, 8), floats(g, 8), axis=-1, epsilon=1e-5)
    return g.conv(g.node("Transpose", made, perm=[0, 3, 1, 2]), 8, 4)


@network()
def place_of_the_best_channel(g):
    return g.node("ArgMax", g.conv("image", 8, 5, act=""), axis=1, keepdims=0)


@network()
def place_of_the_least_channel(g):
    return g.node("Cast", g.node("ArgMin", "image", axis=1), to=1)


@network()
def softmax_of_tokens(g):
    tokens = g.node("Transpose", reshape(g, g.conv("image", 8, 6, act=""), 1, 6, 117), perm=[0, 2, 1])
    return g.node("Softmax", tokens, axis=2)


@network()
def shuffle_written_out(g):
    x = g.conv("image", 8, 12)
    cut = g.node("Transpose", reshape(g, x, 1, 3, 4, 9, 13), perm=[0, 2, 1, 3, 4])
    return g.conv(reshape(g, cut, 1, 12, 9, 13), 12, 12, group=3)


@network()
def halves_as_shufflenet_cuts_them(g):
    cut = g.node("Transpose", reshape(g, "image", 4, 2, 117), perm=[1, 0, 2])
    cut = reshape(g, cut, 2, -1, 4, 9, 13)
    first, second = (g.node("Gather", cut, g.constant(np.int64(place)), axis=0) for place in (0, 1))
    return g.node("Concat", first, g.conv(second, 4, 4), axis=1)


@network()
def depth_to_space(g):
    return g.conv(g.node("DepthToSpace", "image", blocksize=2, mode="DCR"), 2, 3)


@network()
def depth_to_space_columns_first(g):
    return g.node("DepthToSpace", g.conv("image", 8, 18, act=""), blocksize=3, mode="CRD")


@network()
def pixel_shuffle_written_out(g):
    cut = g.node("Transpose", reshape(g, g.conv("image", 8, 8, act=""), 1, 2, 2, 2, 9, 13), perm=[0, 1, 4, 2, 5, 3])
    return g.node("Relu", g.node("Add", reshape(g, cut, 1, 2, 18, 26), floats(g, 2, 1, 1)))


@network((1, 3, 8, 12))
def space_to_depth(g):
    return g.conv(g.node("SpaceToDepth", "image", blocksize=2), 12, 5)


@network((1, 3, 8, 12))
def focus(g):
    parts = []
    for down, right in ((0, 0), (1, 0), (0, 1), (1, 1)):
        rows = g.node("Slice", "image", whole(g, down), whole(g, 2**62), whole(g, 2), whole(g, 2))
        parts.append(g.node("Slice", rows, whole(g, right), whole(g, 2**62), whole(g, 3), whole(g, 2)))
    return g.conv(g.node("Concat", *parts, axis=1), 12, 5)


@network((1, 4, 8, 8))
def windows_of_tokens(g):
    cut = g.node("Transpose", reshape(g, "image", 1, 4, 2, 4, 2, 4), perm=[0, 2, 4, 3, 5, 1])
    tokens = g.node("Add", g.node("MatMul", reshape(g, cut, 4, 16, 4), floats(g, 4, 6)), floats(g, 6))
    back = g.node("Transpose", reshape(g, g.node("Gelu", tokens), 1, 2, 2, 4, 4, 6), perm=[0, 5, 1, 3, 2, 4])
    return g.conv(reshape(g, back, 1, 6, 8, 8), 6, 3)


@network()
def matrix_over_tokens(g):
    tokens = g.node("Transpose", reshape(g, "image", 1, 8, 117), perm=[0, 2, 1])
    made = g.node("Relu", g.node("Add", g.node("MatMul", tokens, floats(g, 8, 5)), floats(g, 5)))
    return g.conv(reshape(g, g.node("Transpose", made, perm=[0, 2, 1]), 1, 5, 9, 13), 5, 4)


@network()
def matrix_from_the_left(g):
    return reshape(g, g.node("MatMul", floats(g, 5, 8), reshape(g, "image", 1, 8, 117)), 1, 5, 9, 13)


@network()
def matrix_over_the_last_dimension(g):
    return g.node("MatMul", g.node("Transpose", "image", perm=[0, 2, 3, 1]), floats(g, 8, 5))


@network()
def a_padding_of_zeros(g):
    return g.conv(g.node("Pad", "image", whole(g, 0, 0, 1, 2, 0, 0, 3, 0)), 8, 4, pads=[0] * 4)


@network()
def a_padding_of_ones_and_a_cut(g):
    return g.node("Pad", "image", whole(g, 0, 1, 2, 0, 0, 0, 1, -3), g.constant(np.float32(1)))


@network()
def a_padding_by_reflection(g):
    return g.conv(g.node("Pad", "image", whole(g, 0, 0, 2, 3, 0, 0, 1, 2), mode="reflect"), 8, 4, pads=[0] * 4)


@network()
def a_padding_by_the_edge(g):
    return g.conv(g.node("Pad", "image", whole(g, 0, 0, 2, 3, 0, 0, 1, 2), mode="edge"), 8, 4, pads=[0] * 4)


@network()
def a_crop(g):
    return g.node("Slice", g.conv("image", 8, 4), whole(g, 2, -9), whole(g, 8, -1), whole(g, 2, 3))


@network()
def channels_from_every_second_on(g):
    return g.node("Slice", "image", whole(g, 1), whole(g, 8), whole(g, 1), whole(g, 2))


@network()
def channels_backwards(g):
    return g.node("Slice", "image", whole(g, -1), whole(g, -99), whole(g, 1), whole(g, -1))


@network()
def channels_by_name(g):
    return g.node("Gather", "image", whole(g, 2, 0, -1, 2), axis=1)


@network()
def one_channel_without_its_dimension(g):
    return g.node("Gather", "image", g.constant(np.int64(3)), axis=1)


@network()
def splits_of_every_sort(g):
    a = g.node("Split", "image", whole(g, 5, 3), axis=1)
    g.nodes[-1].output.append(f"{a}b")
    b = g.node("Split", f"{a}b", axis=2, num_outputs=3)
    g.nodes[-1].output.extend([f"{b}b", f"{b}c"])
    return g.node("Add", g.node("Add", b, f"{b}b"), g.node("Slice", a, whole(g, 0, 2), whole(g, 3, 5), whole(g, 2, 1)))


@network()
def joined_with_coordinates(g):
    return g.conv(g.node("Concat", floats(g, 1, 2, 9, 13), "image", axis=1), 10, 4)


@network()
def joined_without_a_batch(g):
    flat = g.node("Squeeze", "image", whole(g, 0))
    return g.node("Unsqueeze", g.node("Concat", flat, g.node("Neg", flat), axis=0), whole(g, 0))


def deconvolution(kernel: int, stride: int, group: int = 1, outputs: int = 6, **more: Any) -> Callable[[Any], str]:
    def write(g):
        weights, bias = floats(g, 8, outputs // group, kernel, kernel), floats(g, outputs)
        return g.node("Relu", g.node("ConvTranspose", "image", weights, bias, strides=[stride] * 2, group=group, **more))

    return write


for name, made in {
    "2x2 by 2": deconvolution(2, 2),
    "4x4 by 2": deconvolution(4, 2, pads=[1] * 4),
    "3x3 by 2": deconvolution(3, 2, pads=[1] * 4, output_padding=[1, 1]),
    "3x3 by 2, uneven": deconvolution(3, 2, pads=[0, 2, 1, 0]),
    "3x3 by 3": deconvolution(3, 3, pads=[1] * 4),
    "2x2 by 3": deconvolution(2, 3),
    "5x5 by 1": deconvolution(5, 1, pads=[2] * 4),
    "8x8 by 4": deconvolution(8, 4, pads=[2] * 4),
    "dilated": deconvolution(3, 2, dilations=[2, 3]),
    "dilated by 3": deconvolution(3, 3, dilations=[2, 2]),
    "same upper": deconvolution(3, 2, auto_pad="SAME_UPPER"),
    "same lower": deconvolution(3, 2, auto_pad="SAME_LOWER"),
    "to a size": deconvolution(3, 2, output_shape=[18, 25]),
    "groups": deconvolution(4, 2, group=2, pads=[1] * 4),
    "depthwise": deconvolution(4, 2, group=8, outputs=8, pads=[1] * 4),
}.items():
    NETWORKS[f"transposed {name}"] = made, SHAPE


@network()
def transposed_of_shuffled_channels(g):
    cut = g.node("Transpose", reshape(g, "image", 1, 2, 4, 9, 13), perm=[0, 2, 1, 3, 4])
    return g.node("ConvTranspose", reshape(g, cut, 1, 8, 9, 13), floats(g, 8, 5, 2, 2), strides=[2, 2])


def bits(net: SelectiveNetwork) -> dict[str, bytes]:
    return {name: np.ascontiguousarray(plane.values).tobytes() for name, plane in net._memory.planes.items()}


def agrees(net: SelectiveNetwork, dense: Any, outputs: dict[str, np.ndarray]) -> None:
    (got,), expected = outputs.values(), np.asarray(dense(net.used())[0], np.float32)
    assert got.dtype == np.float32
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * max(np.ptp(expected), 1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_selective_and_exact_and_like_openvino(name, writer, tmp_path):
    write, shape = NETWORKS[name]
    g = writer(shape, seed=len(name))
    path = g.save(tmp_path / "net.onnx", write(g))
    net = SelectiveNetwork.load(path)
    assert not [step.why for step in net.plan.steps if isinstance(step, IslandStep)]
    dense = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    random = np.random.default_rng(0)
    agrees(net, dense, net.first(random.standard_normal(shape).astype(np.float32)))
    twin = net.sibling()
    for share in (0.01, 0.1, 0.5):
        live = random.random(shape[2:]) < share
        agrees(net, dense, net.next(random.standard_normal(shape).astype(np.float32), live))
        twin.first(net.used())
        assert bits(net) == bits(twin)
    before = bits(net)
    net.next(random.standard_normal(shape).astype(np.float32), np.zeros(shape[2:], bool))
    assert bits(net) == before
    assert net.costs.mode == "cached"


def steps_of(g: Any, tmp_path: Any, output: str) -> list[str]:
    return [step.op for step in SelectiveNetwork.load(g.save(tmp_path / "net.onnx", output)).plan.steps]


def test_what_only_moves_costs_nothing_where_it_can(writer, tmp_path):
    """Reshapes to tokens and back leave two convolutions; bias and activation go through a shuffle; a padding joins its convolution."""
    g = writer(SHAPE)
    assert steps_of(g, tmp_path, NETWORKS["matrix_over_tokens"][0](g)) == ["conv 1x1", "conv 3x3"]
    g = writer(SHAPE)
    assert steps_of(g, tmp_path, NETWORKS["pixel_shuffle_written_out"][0](g)) == ["conv 3x3"]
    g = writer(SHAPE)
    assert steps_of(g, tmp_path, NETWORKS["a_padding_of_zeros"][0](g)) == ["conv 3x3"]
    g = writer(SHAPE)
    assert steps_of(g, tmp_path, NETWORKS["transposed 2x2 by 2"][0](g)) == ["conv 1x1", "rearrange"]


def test_a_pooled_vector_costs_the_rows_that_changed_until_it_moves(writer, tmp_path, random):
    g = writer((1, 8, 40, 40))
    x = g.conv("image", 8, 8)
    path = g.save(tmp_path / "net.onnx", g.node("Mul", x, g.node("GlobalAveragePool", x)))
    net = SelectiveNetwork.load(path, gate={"*": 0.0, "globalaveragepool2": 0.9})
    picture = random.standard_normal(net.input_shape).astype(np.float32)
    net.first(picture)
    live = np.zeros((40, 40), bool)
    live[10, 10] = True
    net.next(picture + np.float32(0.01), live)
    shares = {step.name: step.live_fraction for step in net.costs.steps}
    assert shares["globalaveragepool2/rows"] <= 4 / 40
    assert shares["globalaveragepool2"] == 1
    assert shares["mul3"] < 0.02
    assert "all live when it moves" in str(net.plan)


def test_places_of_an_argmax_are_floats_in_the_files_shape(writer, tmp_path, random):
    g = writer(SHAPE)
    net = SelectiveNetwork.load(g.save(tmp_path / "net.onnx", g.node("ArgMax", "image", axis=1, keepdims=0)))
    x = random.standard_normal(SHAPE).astype(np.float32)
    (out,) = net.first(x).values()
    assert out.dtype == np.float32
    assert np.array_equal(out, x.argmax(axis=1))


def bytes_of(g: Any, x: str, scale: float = 0.03, zero: int = 0) -> str:
    ends = g.constant(np.float32(scale)), g.constant(np.uint8(zero))
    return g.node("DequantizeLinear", g.node("QuantizeLinear", x, *ends), *ends)


def whole_weights(g: Any, axis: int, *shape: int) -> str:
    """Random int8 weights with a scale for each place along an axis."""
    scale = np.full(shape[axis], 0.002, np.float32) * np.arange(1, shape[axis] + 1, dtype=np.float32)
    steps = g.constant(g.random.integers(-127, 128, shape).astype(np.int8))
    return g.node("DequantizeLinear", steps, g.constant(scale), g.constant(np.zeros(len(scale), np.int8)), axis=axis)


def whole_convolution(g: Any, x: str, inputs: int, outputs: int, kernel: int = 3) -> str:
    return g.node("Conv", x, whole_weights(g, 0, outputs, inputs, kernel, kernel), pads=[kernel // 2] * 4)


def whole_deconvolution(g: Any, x: str) -> str:
    made = g.node("ConvTranspose", x, whole_weights(g, 1, 8, 4, 4, 4), floats(g, 4), strides=[2, 2], pads=[1] * 4)
    return bytes_of(g, g.node("Relu", made), 0.05)


def whole_excitation(g: Any, x: str) -> str:
    pooled = bytes_of(g, g.node("GlobalAveragePool", x), 0.01)
    gate = g.node("Sigmoid", whole_convolution(g, pooled, 8, 8, 1))
    return bytes_of(g, g.node("Mul", x, bytes_of(g, gate, 1 / 255)))


def whole_matrix(g: Any, x: str) -> str:
    tokens = g.node("Transpose", reshape(g, x, 1, 8, 117), perm=[0, 2, 1])
    made = g.node("Transpose", g.node("MatMul", tokens, whole_weights(g, 1, 8, 6)), perm=[0, 2, 1])
    return bytes_of(g, g.node("Relu", reshape(g, made, 1, 6, 9, 13)), 0.1)


def whole_shuffle(g: Any, x: str) -> str:
    return bytes_of(g, g.node("DepthToSpace", x, blocksize=2, mode="CRD"))


WHOLE = {whole_deconvolution: 4, whole_excitation: 8, whole_matrix: 6, whole_shuffle: 2}


@pytest.mark.parametrize("middle", WHOLE, ids=lambda one: one.__name__)
def test_in_a_quantised_file_the_same_run_in_bytes(middle, writer, tmp_path):
    g = writer(SHAPE)
    x = bytes_of(g, g.node("Relu", whole_convolution(g, bytes_of(g, "image", 0.05, 128), 8, 8)), 0.05)
    path = g.save(tmp_path / "net.onnx", whole_convolution(g, middle(g, x), WHOLE[middle], 5))
    nets = [SelectiveNetwork.load(path, backend=backend) for backend in ("compiled", "plain")]
    plan = nets[0].plan
    assert all(plan.precision(step) == "int8" for step in plan.steps if step.macs_px)
    dense = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    random = np.random.default_rng(0)
    picture = random.standard_normal(SHAPE).astype(np.float32)
    (got,), expected = nets[0].first(picture).values(), dense(picture)[0]
    assert np.mean(np.abs(got - expected) > 0.02 * np.ptp(expected)) < 0.01
    nets[1].first(picture)
    live = random.random(SHAPE[2:]) < 0.1
    picture = random.standard_normal(SHAPE).astype(np.float32)
    for net in nets:
        net.next(picture, live)
    twin = nets[0].sibling()
    twin.first(nets[0].used())
    assert bits(nets[0]) == bits(nets[1]) == bits(twin)
