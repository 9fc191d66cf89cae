"""What of a network is local, and what is said of the whole picture at once. In: OpenVINO's model, as it stands. Out: an Anatomy.

A *pool* is a node that sees the whole picture (global pooling); what is computed from pools alone is *context*, all the rest is *local*.
Tensors that are pictures lie on a *grid*: so and so many picture pixels a cell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgevision.errors import UnsupportedNetwork

Size = tuple[int, int]

_LOCAL, _CONTEXT, _NONE = "local", "context", "none"
_SHAPE_MAKERS = frozenset({"ShapeOf", "Constant"})
_REDUCTIONS = frozenset({"ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2"})
_WINDOWED = frozenset({"Convolution", "GroupConvolution", "MaxPool", "AvgPool"})
_SIZED = MappingProxyType({"Reshape": 1, "Interpolate": 1, "Broadcast": 1})  # where a node is told its result's size
_POOL_SHARE = 8  # a window over at least this part of the map, each way, is no local pooling
_POOL_CELLS = 8


@dataclass(frozen=True, slots=True)
class Grid:
    """How a tensor's last two axes lie on the picture along one axis: `size` cells, each `num / den` picture pixels."""

    size: int
    total_px: int
    num: int
    den: int

    @classmethod
    def of(cls, size: int, total_px: int) -> Grid | None:
        """None where the cells do not cover the picture evenly, the last one perhaps in part."""
        if size >= total_px:
            return cls(size, total_px, 1, size // total_px) if size % total_px == 0 else None
        stride = -(-total_px // size)
        return cls(size, total_px, stride, 1) if -(-total_px // stride) == size else None

    def cells(self, start_px: int, stop_px: int) -> tuple[int, int]:
        """The cells that an interval touches, which begins between two of them."""
        return start_px * self.den // self.num, min(self.size, self.first(stop_px))

    def first(self, side_px: int) -> int:
        """How many cells a crop of that side has."""
        return -(-side_px * self.den // self.num)


@dataclass(frozen=True, slots=True)
class Spread:
    """A tensor over the picture: its shape in a whole run, and its grids; both None for one that is the same everywhere."""

    shape: tuple[int, ...]
    rows: Grid | None
    columns: Grid | None

    @classmethod
    def of(cls, shape: tuple[int, ...], picture_px: Size) -> Spread:
        """No grids where the shape is no picture's."""
        if len(shape) < 3 or shape[-2:] == (1, 1):
            return cls(shape, None, None)
        rows, columns = Grid.of(shape[-2], picture_px[0]), Grid.of(shape[-1], picture_px[1])
        return cls(shape, rows, columns) if rows and columns else cls(shape, None, None)

    @property
    def is_picture(self) -> bool:
        """Whether it can be cropped."""
        return self.rows is not None

    def window(self, box: tuple[int, int, int, int]) -> tuple[slice, slice]:
        """Where a box (x1, y1, x2, y2) of the picture lies in it."""
        if self.rows is None or self.columns is None:
            return slice(None), slice(None)
        return slice(*self.rows.cells(box[1], box[3])), slice(*self.columns.cells(box[0], box[2]))


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """What of a network is local, and what is context.

    `outputs` by public name, `pools` (what they read) and `context` by tensor, each with its spread. `align_px`: crops begin at multiples
    of it. `macs`: multiply-accumulates of a whole run.
    """

    outputs: Mapping[str, Spread]
    pools: Mapping[str, Spread]
    context: Mapping[str, Spread]
    align_px: int
    macs: int


class Dissection:
    """Walks a model of fixed size once and tells local from context. Throwaway."""

    def __init__(self, model: Any, path: str) -> None:
        self.model, self.path = model, path
        _, _, height, width = model.inputs[0].get_shape()
        self.picture_px = (height, width)
        self._kinds: dict[tuple[str, int], str] = {}
        self.pool_nodes: list[Any] = []
        self.edges: list[tuple[Any, int]] = []  # (node, input place) where context meets what is local
        for node in model.get_ordered_ops():
            kind = self._kind(node)
            for port in node.outputs():
                self._kinds[key_of(port)] = kind

    def anatomy(self) -> Anatomy:
        """Raises UnsupportedNetwork for an output that is no picture."""
        outputs = {name: Spread.of(tuple(port.get_shape()), self.picture_px) for name, port in outputs_of(self.model).items()}
        for name, spread in outputs.items():
            if not spread.is_picture or spread.shape[0] != 1:
                raise UnsupportedNetwork(
                    f"{self.path}: output '{name}' has shape {spread.shape}, which is no picture of the {self.picture_px[1]}x"
                    f"{self.picture_px[0]} input; recompute.engine splice needs one; use selective"
                )
        pools = {name_of(port): self._spread(port) for port in self.pool_ports()}
        context = {name_of(port): self._spread(port) for port in self.context_ports()}
        return Anatomy(outputs, pools, context, self._align_px(), self._macs())

    def pool_ports(self) -> list[Any]:
        """What the pools read."""
        ports = {key_of(port): port for node in self.pool_nodes if (port := node.input(0).get_source_output())}
        return list(ports.values())

    def context_ports(self) -> list[Any]:
        """What crops must be handed."""
        ports = {key_of(port): port for node, place in self.edges if (port := node.input(place).get_source_output())}
        return list(ports.values())

    def baked_sizes(self, crop_px: Size) -> list[tuple[Any, int, list[int]]]:
        """Sizes that the file holds as numbers, as they must be for crops of (height, width): node, place of its input, the numbers."""
        cells: dict[Size, Size] = {}
        for node in self.model.get_ordered_ops():
            for port in node.outputs() if node.get_type_name() in _WINDOWED or node.get_type_name() == "Interpolate" else ():
                spread = Spread.of(tuple(int(size) for size in port.get_shape()), self.picture_px)
                if self._kinds[key_of(port)] == _LOCAL and spread.rows is not None and spread.columns is not None:
                    cells[spread.rows.size, spread.columns.size] = spread.rows.first(crop_px[0]), spread.columns.first(crop_px[1])
        found = []
        for node in self.model.get_ordered_ops():
            place = _SIZED.get(node.get_type_name())
            if place is None or self._kinds[key_of(node.output(0))] != _LOCAL or len(node.inputs()) <= place:
                continue
            if node.input(place).get_source_output().get_node().get_type_name() == "Constant":
                sizes = _resized([int(size) for size in node.output(0).get_shape()], cells)
                if node.get_type_name() == "Interpolate":
                    if node.get_attributes()["shape_calculation_mode"] != "sizes":
                        continue
                    count = math.prod(node.input(place).get_shape())
                    sizes = sizes[len(sizes) - count :]
                found.append((node, place, sizes))
        return found

    def _kind(self, node: Any) -> str:
        kind = node.get_type_name()
        if kind == "Parameter":
            return _LOCAL
        if kind in _SHAPE_MAKERS:
            return _NONE
        kinds = [self._kinds[key_of(port.get_source_output())] for port in node.inputs()]
        if _LOCAL not in kinds:
            return _CONTEXT if _CONTEXT in kinds else _NONE
        if _CONTEXT in kinds:
            self.edges += [(node, place) for place, one in enumerate(kinds) if one == _CONTEXT]
            return _LOCAL
        if _is_pool(node):
            self.pool_nodes.append(node)
            return _CONTEXT
        return _LOCAL

    def _spread(self, port: Any) -> Spread:
        shape = tuple(int(size) for size in port.get_shape())
        spread = Spread.of(shape, self.picture_px)
        if not spread.is_picture and len(shape) > 2 and max(shape[-2:]) > 1:
            raise UnsupportedNetwork(
                f"{self.path}: node '{port.get_node().get_friendly_name()}' has shape {shape}, which does not lie evenly on the picture; "
                "give another input size, or use recompute.engine selective"
            )
        return spread

    def _align_px(self) -> int:
        """What every local tensor's stride divides."""
        align = 1
        for node in self.model.get_ordered_ops():
            if node.get_type_name() in _WINDOWED and self._kinds[key_of(node.output(0))] == _LOCAL:
                spread = Spread.of(tuple(node.output(0).get_shape()), self.picture_px)
                if spread.rows is not None and spread.columns is not None:
                    align = math.lcm(align, spread.rows.num, spread.columns.num)
        return align

    def _macs(self) -> int:
        return sum(_macs(node) for node in self.model.get_ordered_ops())


def _resized(shape: list[int], cells: Mapping[Size, Size]) -> list[int]:
    """A tensor's shape with every picture in it, side by side or flattened, as large as in a crop."""
    for start in range(len(shape) - 2, -1, -1):
        pair = (shape[start], shape[start + 1])
        if pair in cells:
            return [*shape[:start], *cells[pair], *shape[start + 2 :]]
    flat = {height * width: rows * columns for (height, width), (rows, columns) in cells.items()}
    places = [place for place, size in enumerate(shape) if size in flat and size > 1]
    return [flat[size] if place == places[-1] else size for place, size in enumerate(shape)] if places else shape


def _is_pool(node: Any) -> bool:
    """Whether it sees (nearly) the whole picture at once."""
    shape = node.input(0).get_shape() if node.inputs() else ()
    if len(shape) != 4:
        return False
    kind = node.get_type_name()
    if kind in _REDUCTIONS:  # told by shapes: the axes may be computed in the file
        made = [int(one) for one in node.output(0).get_shape() if one > 1]
        batch, first, second, third = (int(one) for one in shape)
        kept = [one for one in (batch, first) if one > 1], [one for one in (batch, third) if one > 1]  # channels first, or last
        return (made == kept[0] and second * third > 1) or (made == kept[1] and first * second > 1)
    if kind == "AdaptiveAvgPool":
        return True
    if kind not in ("AvgPool", "MaxPool"):
        return False
    kernel = node.get_attributes()["kernel"]
    return all(side >= _POOL_CELLS and side * _POOL_SHARE >= size for side, size in zip(kernel, shape[2:], strict=True))


def _macs(node: Any) -> int:
    kind = node.get_type_name()
    if kind in ("Convolution", "GroupConvolution"):
        weights = node.input(1).get_shape()
        window = math.prod(weights[1:] if kind == "Convolution" else weights[2:])
        return int(window * math.prod(node.output(0).get_shape()))
    if kind == "MatMul":
        inner = node.input(0).get_shape()[-2 if node.get_attributes()["transpose_a"] else -1]
        return int(inner * math.prod(node.output(0).get_shape()))
    return 0


def outputs_of(model: Any) -> dict[str, Any]:
    """By public name, as the selective engine names them."""
    found = {}
    for port in model.outputs:
        source = port.get_node().input(0).get_source_output()
        name = min(port.get_names(), key=lambda name: (len(name), name)) if port.get_names() else source.get_node().get_friendly_name()
        found[name] = source
    return found


def key_of(port: Any) -> tuple[str, int]:
    """Of a tensor, within one reading of the file."""
    return port.get_node().get_name(), port.get_index()


def name_of(port: Any) -> str:
    """Of a tensor, the same in every reading of the file."""
    return f"{port.get_node().get_friendly_name()}:{port.get_index()}"
