"""What of a network is local, and what is said of the whole picture at once. In: OpenVINO's model, as it stands. Out: an Anatomy.

A *pool* is a node that sees the whole picture (global pooling); what is computed from pools alone is *context*, all the rest is *local*.
Of what is local, the *tail* is what context reaches, what mixes all places at once (attention), or what is no picture any more; the *body*
is all before it. Tensors that are pictures lie on a *grid*: so and so many picture pixels a cell.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from edgevision.errors import UnsupportedNetwork

Size = tuple[int, int]

_LOCAL, _CONTEXT, _NONE = "local", "context", "none"
_BODY, _TAIL = "body", "tail"
_SHAPE_MAKERS = frozenset({"ShapeOf", "Constant"})
_REDUCTIONS = frozenset({"ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceL1", "ReduceL2"})
_WINDOWED = frozenset({"Convolution", "GroupConvolution", "MaxPool", "AvgPool"})
_STRIDED = _WINDOWED | {"Interpolate", "SpaceToDepth"}
_SIZED = MappingProxyType({"Reshape": 1, "Interpolate": 1, "Broadcast": 1})  # where a node is told its result's size
_MIXERS = frozenset({"MatMul", "ScaledDotProductAttention"})  # of two tensors that both come from the picture
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
class Piece:
    """A part of the network that is run by itself: `whole`, or `body` and then `tail`. Tensors by name, each with its spread.

    `reads`: the picture, or what the piece before gives. `pooled`: what else a whole run reads, for pools of its own. `wants`: the context
    that a crop is handed. `gives`: what others read and what comes out. `macs`: multiply-accumulates of a whole run.
    """

    name: str
    reads: Mapping[str, Spread]
    pooled: Mapping[str, Spread]
    wants: Mapping[str, Spread]
    gives: Mapping[str, Spread]
    macs: int


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """What of a network is local, and what is context.

    `picture` names the input's tensor, `outputs` each output's by its public name, `pools` what the pools read. `halves` are body and tail;
    () where one of them would be empty. `align_px`: crops begin at multiples of it.
    """

    picture: str
    outputs: Mapping[str, str]
    whole: Piece
    halves: tuple[Piece, ...]
    pools: tuple[str, ...]
    align_px: int


class Dissection:
    """Walks a model of fixed size once and tells body, tail and context apart. Throwaway."""

    def __init__(self, model: Any, path: str) -> None:
        self.model, self.path = model, path
        _, _, height, width = model.inputs[0].get_shape()
        self.picture_px = (height, width)
        self._kinds: dict[tuple[str, int], str] = {}
        self._tail: set[tuple[str, int]] = set()
        self._macs = {_BODY: 0, _TAIL: 0}
        self.pool_nodes: list[Any] = []
        self.edges: list[tuple[Any, int]] = []  # (node, input place) where context meets what is local
        self.cuts: list[tuple[Any, int]] = []  # (node of the tail, input place) where the body meets it
        self.ports: dict[str, Any] = {}
        for node in model.get_ordered_ops():
            kind = self._kind(node)
            is_tail = kind == _LOCAL and self._is_tail(node)
            for port in node.outputs():
                self._kinds[key_of(port)] = kind
                self.ports.setdefault(name_of(port), port)
                if is_tail:
                    self._tail.add(key_of(port))
            self._macs[_TAIL if is_tail or kind == _CONTEXT else _BODY] += _macs(node)

    def anatomy(self) -> Anatomy:
        """Raises UnsupportedNetwork for an output that is no picture."""
        outputs = outputs_of(self.model)
        for name, port in outputs.items():
            spread = Spread.of(tuple(port.get_shape()), self.picture_px)
            if not spread.is_picture or spread.shape[0] != 1:
                raise UnsupportedNetwork(
                    f"{self.path}: output '{name}' has shape {spread.shape}, which is no picture of the {self.picture_px[1]}x"
                    f"{self.picture_px[0]} input; recompute.engine splice needs one; use selective"
                )
        picture = self.model.get_parameters()[0].output(0)
        pools = self._spreads(self.pool_ports())
        context = self._spreads(self.context_ports())
        gives = {**self._spreads(outputs.values()), **pools}
        whole = Piece("whole", self._spreads([picture]), {}, context, gives, sum(self._macs.values()))
        names = {name: name_of(port) for name, port in outputs.items()}
        return Anatomy(name_of(picture), names, whole, self._halves(whole, pools), tuple(pools), self._align_px())

    def _halves(self, whole: Piece, pools: Mapping[str, Spread]) -> tuple[Piece, ...]:
        late = {name: spread for name, spread in whole.gives.items() if self.is_tail(self.ports[name])}
        if not self._macs[_BODY] or not self._macs[_TAIL] or not late:
            return ()
        early = {name: spread for name, spread in whole.gives.items() if name not in late}
        cut = self._spreads(node.input(place).get_source_output() for node, place in self.cuts)
        features = {name: spread for name, spread in cut.items() if name not in whole.reads}
        body = Piece(_BODY, whole.reads, {}, {}, {**features, **early}, self._macs[_BODY])
        pooled = {name: spread for name, spread in pools.items() if name in early and name not in cut}
        return body, Piece(_TAIL, cut, pooled, whole.wants, late, self._macs[_TAIL])

    def _spreads(self, ports: Iterable[Any]) -> dict[str, Spread]:
        return {name_of(port): self._spread(port) for port in ports}

    def pool_ports(self) -> list[Any]:
        """What the pools read."""
        ports = {key_of(port): port for node in self.pool_nodes if (port := node.input(0).get_source_output())}
        return list(ports.values())

    def context_ports(self) -> list[Any]:
        """What crops must be handed."""
        ports = {key_of(port): port for node, place in self.edges if (port := node.input(place).get_source_output())}
        return list(ports.values())

    def is_tail(self, port: Any) -> bool:
        """Whether a tensor comes out of the tail."""
        return key_of(port) in self._tail

    def early_shapes(self) -> list[Any]:
        """Nodes that ask for the shape of a tensor of the body."""
        makers = (node for node in self.model.get_ordered_ops() if node.get_type_name() == "ShapeOf")
        sources = ((node, key_of(node.input(0).get_source_output())) for node in makers)
        return [node for node, source in sources if self._kinds.get(source) == _LOCAL and source not in self._tail]

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

    def _is_tail(self, node: Any) -> bool:
        """Whether a local node lies behind the cut; notes where the body meets it."""
        sources = [key_of(port.get_source_output()) for port in node.inputs()]
        kinds = [self._kinds[source] for source in sources]
        is_mixer = node.get_type_name() in _MIXERS and kinds.count(_LOCAL) > 1
        is_reached = _CONTEXT in kinds or not self._tail.isdisjoint(sources)
        if node.get_type_name() in ("Parameter", "Result") or not (is_reached or is_mixer or not self._are_pictures(node)):
            return False
        self.cuts += [
            (node, place)
            for place, (kind, source) in enumerate(zip(kinds, sources, strict=True))
            if kind == _LOCAL and source not in self._tail
        ]
        return True

    def _are_pictures(self, node: Any) -> bool:
        """Whether all that a node gives lies on the picture, as coarse both ways."""
        for port in node.outputs():
            if port.get_partial_shape().is_dynamic:
                return False
            spread = Spread.of(tuple(int(size) for size in port.get_shape()), self.picture_px)
            if len(spread.shape) < 4 or spread.rows is None or spread.columns is None:
                return False
            if (spread.rows.num, spread.rows.den) != (spread.columns.num, spread.columns.den):
                return False
        return True

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
            if node.get_type_name() in _STRIDED and self._kinds[key_of(node.output(0))] == _LOCAL:
                spread = Spread.of(tuple(node.output(0).get_shape()), self.picture_px)
                if spread.rows is not None and spread.columns is not None:
                    align = math.lcm(align, spread.rows.num, spread.columns.num)
        return align


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
