"""TurboViT of `networks/turbovit.py` as torch sees it, layer by layer, and its weights to and fro. Keeps nothing but what it learns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from edgevision.networks.turbovit import NORM_EPSILON, Layer, TurboViTSpec, layers, weight_shapes

Weights = Mapping[str, NDArray[np.float32]]
IMAGE = "image"  # where all begins


class TrainedTurboViT(nn.Module):  # type: ignore[misc]
    """Runs the layers of a spec on maps (n, rows, columns, channels); gives logits, not shares.

    `attention` holds a module for each attention layer that learns or selects; the others attend densely, in their windows or to all.
    """

    def __init__(self, spec: TurboViTSpec, attention: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        self.spec = spec
        self.steps = layers(spec)
        self.learned = nn.ParameterDict({_key(name): nn.Parameter(torch.zeros(shape)) for name, shape in weight_shapes(spec).items()})
        self.attention = nn.ModuleDict({_key(name): module for name, module in (attention or {}).items()})
        self.reset()

    def reset(self) -> None:
        """New weights, drawn anew."""
        for step in self.steps:
            weight = self.learned[_key(f"{step.name}.weight")] if step.has_weights else None
            if step.op == "norm":
                nn.init.ones_(weight)
            elif weight is not None:
                nn.init.trunc_normal_(weight, std=0.02 if step.op != "conv" else float(np.sqrt(2 / np.prod(weight.shape[1:]))))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W) RGB, normalised -> logits: (n, labels), or (n, labels, H / 4, W / 4)."""
        return self.run(image)[0]

    def run(self, x: torch.Tensor, start: str = IMAGE) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits, and the last tokens (n, rows, columns, channels) before the head; from a picture, or from what layer `start` gave."""
        values = self._values(x, start, self.steps[-1].inputs[0])  # the last layer makes shares of logits
        logits, tokens = values[self.steps[-1].inputs[0]], values[_last_block(self.steps)]
        return (logits.flatten(1) if self.spec.head == "class" else logits.permute(0, 3, 1, 2)), tokens

    def until(self, image: torch.Tensor, layer: str) -> torch.Tensor:
        """What that layer gives, a map (n, rows, columns, channels)."""
        return self._values(image, IMAGE, layer)[layer]

    def trained_after(self, start: str) -> list[nn.Parameter]:
        """The network's own weights of the layers behind `start`."""
        names = [step.name for step in self.steps]
        behind = set(names[0 if start == IMAGE else names.index(start) + 1 :])
        return [value for name, value in self.learned.items() if name.replace("/", ".").rsplit(".", 1)[0] in behind]

    def _values(self, x: torch.Tensor, start: str, end: str) -> dict[str, torch.Tensor]:
        names = [step.name for step in self.steps]
        begin = 0 if start == IMAGE else names.index(start) + 1
        values = {start: x.permute(0, 2, 3, 1) if start == IMAGE else x}
        for step in self.steps[begin : names.index(end) + 1]:
            values[step.name] = self._step(step, [values[name] for name in step.inputs])
        return values

    def _step(self, step: Layer, inputs: list[torch.Tensor]) -> torch.Tensor:
        x = inputs[0]
        if step.op in ("conv", "linear"):
            return self._multiplied(step, inputs)
        if step.op == "norm":
            weight, bias = self._weights(step.name)
            return functional.layer_norm(x.float(), x.shape[-1:], weight, bias, NORM_EPSILON)
        if step.op == "positions":
            return x + _fitted(self.learned[_key("positions.weight")], x.shape[1:3])
        if step.op == "attention":
            query, key, value = inputs[-1].chunk(3, -1)
            query = inputs[0] if len(inputs) > 1 else query
            chosen = self.attention[_key(step.name)] if _key(step.name) in self.attention else None  # noqa: SIM401 - ModuleDict has no get
            return chosen(query, key, value) if chosen is not None else attend(step, query, key, value)
        if step.op == "mean":
            return x.mean((1, 2), keepdim=True)
        first = x[..., : step.channels].permute(0, 3, 1, 2)
        if step.op == "resize":
            return functional.interpolate(first, scale_factor=2, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
        return functional.max_pool2d(first, 2).permute(0, 2, 3, 1)

    def _multiplied(self, step: Layer, inputs: list[torch.Tensor]) -> torch.Tensor:
        weight, bias = self._weights(step.name)
        if step.op == "linear":
            out = functional.linear(inputs[0], weight, bias)
        else:
            out = functional.conv2d(inputs[0].permute(0, 3, 1, 2), weight, bias, step.stride, step.kernel // 2).permute(0, 2, 3, 1)
        out = out + inputs[1] if len(inputs) > 1 else out
        return functional.gelu(out) if step.activation == "gelu" else out

    def _weights(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return self.learned[_key(f"{name}.weight")], self.learned[_key(f"{name}.bias")]


def attend(step: Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Dense attention of maps (n, rows, columns, channels): in windows of `step.unit` keys each way, or over the whole map."""
    pool = key.shape[1] // query.shape[1]
    rows, columns = (step.unit, step.unit) if step.kind == "unit" else key.shape[1:3]
    parts = [windows(x, rows // by, columns // by, step.heads) for x, by in ((query, pool), (key, 1), (value, 1))]
    out = functional.scaled_dot_product_attention(*parts)
    return unwound(out, query.shape, rows // pool, columns // pool)


def windows(x: torch.Tensor, rows: int, columns: int, heads: int) -> torch.Tensor:
    """(n, R, C, channels) -> (n x windows, heads, rows x columns, head channels), windows and tokens in rows from the top left."""
    n, height, width, channels = x.shape
    split = x.reshape(n, height // rows, rows, width // columns, columns, heads, channels // heads)
    return split.permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, heads, rows * columns, channels // heads)


def unwound(x: torch.Tensor, shape: torch.Size, rows: int, columns: int) -> torch.Tensor:
    """The way back from `windows`, to a map of `shape`."""
    n, height, width, channels = shape
    heads = x.shape[1]
    split = x.reshape(n, height // rows, width // columns, heads, rows, columns, channels // heads)
    return split.permute(0, 1, 4, 2, 5, 3, 6).reshape(n, height, width, channels)


def _fitted(positions: torch.Tensor, size: torch.Size) -> torch.Tensor:
    """Positions for a map of another size than the trained one: as `recompute/token_plan.py` stretches them."""
    if positions.shape[:2] == size:
        return positions
    moved = functional.interpolate(positions.permute(2, 0, 1)[None].float(), size=tuple(size), mode="bilinear", align_corners=False)
    return moved[0].permute(1, 2, 0)


def _last_block(steps: tuple[Layer, ...]) -> str:
    return [step.name for step in steps if step.name.endswith(".mlp_out")][-1]


def _key(name: str) -> str:
    """A name as torch takes it in a module: without dots."""
    return name.replace(".", "/")


def weights_of(network: TrainedTurboViT) -> dict[str, NDArray[np.float32]]:
    """What was learned, by the names of `networks/turbovit.py`; what attentions learned below their layers' names."""
    found = {name.replace("/", "."): value for name, value in network.learned.items()}
    for name, module in network.attention.items():
        found |= {f"{name.replace('/', '.')}.{key}": value for key, value in module.named_parameters()}
    return {name: value.detach().float().cpu().numpy().copy() for name, value in found.items()}


def load_weights(network: TrainedTurboViT, weights: Weights) -> TrainedTurboViT:
    """The network with what there is by its names; the rest stays new."""
    with torch.no_grad():
        for name, parameter in network.learned.items():
            if (found := weights.get(name.replace("/", "."))) is not None:
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(found)))
        for name, module in network.attention.items():
            layer = name.replace("/", ".")
            for key, value in module.named_parameters():
                found = weights.get(f"{layer}.{key}")
                if found is not None and found.shape[1:] == value.shape[1:] and len(found) >= len(value):  # a nested Phi may have more rows
                    value.copy_(torch.from_numpy(np.ascontiguousarray(found[: len(value)])))
    return network
