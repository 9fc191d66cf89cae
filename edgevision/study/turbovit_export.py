"""TurboViT as an ONNX file, all its attention dense: what OpenVINO is raced on, and what other programs can read.

In: a network and a size. Out: a file. Keeps nothing. Tokens lie so that a unit, and each 2x2 that is pooled, is a stretch of them: no layer
but the first has to move any. Attention does not mind the order; the segmentation head puts its stages back into rows and columns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError, Unavailable
from edgevision.networks.turbovit import NORM_EPSILON, Layer, layers, refuse_unfit, sizes
from edgevision.networks.turbovit_weights import TurboViT, read_turbovit
from edgevision.recompute.load import TURBOVIT, network_path
from edgevision.recompute.settings import RecomputeSettings
from edgevision.recompute.token_plan import positions_for

OPSET, IR_VERSION = 20, 9


def export_turbovit(network: TurboViT, size_px: tuple[int, int], path: Path) -> None:
    """Write the file for pictures of (height, width). Raises InputError for a size or a path that will not do, Unavailable without onnx."""
    refuse_unfit(network.spec, *size_px)
    try:
        import onnx
    except ImportError as error:
        raise Unavailable("writing ONNX needs the package onnx; install it with: pip install 'edgevision[bench]'") from error
    steps = layers(network.spec)
    writing = _Writing(network, sizes(steps, *size_px), onnx)
    for step in steps:
        writing.enter(step)
    try:
        path.write_bytes(writing.model(steps[-1]).SerializeToString())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file in a folder that is there and may be written") from error


@contextmanager
def dense_file(settings: RecomputeSettings, shape: tuple[int, ...]) -> Iterator[Path]:
    """The file that OpenVINO runs for these settings: the network's own, or turbovit's with dense attention, there while in use."""
    path = network_path(settings)
    if settings.network != TURBOVIT:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="edgevision-turbovit-") as folder:
        exported = Path(folder) / f"{path.stem}.onnx"
        export_turbovit(read_turbovit(path), (shape[2], shape[3]), exported)
        yield exported


def nested_order(rows: int, columns: int, unit: int, poolings: int) -> NDArray[np.int64]:
    """For each place in the nested order the token of the raster that lies there: unit after unit, in it every 2x2 together, and so on."""
    y, x = np.divmod(np.arange(rows * columns), columns)
    keys = [y // unit, x // unit]
    side = 2**poolings
    keys += [y % unit // side, x % unit // side]
    for level in reversed(range(poolings)):
        keys += [y >> level & 1, x >> level & 1]
    return np.lexsort(keys[::-1])


@dataclass(slots=True, eq=False)
class _Writing:
    """The file in the making. `unit` and `poolings` are those of the layer being entered."""

    network: TurboViT
    sizes: Mapping[str, tuple[int, int, int]]
    onnx: Any
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)
    unit: int = 0
    poolings: int = 0

    def __post_init__(self) -> None:
        spec = self.network.spec
        self.unit, self.poolings = spec.unit, sum(spec.pools)

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """A named constant."""
        self.constants.append(self.onnx.numpy_helper.from_array(np.array(values, order="C"), name))
        return name

    def node(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """A node called as its output."""
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def shaped(self, source: str, output: str, shape: Sequence[int]) -> str:
        """The same numbers in another shape."""
        return self.node("Reshape", (source, self.constant(f"{output}.shape", np.array(shape, np.int64))), output)

    def weight(self, layer: Layer, kind: str = "weight") -> NDArray[np.float32]:
        """As the file of weights has it."""
        return np.asarray(self.network.weights[f"{layer.name}.{kind}"])

    def enter(self, layer: Layer) -> None:
        """Enter one layer."""
        {
            "conv": self.convolve, "positions": self.place, "norm": self.normalise, "linear": self.multiply, "pool": self.pool,
            "query_pool": self.pool_queries, "attention": self.attend, "mean": self.mean, "resize": self.resize, "softmax": self.finish,
            "sigmoid": self.finish,
        }[layer.op](layer)  # fmt: skip

    def convolve(self, layer: Layer) -> None:
        """On rows and columns, (1, C, H, W)."""
        names = (self.constant(f"{layer.name}.weight", self.weight(layer)), self.constant(f"{layer.name}.bias", self.weight(layer, "bias")))
        end = f"{layer.name}.sum" if layer.activation == "gelu" else layer.name
        shape = {"kernel_shape": [layer.kernel] * 2, "strides": [layer.stride] * 2, "pads": [layer.kernel // 2] * 4}
        self.node("Conv", (layer.inputs[0], *names), end, **shape)
        if layer.activation == "gelu":
            self.node("Gelu", (end,), layer.name)

    def place(self, layer: Layer) -> None:
        """From rows and columns to tokens (1, N, C) in the nested order, positions added."""
        channels, rows, columns = self.sizes[layer.name]
        order = nested_order(rows, columns, self.unit, self.poolings)
        flat = self.shaped(layer.inputs[0], f"{layer.name}.flat", (1, channels, -1))
        raster = self.node("Transpose", (flat,), f"{layer.name}.raster", perm=[0, 2, 1])
        tokens = self.node("Gather", (raster, self.constant(f"{layer.name}.order", order)), f"{layer.name}.tokens", axis=1)
        table = positions_for(self.weight(layer), (rows, columns)).reshape(-1, channels)[order]
        self.node("Add", (tokens, self.constant("positions.weight", table[None])), layer.name)

    def normalise(self, layer: Layer) -> None:
        """Over the channels."""
        names = [self.constant(f"{layer.name}.{kind}", self.weight(layer, kind)) for kind in ("weight", "bias")]
        self.node("LayerNormalization", (layer.inputs[0], *names), layer.name, axis=-1, epsilon=NORM_EPSILON)

    def multiply(self, layer: Layer) -> None:
        """Tokens by a matrix, or pixels where the segmentation head is on rows and columns already."""
        weight, bias = self.weight(layer), self.weight(layer, "bias")
        ends = [f"{layer.name}.bias"]
        ends += [f"{layer.name}.added"] if len(layer.inputs) == 2 else []
        ends += [f"{layer.name}.gelu"] if layer.activation == "gelu" else []
        is_picture = layer.name == "head.labels"
        if is_picture:
            self.constant(f"{layer.name}.matrix", weight[:, :, None, None])
            names = (layer.inputs[0], f"{layer.name}.matrix", self.constant(f"{layer.name}.shift", bias))
            self.node("Conv", names, layer.name, kernel_shape=[1, 1])
            return
        product = self.node("MatMul", (layer.inputs[0], self.constant(f"{layer.name}.matrix", weight.T)), f"{layer.name}.product")
        is_lateral = layer.name.startswith("head.stage")
        last = f"{layer.name}.tokens" if is_lateral else layer.name
        made = self.node("Add", (product, self.constant(f"{layer.name}.shift", bias)), last if len(ends) == 1 else ends[0])
        if is_lateral:
            self.spread(layer, made)
        elif len(layer.inputs) == 2:
            self.node("Add", (made, layer.inputs[1]), layer.name)
        elif layer.activation == "gelu":
            self.node("Gelu", (made,), layer.name)

    def spread(self, layer: Layer, tokens: str) -> None:
        """Tokens of a stage back into rows and columns, and what the coarser stages said added."""
        channels, rows, columns = self.sizes[layer.name]
        stage = int(layer.name.removeprefix("head.stage"))
        pooled = sum(self.network.spec.pools[:stage])
        spec = self.network.spec
        order = nested_order(rows, columns, spec.unit >> pooled, sum(spec.pools) - pooled)
        back = self.constant(f"{layer.name}.order", np.argsort(order))
        raster = self.node("Gather", (tokens, back), f"{layer.name}.raster", axis=1)
        turned = self.node("Transpose", (raster,), f"{layer.name}.turned", perm=[0, 2, 1])
        last = layer.name if len(layer.inputs) == 1 else f"{layer.name}.picture"
        picture = self.shaped(turned, last, (1, channels, rows, columns))
        if len(layer.inputs) == 2:
            self.node("Add", (picture, layer.inputs[1]), layer.name)

    def pool(self, layer: Layer) -> None:
        """The maximum of every four tokens that lie together."""
        fours = self.shaped(layer.inputs[0], f"{layer.name}.fours", (1, -1, 4, layer.channels))
        axes = self.constant(f"{layer.name}.axes", np.array([2], np.int64))
        self.node("ReduceMax", (fours, axes), layer.name, keepdims=0)

    def pool_queries(self, layer: Layer) -> None:
        """Nothing yet: the attention that reads it splits queries from keys and values first."""

    def attend(self, layer: Layer) -> None:
        """Dense within units, or all with all: (unit, head, token, channel) each of queries, keys, values.

        Where queries are pooled in units, these and the heads are one dimension: as two, OpenVINO 2026.4 answers wrongly in f32 where 16
        keys meet 4 queries.
        """
        name, source, dim = layer.name, layer.inputs[-1], layer.channels // layer.heads
        _, rows, columns = self.sizes[source]
        tokens = self.unit**2 if layer.kind == "unit" else rows * columns
        is_pooled = len(layer.inputs) == 2
        lead = (-1,) if is_pooled and layer.kind == "unit" else (-1, layer.heads)
        parts = self.shaped(source, f"{name}.parts", (-1, tokens, 3, layer.heads, dim))
        turned = self.node("Transpose", (parts,), f"{name}.turned", perm=[2, 0, 3, 1, 4])
        reads = []
        for place, part in enumerate(("queries", "keys", "values")):
            index = self.constant(f"{name}.{part}.place", np.array(place, np.int64))
            taken = self.node("Gather", (turned, index), f"{name}.{part}.taken", axis=0)
            reads.append(taken if len(lead) == 2 else self.shaped(taken, f"{name}.{part}", (*lead, tokens, dim)))
        queries = self._pooled(name, reads[0], (*lead, tokens // 4, 4, dim)) if is_pooled else reads[0]
        scaled = self.node("Mul", (queries, self.constant(f"{name}.scale", np.array(dim**-0.5, np.float32))), f"{name}.scaled")
        turn = [*range(len(lead)), len(lead) + 1, len(lead)]
        keys = self.node("Transpose", (reads[1],), f"{name}.keys.turned", perm=turn)
        scores = self.node("MatMul", (scaled, keys), f"{name}.scores")
        shares = self.node("Softmax", (scores,), f"{name}.shares", axis=-1)
        mixed = self.node("MatMul", (shares, reads[2]), f"{name}.mixed")
        if len(lead) == 1:
            mixed = self.shaped(mixed, f"{name}.heads", (-1, layer.heads, tokens // 4, dim))
        back = self.node("Transpose", (mixed,), f"{name}.back", perm=[0, 2, 1, 3])
        self.shaped(back, name, (1, -1, layer.channels))

    def _pooled(self, name: str, queries: str, shape: tuple[int, ...]) -> str:
        """The maximum of every four queries that lie together; from here on units are half as large."""
        fours = self.shaped(queries, f"{name}.fours", shape)
        axes = self.constant(f"{name}.axes", np.array([len(shape) - 2], np.int64))
        self.unit, self.poolings = self.unit // 2, self.poolings - 1
        return self.node("ReduceMax", (fours, axes), f"{name}.pooled", keepdims=0)

    def mean(self, layer: Layer) -> None:
        """Of all tokens."""
        self.node("ReduceMean", (layer.inputs[0], self.constant(f"{layer.name}.axes", np.array([1], np.int64))), layer.name, keepdims=0)

    def resize(self, layer: Layer) -> None:
        """Twice as large."""
        scales = self.constant(f"{layer.name}.scales", np.array([1, 1, 2, 2], np.float32))
        self.node("Resize", (layer.inputs[0], "", scales), layer.name, mode="linear", coordinate_transformation_mode="half_pixel")

    def finish(self, layer: Layer) -> None:
        """Shares or probabilities."""
        if layer.op == "softmax":
            self.node("Softmax", layer.inputs, layer.name, axis=-1)
        else:
            self.node("Sigmoid", layer.inputs, layer.name)

    def model(self, last: Layer) -> Any:
        """The whole file, checked."""
        helper, number = self.onnx.helper, self.onnx.TensorProto.FLOAT
        _, height, width = self.sizes["image"]
        channels, rows, columns = self.sizes[last.name]
        shape = [1, channels] if self.network.spec.head == "class" else [1, channels, rows, columns]
        entry = helper.make_tensor_value_info("image", number, [1, 3, height, width])
        result = helper.make_tensor_value_info(last.name, number, shape)
        graph = helper.make_graph(self.nodes, "edgevision-turbovit", [entry], [result], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        helper.set_model_props(model, {"labels": ", ".join(self.network.spec.labels), **self.network.metadata})
        model.producer_name = "edgevision"
        self.onnx.checker.check_model(model)
        return model
