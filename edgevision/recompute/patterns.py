"""A file's nodes read as operations on pictures: whatever only reshapes, reorders or cuts is followed, not carried out.

A tensor may be a picture in another order of its numbers (`arrangement`); an operation is tried on it as it is, then on the picture brought
into its own order, and goes to an island when neither works. In: a Graph. Out: a Graph of what is left to do, and what each node means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from edgevision.recompute.graph import Graph
from edgevision.recompute.node import Node
from edgevision.recompute.operations import Arrange, Compute, Meaning, Unfit, translate
from edgevision.recompute.operations_across import ACROSS, pool_all
from edgevision.recompute.operations_elementwise import ELEMENTWISE
from edgevision.recompute.operations_moving import MOVING
from edgevision.recompute.operations_transposed import transposed
from edgevision.recompute.reader import Reader


def understand(graph: Graph) -> tuple[Graph, dict[str, Meaning | str]]:
    """The graph to be lowered, and by a node's first output its meaning, or why it has none."""
    reader = Reader.of(graph)
    for node in graph.nodes:
        reason = _read(node, reader)
        if reason:
            _leave(node, reader, reason)
    for tensor in graph.outputs.values():
        _arranged(tensor, reader)
    kept = _needed(reader.nodes, graph)
    names = {node.outputs[0] for node in kept}
    meanings = {name: meaning for name, meaning in reader.meanings.items() if name in names}
    return replace(reader.graph, nodes=tuple(kept)), meanings


def _read(node: Node, reader: Reader) -> str:
    """Enter the node, as it is or on plain pictures; why not, where neither works."""
    if all(reader.is_constant(tensor) for tensor in node.inputs):
        return f"{node.op} of constants"
    handlers = _HANDLERS.get(node.op, (_window,))
    reasons = []
    for is_plain in (False, True):
        if is_plain and not _made_plain(node, reader):
            break
        for handler in handlers:
            before = len(reader.nodes)
            try:
                handler(node, reader)
            except Unfit as reason:
                reasons.append(str(reason))
                _forget(node, reader, before)
            else:
                return ""
    return reasons[len(handlers) - 1]


def _made_plain(node: Node, reader: Reader) -> bool:
    """Whether some input was rearranged and is a plain picture now."""
    is_changed = False
    for tensor in node.inputs:
        if tensor in reader.seen and not reader.seen[tensor].arrangement.is_plain:
            try:
                reader.plain(tensor)
            except Unfit:
                return False
            is_changed = True
    return is_changed


def _forget(node: Node, reader: Reader, before: int) -> None:
    """What a handler entered before it gave up."""
    for entered in reader.nodes[before:]:
        reader.meanings.pop(entered.outputs[0], None)
    del reader.nodes[before:]
    for output in node.outputs:
        reader.seen.pop(output, None)


def _window(node: Node, reader: Reader) -> None:
    """Operations on plain pictures, node by node."""
    for place, tensor in enumerate(node.inputs):
        if not reader.is_constant(tensor) and not reader.any_type(node, place).arrangement.is_plain:
            raise Unfit(f"{node.op} of a rearranged picture")
    inputs = tuple(tensor if reader.is_constant(tensor) else reader.seen[tensor].picture for tensor in node.inputs)
    meaning = translate(replace(node, inputs=inputs), reader.graph)
    if isinstance(meaning, Compute) and inputs[0] in reader.padded and node.op in ("Convolution", "GroupConvolution"):
        meaning, inputs = _with_padding(meaning, inputs, reader)
    reader.nodes.append(replace(node, inputs=inputs))
    reader.meanings[node.outputs[0]] = meaning
    for output in node.outputs:
        reader.note(output)


def _with_padding(meaning: Compute, inputs: tuple[str, ...], reader: Reader) -> tuple[Compute, tuple[str, ...]]:
    """A convolution of a picture with zeros around it looks beyond the picture itself."""
    source, above, left = reader.padded[inputs[0]]
    form: Any = meaning.forms[0]
    window = replace(form.window, pad=(form.window.pad[0] + above, form.window.pad[1] + left))
    return Compute((replace(form, window=window), *meaning.forms[1:]), (source,)), (source, *inputs[1:])


def _leave(node: Node, reader: Reader, reason: str) -> None:
    """For an island: it reads the file's own tensors."""
    for tensor in node.inputs:
        _arranged(tensor, reader)
    reader.nodes.append(node)
    reader.meanings[node.outputs[0]] = reason
    for output in node.outputs:
        reader.note(output)


def _arranged(tensor: str, reader: Reader) -> None:
    """Someone reads the tensor as the file has it."""
    seen = reader.seen.get(tensor)
    if seen is None or seen.picture == tensor or tensor in reader.meanings:
        return
    reader.nodes.append(Node(0, tensor, "Arrange", (seen.picture,), (tensor,), {}))
    reader.meanings[tensor] = Arrange(seen.picture, seen.arrangement)


def _needed(nodes: list[Node], graph: Graph) -> list[Node]:
    """Without those that nobody reads."""
    wanted, kept = set(graph.outputs.values()), []
    for node in reversed(nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return kept[::-1]


_HANDLERS: Mapping[str, tuple[Callable[[Node, Reader], Any], ...]] = MappingProxyType(
    {
        **{op: (handler,) for op, handler in (*MOVING.items(), *ELEMENTWISE.items(), *ACROSS.items())},
        **dict.fromkeys(("ConvolutionBackpropData", "GroupConvolutionBackpropData"), (transposed,)),
        **dict.fromkeys(("AvgPool", "MaxPool"), (pool_all, _window)),
    }
)
