"""The pieces of a network for the whole picture and for crops of it, run by OpenVINO. One of OpenVINO's doors: splicing needs whole models.

In: a network file, the picture's size, the crops' sizes. Out: compiled models that cameras share, and for each camera a `Runner`. Context
(`anatomy`) a crop could not know, so crops are handed it; it is computed from what the pools read, which pieces give beside the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Core, Layout, Model, PartialShape, Tensor, opset13
from openvino.passes import ConstantFolding, Manager
from openvino.preprocess import PrePostProcessor

from edgevision.errors import UnsupportedNetwork
from edgevision.recompute.anatomy import Dissection, Piece, Spread, key_of, name_of
from edgevision.recompute.graph import reason_of
from edgevision.records import Box

Float = NDArray[np.float32]
Size = tuple[int, int]
Key = tuple[str, Size | None]  # of a model: its piece, and the crop's (height, width), None for the whole picture


def open_model(path: Path, input_shape: tuple[int, ...] | None) -> Model:
    """The network as OpenVINO reads it, for a picture of that shape. The file was read by `graph` before, so that it is sound."""
    model = Core().read_model(str(path))
    if input_shape is not None:
        model.reshape(list(input_shape))
    return model


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """One model: which tensors it reads and gives, in order."""

    model: Any
    reads: tuple[str, ...]
    gives: tuple[str, ...]


class CropNetwork:
    """What cameras share: models of the pieces, for the whole picture and for each size of crop, and one for all context. Models are added
    while the plan is made; nothing in it changes later."""

    def __init__(self, path: Path, input_shape: tuple[int, ...], threads: int, precision: str) -> None:
        self._path, self._shape = path, input_shape
        self._settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }
        self.anatomy = Dissection(open_model(path, input_shape), str(path)).anatomy()
        self.pool_names: tuple[str, ...] = ()  # of what the pools give, among what `context` does
        self.context = self._context()
        self.models: dict[Key, Compiled] = {}

    def add(self, piece: Piece, size_px: Size | None = None) -> Compiled:
        """Compile a piece for crops of (height, width), None for the whole picture. Raises UnsupportedNetwork where it takes no such."""
        key = piece.name, size_px
        if key not in self.models:
            self.models[key] = self._whole(piece) if size_px is None else self._crop(piece, size_px)
        return self.models[key]

    def keep(self, wanted: Iterable[Key]) -> None:
        """No longer hold others."""
        self.models = {key: self.models[key] for key in wanted}

    def runner(self) -> Runner:
        """For one camera."""
        return Runner(self)

    def _opened(self) -> Dissection:
        return Dissection(open_model(self._path, self._shape), str(self._path))

    def _whole(self, piece: Piece) -> Compiled:
        dissection = self._opened()
        results = {name: dissection.ports[name] for name in piece.gives}
        parameters = {}
        for name, spread in {**piece.reads, **piece.pooled}.items():
            parameters[name] = self._parameter(dissection, name, list(spread.shape))
        if piece.name == "tail":
            _fix_shapes(dissection, dissection.picture_px)
        return self._compile(Model(_sources(results, parameters), list(parameters.values()), piece.name), parameters, results)

    def _context(self) -> Compiled | None:
        """From what the pools read to what they give and to the context, at the whole picture's size: what is computed from sizes is
        folded. None where there are no pools."""
        model = open_model(self._path, self._shape)
        folding = Manager()
        folding.register_pass(ConstantFolding())
        folding.run_passes(model)
        dissection = Dissection(model, str(self._path))
        if not dissection.pool_nodes:
            return None
        pooled = _named(node.output(0) for node in dissection.pool_nodes)
        self.pool_names = tuple(pooled)
        results = {**pooled, **_named(dissection.context_ports())}
        ports = dissection.pool_ports()
        parameters = {}
        for port in ports:
            parameter = opset13.parameter(port.get_partial_shape(), np.float32)
            for node in dissection.pool_nodes:
                if key_of(node.input(0).get_source_output()) == key_of(port):
                    node.input(0).replace_source_output(parameter.output(0))
            parameters[name_of(port)] = parameter
        made = Model(list(results.values()), list(parameters.values()), "context")
        return Compiled(self._compiled(made), tuple(parameters), tuple(results))

    def _crop(self, piece: Piece, size_px: Size) -> Compiled:
        dissection = self._opened()
        results = {name: dissection.ports[name] for name in piece.gives}
        wanted = {name: dissection.ports[name] for name in piece.wants}
        context = {
            name: opset13.parameter(PartialShape(_cropped(piece.wants[name], size_px)), port.get_element_type())
            for name, port in wanted.items()
        }
        for node, place in dissection.edges:
            name = name_of(node.input(place).get_source_output())
            if name in context:
                node.input(place).replace_source_output(context[name].output(0))
        for node, place, sizes in dissection.baked_sizes(size_px):
            node.input(place).replace_source_output(opset13.constant(np.array(sizes, np.int64)).output(0))
        if piece.name == "tail":
            _fix_shapes(dissection, size_px)
        parameters = {name: self._parameter(dissection, name, _cropped(spread, size_px)) for name, spread in piece.reads.items()}
        parameters.update(context)
        try:
            made = Model(_sources(results, parameters), list(parameters.values()), f"{piece.name} crop")
            made.validate_nodes_and_infer_types()
        except RuntimeError as error:
            raise UnsupportedNetwork(
                f"{self._path}: takes no crops of {size_px[1]}x{size_px[0]}: {reason_of(error)}; export it with open height and "
                "width, or use recompute.engine selective"
            ) from error
        self._check_results(made, piece, size_px)
        return self._compile(made, parameters, results)

    def _parameter(self, dissection: Dissection, name: str, shape: list[int]) -> Any:
        """What stands for a tensor that is handed in: the picture's own parameter, or a new one before all that read the tensor."""
        port = dissection.ports[name]
        if name == self.anatomy.picture:
            parameter = port.get_node()
            parameter.set_partial_shape(PartialShape(shape))
            return parameter
        parameter = opset13.parameter(PartialShape(shape), port.get_element_type())
        for reader in port.get_target_inputs():
            reader.replace_source_output(parameter.output(0))
        return parameter

    def _check_results(self, model: Model, piece: Piece, size_px: Size) -> None:
        """A size baked into the file would leave an output as large as the whole picture's."""
        for (name, spread), port in zip(piece.gives.items(), model.outputs, strict=True):
            wanted = _cropped(spread, size_px)
            if list(port.get_shape()) != wanted:
                raise UnsupportedNetwork(
                    f"{self._path}: '{name}' of a crop has shape {tuple(port.get_shape())} instead of {tuple(wanted)}: a size is "
                    "fixed in the file; export it with open height and width, or use recompute.engine selective"
                )

    def _compile(self, model: Model, parameters: Mapping[str, Any], results: Mapping[str, Any]) -> Compiled:
        """Pictures come as the Memory holds them, channels last."""
        if self.anatomy.picture in parameters:
            processor = PrePostProcessor(model)
            place = list(parameters).index(self.anatomy.picture)
            processor.input(place).tensor().set_layout(Layout("NHWC"))
            processor.input(place).model().set_layout(Layout("NCHW"))
            model = processor.build()
        return Compiled(self._compiled(model), tuple(parameters), tuple(results))

    def _compiled(self, model: Model) -> Any:
        try:
            return Core().compile_model(model, "CPU", self._settings)
        except RuntimeError as error:
            raise UnsupportedNetwork(f"{self._path}: OpenVINO cannot run it: {reason_of(error)}") from error


def _fix_shapes(dissection: Dissection, size_px: Size) -> None:
    """Shapes that the tail asks the body for are those of this size: the body is not in the model."""
    for node in dissection.early_shapes():
        port = node.input(0).get_source_output()
        shape = _cropped(Spread.of(tuple(int(size) for size in port.get_shape()), dissection.picture_px), size_px)
        constant = opset13.constant(np.array(shape), dtype=node.output(0).get_element_type())
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(constant.output(0))


def _sources(results: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[Any]:
    """Where results come from: a tensor that is handed in comes straight out."""
    return [parameters[name].output(0) if name in parameters else port for name, port in results.items()]


def _named(ports: Iterable[Any]) -> dict[str, Any]:
    return {name_of(port): port for port in ports}


def _cropped(spread: Spread, size_px: Size) -> list[int]:
    """The shape of a tensor in a crop of (height, width)."""
    if spread.rows is None or spread.columns is None:
        return list(spread.shape)
    return [*spread.shape[:-2], spread.rows.first(size_px[0]), spread.columns.first(size_px[1])]


class Runner:
    """One camera's requests. What `run` and `context` give is theirs, valid until their next call."""

    def __init__(self, network: CropNetwork) -> None:
        self._network = network
        self._context = network.context.model.create_infer_request() if network.context else None
        self._requests: dict[Key, Any] = {}

    def run(self, piece: Piece, picture: Float, kept: Mapping[str, Float], box: Box | None = None) -> dict[str, Float]:
        """What a piece gives, from a picture (H, W, C) and whatever else it reads and wants of what is kept: of all of it, or of a box
        (x1, y1, x2, y2) of a compiled size."""
        key = piece.name, None if box is None else (box[3] - box[1], box[2] - box[0])
        compiled = self._network.models[key]
        if key not in self._requests:
            self._requests[key] = compiled.model.create_infer_request()
        spreads = {**piece.reads, **piece.pooled, **piece.wants}
        arrays = []
        for name in compiled.reads:
            if name == self._network.anatomy.picture:
                x1, y1, x2, y2 = box or (0, 0, picture.shape[1], picture.shape[0])
                arrays.append(np.ascontiguousarray(picture[y1:y2, x1:x2])[None])
            else:
                arrays.append(np.ascontiguousarray(kept[name] if box is None else kept[name][(..., *spreads[name].window(box))]))
        return self._inferred(self._requests[key], compiled, arrays)

    def warm(self, picture: Float) -> None:
        """Run every crop once on nothing: the first run of a request takes longer."""
        for piece in (self._network.anatomy.whole, *self._network.anatomy.halves):
            nothing = {name: np.zeros(spread.shape, np.float32) for name, spread in {**piece.reads, **piece.wants}.items()}
            for name, size_px in self._network.models:
                if name == piece.name and size_px is not None:
                    self.run(piece, picture, nothing, (0, 0, size_px[1], size_px[0]))

    def context(self, kept: Mapping[str, Float]) -> dict[str, Float]:
        """What the pools give and the context, from what the pools read."""
        if self._context is None or self._network.context is None:
            return {}
        return self._inferred(self._context, self._network.context, [kept[name] for name in self._network.context.reads])

    @staticmethod
    def _inferred(request: Any, compiled: Compiled, arrays: list[Float]) -> dict[str, Float]:
        for place, array in enumerate(arrays):
            request.set_input_tensor(place, Tensor(array, shared_memory=True))
        request.infer()
        return {name: request.get_output_tensor(place).data for place, name in enumerate(compiled.gives)}
