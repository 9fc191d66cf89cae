"""Where a network begins: from nothing, or from a file's weights. In: layers, an ONNX file. Out: a network for torch. Keeps nothing.

A file holds weights with normalisation folded in. To go on from them, each convolution is followed again by a normalisation that undoes
what it measures on a first batch, so that the network answers as the file does and still learns as a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import nn

from edgevision.errors import InputError
from edgevision.networks.reach import ReachSpec, reach_layers
from edgevision.networks.unet import Layer
from edgevision.study.train.network import TrainedLayers, Weights
from edgevision.study.train.recipes.grow import grown


class ReachNetwork(TrainedLayers):
    """Layers of `networks/reach.py`; its answer is the last one's."""

    def __init__(self, spec: ReachSpec, steps: Sequence[Layer]) -> None:
        super().__init__(steps)
        self.spec = spec

    def forward(self, image: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """(n, 3, H, W) RGB, normalised -> logits of the last step."""
        return self.run(image, seen)[self.steps[-1].name]


def new_network(spec: ReachSpec) -> ReachNetwork:
    """With random weights."""
    network: ReachNetwork = ReachNetwork(spec, reach_layers(spec)).to(memory_format=torch.channels_last)
    return network


def take_over(network: TrainedLayers, file: Path, images: torch.Tensor, larger: ReachSpec | None = None) -> int:
    """Set the weights of all convolutions that the file holds in the same shape; gives how many those are.

    `images` is the batch on which normalisations are measured. `larger`: the network's spec, if it may be larger than the file's. Raises
    InputError for a file that holds none of them.
    """
    found = weights_in(file)
    if larger is not None:
        found = grown(found, larger, np.random.default_rng(0))
    taken, hooks = 0, []
    for name, module in network.convolutions.items():
        convolution = module if isinstance(module, nn.Conv2d) else module[0]
        weight, bias = found.get(name.removeprefix("conv_"), (None, None))
        if weight is None or bias is None or weight.shape != tuple(convolution.weight.shape):
            continue
        with torch.no_grad():
            convolution.weight.copy_(torch.from_numpy(weight.copy()))
            if convolution.bias is not None:
                convolution.bias.copy_(torch.from_numpy(bias.copy()))
        taken += 1
        if convolution is not module:
            hooks.append(convolution.register_forward_hook(_undoing(module[1], torch.from_numpy(bias.copy()))))
    if not taken:
        raise InputError(f"{file}: holds none of this network's weights; give one that `edgevision train --recipe surface` wrote")
    network.eval()
    with torch.no_grad():
        network(images.contiguous(memory_format=torch.channels_last))
    for hook in hooks:
        hook.remove()
    return taken


def weights_in(file: Path) -> dict[str, tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weight and bias of each convolution that the file holds, by its name. Raises InputError for what is no ONNX file."""
    try:
        found = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(file)).graph.initializer}
    except Exception as error:  # what a broken file raises is protobuf's own
        raise InputError(
            f"{file}: cannot be read as ONNX ({type(error).__name__}); give a network that `edgevision train` wrote"
        ) from error
    names = [name.removesuffix(".weight") for name in found if name.endswith(".weight")]
    return {name: (found[f"{name}.weight"], found[f"{name}.bias"]) for name in names if f"{name}.bias" in found}


def midway(weights: Weights, file: Path) -> Weights:
    """The mean of these weights and of the file's, if it is a network of the same shapes; else these.

    A network that already knew a set and learnt it once more fits what it saw more closely. Halfway between both it does as well on that,
    and better on what it has not seen.
    """
    found = weights_in(file)
    if any(name not in found or found[name][0].shape != weight.shape for name, (weight, _) in weights.items()):
        return weights
    half = np.float32(0.5)
    return {name: (half * (weight + found[name][0]), half * (bias + found[name][1])) for name, (weight, bias) in weights.items()}


def _undoing(norm: nn.BatchNorm2d, bias: torch.Tensor) -> Any:
    """A hook that sets a normalisation by what goes into it, so that all that it does is add the bias."""

    def measure(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        mean, variance = output.mean(dim=(0, 2, 3)), output.var(dim=(0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.copy_(mean + bias)

    return measure
