"""From a network of tokens, which is plain data, to a Plan of the engine's own steps. In: a TurboViT, a size, an attention for each layer
that has one. Out: a Plan, and a Graph that says what a file would. Keeps nothing.

A token is a pixel. A norm's scale and shift go into the linear layers that read it; queries, keys and values are channels of one tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from edgevision.errors import UnsupportedNetwork
from edgevision.kernels.forms import Across, Activation, Broadcast, Combine, Convolve, Float, Form, Pool, Resize, Total, Window
from edgevision.networks.attention import Attention, Tokens
from edgevision.networks.turbovit import NORM_EPSILON, Layer, layers, macs, sizes
from edgevision.networks.turbovit_weights import TurboViT
from edgevision.recompute.arrangement import Arrangement, whole
from edgevision.recompute.attention_choice import words_of
from edgevision.recompute.graph import Graph
from edgevision.recompute.interpolate import bilinear
from edgevision.recompute.plan import AttentionStep, Plan, Ref, Step, Tensor
from edgevision.recompute.precision import finish

_TWICE = Window((2, 2), (2, 2))
_ONE = Window((1, 1))


def token_plan(
    network: TurboViT,
    size_px: tuple[int, int],
    attentions: Mapping[str, tuple[Attention, Tokens]],
    gates: Mapping[str, float],
    precision: str = "f32",
) -> Plan:
    """The plan for pictures of (height, width), which are whole units. `attentions` by layer. Raises InputError for a wrong gate."""
    steps = layers(network.spec)
    building = _Building(network, sizes(steps, *size_px), macs(steps, *size_px), attentions)
    for step in steps:
        building.enter(step)
    last = steps[-1].name
    plan = Plan(
        path=network.path,
        input="image",
        tensors=MappingProxyType(building.tensors),
        steps=tuple(building.steps),
        outputs=MappingProxyType({last: Ref(last, 0, steps[-1].channels)}),
        gates=MappingProxyType({}),
        arrangements=MappingProxyType(_as_rows(steps[-1]) if network.spec.head == "class" else {}),
    )
    return finish(plan, gates, precision)


def token_graph(network: TurboViT, size_px: tuple[int, int]) -> Graph:
    """What a file would say of it: input, output, shapes, metadata. There are no nodes for OpenVINO."""
    steps = layers(network.spec)
    channels, rows, columns = sizes(steps, *size_px)[steps[-1].name]
    shape = (1, channels) if network.spec.head == "class" else (1, channels, rows, columns)
    shapes = {"image": (1, 3, *size_px), steps[-1].name: shape}
    nothing: Mapping[str, object] = MappingProxyType({})
    return Graph(
        path=network.path,
        sha256=network.sha256,
        nodes=(),
        shapes=MappingProxyType(shapes),
        types=MappingProxyType(dict.fromkeys(shapes, "f32")),
        constants=nothing,  # type: ignore[arg-type]
        input="image",
        input_names=("image",),
        outputs=MappingProxyType({steps[-1].name: steps[-1].name}),
        metadata=MappingProxyType({"labels": ", ".join(network.spec.labels), **network.metadata}),
        weights=nothing,  # type: ignore[arg-type]
        model=None,
        ports=nothing,
    )


def positions_for(table: Float, size: tuple[int, int]) -> Float:
    """(row, column, channel) stretched to (rows, columns): bilinear, places taken at half pixels."""
    made = table
    for axis, (before, after) in enumerate(zip(table.shape[:2], size, strict=True)):
        places = (np.arange(after, dtype=np.float32) + np.float32(0.5)) * np.float32(before / after) - np.float32(0.5)
        along = bilinear(places, before)
        share = along.share.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        first, second = np.take(made, along.first, axis), np.take(made, along.second, axis)
        made = first + (second - first) * share
    return np.ascontiguousarray(made, np.float32)


def _as_rows(last: Layer) -> dict[str, Arrangement]:
    """One pixel of many channels, read as (1, channels)."""
    return {last.name: Arrangement((last.channels, 1, 1), ((), whole("c", last.channels)))}


@dataclass(slots=True, eq=False)
class _Building:
    """The plan in the making. `norms`: by a norm's name its scale and shift, for who reads it."""

    network: TurboViT
    sizes: Mapping[str, tuple[int, int, int]]
    macs: Mapping[str, int]
    attentions: Mapping[str, tuple[Attention, Tokens]]
    tensors: dict[str, Tensor] = field(default_factory=dict)
    steps: list[Step | AttentionStep] = field(default_factory=list)
    norms: dict[str, tuple[Float, Float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._tensor("image", "image")

    def _tensor(self, name: str, like: str) -> None:
        channels, rows, columns = self.sizes[like]
        self.tensors[name] = Tensor(name, rows, columns, channels)

    def _ref(self, name: str, part: int = 0, parts: int = 1) -> Ref:
        """A tensor, or an even part of its channels."""
        channels = self.tensors[name].channels // parts
        return Ref(name, part * channels, channels)

    def _step(self, layer: Layer, form: Form, sources: tuple[Ref, ...]) -> None:
        self._tensor(layer.name, layer.name)
        self.steps.append(Step(layer.name, form, sources, layer.name))

    def _weight(self, layer: Layer, kind: str = "weight") -> Float:
        return np.asarray(self.network.weights[f"{layer.name}.{kind}"])

    def enter(self, layer: Layer) -> None:
        """Enter one layer."""
        sources = tuple(self._ref(name) for name in layer.inputs)
        if layer.op == "attention":
            self._attend(layer)
        elif layer.op in ("conv", "linear"):
            self._step(layer, self._convolution(layer), sources)
        elif layer.op == "norm":
            self.norms[layer.name] = self._weight(layer), self._weight(layer, "bias")
            self._step(layer, Across("normalise", NORM_EPSILON), sources)
        elif layer.op == "query_pool":
            self._step(layer, Pool(_TWICE, "max"), (self._ref(layer.inputs[0], 0, 3),))
        elif layer.op == "mean":
            self._mean(layer)
        else:
            self._step(layer, self._plain(layer), sources)

    def _plain(self, layer: Layer) -> Form:
        """The form of a layer that is one, without weights to be folded."""
        _, rows, columns = self.sizes[layer.name]
        if layer.op == "positions":
            return Broadcast("add", positions_for(self._weight(layer), (rows, columns)))
        if layer.op == "pool":
            return Pool(_TWICE, "max")
        if layer.op == "resize":
            places = [(np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(2) - np.float32(0.5) for size in (rows, columns)]
            return Resize(bilinear(places[0], rows // 2), bilinear(places[1], columns // 2), is_nearest=False)
        if layer.op == "softmax":
            return Across("softmax")
        if layer.op == "sigmoid":
            return Combine("copy", activation=Activation("sigmoid"))
        raise UnsupportedNetwork(f"{self.network.path}: layer '{layer.name}' is a '{layer.op}', which has no step")

    def _convolution(self, layer: Layer) -> Convolve:
        """Weights with the scale of the norm before, the bias with its shift."""
        weight, bias = self._weight(layer), self._weight(layer, "bias")
        kernel = weight if weight.ndim == 4 else weight[:, :, None, None]
        if layer.inputs[0] in self.norms:
            scale, shift = self.norms[layer.inputs[0]]
            bias = (bias.astype(np.float64) + weight.astype(np.float64) @ shift.astype(np.float64)).astype(np.float32)
            kernel = kernel * scale[None, :, None, None]
        half = layer.kernel // 2
        window = Window((layer.kernel,) * 2, (layer.stride,) * 2, (1, 1), (half, half)) if layer.op == "conv" else _ONE
        form = Convolve(window, np.ascontiguousarray(kernel, np.float32), np.asarray(bias, np.float32), residual=len(layer.inputs) == 2)
        return form if layer.activation == "none" else _activated(form, layer.activation)

    def _mean(self, layer: Layer) -> None:
        """Rows first, then what is left of them."""
        source, name = self.tensors[layer.inputs[0]], f"{layer.name}_rows"
        self.tensors[name] = Tensor(name, source.height, 1, source.channels)
        self.steps.append(Step(name, Total(1, "sum"), (self._ref(source.name),), name))
        self._step(layer, Total(0, "sum", float(source.height * source.width)), (self._ref(name),))

    def _attend(self, layer: Layer) -> None:
        attention, tokens = self.attentions[layer.name]
        queries = self._ref(layer.inputs[0]) if len(layer.inputs) == 2 else self._ref(layer.inputs[0], 0, 3)
        keys, values = (self._ref(layer.inputs[-1], part, 3) for part in (1, 2))
        self._tensor(layer.name, layer.name)
        step = AttentionStep(layer.name, attention, tokens, (queries, keys, values), layer.name, self.macs[layer.name])
        self.steps.append(replace(step, words=words_of(attention, tokens)))


def _activated(form: Convolve, kind: str) -> Convolve:
    return Convolve(form.window, form.weights, form.bias, activation=Activation(kind), residual=form.residual)
