"""A small network that finds things by boxes, as plain data. In: a spec. Out: layers, as `unet.py` has them.

Input `image` (1, 3, H, W). Every cell of a grid, 8 pixels a side, answers for what has its middle there: `scores` (1, labels, H/8, W/8),
how likely each label is, and `boxes` (1, 4, H/8, W/8), how far the box's left, top, right and bottom edge lie from the cell's middle, in
pixels. Only convolutions, so that any size will do; a cell sees 83 x 83 pixels, so that a changed pixel stirs little. Most of the work is
done where the map is fine, which is where a small change stays small.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgevision.networks.unet import Layer

STRIDE = 8  # height and width must be a multiple of it; also the side of a cell


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """Channels at a half, a quarter and an eighth of the size, how many convolutions at each, and the labels."""

    labels: tuple[str, ...]
    widths: tuple[int, int, int] = (16, 32, 64)
    depths: tuple[int, int, int] = (2, 3, 4)


def layers(spec: DetectorSpec) -> tuple[Layer, ...]:
    """The steps in the order they run; the last two are the outputs `scores` and `boxes`."""
    steps, before = [], "image"
    for size, channels, depth in zip(("half", "quarter", "eighth"), spec.widths, spec.depths, strict=True):
        for number in range(1, depth + 1):
            name = f"{size}_{number}"
            steps.append(Layer(name, "conv", (before,), channels, 3, 2 if number == 1 else 1, "relu"))
            before = name
    steps += [
        Layer("scores", "conv", (before,), len(spec.labels), 1, 1, "sigmoid"),
        Layer("boxes", "conv", (before,), 4),
    ]
    return tuple(steps)


def sight_px(spec: DetectorSpec) -> int:
    """How many pixels across a cell sees."""
    sight, step = 1, 1
    for layer in layers(spec):
        if layer.kernel > 1:
            sight += (layer.kernel - 1) * step
            step *= layer.stride
    return sight
