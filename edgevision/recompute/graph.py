"""Reads a network file. In: a path (ONNX or OpenVINO IR) and perhaps an input shape. Out: a Graph of plain nodes. Keeps nothing.

OpenVINO's frontends do the parsing, so a file means here what it means there. Shapes are made static, constants are folded.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Core, Model
from openvino._offline_transformations import apply_moc_transformations
from openvino.frontend import FrontEndManager
from openvino.passes import ConstantFolding, Manager

from edgevision.errors import UnsupportedNetwork
from edgevision.recompute.node import Node
from edgevision.recompute.quantised import Tidied, WholeWeights, find_weights, tidy

__all__ = ["Graph", "Node", "fitting_shape", "is_quantised_file", "read_graph", "read_metadata", "reason_of"]

Shape = tuple[int, ...]

# A serialised ModelProto begins with the tag of one of its fields (onnx.proto): 1 and 5 are numbers, the others have a length.
_ONNX_STARTS = frozenset(bytes([field << 3 | (0 if field in (1, 5) else 2)]) for field in (1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25))


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """A network as nodes in order. `model` and its `ports` by tensor are OpenVINO's own objects, for the islands alone."""

    path: str
    sha256: str
    nodes: tuple[Node, ...]
    shapes: Mapping[str, Shape]
    types: Mapping[str, str]
    constants: Mapping[str, NDArray[Any]]
    input: str
    input_names: tuple[str, ...]
    outputs: Mapping[str, str]
    metadata: Mapping[str, str]
    weights: Mapping[str, WholeWeights]
    model: Any
    ports: Mapping[str, Any]

    @property
    def is_quantised(self) -> bool:
        """Whether the file says which activations are bytes."""
        return any(node.op == "FakeQuantize" for node in self.nodes)

    def uses(self) -> dict[str, int]:
        """How many readers each tensor has, a network output being one."""
        counts = dict.fromkeys(self.shapes, 0)
        for node in self.nodes:
            for tensor in node.inputs:
                counts[tensor] += 1
        for tensor in self.outputs.values():
            counts[tensor] += 1
        return counts


def read_graph(path: str | Path, input_shape: Shape | None = None) -> Graph:
    """The network in `path`, its input fixed to `input_shape` where the file leaves it open. Raises UnsupportedNetwork, one line."""
    file = Path(path)
    model = parse(file)
    _fix_shape(model, file, input_shape)
    _name_steadily(model, "_", lambda operation: operation.get_friendly_name() != operation.get_name())
    weights = find_weights(model)
    folding = Manager()
    folding.register_pass(ConstantFolding())
    try:
        folding.run_passes(model)
    except RuntimeError as error:
        shape = tuple(model.inputs[0].get_shape())
        raise UnsupportedNetwork(
            f"{file}: cannot be folded at input shape {shape}: {reason_of(error)}; give a smaller input_shape"
        ) from error
    if not any(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops()):
        _simplify(model)
    return _flatten(model, file, weights)


def as_written(path: str | Path, input_shape: Shape) -> Model:
    """The model in `path` with its input fixed, and nothing folded: OpenVINO would not know any more which weights are bytes."""
    model = parse(Path(path))
    _fix_shape(model, Path(path), input_shape)
    return model


def read_metadata(path: str | Path) -> dict[str, str]:
    """What the network file says of itself, before its size is fixed. Raises UnsupportedNetwork, one line."""
    file = Path(path)
    model = parse(file)
    _check_input(model, file)
    return _metadata(model)


def is_quantised_file(path: str | Path) -> bool:
    """Whether the file says which activations are bytes. Raises UnsupportedNetwork, one line."""
    return any(operation.get_type_name() == "FakeQuantize" for operation in parse(Path(path)).get_ops())


def fitting_shape(path: str | Path, height: int, width: int, stride: int) -> Shape | None:
    """The smallest input shape the network accepts that holds (height, width), its sides multiples of `stride` times a power of two.

    None where it accepts none. A U-Net needs more than its output's stride: what it halved must meet again after doubling.
    """
    model = parse(Path(path))
    channels = model.inputs[0].get_partial_shape()[1]
    for multiple in (stride << power for power in range(8)):
        shape = 1, channels.get_length() if channels.is_static else 3, -(-height // multiple) * multiple, -(-width // multiple) * multiple
        try:
            model.reshape(list(shape))
        except RuntimeError:
            continue
        return shape
    return None


def parse(file: Path) -> Model:
    """The file as OpenVINO's model. Raises UnsupportedNetwork, one line, also where it is not there."""
    if not file.is_file():
        raise UnsupportedNetwork(f"{file}: no such network file; give an .onnx file or the .xml of an OpenVINO IR")
    _check_beginning(file)
    try:
        return Core().read_model(str(file))
    except RuntimeError as error:
        unknown = _unknown_nodes(file, str(error))
        if unknown:
            raise UnsupportedNetwork(f"{file}: {unknown}: not known to OpenVINO; export without pre- and post-processing") from error
        raise UnsupportedNetwork(f"{file}: OpenVINO cannot read it: {reason_of(error)}; {_remedy(str(error))}") from error


def _check_beginning(file: Path) -> None:
    """Raises UnsupportedNetwork for what is plainly neither ONNX nor IR; OpenVINO would try other readers, which write to the terminal."""
    try:
        with file.open("rb") as opened:
            start = opened.read(4096)
    except OSError as error:
        raise UnsupportedNetwork(f"{file}: {error.strerror}; give an .onnx file or the .xml of an OpenVINO IR") from error
    kind = file.suffix.lower()
    if kind not in (".onnx", ".xml"):
        raise UnsupportedNetwork(f"{file}: is neither .onnx nor .xml; give an .onnx file or the .xml of an OpenVINO IR")
    is_network = re.search(rb"<net\s+\w", start) is not None if kind == ".xml" else start[:1] in _ONNX_STARTS
    if not is_network:
        raise UnsupportedNetwork(f"{file}: OpenVINO cannot read it: it does not begin as {kind} does; {_remedy('')}")
    if not FrontEndManager().load_by_framework("ir" if kind == ".xml" else "onnx").supported(str(file)):
        raise UnsupportedNetwork(f"{file}: OpenVINO cannot read it: it is no whole {kind} file; {_remedy('')}")


def _unknown_nodes(file: Path, error: str) -> str:
    """`node 'name' (domain.Kind), ...` of the operations that OpenVINO has no rule for, "" where that is not what is wrong."""
    found = re.search(r"No conversion rule found for operations: (.+)", error)
    if found is None or file.suffix != ".onnx":
        return ""
    kinds = {kind.strip() for kind in found.group(1).split(",")}
    frontend = FrontEndManager().load_by_framework("onnx")
    read = frontend.load(str(file))  # held: what is decoded points into it
    decoded, named = frontend.decode(read), []
    for operation in decoded.get_ordered_ops():
        attributes = operation.get_attributes()
        kind = ".".join(filter(None, (attributes.get("ONNX_META_domain"), attributes.get("ONNX_META_type"))))
        if kind in kinds:
            named.append(f"node '{operation.get_friendly_name()}' ({kind})")
    return ", ".join(named or sorted(kinds))


def _remedy(error: str) -> str:
    """What to do about a file that OpenVINO does not take: it lacks an operation, or the file is damaged or something else."""
    if any(word in error for word in ("conversion", "operation", "not supported", "opset", "validating")):
        return "export it again, without pre-processing"
    return "it is damaged, truncated or no network: copy or export it again"


def reason_of(error: Exception) -> str:
    """The last telling line of one of OpenVINO's long messages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '", "While validating"))]
    return (telling or lines or ["unknown reason"])[-1].rstrip(".;")[:300]


def _check_input(model: Model, file: Path) -> None:
    if len(model.inputs) != 1:
        names = ", ".join(tensor.get_any_name() for tensor in model.inputs) or "none"
        raise UnsupportedNetwork(f"{file}: has {len(model.inputs)} inputs ({names}); it must have one image input")


def _fix_shape(model: Model, file: Path, input_shape: Shape | None) -> None:
    _check_input(model, file)
    declared = model.inputs[0].get_partial_shape()
    wanted = input_shape or _filled(declared)
    if wanted is None:
        raise UnsupportedNetwork(f"{file}: input shape {declared} is open; give input_shape (--input-shape), for example 1,3,720,1280")
    if len(wanted) != 4 or wanted[0] != 1 or min(wanted) < 1:
        raise UnsupportedNetwork(f"{file}: input shape {tuple(wanted)} is no image; it must be (1, channels, height, width)")
    if declared.is_dynamic or tuple(declared.to_shape()) != tuple(wanted):
        _reshape(model, file, tuple(wanted))


def _filled(declared: Any) -> Shape | None:
    """The declared shape, an open batch taken as 1; None when anything else is open."""
    if declared.rank.is_dynamic:
        return None
    sizes = [dimension.get_length() if dimension.is_static else (1 if place == 0 else None) for place, dimension in enumerate(declared)]
    return None if None in sizes else tuple(int(size) for size in sizes if size is not None)


def _reshape(model: Model, file: Path, shape: Shape) -> None:
    remedy = "leave it out" if _filled(model.inputs[0].get_partial_shape()) else "give another, for example (1, 3, 720, 1280)"
    try:
        model.reshape(list(shape))
    except RuntimeError as error:
        raise UnsupportedNetwork(f"{file}: does not accept input_shape {shape}: {reason_of(error)}; {remedy}") from error


def _simplify(model: Model) -> None:
    """Activations, shuffles, normalisations written as many nodes become one; padding joins its convolution."""
    before = {operation.get_friendly_name() for operation in model.get_ops()}
    apply_moc_transformations(model, cf=True)
    _name_steadily(model, "/", lambda operation: operation.get_friendly_name() in before)


def _name_steadily(model: Model, mark: str, is_named: Callable[[Any], bool]) -> None:
    """Nodes that have no name of their own are called after their kind and place, not after a number that differs at every reading."""
    for index, operation in enumerate(model.get_ordered_ops()):
        if not is_named(operation):
            operation.set_friendly_name(f"{operation.get_type_name()}{mark}{index}")


def _flatten(model: Model, file: Path, weights: Mapping[str, WholeWeights]) -> Graph:
    names = _tensor_names(model)
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {}
    types: dict[str, str] = {}
    constants: dict[str, NDArray[Any]] = {}
    for index, operation in enumerate(model.get_ordered_ops()):
        for port in operation.outputs():
            tensor = names[_key(port)]
            shapes[tensor] = _static_shape(port, operation, file)
            types[tensor] = port.get_element_type().get_type_name()
        kind = operation.get_type_name()
        if kind == "Constant":
            constants[names[_key(operation.output(0))]] = np.array(operation.get_data())
        elif kind not in ("Parameter", "Result"):
            nodes.append(_node(index, operation, names))
    _check_types(types, model, names, file)
    outputs = _outputs(model, names)
    tidy(Tidied(nodes, constants, shapes, types), frozenset(outputs.values()))
    return Graph(
        path=str(file),
        sha256=_sha256(file),
        nodes=tuple(nodes),
        shapes=shapes,
        types=types,
        constants=constants,
        input=names[_key(model.inputs[0])],
        input_names=tuple(sorted(model.inputs[0].get_names())),
        outputs=outputs,
        metadata=_metadata(model),
        weights={tensor: weights[tensor] for tensor in constants if tensor in weights},
        model=model,
        ports={names[_key(port)]: port for operation in model.get_ordered_ops() for port in operation.outputs()},
    )


def _key(port: Any) -> tuple[str, int]:
    return port.get_node().get_name(), port.get_index()


def _tensor_names(model: Model) -> dict[tuple[str, int], str]:
    """A readable and unique name for every tensor: the node's own, with its port when it has several."""
    names: dict[tuple[str, int], str] = {}
    taken: set[str] = set()
    for operation in model.get_ordered_ops():
        for port in operation.outputs():
            name = operation.get_friendly_name() if len(operation.outputs()) == 1 else f"{operation.get_friendly_name()}:{port.get_index()}"
            unique = name if name not in taken else f"{name} ({operation.get_name()})"
            taken.add(unique)
            names[_key(port)] = unique
    return names


def _static_shape(port: Any, operation: Any, file: Path) -> Shape:
    shape = port.get_partial_shape()
    if shape.is_dynamic:
        if operation.get_type_name() == "MaxPool" and port.get_index() == 1:
            return ()
        raise UnsupportedNetwork(
            f"{file}: node '{operation.get_friendly_name()}' ({operation.get_type_name()}): its size {shape} depends on the data; "
            "export with fixed sizes"
        )
    return tuple(int(size) for size in shape.to_shape())


def _node(index: int, operation: Any, names: Mapping[tuple[str, int], str]) -> Node:
    return Node(
        index=index,
        name=operation.get_friendly_name().removesuffix("/WithoutBiases"),
        op=operation.get_type_name(),
        inputs=tuple(names[_key(port.get_source_output())] for port in operation.inputs()),
        outputs=tuple(names[_key(port)] for port in operation.outputs()),
        attributes=dict(operation.get_attributes()),
    )


def _check_types(types: Mapping[str, str], model: Model, names: Mapping[tuple[str, int], str], file: Path) -> None:
    kind = types[names[_key(model.inputs[0])]]
    if kind != "f32":
        raise UnsupportedNetwork(f"{file}: the input is {kind}; it must be f32: export the network without pre-processing")


def _outputs(model: Model, names: Mapping[tuple[str, int], str]) -> dict[str, str]:
    """Public output name to tensor. A name is the file's own; a nameless output takes its node's."""
    outputs = {}
    for port in model.outputs:
        source = port.get_node().input(0).get_source_output()
        tensor = names[_key(source)]
        outputs[min(port.get_names(), key=lambda name: (len(name), name)) if port.get_names() else tensor] = tensor
    return outputs


def _metadata(model: Model) -> dict[str, str]:
    """What the file says of itself: ONNX `metadata_props`, the same keys of an IR's runtime info."""
    info = model.get_rt_info()
    if "framework" not in info:
        return {}
    return {key: model.get_rt_info(["framework", key]).astype(str) for key in info["framework"]}


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
