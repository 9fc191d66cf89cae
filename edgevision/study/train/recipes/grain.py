"""Whether the grain of a surface goes on from place to place. In: a picture (H, W, 3). Out: for each place of 16 x 16 pixels how alike the
grain before and behind it is, along the way that the grain runs, and how much stronger; and the ONNX nodes that tell it. Keeps nothing.

Grain is what a pixel is lighter than those beside it. Means of it over 16 pixels along the grain are compared with the 16 that follow:
their correlation over a window of 48 across, and the logarithm of their energies' ratio. Where a side of a part was ground otherwise,
streaks end that went on elsewhere; features of single places do not show that.

An odd picture is filled up by repeating its last row and column. Whole rows and columns that repeat the one before are left out of all
means, and so are places that hold such.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import helper
from torch.nn import functional

from edgevision.networks.reach import REACH_STRIDE
from edgevision.study.train.network import MEAN, STD
from edgevision.study.train.recipes.lessons import batch_images
from edgevision.study.train.recipes.variation import Bytes

Floats = NDArray[np.float32]
BESIDE, ALONG, STEP, WINDOW = 15, 16, 8, 48  # pixels: across for the grain, along for its means, between two means, across for likeness
NOISE = 0.25  # energy of a mean, in gray levels squared, that is not told from none
LIGHTNESS = (0.299, 0.587, 0.114)  # of red, green, blue
MOVED = 100.0  # a hundredth of a gray level anywhere in a row: it repeats no other
LEAST = 1e-6


def grain_of(image: Bytes, *, is_upright: bool) -> Floats:
    """(2, rows, columns) of a picture (H, W, 3) BGR whose grain runs down it, or across: likeness and strength, of places that repeat
    nothing."""
    room = tuple(-side % REACH_STRIDE for side in image.shape[:2])
    filled = cv2.copyMakeBorder(image, 0, room[0], 0, room[1], cv2.BORDER_REPLICATE)
    values = {"image": batch_images(np.asarray(filled, np.uint8)[None])}
    values |= {name: torch.from_numpy(value) for name, value in grain_weights(is_upright=is_upright).items()}
    with torch.no_grad():
        for node in grain_nodes(is_upright=is_upright):
            settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
            values[node.output[0]] = _OPS[node.op_type]([values[name] for name in node.input], settings)
    whole = values["whole"][0, 0].numpy() > 0
    return np.ascontiguousarray(values["grain"][0].numpy()[:, whole.any(axis=1)][:, :, whole.any(axis=0)])


def runs_down(images: Sequence[Bytes]) -> bool:
    """Whether the grain of surfaces runs down their pictures rather than across: where it goes on better."""
    down, across = (np.mean([grain_of(one, is_upright=way)[0].mean() for one in images]) for way in (True, False))
    return bool(down >= across)


def grain_weights(*, is_upright: bool) -> dict[str, Floats]:
    """What the nodes hold, by name."""
    light, mean, std = (np.array(values, np.float32) for values in (LIGHTNESS, MEAN, STD))
    pick = np.eye(3, dtype=np.float32).reshape((3, 1, 1, 3, 1) if is_upright else (3, 1, 1, 1, 3))
    step = np.array([-1, 1], np.float32)
    area = REACH_STRIDE**2
    numbers = {"moved": MOVED, "least": LEAST, "noise": NOISE, "none": 0, "all": 1, "area": area, "but_one": area - 1}
    return {
        "gray.weight": 255 * (light * std).reshape(1, 3, 1, 1),
        "gray.bias": np.array([255 * light @ mean], np.float32),
        "rows.weight": step.reshape(1, 1, 2, 1),
        "columns.weight": step.reshape(1, 1, 1, 2),
        "before.weight": pick[0],
        "behind.weight": pick[2],
        **{f"grain.{name}": np.array(value, np.float32) for name, value in numbers.items()},
    }


def grain_nodes(*, is_upright: bool) -> list[onnx.NodeProto]:
    """From `image` to `grain` (1, 2, rows, columns) and `whole` (1, 1, rows, columns), 1 where a place repeats nothing."""

    def turned(along: int, across: int) -> list[int]:
        return [along, across] if is_upright else [across, along]

    beside = (turned(1, BESIDE), [1, 1], turned(0, BESIDE // 2))
    along = (turned(ALONG, 1), turned(STEP, 1), turned((ALONG - STEP) // 2, 0))
    window = (turned(ALONG // STEP, WINDOW), turned(ALONG // STEP, REACH_STRIDE), turned(0, (WINDOW - REACH_STRIDE) // 2))
    whole = ([REACH_STRIDE] * 2, [REACH_STRIDE] * 2, [0, 0])
    nodes = [*_seen_nodes(), *_mean_nodes("gray.seen", "seen", "beside", beside), _node("Sub", "gray", "beside", to="streaks"),
             _node("Mul", "streaks", "seen", to="streaks.seen"), *_mean_nodes("streaks.seen", "seen", "streak", along)]  # fmt: skip
    for name in ("before", "behind"):
        pads = turned(1, 0) * 2
        nodes += [_node("Conv", "streak", f"{name}.weight", to=name, pads=pads)]
        nodes += [_node("Conv", "streak.count", f"{name}.weight", to=f"{name}.count", pads=pads)]
    nodes.append(_node("Mul", "before.count", "behind.count", to="share"))
    for name, (one, other) in _ENERGIES.items():
        nodes += [_node("Mul", one, other, to=f"{name}.square"), _node("Mul", f"{name}.square", "share", to=f"{name}.shared")]
        nodes += [*_mean_nodes(f"{name}.shared", "share", f"{name}.energy", window)]
        nodes += [_node("Add", f"{name}.energy", "grain.noise", to=name)]
    return [*nodes, *_told_nodes(), _pool("seen", "whole.share", whole), _node("Mul", "whole.share", "grain.area", to="whole.count"),
            _node("Sub", "whole.count", "grain.but_one", to="whole.last"), _node("Relu", "whole.last", to="whole")]  # fmt: skip


_ENERGIES = MappingProxyType({"first": ("before", "before"), "second": ("behind", "behind"), "both": ("before", "behind")})


def _node(op: str, *inputs: str, to: str, **settings: Any) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), [to], **settings)


def _pool(source: str, to: str, shape: tuple[list[int], list[int], list[int]]) -> onnx.NodeProto:
    kernel, strides, pads = shape
    return _node("AveragePool", source, to=to, kernel_shape=kernel, strides=strides, pads=pads * 2, count_include_pad=1)


def _seen_nodes() -> list[onnx.NodeProto]:
    """The lightness, `seen` (0 in rows and columns that repeat the one before), and their product."""
    nodes = [_node("Conv", "image", "gray.weight", "gray.bias", to="gray")]
    for name, pads, axis in (("rows", [1, 0, 0, 0], 3), ("columns", [0, 1, 0, 0], 2)):
        nodes += [
            _node("Conv", "gray", f"{name}.weight", to=f"{name}.step", pads=pads),
            _node("Abs", f"{name}.step", to=f"{name}.size"),
            _node("ReduceMax", f"{name}.size", to=f"{name}.most", axes=[axis], keepdims=1),
            _node("Mul", f"{name}.most", "grain.moved", to=f"{name}.much"),
            _node("Clip", f"{name}.much", "grain.none", "grain.all", to=f"{name}.new"),
        ]
    return [*nodes, _node("Mul", "rows.new", "columns.new", to="seen"), _node("Mul", "gray", "seen", to="gray.seen")]


def _mean_nodes(source: str, weight: str, to: str, shape: tuple[list[int], list[int], list[int]]) -> list[onnx.NodeProto]:
    """The mean of what counts; `to`.count is how much of the window does."""
    return [
        _pool(source, f"{to}.sum", shape),
        _pool(weight, f"{to}.count", shape),
        _node("Add", f"{to}.count", "grain.least", to=f"{to}.some"),
        _node("Div", f"{to}.sum", f"{to}.some", to=to),
    ]


def _told_nodes() -> list[onnx.NodeProto]:
    return [
        _node("Mul", "first", "second", to="energies"),
        _node("Sqrt", "energies", to="energy"),
        _node("Div", "both", "energy", to="alike"),
        _node("Div", "first", "second", to="ratio"),
        _node("Log", "ratio", to="stronger"),
        _node("Concat", "alike", "stronger", to="grain", axis=1),
    ]


def _convolved(inputs: Sequence[torch.Tensor], settings: Mapping[str, Any]) -> torch.Tensor:
    top, left, bottom, right = settings.get("pads", (0, 0, 0, 0))
    return functional.conv2d(functional.pad(inputs[0], (left, right, top, bottom)), inputs[1], inputs[2] if len(inputs) > 2 else None)


def _pooled(inputs: Sequence[torch.Tensor], settings: Mapping[str, Any]) -> torch.Tensor:
    return functional.avg_pool2d(inputs[0], settings["kernel_shape"], settings["strides"], settings["pads"][:2])


_OPS: MappingProxyType[str, Callable[[Sequence[torch.Tensor], Mapping[str, Any]], torch.Tensor]] = MappingProxyType({
    "Abs": lambda inputs, _: inputs[0].abs(),
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AveragePool": _pooled,
    "Clip": lambda inputs, _: inputs[0].clamp(inputs[1], inputs[2]),
    "Concat": lambda inputs, settings: torch.cat(list(inputs), dim=settings["axis"]),
    "Conv": _convolved,
    "Div": lambda inputs, _: inputs[0] / inputs[1],
    "Log": lambda inputs, _: inputs[0].log(),
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "ReduceMax": lambda inputs, settings: inputs[0].amax(dim=settings["axes"], keepdim=True),
    "Relu": lambda inputs, _: inputs[0].relu(),
    "Sqrt": lambda inputs, _: inputs[0].sqrt(),
    "Sub": lambda inputs, _: inputs[0] - inputs[1],
})  # fmt: skip
"""What the nodes do, for learning without an engine."""
