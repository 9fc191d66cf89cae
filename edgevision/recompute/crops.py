"""The same network for the whole picture and for crops of it, run by OpenVINO. One of OpenVINO's doors: splicing needs whole networks.

In: a network file, the picture's size, the crops' sizes. Out: compiled models that cameras share, and for each camera a `Runner`. Context
(`anatomy`) a crop could not know, so crops are handed it, as the last whole run left it. What a pool reads comes out beside the answer, so
that its result can be followed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from openvino import Core, Layout, Model, PartialShape, Tensor, opset13
from openvino.passes import ConstantFolding, Manager
from openvino.preprocess import PrePostProcessor

from edgevision.errors import UnsupportedNetwork
from edgevision.recompute.anatomy import Dissection, Spread, key_of, name_of, outputs_of
from edgevision.recompute.graph import reason_of

Float = NDArray[np.float32]
Size = tuple[int, int]


def open_model(path: Path, input_shape: tuple[int, ...] | None) -> Model:
    """The network as OpenVINO reads it, for a picture of that shape. The file was read by `graph` before, so that it is sound."""
    model = Core().read_model(str(path))
    if input_shape is not None:
        model.reshape(list(input_shape))
    return model


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """One model: what it gives in order, and the context that it wants in order, after the picture."""

    model: Any
    size_px: Size
    results: tuple[str, ...]
    wants: tuple[str, ...]


class CropNetwork:
    """What cameras share: the model for whole pictures, one for each size of crop, one for all pools. Nothing in it changes."""

    def __init__(self, path: Path, input_shape: tuple[int, ...], threads: int, precision: str) -> None:
        self._path, self._shape, self.channels = path, input_shape, input_shape[1]
        self._settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_CPU_PINNING": False,
        }
        self.anatomy = Dissection(open_model(path, input_shape), str(path)).anatomy()
        self.whole = self._whole()
        self.pools = self._pools()
        self.crops: dict[Size, Compiled] = {}

    def add(self, size_px: Size) -> Compiled:
        """Compile the model for crops of (height, width). Raises UnsupportedNetwork where the network takes no such picture."""
        if size_px not in self.crops:
            self.crops[size_px] = self._crop(size_px)
        return self.crops[size_px]

    def keep(self, sizes: list[Size]) -> None:
        """Compile these sizes, and no longer hold others. Raises UnsupportedNetwork as `add` does."""
        self.crops = {size: self.add(size) for size in sizes}

    def runner(self) -> Runner:
        """For one camera."""
        return Runner(self)

    def _whole(self) -> Compiled:
        model = open_model(self._path, self._shape)
        dissection = Dissection(model, str(self._path))
        ports = {**outputs_of(model), **_named(dissection.pool_ports()), **_named(dissection.context_ports())}
        return self._compile(Model(list(ports.values()), model.get_parameters(), "whole"), (), tuple(ports), dissection.picture_px)

    def _pools(self) -> Compiled | None:
        """From what the pools read to what they give, at the whole picture's size: what they compute from sizes is folded."""
        model = open_model(self._path, self._shape)
        folding = Manager()
        folding.register_pass(ConstantFolding())
        folding.run_passes(model)
        dissection = Dissection(model, str(self._path))
        if not dissection.pool_nodes:
            return None
        ports = dissection.pool_ports()
        parameters = []
        for port in ports:
            parameter = opset13.parameter(port.get_partial_shape(), np.float32)
            for node in dissection.pool_nodes:
                if key_of(node.input(0).get_source_output()) == key_of(port):
                    node.input(0).replace_source_output(parameter.output(0))
            parameters.append(parameter)
        names = tuple(name_of(node.output(0)) for node in dissection.pool_nodes)
        made = Model([node.output(0) for node in dissection.pool_nodes], parameters, "pools")
        return Compiled(self._compiled(made), dissection.picture_px, names, tuple(_named(ports)))

    def _crop(self, size_px: Size) -> Compiled:
        model = open_model(self._path, self._shape)
        dissection = Dissection(model, str(self._path))
        results = {**outputs_of(model), **_named(dissection.pool_ports())}
        wanted = _named(dissection.context_ports())
        parameters = {
            name: opset13.parameter(PartialShape(_cropped(self.anatomy.context[name], size_px)), port.get_element_type())
            for name, port in wanted.items()
        }
        for node, place in dissection.edges:
            node.input(place).replace_source_output(parameters[name_of(node.input(place).get_source_output())].output(0))
        for node, place, sizes in dissection.baked_sizes(size_px):
            node.input(place).replace_source_output(opset13.constant(np.array(sizes, np.int64)).output(0))
        image = model.get_parameters()[0]
        image.set_partial_shape(PartialShape([*self._shape[:2], *size_px]))
        try:
            made = Model(list(results.values()), [image, *parameters.values()], "crop")
            made.validate_nodes_and_infer_types()
        except RuntimeError as error:
            raise UnsupportedNetwork(
                f"{self._path}: takes no crops of {size_px[1]}x{size_px[0]}: {reason_of(error)}; export it with open height and "
                "width, or use recompute.engine selective"
            ) from error
        self._check_results(made, results, size_px)
        return self._compile(made, tuple(wanted), tuple(results), size_px)

    def _check_results(self, model: Model, names: Mapping[str, Any], size_px: Size) -> None:
        """A size baked into the file would leave an output as large as the whole picture's."""
        for name, port in zip(names, model.outputs, strict=True):
            wanted = _cropped(self.anatomy.outputs.get(name) or self.anatomy.pools[name], size_px)
            if list(port.get_shape()) != wanted:
                raise UnsupportedNetwork(
                    f"{self._path}: '{name}' of a crop has shape {tuple(port.get_shape())} instead of {tuple(wanted)}: a size is "
                    "fixed in the file; export it with open height and width, or use recompute.engine selective"
                )

    def _compile(self, model: Model, wants: tuple[str, ...], results: tuple[str, ...], size_px: Size) -> Compiled:
        """Pictures come as the Memory holds them, channels last."""
        processor = PrePostProcessor(model)
        processor.input(0).tensor().set_layout(Layout("NHWC"))
        processor.input(0).model().set_layout(Layout("NCHW"))
        return Compiled(self._compiled(processor.build()), size_px, results, wants)

    def _compiled(self, model: Model) -> Any:
        try:
            return Core().compile_model(model, "CPU", self._settings)
        except RuntimeError as error:
            raise UnsupportedNetwork(f"{self._path}: OpenVINO cannot run it: {reason_of(error)}") from error


def _named(ports: list[Any]) -> dict[str, Any]:
    return {name_of(port): port for port in ports}


def _cropped(spread: Spread, size_px: Size) -> list[int]:
    """The shape of a tensor in a crop of (height, width)."""
    if spread.rows is None or spread.columns is None:
        return list(spread.shape)
    return [*spread.shape[:-2], spread.rows.first(size_px[0]), spread.columns.first(size_px[1])]


class Runner:
    """One camera's requests. What `whole`, `crop` and `pool` give is theirs, valid until their next call."""

    def __init__(self, network: CropNetwork) -> None:
        self._network = network
        self._whole = network.whole.model.create_infer_request()
        self._pools = network.pools.model.create_infer_request() if network.pools else None
        self._crops = {size_px: one.model.create_infer_request() for size_px, one in network.crops.items()}

    def whole(self, picture: Float) -> dict[str, Float]:
        """Outputs, what pools read and context, from a picture (H, W, C)."""
        array = np.ascontiguousarray(picture)[None]
        self._whole.set_input_tensor(0, Tensor(array, shared_memory=True))
        self._whole.infer()
        return dict(self._read(self._whole, self._network.whole))

    def warm(self) -> None:
        """Run every size once on nothing: the first run of a request takes longer."""
        anatomy, channels = self._network.anatomy, self._network.channels
        context = {name: np.zeros(spread.shape, np.float32) for name, spread in anatomy.context.items()}
        for height, width in self._crops:
            self.crop(np.zeros((height, width, channels), np.float32), (0, 0, width, height), context)

    def crop(self, picture: Float, box: tuple[int, int, int, int], context: Mapping[str, Float]) -> dict[str, Float]:
        """Outputs and what pools read, of a box (x1, y1, x2, y2) of a picture (H, W, C); the box has a compiled size."""
        x1, y1, x2, y2 = box
        compiled, request = self._network.crops[y2 - y1, x2 - x1], self._crops[y2 - y1, x2 - x1]
        kept = [np.ascontiguousarray(picture[y1:y2, x1:x2])[None]]
        for name in compiled.wants:
            kept.append(np.ascontiguousarray(context[name][(..., *self._network.anatomy.context[name].window(box))]))
        for place, array in enumerate(kept):
            request.set_input_tensor(place, Tensor(array, shared_memory=True))
        request.infer()
        return dict(self._read(request, compiled))

    def pool(self, maps: Mapping[str, Float]) -> dict[str, Float]:
        """What the pools give, from what they read."""
        if self._pools is None or self._network.pools is None:
            return {}
        for place, name in enumerate(self._network.pools.wants):
            self._pools.set_input_tensor(place, Tensor(maps[name], shared_memory=True))
        self._pools.infer()
        return dict(self._read(self._pools, self._network.pools))

    @staticmethod
    def _read(request: Any, compiled: Compiled) -> Iterator[tuple[str, Float]]:
        for place, name in enumerate(compiled.results):
            yield name, request.get_output_tensor(place).data
