"""Pixel by pixel: activations, and arithmetic of pictures with pictures or constants in every spelling that broadcasts.

In: a node and the Reader. Out: what it means, entered there. Raises Unfit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from edgevision.kernels.forms import Activation, Broadcast, Combine, Form
from edgevision.recompute.arrangement import Arrangement
from edgevision.recompute.fold import IDENTITY
from edgevision.recompute.node import Node
from edgevision.recompute.operations import Unfit
from edgevision.recompute.reader import Reader, Seen

_BINARY = MappingProxyType({"Add": "add", "Subtract": "sub", "Multiply": "mul", "Divide": "div", "Maximum": "max", "Minimum": "min"})
_POWERS = MappingProxyType({1.0: "none", 2.0: "square", 3.0: "cube", 0.5: "sqrt", -1.0: "reciprocal"})


def activation(node: Node, reader: Reader) -> None:
    """A function of each number."""
    seen, function = reader.floats(node), _FUNCTIONS[node.op](node, reader)
    reader.emit(reader.result(node, seen.arrangement), Combine("copy", activation=function), (seen.picture,), seen.arrangement.picture)


def _named(kind: str) -> Callable[[Node, Reader], Activation]:
    return lambda node, reader: Activation(kind)


def _scalar(node: Node, reader: Reader, place: int, otherwise: float) -> float:
    """A constant of one value."""
    if len(node.inputs) <= place:
        return otherwise
    values = reader.constant(node, place).reshape(-1)
    if values.size != 1:
        raise Unfit(f"{node.op} with {values.size} constants")
    return float(values[0])


def _gelu(node: Node, reader: Reader) -> Activation:
    return Activation("gelu_tanh" if str(node.attributes.get("approximation_mode", "ERF")).upper() == "TANH" else "gelu")


def _swish(node: Node, reader: Reader) -> Activation:
    beta = _scalar(node, reader, 1, 1.0)
    return Activation("silu") if beta == 1 else Activation("swish", beta)


def _round(node: Node, reader: Reader) -> Activation:
    if str(node.attributes["mode"]).lower() != "half_to_even":
        raise Unfit(f"Round {node.attributes['mode']}")
    return Activation("round")


def _threshold(node: Node, reader: Reader) -> Activation:
    """1 where a number lies above, or below, a constant, else 0."""
    return Activation("above" if node.op == "Greater" else "below", _scalar(node, reader, 1, 0.0))


_FUNCTIONS: Mapping[str, Callable[[Node, Reader], Activation]] = MappingProxyType(
    {
        **{name: _named(name.lower()) for name in ("Relu", "Sigmoid", "Tanh", "SoftPlus", "Mish", "SoftSign", "Erf", "Abs", "Exp", "Log")},
        **{name: _named(name.lower()) for name in ("Sqrt", "Floor", "Sign", "HSwish", "HSigmoid")},
        "Negative": _named("neg"),
        "Ceiling": _named("ceil"),
        "Clamp": lambda node, reader: Activation("clamp", float(node.attributes["min"]), float(node.attributes["max"])),
        "Elu": lambda node, reader: Activation("elu", float(node.attributes["alpha"])),
        "Selu": lambda node, reader: Activation("selu", _scalar(node, reader, 1, 1.67326), _scalar(node, reader, 2, 1.0507)),
        "HardSigmoid": lambda node, reader: Activation("hard", _scalar(node, reader, 1, 0.2), _scalar(node, reader, 2, 0.5)),
        "Gelu": _gelu,
        **dict.fromkeys(("Greater", "Less"), _threshold),
        "Swish": _swish,
        "Round": _round,
    }
)


def power(node: Node, reader: Reader) -> None:
    """x to a constant power that is one of a few."""
    seen, exponent = reader.floats(node), _scalar(node, reader, 1, 2.0)
    if exponent not in _POWERS:
        raise Unfit(f"Power {exponent:g}")
    form = Combine("copy", activation=Activation(_POWERS[exponent]))
    reader.emit(reader.result(node, seen.arrangement), form, (seen.picture,), seen.arrangement.picture)


def slope(node: Node, reader: Reader) -> None:
    """PRelu: a slope for all, or one a channel."""
    seen, slopes = reader.floats(node), reader.constant(node, 1).astype(np.float32)
    channels = seen.arrangement.size("c")
    form: Form
    if slopes.size == 1:
        form = Combine("copy", activation=Activation("leaky", float(slopes.reshape(-1)[0])))
    elif slopes.size == channels and seen.arrangement.is_plain:
        form = Combine("prelu", np.ascontiguousarray(slopes.reshape(-1)))
    else:
        form = _with_constant(node, reader, seen, 1, "prelu")
    reader.emit(reader.result(node, seen.arrangement), form, (seen.picture,), seen.arrangement.picture)


def arithmetic(node: Node, reader: Reader) -> None:
    """Two sides, each a picture or a constant."""
    op, then = _BINARY.get(node.op, "sub"), Activation("square" if node.op == "SquaredDifference" else "none")
    fixed = [place for place in (0, 1) if reader.is_constant(node.inputs[place])]
    if fixed:
        seen = reader.floats(node, 1 - fixed[0])
        form = _with_constant(node, reader, seen, fixed[0], op, then)
        reader.emit(reader.result(node, seen.arrangement), form, (seen.picture,), seen.arrangement.picture)
        return
    left, right = reader.floats(node, 0), reader.floats(node, 1)
    arrangement = left.arrangement if left.arrangement == right.arrangement else _joint(node, left.arrangement, right.arrangement)
    is_even = left.arrangement.picture == right.arrangement.picture
    both = Combine(op, activation=then) if is_even else Broadcast(op, activation=then)
    reader.emit(reader.result(node, arrangement), both, (left.picture, right.picture), arrangement.picture)


def _with_constant(node: Node, reader: Reader, seen: Seen, place: int, op: str, then: Activation = IDENTITY) -> Form:
    """Of a picture and the constant at a place: a channel vector where that is enough."""
    constant = seen.arrangement.picture_of(reader.constant(node, place).astype(np.float32))
    if constant is None:
        raise Unfit(f"{node.op} with a constant of {list(reader.constant(node, place).shape)}, which enlarges its source")
    swapped = place == 0 and op in ("sub", "div")
    if constant.shape[:2] != (1, 1):
        return Broadcast(op, constant, swapped, then)
    vector = np.ascontiguousarray(np.broadcast_to(constant.reshape(-1), (seen.arrangement.size("c"),)))
    return Combine(op, vector, swapped, then)


def _joint(node: Node, left: Arrangement, right: Arrangement) -> Arrangement:
    """Of two tensors that are broadcast to each other: along every dimension alike, or one of them has one place."""
    rank = max(len(left.dimensions), len(right.dimensions))
    dimensions = []
    for a, b in zip(*(((),) * (rank - len(one.dimensions)) + one.dimensions for one in (left, right)), strict=True):
        if a and b and a != b:
            raise Unfit(f"{node.op} of {list(left.shape)} and {list(right.shape)} in different orders")
        dimensions.append(a or b)
    for axis in "chw":
        if 1 not in (left.size(axis), right.size(axis)) and left.size(axis) != right.size(axis):
            raise Unfit(f"{node.op} of {list(left.shape)} and {list(right.shape)}")
    channels, height, width = (max(sizes) for sizes in zip(left.picture, right.picture, strict=True))
    joint = Arrangement((channels, height, width), tuple(dimensions))
    if not joint.is_sound:
        raise Unfit(f"{node.op} of {list(left.shape)} and {list(right.shape)}")
    return joint


ELEMENTWISE: Mapping[str, Callable[[Node, Reader], None]] = MappingProxyType(
    {
        **dict.fromkeys(_FUNCTIONS, activation),
        **dict.fromkeys((*_BINARY, "SquaredDifference"), arithmetic),
        "Power": power,
        "PRelu": slope,
    }
)
