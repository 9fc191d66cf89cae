"""A network's weights for a larger one of the same kind. In: a file's weights, the spec of the larger network. Out: weights of its shapes.
Keeps nothing.

Wider layers hold the old channels first, and new ones that nothing listens to yet: the larger network answers as the file did, and learns
from there. Where it has a layer before the file's first one, that layer begins as the mean of 2 x 2 pixels, once as it is and once negated,
so that the file's network sees the picture at half of its size. What joins that layer to the answer, the file does not hold; it begins at
random.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgevision.networks.reach import ReachSpec, reach_layers
from edgevision.networks.unet import Layer, shapes

Floats = NDArray[np.float32]
Weights = Mapping[str, tuple[Floats, Floats]]
COLOURS = 3


def grown(found: Weights, spec: ReachSpec, rng: np.random.Generator) -> dict[str, tuple[Floats, Floats]]:
    """Weight (out, in, k, k) and bias (out,) by layer, of every layer that `found` holds and that the spec only widens."""
    steps = reach_layers(spec)
    sizes = {name: size[0] for name, size in shapes(steps, spec.stride, spec.stride).items()}
    places = _places(found, steps, sizes)
    result = {}
    for step in steps:
        if step.name == "fine" and spec.fine >= 2 * COLOURS and step.name not in found:
            result[step.name] = _mean_of_four(spec.fine, rng)
        held = found.get(step.name)
        source = places.get(step.inputs[0])
        if step.op != "conv" or held is None or source is None or held[0].shape[0] > step.channels:
            continue
        weight, bias = held
        if step.inputs == ("fine",) and "fine" not in found:
            weight = np.stack([weight, -weight], axis=2).reshape(weight.shape[0], 2 * COLOURS, *weight.shape[2:])
            source = np.arange(2 * COLOURS)
        if weight.shape[1] == len(source):
            result[step.name] = _widened(weight, bias, source, (step.channels, sizes[step.inputs[0]]), rng)
    return result


def _places(found: Weights, steps: tuple[Layer, ...], sizes: Mapping[str, int]) -> dict[str, NDArray[np.intp]]:
    """Where the channels of the file's network lie among those of the larger one, by step."""
    places: dict[str, NDArray[np.intp]] = {"image": np.arange(COLOURS)}
    for step in steps:
        if step.op == "conv" and step.name in found:
            places[step.name] = np.arange(found[step.name][0].shape[0])
        elif step.name == "fine":
            places["fine"] = np.arange(COLOURS)  # stands for the picture that the file's first layer takes
        elif step.op == "concat" and all(name in places for name in step.inputs):
            first, second = step.inputs
            places[step.name] = np.concatenate([places[first], sizes[first] + places[second]])
        elif step.op in ("upsample", "add") and step.inputs[0] in places:
            places[step.name] = places[step.inputs[0]]
    return places


def _widened(
    weight: Floats, bias: Floats, source: NDArray[np.intp], shape: tuple[int, int], rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Old outputs listen to old inputs only; new ones to all, at random."""
    outputs, size = weight.shape[0], (*shape, *weight.shape[2:])
    wide = _random(size, rng)
    wide[:outputs] = 0
    wide[:outputs, source] = weight
    return wide, np.concatenate([bias, np.zeros(shape[0] - outputs, np.float32)])


def _mean_of_four(channels: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """For each colour the mean of 2 x 2 pixels and its negative (each cut off at 0); the other channels at random."""
    weight = _random((channels, COLOURS, 3, 3), rng)
    weight[: 2 * COLOURS] = 0
    for colour in range(COLOURS):
        for place, sign in ((2 * colour, 1), (2 * colour + 1, -1)):
            weight[place, colour, 1:, 1:] = sign / 4
    return weight, np.zeros(channels, np.float32)


def _random(size: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """As a new layer begins: of a variance that a ReLU keeps."""
    return np.asarray(rng.standard_normal(size) * np.sqrt(2 / np.prod(size[1:])), np.float32)
