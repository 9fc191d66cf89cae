"""Few-shot for a surface that fills its picture: how unlike good ones each place is, told by features that a network has learnt elsewhere.

In: good pictures, some bad ones, a surface network's file. Out: an ONNX file with one label, `defect`, for frames of any size.
Keeps nothing.

Nothing is trained. The way down of the network gives each place of 16 x 16 pixels its features. What good places show is their mean and
their covariance (Mahalanobis' distance), for the rim, the two places beside it, and the middle apart: what is usual at a rim is a defect
within. How far a picture's farthest place is said to be, is set by good pictures that were left out of the means, and by the bad ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch.nn import functional

from edgevision.errors import InputError
from edgevision.networks.reach import REACH_STRIDE, ReachSpec, reach_layers
from edgevision.networks.unet import Layer, macs, parameters
from edgevision.study.train.export import OPSET, nodes_of
from edgevision.study.train.recipes.begin import weights_in
from edgevision.study.train.recipes.lessons import batch_images
from edgevision.study.train.recipes.variation import Bytes

Floats = NDArray[np.float32]
Weights = Mapping[str, tuple[Floats, Floats]]
ZONES = 6
SHRUNK = 0.1  # of the mean variance, added to each: 20 pictures tell few directions well
LEFT_OUT = 5  # parts of the good pictures, each left out once
FAR = 2.0  # the logit of a usual bad picture; of a usual good one its negative
JOINED = (("deep_5", 1), ("eighth", 2), ("quarter", 4))  # layers whose features are joined, and over how many of their pixels a side


@dataclass(frozen=True, slots=True)
class Usual:
    """What good places of one zone show: `turn` (features, features) makes a deviation from `mean` a distance; it is counted from `least`
    on, in units of `spread`."""

    mean: Floats
    turn: Floats
    least: float
    spread: float


def way_down() -> tuple[Layer, ...]:
    """The layers of the network that are run."""
    steps = reach_layers(ReachSpec())
    last = next(number for number, step in enumerate(steps) if step.name == JOINED[0][0])
    return steps[: last + 1]


def features(image: Bytes, weights: Weights) -> Floats:
    """(features, rows, columns) of a picture (H, W, 3), a row and column for 16 pixels; it is filled up as the engine does."""
    room = tuple(-side % REACH_STRIDE for side in image.shape[:2])
    filled = cv2.copyMakeBorder(image, 0, room[0], 0, room[1], cv2.BORDER_REPLICATE)
    values = {"image": batch_images(np.asarray(filled, np.uint8)[None])}
    with torch.no_grad():
        for step in way_down():
            first = values[step.inputs[0]]
            if step.op == "add":
                values[step.name] = first + values[step.inputs[1]]
                continue
            weight, bias = (torch.from_numpy(np.array(one)) for one in weights[step.name])
            values[step.name] = torch.relu(functional.conv2d(first, weight, bias, step.stride, step.dilation, step.dilation))
        joined = torch.cat([functional.avg_pool2d(values[name], side) for name, side in JOINED], dim=1)
        return np.asarray(torch.sqrt(joined)[0].numpy())


def zones_of(rows: int, columns: int) -> NDArray[np.intp]:
    """Each place's zone: 0 the first and last row, 1 column, 2 and 3 those beside them, 4 the ones beside these, 5 the middle."""
    y, x = np.mgrid[:rows, :columns]
    down, along = np.minimum(y, rows - 1 - y), np.minimum(x, columns - 1 - x)
    rims = [down == 0, along == 0, down == 1, along == 1, (down == 2) | (along == 2)]
    return np.asarray(np.select(rims, range(5), 5), np.intp)


def usual(pictures: Sequence[Floats]) -> tuple[Usual, ...]:
    """What each zone shows in good pictures' features."""
    zones = [zones_of(*one.shape[1:]) for one in pictures]
    whole = np.concatenate([one.reshape(one.shape[0], -1).T for one in pictures])
    found = []
    for zone in range(ZONES):
        own = np.concatenate([one[:, where == zone].T for one, where in zip(pictures, zones, strict=True)])
        own = own if len(own) > 1 else whole  # a picture that is too small to have such places
        mean = own.mean(axis=0)
        variances, directions = np.linalg.eigh(np.cov(own.T))
        turn = directions / np.sqrt(np.maximum(variances, 0) + SHRUNK * variances.mean() + 1e-9)
        far = np.linalg.norm((own - mean) @ turn, axis=1)
        found.append(Usual(mean, turn.astype(np.float32), float(np.median(far)), float(far.std()) + 1e-6))
    return tuple(found)


def farthest(picture: Floats, known: Sequence[Usual]) -> float:
    """How unlike good ones a picture's least usual place is."""
    zones = zones_of(*picture.shape[1:])
    far: list[float] = []
    for zone, one in enumerate(known):
        deviations = (picture[:, zones == zone].T - one.mean) @ one.turn
        far += ((np.linalg.norm(deviations, axis=1) - one.least) / one.spread).tolist()
    return max(far)


def learn_likeness(good: Sequence[Bytes], bad: Sequence[Bytes], begin: Path) -> tuple[tuple[Usual, ...], float, float]:
    """What is usual; the distance that is said with 0.5; and logits for a unit of it. Raises InputError for a file of another network."""
    weights = weights_in(begin)
    if any(step.op == "conv" and step.name not in weights for step in way_down()):
        raise InputError(f"{begin}: is no surface network; give the one that ships, or one that `edgevision train --recipe surface` wrote")
    seen = [[features(np.ascontiguousarray(one), weights) for one in mirrored(image)] for image in good]
    known = usual([one for views in seen for one in views])
    left_out = []
    for part in range(LEFT_OUT):
        without = usual([one for number, views in enumerate(seen) if number % LEFT_OUT != part for one in views])
        left_out += [farthest(views[0], without) for views in seen[part::LEFT_OUT]]
    low, high = float(np.median(left_out)), float(np.median([farthest(features(image, weights), known) for image in bad]))
    if high <= low:  # they cannot be told apart: only what is farther than all good ones is said
        low, high = low, 2 * max(left_out) - low + 1e-3
    return known, (low + high) / 2, 2 * FAR / (high - low)


def mirrored(image: Bytes) -> tuple[Bytes, ...]:
    """The picture as it is, upside down, left to right, and both: four times as many places to learn from."""
    return image, image[::-1], image[:, ::-1], image[::-1, ::-1]


def macs_of(height: int, width: int) -> tuple[int, int]:
    """How many weights it has, and multiply-adds for a picture of this size."""
    count = sum(step.channels for name, _ in JOINED for step in way_down() if step.name == name)
    own = ZONES * count * (count + 2)
    places = (height // REACH_STRIDE) * (width // REACH_STRIDE)
    return parameters(way_down()) + own, sum(macs(way_down(), height, width).values()) + own * places


def write_likeness(
    path: Path, begin: Path, learnt: tuple[tuple[Usual, ...], float, float], size_px: tuple[int, int], facts: Mapping[str, str]
) -> None:
    """The network that says it: the way down, distances by zone, and where the zones lie, made of convolutions over ones."""
    known, even, steepness = learnt
    weights, steps = weights_in(begin), way_down()
    held: dict[str, Floats] = {}
    for step in steps:
        if step.op == "conv":
            held[f"{step.name}.weight"], held[f"{step.name}.bias"] = weights[step.name]
    count = len(known[0].mean)
    turns = np.concatenate([one.turn.T for one in known]).astype(np.float32)
    shifts = -np.concatenate([one.mean @ one.turn for one in known]).astype(np.float32)
    sums = np.kron(np.eye(ZONES), np.ones(count)).astype(np.float32)
    slopes = np.array([[steepness / one.spread for one in known]], np.float32)
    begins = np.array([[-steepness * (one.least / one.spread + even) for one in known]], np.float32)
    for name, (weight, bias) in {**zone_layers(count), "turned": (turns, shifts), "squares": (sums, None), "slope": (slopes, None),
                                 "level": (begins, None)}.items():  # fmt: skip
        held[f"{name}.weight"] = weight if weight.ndim == 4 else weight[..., None, None]
        if bias is not None:
            held[f"{name}.bias"] = bias
    _save(path, [*_features_nodes(), *_zone_nodes(held), *_distance_nodes()], held, size_px, facts)


def _features_nodes() -> list[onnx.NodeProto]:
    """From `image` to `features`."""
    nodes = [node for step in way_down() for node in nodes_of(step)]
    joined = []
    for name, side in JOINED:
        joined.append(name if side == 1 else f"{name}.mean")
        if side > 1:
            nodes.append(helper.make_node("AveragePool", [name], [joined[-1]], kernel_shape=[side] * 2, strides=[side] * 2))
    return [*nodes, helper.make_node("Concat", joined, ["joined"], axis=1), helper.make_node("Sqrt", ["joined"], ["features"])]


def _zone_nodes(held: Mapping[str, Floats]) -> list[onnx.NodeProto]:
    """From `features`, of which only the size matters, to `zones`."""
    nodes = []
    for name, source in (("ones", "features"), ("near", "ones"), ("beyond", "near"), ("rims", "beyond"), ("zones", "rims")):
        pads = [held[f"{name}.weight"].shape[2] // 2] * 4
        nodes.append(helper.make_node("Conv", [source, f"{name}.weight", f"{name}.bias"], [f"{name}.sum"], pads=pads))
        nodes.append(helper.make_node("Relu", [f"{name}.sum"], [name]))
    return nodes


def _distance_nodes() -> list[onnx.NodeProto]:
    """From `features` and `zones` to `defect`."""
    return [
        helper.make_node("Conv", ["features", "turned.weight", "turned.bias"], ["turned"]),
        helper.make_node("Mul", ["turned", "turned"], ["turned.square"]),
        helper.make_node("Conv", ["turned.square", "squares.weight"], ["squares"]),
        helper.make_node("Sqrt", ["squares"], ["far"]),
        helper.make_node("Mul", ["far", "zones"], ["own"]),
        helper.make_node("Conv", ["own", "slope.weight"], ["slope"]),
        helper.make_node("Conv", ["zones", "level.weight"], ["level"]),
        helper.make_node("Add", ["slope", "level"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["defect"]),
    ]


def zone_layers(count: int) -> dict[str, tuple[Floats, Floats]]:
    """Convolutions with ReLU, one after the other, from anything with `count` channels to a 1 in each place's zone, 0 in the others.

    A sum of ones over 3, 5, 7 rows (columns) falls short where 1, 2, 3 of them, or more, lie beyond the picture.
    """
    near = np.zeros((6, 1, 7, 7), np.float32)
    for reach in (1, 2, 3):
        near[reach - 1, 0, 3 - reach : 4 + reach, 3] = -1
        near[reach + 2, 0, 3, 3 - reach : 4 + reach] = -1
    sides = np.array([3, 5, 7] * 2, np.float32)
    # `beyond` is 1 where nothing falls short, so that 1 - beyond says `within 1, 2, 3 rows of the rim` (r1 r2 r3), columns (x1 x2 x3)
    within = np.array([
        [1, 0, 0, 0, 0, 0],  # r1
        [-1, 0, 0, 1, 0, 0],  # x1 without r1
        [-1, 1, 0, -1, 0, 0],  # r2 without r1 and x1
        [0, -1, 0, -1, 1, 0],  # x2 without x1 and r2
        [0, 1, 0, 0, 0, 0],  # r2
        [0, -1, 0, 0, 1, 0],  # x2 without r2
        [0, 0, 1, 0, 0, 0],  # r3
        [0, 0, -1, 0, 0, 1],  # x3 without r3
    ], np.float32)  # fmt: skip
    zones = np.zeros((ZONES, 8), np.float32)
    zones[:4, :4] = np.eye(4)
    zones[4, 4:], zones[5, 6:] = (-1, -1, 1, 1), -1
    return {
        "ones": (np.zeros((1, count), np.float32), np.ones(1, np.float32)),
        "near": (near, sides),
        "beyond": (-np.eye(6, dtype=np.float32), np.ones(6, np.float32)),
        "rims": (-within, within.sum(axis=1)),
        "zones": (zones, np.array([0, 0, 0, 0, 0, 1], np.float32)),
    }


def _save(
    path: Path, nodes: Sequence[onnx.NodeProto], held: Mapping[str, Floats], size_px: tuple[int, int], facts: Mapping[str, str]
) -> None:
    height, width = size_px
    entry = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, height, width])
    answer = helper.make_tensor_value_info("defect", TensorProto.FLOAT, [1, 1, height // REACH_STRIDE, width // REACH_STRIDE])
    tensors = [numpy_helper.from_array(np.ascontiguousarray(one, np.float32), name) for name, one in held.items()]
    graph = helper.make_graph(nodes, "edgevision", [entry], [answer], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    helper.set_model_props(model, dict(facts))
    model.producer_name = "edgevision train"
    onnx.checker.check_model(model)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.SerializeToString())
