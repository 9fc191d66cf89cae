"""A U-Net that sees far: for surfaces, on which what is wrong may be as large as the part. In: a spec. Out: layers. Keeps nothing.

Input `image` (1, 3, H, W), output `defect` (1, labels, H/2, W/2): one probability map a label; or, for what is told by boxes, `sides`
(1, 4, H/8, W/8): how far a box reaches from the middle of a pixel, left, up, right, down, and `labels` (1, labels, H/8, W/8) of it.

Four halvings down, then convolutions whose taps lie ever farther apart, three doublings up. An output sees about 600 x 600 pixels, most
of them coarsely; all of it stays local, so that a changed pixel stirs what lies around it and no more. A network with `fine` channels does
all of that on a picture half as large, which its first layer makes, and joins what that layer saw to its answer: twice the reach, and
what is a few pixels wide is still seen.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgevision.networks.unet import Layer

REACH_STRIDE = 16  # height and width must be a multiple of it


@dataclass(frozen=True, slots=True)
class ReachSpec:
    """Channels at a half, a quarter, an eighth and a sixteenth of the size, how far apart the taps lie there, and the labels.

    `fine`: channels of a layer before all of that, which halves the size once more; 0: none.
    """

    widths: tuple[int, int, int, int] = (16, 32, 48, 64)
    dilations: tuple[int, ...] = (1, 2, 4, 8, 1)
    labels: tuple[str, ...] = ("pit", "crack", "scratch", "stain", "fray", "patch")
    fine: int = 0

    @property
    def stride(self) -> int:
        """Height and width must be a multiple of it."""
        return REACH_STRIDE * (2 if self.fine else 1)


def reach_layers(spec: ReachSpec) -> tuple[Layer, ...]:
    """The steps in the order they run; the last one is the output `defect`."""
    names = ("eighth", "quarter", "half", *(("fine",) if spec.fine else ()))
    steps = [*_down(spec), *_up(spec, names)]
    return (*steps, Layer("defect", "conv", (steps[-1].name,), len(spec.labels), 1, 1, "sigmoid"))


def box_layers(spec: ReachSpec) -> tuple[Layer, ...]:
    """The same as far as an eighth of the size, then the two outputs `sides` and `labels`, the last ones."""
    steps = [*_down(spec), *_up(spec, ("eighth",)), Layer("head", "conv", ("mix_eighth",), spec.widths[3], 3, 1, "relu")]
    sides = Layer("sides", "conv", ("head",), 4, 1, 1, "relu")
    labels = Layer("labels", "conv", ("head",), len(spec.labels), 1, 1, "sigmoid")
    return (*steps, sides, labels)


def shrunk(steps: tuple[Layer, ...], shrink: int) -> tuple[Layer, ...]:
    """The same network behind an average over `shrink` x `shrink` pixels: for pictures in which what matters is that much larger."""
    if shrink == 1:
        return steps
    small = Layer("small", "average", ("image",), 3, shrink, shrink)
    return (small, *(replace(step, inputs=("small",)) if step.inputs == ("image",) else step for step in steps))


def _down(spec: ReachSpec) -> list[Layer]:
    """Four halvings, then the far taps; the last one is `deep_N`."""
    half, quarter, eighth, deep = spec.widths
    steps = [
        *((Layer("fine", "conv", ("image",), spec.fine, 3, 2, "relu"),) if spec.fine else ()),
        Layer("half", "conv", ("fine" if spec.fine else "image",), half, 3, 2, "relu"),
        Layer("quarter_1", "conv", ("half",), quarter, 3, 2, "relu"),
        Layer("quarter", "conv", ("quarter_1",), quarter, 3, 1, "relu"),
        Layer("eighth_1", "conv", ("quarter",), eighth, 3, 2, "relu"),
        Layer("eighth", "conv", ("eighth_1",), eighth, 3, 1, "relu"),
        Layer("deep_0", "conv", ("eighth",), deep, 3, 2, "relu"),
    ]
    for number, dilation in enumerate(spec.dilations, 1):
        steps += [
            Layer(f"far_{number}", "conv", (f"deep_{number - 1}",), deep, 3, 1, "relu", dilation),
            Layer(f"deep_{number}", "add", (f"deep_{number - 1}", f"far_{number}"), deep),
        ]
    return steps


def _up(spec: ReachSpec, names: tuple[str, ...]) -> list[Layer]:
    """A doubling for each of the names, joined with what was there on the way down; the last one is `mix_NAME`."""
    channels_of = {**dict(zip(("half", "quarter", "eighth"), spec.widths, strict=False)), "fine": spec.fine}
    below, steps = f"deep_{len(spec.dilations)}", []
    for name in names:
        channels = channels_of[name]
        steps += [
            Layer(f"narrow_{name}", "conv", (below,), channels, 1, 1, "relu"),
            Layer(f"up_{name}", "upsample", (f"narrow_{name}",), channels),
            Layer(f"join_{name}", "concat", (f"up_{name}", name), 2 * channels),
            Layer(f"mix_{name}", "conv", (f"join_{name}",), channels, 3, 1, "relu"),
        ]
        below = f"mix_{name}"
    return steps
