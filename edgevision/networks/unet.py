"""The default network as plain data: a small U-Net that marks defects. In: a spec. Out: layers, shapes, MACs, weights.

Input `image` (1, 3, H, W), output `defect` (1, labels, H/2, W/2): one probability map a label. Three halvings down, two doublings up;
an output sees 75 x 75 pixels of the picture, so a changed pixel stirs little. Batch normalisation of training is folded in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STRIDE = 8  # height and width must be a multiple of it


@dataclass(frozen=True, slots=True)
class Layer:
    """One step. `op` is conv (with `activation` after it: relu, sigmoid or none), upsample (nearest, twice), concat (of channels), add or
    average (of `kernel` x `kernel` pixels, side by side).

    A conv's taps lie `dilation` pixels apart.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    channels: int
    kernel: int = 1
    stride: int = 1
    activation: str = "none"
    dilation: int = 1


@dataclass(frozen=True, slots=True)
class UNetSpec:
    """Channels at a half, a quarter and an eighth of the size, how many convolutions at the eighth, and the labels."""

    widths: tuple[int, int, int] = (16, 32, 64)
    deep: int = 3
    labels: tuple[str, ...] = ("scratch", "stain", "hole", "dent")


def layers(spec: UNetSpec) -> tuple[Layer, ...]:
    """The steps in the order they run; the last one is the output `defect`."""
    half, quarter, eighth = spec.widths
    steps = [
        Layer("half", "conv", ("image",), half, 3, 2, "relu"),
        Layer("quarter", "conv", ("half",), quarter, 3, 2, "relu"),
        Layer("eighth_1", "conv", ("quarter",), eighth, 3, 2, "relu"),
    ]
    steps += [Layer(f"eighth_{n}", "conv", (f"eighth_{n - 1}",), eighth, 3, 1, "relu") for n in range(2, spec.deep + 1)]
    steps += [
        Layer("narrow_quarter", "conv", (f"eighth_{spec.deep}",), quarter, 1, 1, "relu"),
        Layer("up_quarter", "upsample", ("narrow_quarter",), quarter),
        Layer("join_quarter", "concat", ("up_quarter", "quarter"), 2 * quarter),
        Layer("mix_quarter", "conv", ("join_quarter",), half, 3, 1, "relu"),
        Layer("up_half", "upsample", ("mix_quarter",), half),
        Layer("join_half", "concat", ("up_half", "half"), 2 * half),
        Layer("mix_half", "conv", ("join_half",), half, 3, 1, "relu"),
        Layer("defect", "conv", ("mix_half",), len(spec.labels), 1, 1, "sigmoid"),
    ]
    return tuple(steps)


def shapes(steps: Sequence[Layer], height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """(channels, rows, columns) of the input and of every step's output."""
    sizes = {"image": (3, height, width)}
    for step in steps:
        _, rows, columns = sizes[step.inputs[0]]
        if step.op == "upsample":
            rows, columns = rows * 2, columns * 2
        sizes[step.name] = (step.channels, -(-rows // step.stride), -(-columns // step.stride))
    return sizes


def macs(steps: Sequence[Layer], height: int, width: int) -> dict[str, int]:
    """Multiply-adds of each convolution for one picture."""
    sizes = shapes(steps, height, width)
    counts = {}
    for step in steps:
        if step.op == "conv":
            channels, rows, columns = sizes[step.name]
            counts[step.name] = rows * columns * channels * sizes[step.inputs[0]][0] * step.kernel**2
    return counts


def parameters(steps: Sequence[Layer]) -> int:
    """Weights and biases of the whole network."""
    sizes = shapes(steps, STRIDE, STRIDE)
    return sum(s.channels * (sizes[s.inputs[0]][0] * s.kernel**2 + 1) for s in steps if s.op == "conv")
