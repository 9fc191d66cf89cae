"""The network of `splice.py`: an encoder, parallel dilated convolutions with image-level pooling, a decoder; trained for a minute.

In: a seed. Out: an ONNX file. Keeps nothing; nothing of it ships. Its pictures are generated: surfaces under a lamp of unknown brightness,
so that what is a stain and what a stamp can be told only from the brightness of the whole picture. Needs torch and onnx.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn import functional

LABELS = ("surface", "stain", "stamp", "scratch", "glare")
CROP = 192, 256


def surface(height: int, width: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(H, W, 3) reflectance in 0..1 and (H, W) labels: grain, discs that are stains or stamps by their darkness, scratches, glare."""
    grain = cv2.resize(random.standard_normal((height // 4, width // 4)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    picture = np.repeat((0.55 + 0.02 * grain)[:, :, None], 3, axis=2)
    labels = np.zeros((height, width), np.uint8)
    for _ in range(max(3, height * width // 9000)):
        label = int(random.integers(1, 5))
        at = int(random.integers(0, width)), int(random.integers(0, height))
        shade = {1: 0.12, 2: 0.3, 3: 0.75, 4: 0.95}[label] + float(random.uniform(-0.03, 0.03))
        colour = tuple(float(shade * random.uniform(0.97, 1.03)) for _ in range(3))
        if label == 3:
            angle, length = random.uniform(0, 2 * np.pi), random.uniform(20, 70)
            end = int(at[0] + length * np.cos(angle)), int(at[1] + length * np.sin(angle))
            cv2.line(picture, at, end, colour, 9, cv2.LINE_AA)
            cv2.line(labels, at, end, label, 9)
        else:
            radius = int(random.integers(6, 26))
            cv2.circle(picture, at, radius, colour, -1, cv2.LINE_AA)
            cv2.circle(labels, at, radius, label, -1)
    return picture, labels


def photograph(reflectance: np.ndarray, lamp: float, random: np.random.Generator) -> np.ndarray:
    """uint8 BGR under a lamp, with sensor noise."""
    noise = random.standard_normal(reflectance.shape).astype(np.float32) * 0.008
    return np.clip((reflectance * lamp + noise) * 255, 0, 255).astype(np.uint8)


class Net(nn.Module):
    """Output (1, 5, H/4, W/4) class scores."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.quarter = nn.Conv2d(16, width // 2, 3, 2, 1)
        self.eighth = nn.Conv2d(width // 2, width, 3, 2, 1)
        self.body1 = nn.Conv2d(width, width, 3, 1, 1)
        self.body2 = nn.Conv2d(width, width, 3, 1, 1)
        self.near = nn.Conv2d(width, width // 2, 1)
        self.wide1 = nn.Conv2d(width, width // 2, 3, 1, 1)
        self.wide2 = nn.Conv2d(width, width // 2, 3, 1, 2, dilation=2)
        self.whole = nn.Conv2d(width, width // 2, 1)
        self.merge = nn.Conv2d(width * 2, width, 1)
        self.decode = nn.Conv2d(width + width // 2, width, 3, 1, 1)
        self.head = nn.Conv2d(width, len(LABELS), 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.stem(x))
        quarter = functional.relu(self.quarter(x))
        x = functional.relu(self.eighth(quarter))
        x = functional.relu(x + self.body2(functional.relu(self.body1(x))))
        whole = functional.relu(self.whole(x.mean((2, 3), keepdim=True))).expand(-1, -1, *x.shape[2:])
        branches = [functional.relu(layer(x)) for layer in (self.near, self.wide1, self.wide2)]
        x = functional.relu(self.merge(torch.cat([*branches, whole], 1)))
        x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.head(functional.relu(self.decode(torch.cat([x, quarter], 1))))


def train(seed: int = 0, steps: int = 450) -> Net:
    """A minute on one core."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    net = Net()
    optimiser = torch.optim.Adam(net.parameters(), 2e-3)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    weights = torch.tensor([0.4, 1.0, 1.0, 2.0, 1.0])
    for _ in range(steps):
        pictures, truths = [], []
        for _ in range(4):
            reflectance, labels = surface(*CROP, random)
            pictures.append(photograph(reflectance, random.uniform(0.45, 1.0), random)[:, :, ::-1].transpose(2, 0, 1) / 255)
            truths.append(labels[2::4, 2::4])
        scores = net(torch.tensor(np.array(pictures), dtype=torch.float32))
        loss = functional.cross_entropy(scores, torch.tensor(np.array(truths), dtype=torch.long), weights)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        plan.step()
    return net.eval()


class Writer:
    """ONNX nodes by the same names as the layers."""

    def __init__(self, net: Net) -> None:
        self.layers = dict(net.named_children())
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, op: str, *inputs: str, **attributes: object) -> str:
        name = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, name: str, has_relu: bool = True) -> str:
        layer = self.layers[name]
        weight = self.constant(f"{name}.weight", layer.weight.detach().numpy())
        bias = self.constant(f"{name}.bias", layer.bias.detach().numpy())
        y = self.node(
            "Conv", x, weight, bias,
            kernel_shape=list(layer.kernel_size), strides=list(layer.stride), pads=list(layer.padding) * 2, dilations=list(layer.dilation),
        )  # fmt: skip
        return self.node("Relu", y) if has_relu else y


def write_onnx(net: Net, path: Path, height: int, width: int) -> Path:
    """The network for pictures of (height, width), multiples of 8."""
    w = Writer(net)
    quarter = w.conv(w.conv("image", "stem"), "quarter")
    x = w.conv(quarter, "eighth")
    x = w.node("Relu", w.node("Add", x, w.conv(w.conv(x, "body1"), "body2", has_relu=False)))
    whole = w.conv(w.node("GlobalAveragePool", x), "whole")
    whole = w.node("Expand", whole, w.node("Concat", w.constant("one", np.array([1, 32], np.int64)), w.node("Shape", x, start=2), axis=0))
    x = w.conv(w.node("Concat", *(w.conv(x, name) for name in ("near", "wide1", "wide2")), whole, axis=1), "merge")
    scales = w.constant("twice", np.array([1, 1, 2, 2], np.float32))
    x = w.node("Resize", x, "", scales, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    scores = w.conv(w.conv(w.node("Concat", x, quarter, axis=1), "decode"), "head", has_relu=False)
    graph = helper.make_graph(
        w.nodes,
        "splice-benchmark",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])],
        [helper.make_tensor_value_info(scores, TensorProto.FLOAT, [1, len(LABELS), height // 4, width // 4])],
        w.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"mean": "0", "std": "1", "scale": "255", "labels": ",".join(LABELS[1:])})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path
