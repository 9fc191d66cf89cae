"""Three networks for `edgevision bench net`: ONNX, random seeded He weights. What they answer means nothing, what they cost does.

    python benchmarks/networks.py DIR [--scale 1.0]

A residual network with a segmentation head and a U-Net at 1080p, an inverted-residual network at 720p. Scale shrinks the pictures alone.
Sides are rounded up to what each network halves: 1080 rows become 1088 where it halves four times.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from math import ceil
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


class Writer:
    """Collects nodes; every method returns the name of the tensor it makes."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: np.ndarray) -> str:
        name = f"k{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def conv(
        self, x: str, channels: tuple[int, int], kernel: int = 3, stride: int = 1, act: str = "Relu", group: int = 1, gain: float = 1.0
    ) -> str:
        """`channels` (in, out). `gain` scales the He weights: what is added to a shortcut is kept small, as training keeps it."""
        fan = channels[0] // group * kernel * kernel
        weights = self.random.standard_normal((channels[1], channels[0] // group, kernel, kernel)) * np.sqrt(2 / fan) * gain
        bias = self.random.standard_normal(channels[1]) * 0.1 * gain
        names = self.constant(weights.astype(np.float32)), self.constant(bias.astype(np.float32))
        y = self.node("Conv", x, *names, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4, group=group)
        if act == "Relu6":
            return self.node("Clip", y, self.constant(np.array(0, np.float32)), self.constant(np.array(6, np.float32)))
        return self.node(act, y) if act else y

    def enlarge(self, x: str, times: int, mode: str = "nearest") -> str:
        scales = self.constant(np.array([1, 1, times, times], np.float32))
        if mode == "nearest":
            return self.node("Resize", x, "", scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor")
        return self.node("Resize", x, "", scales, mode=mode, coordinate_transformation_mode="half_pixel")

    def save(self, path: Path, height: int, width: int) -> Path:
        self.nodes[-1].output[0] = "answer"
        shape = [1, 3, height, width]
        graph = helper.make_graph(
            self.nodes, path.stem,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [1, "channels", "rows", "columns"])],
            self.constants,
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
        helper.set_model_props(model, {"mean": "0.5", "std": "0.25", "scale": "255"})
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
        return path


def residual(w: Writer) -> str:
    """Sixteen basic blocks behind a 7x7 stem and a maximum pool, a 3x3 and a 1x1 head at 1/16, enlarged bilinearly to 1/4."""
    x = w.conv("image", (3, 32), 7, 2)
    x = w.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    inputs = 32
    for outputs, stride, blocks in ((32, 1, 4), (64, 2, 6), (128, 2, 6)):
        for block in range(blocks):
            step = stride if block == 0 else 1
            y = w.conv(w.conv(x, (inputs, outputs), stride=step), (outputs, outputs), act="", gain=0.4)
            shortcut = x if inputs == outputs and step == 1 else w.conv(x, (inputs, outputs), 1, step, act="")
            x = w.node("Relu", w.node("Add", y, shortcut))
            inputs = outputs
    x = w.conv(w.conv(x, (128, 64)), (64, 5), 1, act="")
    return w.enlarge(x, 4, "linear")


def unet(w: Writer) -> str:
    """Five levels, two 3x3 each, from 16 to 256 channels behind a stem that halves; skips joined by concat; a map of the full size."""
    skips, x, inputs = [], "image", 3
    for outputs in (16, 32, 64, 128, 256):
        x = w.conv(w.conv(x, (inputs, outputs), stride=2), (outputs, outputs))
        skips.append((x, outputs))
        inputs = outputs
    for skip, outputs in reversed(skips[:-1]):
        x = w.node("Concat", w.enlarge(x, 2), skip, axis=1)
        x = w.conv(w.conv(x, (inputs + outputs, outputs)), (outputs, outputs))
        inputs = outputs
    return w.node("Sigmoid", w.enlarge(w.conv(x, (16, 4), 1, act="", gain=0.5), 2, "linear"))


def inverted(w: Writer) -> str:
    """Seventeen inverted residual blocks with depthwise 3x3 and ReLU6, a 1x1 head at 1/32."""
    x, inputs = w.conv("image", (3, 32), 3, 2, "Relu6"), 32
    for expansion, outputs, blocks, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2)):
        for block in range(blocks):
            step, hidden = stride if block == 0 else 1, inputs * expansion
            y = w.conv(x, (inputs, hidden), 1, act="Relu6") if expansion > 1 else x
            y = w.conv(y, (hidden, hidden), 3, step, "Relu6", group=hidden)
            y = w.conv(y, (hidden, outputs), 1, act="", gain=0.7)
            x = w.node("Add", x, y) if inputs == outputs and step == 1 else y
            inputs = outputs
    return w.conv(w.conv(x, (160, 640), 1, act="Relu6"), (640, 8), 1, act="")


Build = Callable[[Writer], str]
NETWORKS: dict[str, tuple[Build, int, int, int]] = {  # height, width, what the sides must be multiples of
    "residual-1080p": (residual, 1080, 1920, 16),
    "unet-1080p": (unet, 1080, 1920, 32),
    "inverted-720p": (inverted, 720, 1280, 32),
}


def write_networks(folder: Path, scale: float = 1.0, seed: int = 0) -> list[Path]:
    """All three, `NAME.onnx` each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (build, height, width, multiple) in NETWORKS.items():
        writer = Writer(seed)
        sides = [max(1, ceil(side * scale / multiple)) * multiple for side in (height, width)]
        build(writer)
        paths.append(writer.save(folder / f"{name}.onnx", *sides))
    return paths


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", type=Path, metavar="DIR")
    arguments.add_argument("--scale", type=float, default=1.0, help="of the pictures' sides (default 1)")
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    for path in write_networks(options.folder, options.scale, options.seed):
        print(path)


if __name__ == "__main__":
    main()
