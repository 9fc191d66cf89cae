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

UNARY = ("Relu", "Sigmoid", "Tanh", "HardSwish", "MaxPool", "AveragePool", "Up", "Scale", "Silu", "Softmax", "Split")


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
        elif kind in ("Relu", "Sigmoid", "Tanh", "HardSwish"):
            x = g.node(kind, x)
        elif kind == "Softmax":
            x = g.node("Softmax", x, axis=1)
        seen[(channels, size)] = x
    return x


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
