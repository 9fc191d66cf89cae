"""Random small networks, random masks: exact, alike in both backends, and like OpenVINO."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import openvino
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgevision.kernels import open_backend
from edgevision.recompute.engine import SelectiveNetwork

FUNCTIONS = ("Relu", "Sigmoid", "Tanh", "HardSwish", "Mish", "Elu", "Softplus", "Erf")
MOVING = ("Shuffle", "DepthToSpace", "SpaceToDepth", "Pad", "Crop", "Split", "Tokens")
UNARY = (*FUNCTIONS, *MOVING, "MaxPool", "AveragePool", "Up", "Scale", "Silu", "Softmax", "Excite", "Mask", "Plane", "Transposed")


@st.composite
def recipes(draw):
    """A list of layers: (kind, channels, kernel, stride, group choice)."""
    count = draw(st.integers(1, 5))
    kinds = st.sampled_from(("Conv", "Conv", "Depthwise", "Add", "Concat", *UNARY))
    layer = st.tuples(kinds, st.sampled_from((3, 8, 16)), st.sampled_from((1, 3)), st.sampled_from((1, 2)))
    return (
        draw(st.lists(layer, min_size=count, max_size=count)),
        draw(st.integers(5, 14)),
        draw(st.integers(5, 21)),
        draw(st.integers(0, 99)),
    )


def build(g, recipe):
    """Tensors by size, so that Add and Concat find partners."""
    x, channels, size = "image", 3, g.shape[2:]
    seen = {(channels, size): x}
    for kind, wanted, kernel, stride in recipe:
        if kind == "Conv":
            x, channels = g.conv(x, channels, wanted, kernel, stride, act=""), wanted
            size = tuple((side + stride - 1) // stride for side in size)
        elif kind == "Depthwise":
            x = g.conv(x, channels, channels, kernel, 1, group=channels)
        elif kind in ("Add", "Concat"):
            x, channels = join(g, kind, x, channels, size, seen)
        elif kind in ("MaxPool", "AveragePool"):
            x = g.node(kind, x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
        elif kind == "Up" and max(size) < 30:
            x, size = g.double(x, "nearest" if stride == 1 else "linear"), tuple(2 * side for side in size)
        elif kind == "Scale":
            x = g.node("Mul", x, g.constant(np.linspace(0.5, 1.5, channels).astype(np.float32).reshape(1, -1, 1, 1)))
        elif kind == "Silu":
            x = g.node("Mul", x, g.node("Sigmoid", x))
        elif kind == "Split" and channels % 2 == 0:
            x, channels = split(g, x, channels), channels // 2
        elif kind in FUNCTIONS:
            x = g.node(kind, x)
        elif kind in MOVING:
            x, channels, size = move(g, kind, x, channels, size)
        elif kind == "Transposed" and max(size) < 30:
            weights = g.random.standard_normal((channels, wanted, kernel + 1, kernel + 1)).astype(np.float32) / channels
            x, channels = g.node("ConvTranspose", x, g.constant(weights), strides=[stride] * 2, pads=[1, 0, 0, 1]), wanted
            size = tuple((side - 1) * stride + kernel for side in size)
        elif kind in ("Excite", "Mask", "Plane"):
            x = weigh(g, kind, x, channels, size)
        elif kind == "Softmax":
            x = g.node("Softmax", x, axis=1)
        seen[(channels, size)] = x
    return x


def move(g, kind, x, channels, size):
    """What only rearranges: the new tensor, its channels and size."""
    height, width = size
    if kind == "Shuffle" and channels % 2 == 0:
        cut = g.node("Transpose", reshape(g, x, 1, 2, channels // 2, height, width), perm=[0, 2, 1, 3, 4])
        return reshape(g, cut, 1, channels, height, width), channels, size
    if kind == "DepthToSpace" and channels % 4 == 0 and max(size) < 30:
        mode = "DCR" if channels == 8 else "CRD"
        return g.node("DepthToSpace", x, blocksize=2, mode=mode), channels // 4, (2 * height, 2 * width)
    if kind == "SpaceToDepth" and height % 2 == width % 2 == 0:
        return g.node("SpaceToDepth", x, blocksize=2), channels * 4, (height // 2, width // 2)
    if kind == "Pad":
        mode = "reflect" if min(size) > 2 else "constant"
        return g.node("Pad", x, g.constant(np.array([0, 0, 1, 2, 0, 0, 0, 1])), mode=mode), channels, (height + 1, width + 3)
    if kind == "Crop" and min(size) > 3:
        cut = [g.constant(np.array(values)) for values in ((1, 0), (height, width - 1), (2, 3), (1, 2))]
        return g.node("Slice", x, *cut), channels, (height - 1, width // 2)
    if kind == "Tokens":
        tokens = g.node("Transpose", reshape(g, x, 1, channels, height * width), perm=[0, 2, 1])
        made = g.node("MatMul", tokens, g.constant(g.random.standard_normal((channels, 8)).astype(np.float32)))
        return reshape(g, g.node("Transpose", made, perm=[0, 2, 1]), 1, 8, height, width), 8, size
    return x, channels, size


def reshape(g, x, *shape):
    return g.node("Reshape", x, g.constant(np.array(shape)))


def weigh(g, kind, x, channels, size):
    """By a pooled vector, by a mask of pixels, or by a constant for each pixel."""
    if kind == "Excite":
        return g.node("Mul", x, g.conv(g.node("GlobalAveragePool", x), channels, channels, kernel=1, act="Sigmoid"))
    if kind == "Mask":
        return g.node("Mul", g.conv(x, channels, 1, kernel=1, act="Sigmoid"), x)
    return g.node("Add", x, g.constant(g.random.standard_normal((1, 1, *size)).astype(np.float32)))


def join(g, kind, x, channels, size, seen):
    if kind == "Add":
        other = seen.get((channels, size), x)
        return g.node("Add", x, other), channels
    partner = next(((c, name) for (c, s), name in seen.items() if s == size), (channels, x))
    return g.node("Concat", x, partner[1], axis=1), channels + partner[0]


def split(g, x, channels):
    name = g.node("Split", x, axis=1, num_outputs=2)
    g.nodes[-1].output.extend([f"{name}b"])
    return f"{name}b"


def bits(net):
    return {name: np.ascontiguousarray(plane.values).tobytes() for name, plane in net._memory.planes.items()}


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recipe=recipes(), lanes=st.sampled_from((8, 16)))
def test_random_networks(writer, recipe, lanes):
    layers, height, width, seed = recipe
    g = writer((1, 3, height, width), seed)
    out = build(g, layers)
    if out == "image":
        return
    with tempfile.TemporaryDirectory() as folder:
        path = g.save(Path(folder) / "random.onnx", out)
        check(path, open_backend("compiled", lanes), np.random.default_rng(seed))


def check(path, compiled, random):
    nets = [SelectiveNetwork.load(path, backend=backend) for backend in ("plain", compiled)]
    x = random.standard_normal(nets[0].input_shape).astype(np.float32)
    outputs = [net.first(x) for net in nets]
    expected = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0]
    (got,) = outputs[1].values()
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= 1e-4 * max(np.ptp(expected), 1e-3)
    for _ in range(3):
        x = random.standard_normal(x.shape).astype(np.float32)
        live = random.random(x.shape[2:]) < 0.05
        for net in nets:
            net.next(x, live)
        assert bits(nets[0]) == bits(nets[1])
        assert nets[0].changed == nets[1].changed
    twin = nets[1].sibling()
    twin.first(nets[1].used())
    assert bits(twin) == bits(nets[1])
