"""Networks that are plain data as torch sees them, and back: batch normalisation folded into plain numpy weights. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgevision.networks.unet import STRIDE, Layer, UNetSpec, layers, shapes

Weights = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]
MEAN = (0.4627, 0.4627, 0.4627)  # of the picture as 0..1, RGB; close to lit metal, so that a dimmed lamp moves little
STD = (0.2353, 0.2353, 0.2353)


class TrainedLayers(nn.Module):  # type: ignore[misc]
    """Runs layers; gives logits, not probabilities."""

    def __init__(self, steps: Sequence[Layer]) -> None:
        super().__init__()
        self.steps = tuple(steps)
        sizes = shapes(self.steps, STRIDE, STRIDE)
        self.convolutions = nn.ModuleDict({f"conv_{s.name}": _convolution(s, sizes[s.inputs[0]][0]) for s in self.steps if s.op == "conv"})

    def run(self, image: torch.Tensor, seen: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """(n, 3, H, W), normalised -> every step's output by its name.

        `seen` (n, 1, H, W) is 0 beyond a picture that is smaller than its batch: nothing comes from there, as from beyond a frame's edge.
        """
        values = {"image": image if seen is None else image * seen}
        for step in self.steps:
            inputs = [values[name] for name in step.inputs]
            if step.op == "conv":
                out = self.convolutions[f"conv_{step.name}"](inputs[0])
                values[step.name] = torch.relu(out) if step.activation == "relu" else out
            elif step.op == "add":
                values[step.name] = inputs[0] + inputs[1]
            elif step.op == "upsample":
                values[step.name] = nn.functional.interpolate(inputs[0], scale_factor=2, mode="nearest")
            else:
                values[step.name] = torch.cat(inputs, dim=1)
            if seen is not None:
                values[step.name] = values[step.name] * _at_size(seen, values[step.name])
        return values


class TrainedUNet(TrainedLayers):
    """The U-Net of a spec."""

    def __init__(self, spec: UNetSpec) -> None:
        super().__init__(layers(spec))
        self.spec = spec

    def forward(self, image: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """(n, 3, H, W) RGB, normalised -> (n, labels, H/2, W/2) logits."""
        return self.run(image, seen)[self.steps[-1].name]


def _at_size(seen: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Where at least half of a pixel of `value` is seen."""
    step = seen.shape[2] // value.shape[2]
    return seen if step == 1 else (nn.functional.avg_pool2d(seen, step) >= 0.5).to(value.dtype)


def normalised(image: torch.Tensor) -> torch.Tensor:
    """(n, 3, H, W) RGB 0..255 -> what the network takes: (value / 255 - mean) / std."""
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
    return (image / 255 - mean) / std


def _convolution(step: Layer, channels: int) -> nn.Module:
    is_last = step.activation != "relu"
    pad = step.kernel // 2 * step.dilation
    convolution = nn.Conv2d(channels, step.channels, step.kernel, step.stride, pad, step.dilation, bias=is_last)
    if is_last:
        nn.init.constant_(convolution.bias, -4.0)  # defects are rare: begin by marking nothing
        return convolution
    nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(step.channels, momentum=0.05))


def folded(network: TrainedLayers) -> Weights:
    """Weight (out, in, k, k) and bias (out,) of each convolution, normalisation folded in."""
    result = {}
    for name, module in network.convolutions.items():
        if isinstance(module, nn.Conv2d):
            weight, bias = module.weight, module.bias
        else:
            convolution, norm = module[0], module[1]
            scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
            weight = convolution.weight * scale[:, None, None, None]
            bias = norm.bias - norm.running_mean * scale
        result[name.removeprefix("conv_")] = (weight.detach().float().numpy().copy(), bias.detach().float().numpy().copy())
    return result
