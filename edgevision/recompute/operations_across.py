"""What reckons with all channels, or all pixels: softmax, argmax, sums and means, global pooling, and products with a constant matrix.

In: a node and the Reader. Out: what it means, entered there. Raises Unfit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from edgevision.kernels.forms import Across, Activation, Combine, Form, Total
from edgevision.recompute.arrangement import Arrangement
from edgevision.recompute.node import Node
from edgevision.recompute.operations import Unfit
from edgevision.recompute.reader import Reader, axis_of, matrix

_MODES = MappingProxyType(
    {"ReduceSum": "sum", "ReduceMean": "sum", "ReduceMax": "max", "ReduceMin": "min", "ReduceL1": "sum", "ReduceL2": "sum"}
)
_BEFORE = MappingProxyType({"ReduceL1": "abs", "ReduceL2": "square"})


def softmax(node: Node, reader: Reader) -> None:
    """Softmax, LogSoftmax over the channels."""
    seen = reader.floats(node)
    axis = axis_of(node, len(seen.arrangement.dimensions), int(node.attributes.get("axis", 1)))
    if not seen.arrangement.holds(axis, "c"):
        raise Unfit(f"{node.op} along another axis than the channels")
    form = Across("softmax" if node.op == "Softmax" else "log_softmax")
    reader.emit(reader.result(node, seen.arrangement), form, (seen.picture,), seen.arrangement.picture)


def normalise(node: Node, reader: Reader) -> None:
    """MVN over the channels: what a layer normalisation begins with."""
    seen = reader.floats(node)
    axes = [axis_of(node, len(seen.arrangement.dimensions), axis) for axis in reader.numbers(node, 1)]
    if len(axes) != 1 or not seen.arrangement.holds(axes[0], "c") or not node.attributes["normalize_variance"]:
        raise Unfit("MVN but of the channels")
    if str(node.attributes["eps_mode"]).lower() != "inside_sqrt":
        raise Unfit("MVN that adds epsilon to the deviation")
    form = Across("normalise", float(node.attributes["eps"]))
    reader.emit(reader.result(node, seen.arrangement), form, (seen.picture,), seen.arrangement.picture)


def top(node: Node, reader: Reader) -> None:
    """TopK of the one best channel: its value, its place, or both."""
    seen = reader.floats(node)
    axis = axis_of(node, len(seen.arrangement.dimensions), int(node.attributes["axis"]))
    if reader.numbers(node, 1) != [1] or not seen.arrangement.holds(axis, "c"):
        raise Unfit("TopK but of the one best channel")
    best, uses = str(node.attributes["mode"]).lower(), reader.graph.uses()
    after = seen.arrangement.with_axis(axis, "c", 1)
    for place, form in enumerate((Across(best), Across(f"arg{best}"))):
        if uses[node.outputs[place]]:
            part = reader.result(node, after, place)
            name = node.name if place == 0 or not uses[node.outputs[0]] else f"{node.name}/place"
            reader.emit(replace(part, name=name), form, (seen.picture,), after.picture)


def reduce(node: Node, reader: Reader) -> None:
    """Sum, mean, maximum, minimum over whole axes: rows first, then what is left of them, then the channels."""
    seen = reader.floats(node)
    arrangement = seen.arrangement
    places = sorted({axis_of(node, len(arrangement.dimensions), axis) for axis in reader.numbers(node, 1)})
    digits = [digit for place in places for digit in arrangement.dimensions[place]]
    axes = [axis for axis in "whc" if any(digit.axis == axis for digit in digits)]
    for axis in axes:
        if int(np.prod([digit.size for digit in digits if digit.axis == axis])) != arrangement.size(axis):
            raise Unfit(f"{node.op} over a part of an axis")
    is_kept = bool(node.attributes.get("keep_dims", False))
    dimensions = tuple(
        () if place in places else dimension for place, dimension in enumerate(arrangement.dimensions) if is_kept or place not in places
    )
    sizes = {axis: 1 if axis in axes else arrangement.size(axis) for axis in "chw"}
    after = Arrangement((sizes["c"], sizes["h"], sizes["w"]), dimensions)
    _steps(node, reader, reader.result(node, after), _reductions(node, arrangement, axes))


def _reductions(node: Node, arrangement: Arrangement, axes: list[str]) -> list[tuple[str, Form]]:
    """(axis that shrinks to one place, form) one after another."""
    mode = _MODES[node.op]
    forms: list[tuple[str, Form]] = []
    last = Activation("sqrt") if node.op == "ReduceL2" else Activation()
    if node.op in _BEFORE:
        forms.append(("", Combine("copy", activation=Activation(_BEFORE[node.op]))))
    spatial = [axis for axis in axes if axis != "c"]
    for axis in spatial:
        is_end = axis == spatial[-1]
        count = np.prod([arrangement.size(one) for one in spatial]) if is_end and node.op == "ReduceMean" else 1
        forms.append((axis, Total(1 if axis == "w" else 0, mode, float(count), last if is_end and "c" not in axes else Activation())))
    if "c" in axes:
        forms.append(("c", Across("mean" if node.op == "ReduceMean" else mode)))
        if last.kind != "none":
            forms.append(("", Combine("copy", activation=last)))
    return forms or [("", Combine("copy"))]


def _steps(node: Node, reader: Reader, output: Node, forms: list[tuple[str, Form]]) -> None:
    """One after another from the node's first input; the last one is the output."""
    seen = reader.floats(node)
    source, size = seen.picture, dict(zip("chw", seen.arrangement.picture, strict=True))
    names = {"w": "rows", "h": "columns", "c": "channels", "": "first"}
    for place, (axis, form) in enumerate(forms):
        if axis:
            size[axis] = 1
        step = output if place == len(forms) - 1 else reader.part(node, names[axis])
        source = reader.emit(step, form, (source,), (size["c"], size["h"], size["w"]))


def pool_all(node: Node, reader: Reader) -> None:
    """A pooling whose one window is the whole picture. Raises Unfit for any other."""
    seen, output = reader.floats(node), reader.shapes[node.outputs[0]]
    _, height, width = seen.arrangement.picture
    if not seen.arrangement.is_plain or output[2:] != (1, 1) or height * width == 1:
        raise Unfit("no global pooling")
    if node.op in ("AvgPool", "MaxPool"):
        is_padded = any(int(pad) for name in ("pads_begin", "pads_end") for pad in node.attributes[name])
        if is_padded or [int(side) for side in node.attributes["kernel"]] != [height, width]:
            raise Unfit("no global pooling")
    if len(node.outputs) > 1 and reader.graph.uses()[node.outputs[1]]:
        raise Unfit(f"{node.op} whose indices are read")
    mode = "max" if "Max" in node.op else "sum"
    count = float(height * width) if mode == "sum" else 1.0
    after = Arrangement.plain(seen.arrangement.size("c"), 1, 1)
    _steps(node, reader, reader.result(node, after), [("w", Total(1, mode)), ("h", Total(0, mode, count))])


def multiply(node: Node, reader: Reader) -> None:
    """MatMul of the channels with a constant matrix, on either side: a 1x1 convolution."""
    fixed = next((place for place in (0, 1) if reader.is_constant(node.inputs[place])), None)
    if fixed is None:
        raise Unfit("MatMul of two pictures")
    seen = reader.floats(node, 1 - fixed)
    weights, arrangement = reader.constant(node, fixed).astype(np.float32), seen.arrangement
    turned = [bool(node.attributes.get(f"transpose_{side}", False)) for side in "ab"]
    if weights.ndim < 2 or int(np.prod(weights.shape[:-2])) != 1 or weights.ndim > len(arrangement.dimensions):
        raise Unfit(f"MatMul with a constant of {list(weights.shape)}")
    weights = weights.reshape(weights.shape[-2:])
    weights = weights.T if turned[fixed] else weights
    if turned[1 - fixed]:
        order = [*range(len(arrangement.dimensions))]
        arrangement = arrangement.transposed([*order[:-2], order[-1], order[-2]])
    place = len(arrangement.dimensions) - (1 if fixed == 1 else 2)
    kernel = weights.T if fixed == 1 else weights
    if place < 0 or not arrangement.holds(place, "c"):
        raise Unfit("MatMul along another axis than the channels")
    after = arrangement.with_axis(place, "c", len(kernel))
    result, found = replace(reader.result(node, after), inputs=()), reader.whole_weights(node, fixed)
    if found is not None:
        is_turned = turned[fixed] != (fixed == 1)
        steps, scale = found[0].reshape(found[0].shape[-2:]), found[1].reshape(found[1].shape[-2:])
        steps, scale = (steps.T, scale.T) if is_turned else (steps, scale)
        result = reader.enter_weights(result, steps, scale)
    reader.emit(result, matrix(kernel), (seen.picture,), after.picture)


ACROSS: Mapping[str, Callable[[Node, Reader], None]] = MappingProxyType(
    {
        **dict.fromkeys(("Softmax", "LogSoftmax"), softmax),
        "MVN": normalise,
        "TopK": top,
        **dict.fromkeys(_MODES, reduce),
        "AdaptiveAvgPool": pool_all,
        "MatMul": multiply,
    }
)
