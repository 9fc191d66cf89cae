"""One convolution layer at a time: ours against OpenVINO's own node, same precision, same threads, taken in turns; prints ratios.

    python benchmarks/kernels.py [--sets stem,deep] [--precision f32,bf16,int8] [--threads 1,2] [--live 0.05] [--avx2] [--json FILE]

OpenVINO's time is what its profile says of the convolution alone (reordering, conversion and the graph's own costs are not in it); ours is
the whole call from Python. `all` is OpenVINO / ours with every pixel live: the median over the rounds of the ratio, and of the best times.
`part` is the same with one square region live, OpenVINO's time taken in proportion. Other load on the machine shows as a gap between
median and best.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

if "--avx2" in sys.argv:  # both libraries look at their environment when they are loaded
    os.environ |= {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "", "ONEDNN_MAX_CPU_ISA": "AVX2"}

import numpy as np
import openvino as ov
from openvino import opset13 as op

from edgevision.kernels import open_backend
from edgevision.kernels.forms import BF16, F32, NO_LIVE, Activation, Backend, Convolve, Plane, Store, Window

# (rows, columns, input channels, output channels, kernel, stride); sizes are of the input
SETS: dict[str, list[tuple[int, int, int, int, int, int]]] = {
    "stem": [(540, 960, 3, 16, 3, 2), (540, 960, 3, 32, 3, 2), (360, 960, 3, 64, 7, 2), (270, 480, 3, 16, 3, 1)],
    "three": [(180, 480, 16, 16, 3, 1), (135, 240, 32, 32, 3, 1), (68, 120, 64, 64, 3, 1), (68, 120, 64, 128, 3, 2)],
    "deep": [(68, 120, 128, 128, 3, 1), (34, 60, 256, 256, 3, 1), (34, 60, 256, 512, 3, 2), (34, 60, 512, 512, 3, 1)],
    "mobile": [
        (180, 320, 16, 96, 1, 1), (180, 320, 96, 24, 1, 1), (90, 160, 24, 144, 1, 1), (90, 160, 144, 32, 1, 1), (45, 80, 64, 384, 1, 1),
        (45, 80, 384, 64, 1, 1), (45, 80, 576, 96, 1, 1), (23, 40, 960, 160, 1, 1), (23, 40, 320, 1280, 1, 1),
    ],
    "bottleneck": [
        (135, 240, 64, 64, 1, 1), (135, 240, 64, 256, 1, 1), (135, 240, 256, 64, 1, 1), (68, 120, 512, 128, 1, 1),
        (68, 120, 128, 512, 1, 1), (68, 120, 512, 1024, 1, 2), (34, 60, 1024, 256, 1, 1), (34, 60, 1024, 1024, 1, 1),
    ],
    "few": [(270, 480, 16, 1, 3, 1), (270, 480, 16, 2, 3, 1), (270, 480, 32, 4, 1, 1), (135, 240, 32, 8, 3, 1), (135, 240, 24, 24, 3, 1)],
}  # fmt: skip

WORTH_SHARING = 4_000_000  # multiplications below which the engine leaves a step to one thread


@dataclass(frozen=True)
class Layer:
    """One row of the table: a geometry, a precision and a number of threads."""

    rows: int
    columns: int
    inputs: int
    outputs: int
    kernel: int
    stride: int
    precision: str
    threads: int

    @property
    def size(self) -> tuple[int, int]:
        return tuple((side + 2 * (self.kernel // 2) - self.kernel) // self.stride + 1 for side in (self.rows, self.columns))

    @property
    def operations(self) -> int:
        return 2 * self.size[0] * self.size[1] * self.inputs * self.outputs * self.kernel**2

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns} {self.inputs}>{self.outputs} {self.kernel}x{self.kernel}/{self.stride}"


def draw_weights(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    weights = random.standard_normal((layer.outputs, layer.inputs, layer.kernel, layer.kernel)) / np.sqrt(layer.inputs) / layer.kernel
    return weights.astype(np.float32), random.standard_normal(layer.outputs).astype(np.float32)


class Ours:
    """The layer over planes of its own. 8-bit tensors span 0 .. 5.1."""

    def __init__(self, layer: Layer, backend: Backend) -> None:
        store = {"f32": F32, "bf16": BF16, "int8": Store("u8", 0.02, 0)}[layer.precision]
        weights, bias = draw_weights(layer)
        factors, pad = None, layer.kernel // 2
        if layer.precision == "bf16":
            weights = (weights.view(np.uint32) & 0xFFFF0000).view(np.float32)
        elif layer.precision == "int8":
            scales = np.abs(weights).max((1, 2, 3)) / 127
            weights, factors = np.rint(weights / scales[:, None, None, None]).astype(np.int8), (scales * 0.02).astype(np.float32)
        form = Convolve(
            Window((layer.kernel,) * 2, (layer.stride,) * 2, (1, 1), (pad, pad)), weights, bias, 1, Activation("relu"), False, factors
        )
        self.source = make_plane((layer.rows, layer.columns, layer.inputs), store, pad)
        self.target = make_plane((*layer.size, layer.outputs), store, 0)
        random = np.random.default_rng(2)
        values = (random.random(self.source.values.shape, np.float32) * 5).astype(np.float32)
        held = {"f32": lambda: values, "bf16": lambda: values.view(np.uint32) >> 16, "int8": lambda: values / np.float32(0.02)}
        self.source.values[...] = held[layer.precision]().astype(store.dtype)
        began = time.perf_counter()
        self.kernel, _ = backend.bind(form, backend.pack(form), (self.source,), self.target, None)
        self.bind_s = time.perf_counter() - began
        self.helper = ThreadPoolExecutor(1) if layer.threads == 2 else None
        self.macs_px = layer.inputs * layer.outputs * layer.kernel**2

    def spoil(self) -> None:
        """Every pixel differs from what the kernel will find."""
        bits = self.target.values.view(f"u{self.target.values.itemsize}")
        np.invert(bits, out=bits)

    def run(self, runs: np.ndarray) -> float:
        """Seconds. The source is read before, as the step before would just have written it."""
        self.spoil()
        self.source.padded.max()
        began = time.perf_counter()
        if self.helper is None or (runs[:, 2] - runs[:, 1]).sum() * self.macs_px < WORTH_SHARING:
            self.kernel(runs, 0, len(runs))
        else:
            half = self.helper.submit(self.kernel, runs, len(runs) // 2, len(runs))
            self.kernel(runs, 0, len(runs) // 2)
            half.result()
        return time.perf_counter() - began


def make_plane(shape: tuple[int, int, int], store: Store, pad: int) -> Plane:
    """Zeros, laid out as a Memory lays out a tensor."""
    height, width, channels = shape
    pitch = -(-channels * store.dtype.itemsize // 4) * 4 // store.dtype.itemsize
    count = (height + 2 * pad) * (width + 2 * pad) * pitch
    raw = np.zeros(count + 128 // store.dtype.itemsize, store.dtype)
    first = (-raw.ctypes.data % 64) // store.dtype.itemsize
    padded = raw[first : first + count].reshape(height + 2 * pad, width + 2 * pad, pitch)[:, :, :channels]
    extent = np.empty((height, 2), np.int32)
    extent[...] = NO_LIVE
    return Plane(padded, pad, pad, height, width, np.zeros((height, width), np.uint8), extent, store=store)


class Theirs:
    """The layer as an OpenVINO model; in int8 a second, small convolution makes it hand on bytes."""

    def __init__(self, layer: Layer) -> None:
        weights, bias = draw_weights(layer)
        picture = op.parameter([1, layer.inputs, layer.rows, layer.columns], np.float32)
        is_int8, pad = layer.precision == "int8", layer.kernel // 2
        node = _quantised(picture, 5.1) if is_int8 else picture
        node = op.convolution(node, _weights(weights, is_int8), [layer.stride] * 2, [pad, pad], [pad, pad], [1, 1])
        node = op.relu(op.add(node, op.constant(bias.reshape(1, -1, 1, 1))))
        if is_int8:
            last = np.random.default_rng(3).standard_normal((8, layer.outputs, 1, 1)).astype(np.float32)
            node = op.convolution(_quantised(node, 5.1), _weights(last, True), [4, 4], [0, 0], [0, 0], [1, 1])
        settings = {
            "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": layer.threads, "ENABLE_CPU_PINNING": False, "PERF_COUNT": True,
            "INFERENCE_PRECISION_HINT": "bf16" if layer.precision == "bf16" else "f32",
        }  # fmt: skip
        self.request = ov.Core().compile_model(ov.Model([node], [picture]), "CPU", settings).create_infer_request()
        values = np.random.default_rng(2).random((1, layer.inputs, layer.rows, layer.columns), np.float32) * np.float32(5)
        self.request.set_input_tensor(ov.Tensor(values))
        self.kind = ""

    def run(self) -> float:
        """Seconds that the convolution took, by OpenVINO's own profile."""
        self.request.infer()
        node = next(one for one in self.request.get_profiling_info() if one.node_type == "Convolution")
        self.kind = node.exec_type
        return node.real_time.total_seconds()


def _quantised(node: Any, top: float) -> Any:
    return op.fake_quantize(node, np.float32(0), np.float32(top), np.float32(0), np.float32(top), 256)


def _weights(weights: np.ndarray, is_int8: bool) -> Any:
    if not is_int8:
        return op.constant(weights)
    top = np.abs(weights).max((1, 2, 3), keepdims=True)
    return op.fake_quantize(op.constant(weights), -top, top, -top, top, 255)


def measure(layer: Layer, backend: Backend, live: float, rounds: int) -> dict[str, Any]:
    """One row."""
    ours, theirs = Ours(layer, backend), Theirs(layer)
    height, width = layer.size
    side = max(1, round((height * width * live) ** 0.5))
    rows, columns = min(side, height), min(side, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    everything = np.array([(row, 0, width) for row in range(height)], np.int32)
    part = np.array([(row, left, left + columns) for row in range(top, top + rows)], np.int32)
    share = rows * columns / (height * width)
    times = []
    for _ in range(rounds + 1):
        time.sleep(0.003)  # a rested process is less often interrupted
        their_s = theirs.run()
        time.sleep(0.003)
        whole_s = ours.run(everything)
        times.append((their_s, whole_s, min(ours.run(part) for _ in range(3))))
    their_s, whole_s, part_s = np.array(times[1:]).T
    best = [values.min() for values in (their_s, whole_s, part_s)]
    return {
        "layer": str(layer), "precision": layer.precision, "threads": layer.threads, "their_ms": best[0] * 1e3, "our_ms": best[1] * 1e3,
        "our_gops": layer.operations / best[1] / 1e9, "all_median": float(np.median(their_s / whole_s)), "all_best": best[0] / best[1],
        "live": share, "part_median": float(np.median(their_s * share / part_s)), "part_best": best[0] * share / best[2],
        "bind_s": ours.bind_s, "theirs": theirs.kind,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--precision", default="f32,bf16,int8")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--live", type=float, default=0.05)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--avx2", action="store_true", help="hold both to AVX2")
    parser.add_argument("--json")
    chosen = parser.parse_args()
    backend, rows = open_backend("compiled"), []
    print(f"{'layer':28} {'prec':5} t {'theirs ms':>9} {'ours ms':>8} {'Gop/s':>6} {'all':>5} {'best':>5} {'part':>5} {'best':>5}")
    for name in chosen.sets.split(","):
        for geometry in SETS[name]:
            for precision in chosen.precision.split(","):
                for threads in chosen.threads.split(","):
                    row = measure(Layer(*geometry, precision, int(threads)), backend, chosen.live, chosen.rounds)
                    rows.append(row)
                    print(
                        f"{row['layer']:28} {precision:5} {threads} {row['their_ms']:9.3f} {row['our_ms']:8.3f} "
                        f"{row['our_gops']:6.0f} "
                        f"{row['all_median']:5.2f} {row['all_best']:5.2f} {row['part_median']:5.2f} {row['part_best']:5.2f} "
                        f"{row['theirs']}",
                        flush=True,
                    )
    if chosen.json:
        with open(chosen.json, "w") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
