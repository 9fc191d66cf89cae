"""The network that says how unlike good ones a surface is. In: what `likeness.py` has learnt, the file whose features it learnt from.
Out: an ONNX file with one label, `defect`, for frames of any size. Keeps nothing.

It holds the way down of the file's network, the nodes of `grain.py`, and for each of the two the distances by zone. Where zones lie is made
of convolutions over ones. The answer's highest place is the picture's score: the farthest place by features is as high as the farthest by
grain, and others are lower by as much as they are nearer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgevision.networks.reach import REACH_STRIDE
from edgevision.networks.unet import macs, parameters
from edgevision.study.train.export import OPSET, nodes_of
from edgevision.study.train.recipes.begin import weights_in
from edgevision.study.train.recipes.grain import grain_nodes, grain_weights
from edgevision.study.train.recipes.likeness import JOINED, NEAR, NOWHERE, ROW, ZONES, Likeness, Usual, way_down

Floats = NDArray[np.float32]


def macs_of(height: int, width: int) -> tuple[int, int]:
    """How many weights it has, and multiply-adds of its convolutions for a picture of this size."""
    count = sum(step.channels for name, _ in JOINED for step in way_down() if step.name == name)
    own = ZONES * (count * (count + 2) + 2 * (2 + 2))
    places = (height // REACH_STRIDE) * (width // REACH_STRIDE)
    return parameters(way_down()) + own, sum(macs(way_down(), height, width).values()) + own * places + 7 * height * width


def write_likeness(path: Path, begin: Path, known: Likeness, size_px: tuple[int, int], facts: Mapping[str, str]) -> None:
    """Write the file, which declares frames of this (height, width)."""
    weights, steps = weights_in(begin), way_down()
    held: dict[str, Floats] = {}
    for step in steps:
        if step.op == "conv":
            held[f"{step.name}.weight"], held[f"{step.name}.bias"] = weights[step.name]
    ones, bias = zone_layers(len(known.features[0].mean))["ones"]
    held |= {"ones.weight": ones[..., None, None], "ones.bias": bias}
    held |= _distance_weights("features", known.features) | grain_weights(is_upright=known.is_upright)
    held |= distance_weights_of_grain(known.grain, is_upright=known.is_upright)
    numbers = {"near": NEAR, "steep": known.steepness, "even": known.steepness * known.even}
    held |= {f"far.{name}": np.array(value, np.float32) for name, value in numbers.items()}
    nodes = [*_features_nodes(), *_zone_nodes("features", "ones"), *_distance_nodes("features", "features.zones")]
    nodes += [*grain_nodes(is_upright=known.is_upright), *distance_nodes_of_grain(is_upright=known.is_upright), *_answer_nodes()]
    _save(path, nodes, held, size_px, facts)


def distance_nodes_of_grain(*, is_upright: bool) -> list[onnx.NodeProto]:
    """From `grain` and `whole` to `grain.broken`, how unlike good ones the grain is at each place and beside it."""
    own = helper.make_node("Mul", ["grain.zones", "whole"], ["grain.own_zones"])
    return [*_zone_nodes("grain", "whole"), own, *_distance_nodes("grain", "grain.own_zones"), *_broken_nodes(3 if is_upright else 2)]


def distance_weights_of_grain(known: Sequence[Usual], *, is_upright: bool) -> dict[str, Floats]:
    """What those nodes hold, by name; the zones' own are for `features`, too."""
    held = _distance_weights("grain", known)
    for name, (weight, bias) in zone_layers(1).items():
        held |= {f"{name}.weight": weight if weight.ndim == 4 else weight[..., None, None], f"{name}.bias": bias} if name != "ones" else {}
    inner = np.eye(6, dtype=np.float32)[0 if is_upright else 3].reshape(1, 6, 1, 1)
    return {**held, "inner.weight": inner, "far.none": np.array(-NOWHERE, np.float32), "far.row": np.array(ROW, np.float32)}


def _features_nodes() -> list[onnx.NodeProto]:
    """From `image` to `features`, and `ones` for its places."""
    nodes = [node for step in way_down() for node in nodes_of(step)]
    joined = []
    for name, side in JOINED:
        joined.append(name if side == 1 else f"{name}.mean")
        if side > 1:
            nodes.append(helper.make_node("AveragePool", [name], [joined[-1]], kernel_shape=[side] * 2, strides=[side] * 2))
    return [
        *nodes,
        helper.make_node("Concat", joined, ["joined"], axis=1),
        helper.make_node("Sqrt", ["joined"], ["features"]),
        helper.make_node("Conv", ["features", "ones.weight", "ones.bias"], ["ones.sum"], pads=[0] * 4),
        helper.make_node("Relu", ["ones.sum"], ["ones"]),
    ]


def _zone_nodes(of: str, ones: str) -> list[onnx.NodeProto]:
    """From `ones`, 1 in each place that there is, to `OF.zones`."""
    nodes, source = [], ones
    for name in ("near", "beyond", "rims", "zones"):
        pads = [3 if name == "near" else 0] * 4
        nodes.append(helper.make_node("Conv", [source, f"{name}.weight", f"{name}.bias"], [f"{of}.{name}.sum"], pads=pads))
        nodes.append(helper.make_node("Relu", [f"{of}.{name}.sum"], [f"{of}.{name}"]))
        source = f"{of}.{name}"
    return nodes


def _distance_weights(of: str, known: Sequence[Usual]) -> dict[str, Floats]:
    turns = np.concatenate([one.turn.T for one in known])
    sums = np.kron(np.eye(ZONES), np.ones(len(known[0].mean)))
    slopes, levels = np.array([[1 / one.spread for one in known]]), np.array([[-one.least / one.spread for one in known]])
    held = {"turned.weight": turns, "squares.weight": sums, "slope.weight": slopes, "level.weight": levels}
    shifts = -np.concatenate([one.mean @ one.turn for one in known])
    found = {f"{of}.{name}": np.asarray(value[..., None, None], np.float32) for name, value in held.items()}
    return {**found, f"{of}.turned.bias": np.asarray(shifts, np.float32)}


def _distance_nodes(of: str, zones: str) -> list[onnx.NodeProto]:
    """From `OF` and its zones to `OF.far`, how unlike good ones each place is."""
    return [
        helper.make_node("Conv", [of, f"{of}.turned.weight", f"{of}.turned.bias"], [f"{of}.turned"]),
        helper.make_node("Mul", [f"{of}.turned", f"{of}.turned"], [f"{of}.turned.square"]),
        helper.make_node("Conv", [f"{of}.turned.square", f"{of}.squares.weight"], [f"{of}.squares"]),
        helper.make_node("Sqrt", [f"{of}.squares"], [f"{of}.distance"]),
        helper.make_node("Mul", [f"{of}.distance", zones], [f"{of}.own"]),
        helper.make_node("Conv", [f"{of}.own", f"{of}.slope.weight"], [f"{of}.slope"]),
        helper.make_node("Conv", [zones, f"{of}.level.weight"], [f"{of}.level"]),
        helper.make_node("Add", [f"{of}.slope", f"{of}.level"], [f"{of}.far"]),
    ]


def _broken_nodes(across: int) -> list[onnx.NodeProto]:
    """From the grain's distances to `grain.broken`: with the mean across the grain, and near where it ends or cannot be told."""
    return [
        helper.make_node("ReduceMean", ["grain.far"], ["row.far"], axes=[across], keepdims=1),
        helper.make_node("ReduceMean", ["whole"], ["row.whole"], axes=[across], keepdims=1),
        helper.make_node("Add", ["row.whole", "grain.least"], ["row.some"]),
        helper.make_node("Div", ["row.far", "row.some"], ["row.mean"]),
        helper.make_node("Mul", ["row.mean", "far.row"], ["row"]),
        helper.make_node("Add", ["grain.far", "row"], ["grain.both"]),
        helper.make_node("Conv", ["grain.beyond", "inner.weight"], ["inner"]),
        helper.make_node("Mul", ["grain.both", "inner"], ["grain.inner"]),
        helper.make_node("Sub", ["inner", "grain.all"], ["untold"]),
        helper.make_node("Mul", ["untold", "far.none"], ["near.untold"]),
        helper.make_node("Add", ["grain.inner", "near.untold"], ["grain.broken"]),
    ]


def _answer_nodes() -> list[onnx.NodeProto]:
    """From both distances to `defect`."""
    nodes = []
    for name, far in (("features", "features.far"), ("grain", "grain.broken")):
        nodes += [
            helper.make_node("Add", [far, "far.near"], [f"{name}.begun"]),
            helper.make_node("Relu", [f"{name}.begun"], [f"{name}.counted"]),
            helper.make_node("Add", [f"{name}.counted", "grain.all"], [f"{name}.times"]),
            helper.make_node("Log", [f"{name}.times"], [f"{name}.said"]),
            helper.make_node("ReduceMax", [f"{name}.said"], [f"{name}.most"], axes=[2, 3], keepdims=1),
        ]
    return [
        *nodes,
        helper.make_node("Add", ["features.said", "grain.most"], ["far.features"]),
        helper.make_node("Add", ["grain.said", "features.most"], ["far.grain"]),
        helper.make_node("Max", ["far.features", "far.grain"], ["far"]),
        helper.make_node("Mul", ["far", "far.steep"], ["steep"]),
        helper.make_node("Sub", ["steep", "far.even"], ["logit"]),
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
