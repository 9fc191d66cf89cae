"""Layers bound by memory, one at a time: depthwise convolution, pooling, resizing, sums, activations; ours against OpenVINO's node.

    python benchmarks/kernels_pointwise.py [--layers depthwise,max,..] [--precision f32,bf16,int8] [--rounds 25] [--avx2] [--json FILE]

As `kernels.py`, whose planes it uses: one thread, every pixel live, taken in turns; OpenVINO's time is what its profile says of the node
alone, inside a small network in which its sources come from a layer and its result goes to one, in the precision asked for. Ours is the
whole call. `median` and `best` are OpenVINO / ours, of the medians and of the best times; other load shows as a gap between them.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
from kernels import make_plane  # first: it holds both libraries to AVX2 if asked to
from openvino import opset13 as op

from edgevision.kernels import open_backend
from edgevision.kernels.forms import BF16, F32, Activation, Axis, Backend, Combine, Convolve, Form, Plane, Pool, Resize, Store, Window
from edgevision.kernels.plain.store import encode

# (rows, columns, channels) of the input, kernel, stride, pad
LAYERS: dict[str, list[tuple[int, int, int, int, int, int]]] = {
    "depthwise": [
        (360, 640, 16, 3, 1, 1), (360, 640, 32, 3, 1, 1), (180, 320, 64, 3, 2, 1), (180, 320, 96, 3, 2, 1), (90, 160, 144, 3, 1, 1),
        (45, 80, 384, 3, 1, 1), (23, 40, 960, 3, 1, 1), (90, 160, 64, 5, 1, 2), (180, 320, 64, 5, 2, 2),
    ],
    "max": [(360, 640, 32, 2, 2, 0), (180, 320, 64, 2, 2, 0), (360, 640, 64, 3, 2, 1)],
    "average": [(180, 320, 64, 2, 2, 0), (180, 320, 64, 3, 1, 1)],
    "nearest": [(90, 160, 64, 1, 1, 0), (180, 320, 32, 1, 1, 0)],
    "bilinear": [(90, 160, 64, 1, 1, 0), (180, 320, 32, 1, 1, 0)],
    "add": [(180, 320, 64, 1, 1, 0), (360, 640, 24, 1, 1, 0)],
    "hswish": [(180, 320, 64, 1, 1, 0)],
}  # fmt: skip
TOP = 5.1
NODES = {
    "depthwise": ("GroupConvolution",), "max": ("MaxPool", "Pooling"), "average": ("AvgPool", "Pooling"), "nearest": ("Interpolate",),
    "bilinear": ("Interpolate",), "add": ("Eltwise", "Subgraph", "Add"), "hswish": ("Eltwise", "Subgraph", "HSwish"),
}  # fmt: skip


@dataclass(frozen=True)
class Layer:
    """One row of the table."""

    name: str
    rows: int
    columns: int
    channels: int
    kernel: int
    stride: int
    pad: int
    precision: str

    @property
    def size(self) -> tuple[int, int]:
        if self.name in ("nearest", "bilinear"):
            return 2 * self.rows, 2 * self.columns
        return tuple((side + 2 * self.pad - self.kernel) // self.stride + 1 for side in (self.rows, self.columns))

    @property
    def sources(self) -> int:
        return 2 if self.name == "add" else 1

    def __str__(self) -> str:
        return f"{self.name} {self.rows}x{self.columns}x{self.channels} {self.kernel}x{self.kernel}/{self.stride}"


def draw_weights(layer: Layer) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal((layer.channels, 1, layer.kernel, layer.kernel)) / layer.kernel).astype(np.float32)


def twice(size: int, is_nearest: bool) -> Axis:
    """Every input twice, or the half-pixel mixtures."""
    places = np.arange(2 * size) // 2 if is_nearest else np.maximum((np.arange(2 * size) + 0.5) / 2 - 0.5, 0)
    first = np.floor(places).astype(np.int32)
    return Axis(first, np.minimum(first + 1, size - 1).astype(np.int32), (places - first).astype(np.float32))


def form_of(layer: Layer) -> Form:
    window = Window((layer.kernel,) * 2, (layer.stride,) * 2, (1, 1), (layer.pad,) * 2)
    if layer.name == "depthwise":
        weights, factors = draw_weights(layer), None
        if layer.precision == "int8":
            scales = np.abs(weights).max((1, 2, 3)) / 127
            weights, factors = np.rint(weights / scales[:, None, None, None]).astype(np.int8), (scales * TOP / 255).astype(np.float32)
        return Convolve(window, weights, np.zeros(layer.channels, np.float32), layer.channels, Activation("relu"), False, factors)
    if layer.name in ("max", "average"):
        return Pool(window, layer.name)
    if layer.name in ("nearest", "bilinear"):
        return Resize(*(twice(side, layer.name == "nearest") for side in (layer.rows, layer.columns)), layer.name == "nearest")
    return Combine("add", activation=Activation("relu")) if layer.name == "add" else Combine("copy", activation=Activation("hswish"))


class Ours:
    """The layer over planes of its own."""

    def __init__(self, layer: Layer, backend: Backend) -> None:
        store = {"f32": F32, "bf16": BF16, "int8": Store("u8", TOP / 255, 0)}[layer.precision]
        random, form, shape = np.random.default_rng(2), form_of(layer), (layer.rows, layer.columns, layer.channels)
        self.sources = tuple(make_plane(shape, store, layer.kernel // 2) for _ in range(layer.sources))
        for source in self.sources:
            source.values[...] = encode((random.random(shape, np.float32) * 5).astype(np.float32), store)
        self.target: Plane = make_plane((*layer.size, layer.channels), store, 0)
        self.kernel, _ = backend.bind(form, backend.pack(form), self.sources, self.target, None)
        self.runs = np.array([(row, 0, layer.size[1]) for row in range(layer.size[0])], np.int32)

    def run(self) -> float:
        """Seconds. Every pixel differs from what stands there; the sources were just written, as by the layer before."""
        for plane in (self.target, *self.sources, *self.sources):
            bits = plane.values.view(f"u{plane.values.itemsize}")
            np.invert(bits, out=bits)
        began = time.perf_counter()
        self.kernel(self.runs, 0, len(self.runs))
        return time.perf_counter() - began


class Theirs:
    """The layer in an OpenVINO model, after a 1x1 convolution (or, where that would take it in, a pooling) and before a 2x2 one."""

    def __init__(self, layer: Layer) -> None:
        self.is_int8, self.layer = layer.precision == "int8", layer
        shape = [1, layer.channels, layer.rows, layer.columns]
        pictures = [op.parameter(shape, np.float32) for _ in range(layer.sources)]
        node = self.node(*(self.before(self.bytes(picture)) for picture in pictures))
        node = node if layer.name in ("max", "nearest") else self.bytes(node)
        result = self.convolution(node, 16, 2, 4)
        settings = {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False, "PERF_COUNT": True,
            "INFERENCE_PRECISION_HINT": "bf16" if layer.precision == "bf16" else "f32",
        }  # fmt: skip
        self.request = ov.Core().compile_model(ov.Model([result], pictures), "CPU", settings).create_infer_request()
        for place in range(layer.sources):
            values = np.random.default_rng(2).random(shape, np.float32) * np.float32(5)
            self.request.set_input_tensor(place, ov.Tensor(values))
        self.kind = ""

    def bytes(self, node: Any) -> Any:
        if not self.is_int8:
            return node
        return op.fake_quantize(node, np.float32(0), np.float32(TOP), np.float32(0), np.float32(TOP), 256)

    def weights(self, values: np.ndarray) -> Any:
        if not self.is_int8:
            return op.constant(values)
        top = np.abs(values).max(tuple(range(1, values.ndim)), keepdims=True)
        return op.fake_quantize(op.constant(values), -top, top, -top, top, 255)

    def convolution(self, node: Any, outputs: int, kernel: int, stride: int) -> Any:
        values = np.random.default_rng(3).standard_normal((outputs, self.layer.channels, kernel, kernel)).astype(np.float32) * np.float32(
            0.1
        )
        return op.convolution(node, self.weights(values), [stride] * 2, [0, 0], [0, 0], [1, 1])

    def before(self, node: Any) -> Any:
        if self.layer.name in ("add", "hswish"):
            return op.max_pool(node, [1, 1], [1, 1], [0, 0], [1, 1], [2, 2]).output(0)
        return self.bytes(op.relu(self.convolution(node, self.layer.channels, 1, 1)))

    def node(self, *nodes: Any) -> Any:
        layer, node = self.layer, nodes[0]
        strides, pads, kernel = [layer.stride] * 2, [layer.pad] * 2, [layer.kernel] * 2
        if layer.name == "depthwise":
            weights = self.weights(draw_weights(layer)[:, :, None])
            return op.relu(op.group_convolution(node, weights, strides, pads, pads, [1, 1]))
        if layer.name == "max":
            return op.max_pool(node, strides, [1, 1], pads, pads, kernel).output(0)
        if layer.name == "average":
            return op.avg_pool(node, strides, pads, pads, kernel, True)
        if layer.name in ("nearest", "bilinear"):
            mode, where = ("nearest", "asymmetric") if layer.name == "nearest" else ("linear_onnx", "half_pixel")
            size, axes = np.array(layer.size, np.int64), np.array([2, 3], np.int64)
            return op.interpolate(node, size, mode, "sizes", [0, 0], [0, 0], where, "floor", False, -0.75, axes)
        return op.relu(op.add(*nodes)) if layer.name == "add" else op.hswish(node)

    def run(self) -> float:
        """Seconds that the node took, by OpenVINO's own profile."""
        self.request.infer()
        ran = [one for one in self.request.get_profiling_info() if one.node_type in NODES[self.layer.name] and "undef" not in one.exec_type]
        self.kind = ran[-1].exec_type
        return ran[-1].real_time.total_seconds()


def measure(layer: Layer, backend: Backend, rounds: int) -> dict[str, Any]:
    """One row."""
    ours, theirs, times = Ours(layer, backend), Theirs(layer), []
    for _ in range(rounds + 2):
        time.sleep(0.003)  # a rested process is less often interrupted
        their_s = theirs.run()
        time.sleep(0.003)
        times.append((their_s, ours.run()))
    median, best = np.median(times[2:], axis=0), np.min(times[2:], axis=0)
    return {
        "layer": str(layer), "precision": layer.precision, "their_ms": median[0] * 1e3, "our_ms": median[1] * 1e3,
        "median": median[0] / median[1], "best": best[0] / best[1], "theirs": theirs.kind,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", default=",".join(LAYERS))
    parser.add_argument("--precision", default="f32,bf16,int8")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--avx2", action="store_true", help="hold both to AVX2")
    parser.add_argument("--json")
    chosen = parser.parse_args()
    backend, rows = open_backend("compiled"), []
    print(f"{'layer':32} {'prec':5} {'theirs ms':>9} {'ours ms':>8} {'median':>6} {'best':>5}")
    for name in chosen.layers.split(","):
        for geometry in LAYERS[name]:
            for precision in chosen.precision.split(","):
                row = measure(Layer(name, *geometry, precision), backend, chosen.rounds)
                rows.append(row)
                numbers = f"{row['their_ms']:9.3f} {row['our_ms']:8.3f} {row['median']:6.2f} {row['best']:5.2f}"
                print(f"{row['layer']:32} {precision:5} {numbers} {row['theirs']}", flush=True)
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
