"""The reading of a file's nodes, as it goes along: which picture each tensor is, in which order of its numbers, and what was made of it.

In: nodes one after another, by the hands of `patterns` and the operations. Out: new nodes with their meanings. Keeps no more than that.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.kernels.forms import Convolve, Float, Form, Window
from edgevision.recompute.arrangement import Arrangement
from edgevision.recompute.graph import Graph
from edgevision.recompute.node import Node
from edgevision.recompute.operations import Compute, Meaning, Unfit, is_picture
from edgevision.recompute.quantised import WholeWeights

Size = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """A tensor of the file is this picture, so arranged."""

    picture: str
    arrangement: Arrangement


@dataclass(slots=True, eq=False)
class Reader:
    """`graph` is a copy whose shapes and types take in the pictures made on the way. `padded`: pictures that are another one with zeros
    around it, (picture, rows before, columns before)."""

    graph: Graph
    nodes: list[Node] = field(default_factory=list)
    meanings: dict[str, Meaning | str] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    padded: dict[str, tuple[str, int, int]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    weights: dict[str, WholeWeights] = field(default_factory=dict)
    picked: dict[tuple[str, Arrangement], str] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph) -> Reader:
        """Nothing read yet."""
        shapes, types, weights = dict(graph.shapes), dict(graph.types), dict(graph.weights)
        reader = cls(replace(graph, shapes=shapes, types=types, weights=weights), shapes=shapes, types=types, weights=weights)
        reader.note(graph.input)
        return reader

    def note(self, tensor: str) -> None:
        """The tensor is a picture by itself, if it looks like one."""
        if is_picture(tensor, self.graph):
            self.seen[tensor] = Seen(tensor, Arrangement.plain(*self.shapes[tensor][1:]))

    def is_constant(self, tensor: str) -> bool:
        """Whether the file gives its values."""
        return tensor in self.graph.constants

    def constant(self, node: Node, place: int) -> NDArray[Any]:
        """The values of a constant input. Raises Unfit where it is none."""
        if not self.is_constant(node.inputs[place]):
            raise Unfit(f"{node.op} with an input {place} that is not constant")
        return self.graph.constants[node.inputs[place]]

    def numbers(self, node: Node, place: int) -> list[int]:
        """The same as whole numbers in a row."""
        return [int(value) for value in self.constant(node, place).reshape(-1)]

    def any_type(self, node: Node, place: int = 0) -> Seen:
        """The picture behind an input. Raises Unfit where there is none."""
        seen = self.seen.get(node.inputs[place])
        if seen is None:
            raise Unfit(f"{node.op} of {list(self.shapes[node.inputs[place]])} is not on a picture")
        return seen

    def floats(self, node: Node, place: int = 0) -> Seen:
        """The same, of floats: places found by an argmax are no numbers to reckon with."""
        if self.types[node.inputs[place]] != "f32":
            raise Unfit(f"{node.op} of {self.types[node.inputs[place]]}")
        return self.any_type(node, place)

    def plain(self, tensor: str) -> None:
        """From here on the tensor is a picture in its own order. Raises Unfit where it cannot be."""
        seen = self.seen[tensor]
        if seen.arrangement.is_plain:
            return
        key = seen.picture, seen.arrangement
        if key not in self.picked:
            form = seen.arrangement.pick()
            if form is None:
                raise Unfit(f"a picture rearranged to {list(self.shapes[tensor])}")
            name = f"{tensor}/picked"
            self.emit(Node(0, name, "Pick", (seen.picture,), (name,), {}), form, (seen.picture,), _size(seen.arrangement.shape))
            self.picked[key] = name
        self.seen[tensor] = Seen(self.picked[key], Arrangement.plain(*_size(seen.arrangement.shape)))

    def emit(self, node: Node, form: Form, sources: tuple[str, ...], size: Size) -> str:
        """A node that computes a picture of (channels, height, width); its name. `node.outputs[0]` names it."""
        weights = node.inputs[1:] if node.inputs[1:] and node.inputs[1] in self.weights else ()
        return self.enter(replace(node, inputs=(*sources, *weights)), Compute((form,), sources), size)

    def enter(self, node: Node, meaning: Meaning, size: Size) -> str:
        """The same of any meaning; the node already reads what it should."""
        name = node.outputs[0]
        self.shapes[name], self.types[name] = (1, *size), "f32"
        self.nodes.append(node)
        self.meanings[name] = meaning
        return name

    def whole_weights(self, node: Node, place: int) -> tuple[NDArray[np.int8], NDArray[np.float64]] | None:
        """A constant that is made of whole numbers, and what each is worth; None for any other."""
        found = self.graph.weights.get(node.inputs[place])
        return None if found is None else (found.steps, np.broadcast_to(found.scale, found.steps.shape))

    def enter_weights(self, node: Node, steps: NDArray[np.int8], scale: NDArray[np.float64]) -> Node:
        """The node with these as its second input, so that a convolution of bytes finds them."""
        name = f"{node.outputs[0]}/weights"
        self.weights[name] = WholeWeights(np.ascontiguousarray(steps), np.ascontiguousarray(scale))
        self.shapes[name], self.types[name] = steps.shape, "i8"
        return replace(node, inputs=(node.outputs[0], name))

    def result(self, node: Node, arrangement: Arrangement, place: int = 0) -> Node:
        """The node with its output `place` alone, named as a picture of this arrangement, which is noted."""
        output = node.outputs[place]
        is_own = arrangement.is_plain and self.types[output] == "f32" and self.shapes[output] == arrangement.shape
        name = output if is_own else f"{output}/picture"
        self.seen[output] = Seen(name, arrangement)
        return replace(node, outputs=(name,))

    def part(self, node: Node, suffix: str) -> Node:
        """A node on the way to this one."""
        name = f"{node.name}/{suffix}"
        return replace(node, name=name, outputs=(name,), inputs=())

    def same(self, node: Node, arrangement: Arrangement, place: int = 0) -> None:
        """The node's output is its input's picture in this arrangement: no work."""
        self.seen[node.outputs[place]] = Seen(self.any_type(node).picture, arrangement)


def axis_of(node: Node, rank: int, axis: int) -> int:
    """A place among the dimensions, counted from the front."""
    return axis + rank if axis < 0 else axis


def _size(shape: tuple[int, ...]) -> Size:
    return shape[1], shape[2], shape[3]


def matrix(weights: Float) -> Convolve:
    """A 1x1 convolution by weights (output channel, input channel)."""
    kernel = np.ascontiguousarray(weights, np.float32)[:, :, None, None]
    return Convolve(Window((1, 1)), kernel, np.zeros(len(weights), np.float32))
