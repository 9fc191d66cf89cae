"""TurboViT as plain data (METHODS 5, arXiv 2308.11421): a hierarchical transformer. In: a spec. Out: layers, sizes, MACs, parameters.

The paper gives neither stages nor widths; the default spec is our stand-in of its size: 12.66 M parameters, 2.25 GMAC at 224 px. A token
is a pixel of a map, and every layer but `attention` is a layer of a convolutional network. Block of a stage, `x` being its tokens:

    n = norm(x)
    s = max over 2x2 of skip(n), where the block pools, skip(n) where only the width changes, else x
    x = join(attention(qkv(n))) + s          # where the block pools, the queries too are the maximum over 2x2; keys and values are not
    x = mlp_out(gelu(mlp_in(mlp_norm(x)))) + x

The first block of a stage still attends as the stage before it does. Weights are one flat mapping, name of a layer and `.weight` or
`.bias` to a float32 array: linear (output, input), convolutions (output, input, row, column), norms (channel,), `positions.weight` (row,
column, channel) for a picture of `trained_px`. What an attention has learned is named below its own layer: `stage3_block2.attention.*`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from edgevision.errors import InputError

PATCH_PX = 4  # from one token to the next
PATCH_KERNEL = 7
NORM_EPSILON = 1e-6
KINDS = ("unit", "dense", "sparsifiner", "csat", "hybrid")
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class TurboViTSpec:
    """Stage by stage: how many blocks, channels, heads, hidden channels of the MLP, whether the first block pools, how tokens attend.

    `unit` is the side, in tokens, of the windows in which `unit` attention stays; it halves with every pooling. `block` is that of the
    blocks of keys which other attentions keep or leave, the same in all stages. `head`: `class` gives
    `scores` (1, labels), shares that add up to one; `segmentation` gives `defect` (1, labels, H / 4, W / 4), a probability each; `tokens`
    ends with the last block, for what looks at its tokens (1, channels, rows, columns).
    """

    depths: tuple[int, ...] = (1, 2, 7, 2)
    dims: tuple[int, ...] = (64, 128, 256, 512)
    heads: tuple[int, ...] = (1, 2, 4, 8)
    hidden: tuple[int, ...] = (256, 512, 1024, 2048)
    pools: tuple[bool, ...] = (False, True, True, True)
    kinds: tuple[str, ...] = ("unit", "unit", "dense", "dense")
    unit: int = 8
    block: int = 8
    head: Literal["class", "segmentation", "tokens"] = "class"
    labels: tuple[str, ...] = tuple(f"class_{index}" for index in range(1000))
    trained_px: int = 224
    decoder_dim: int = 64

    def __post_init__(self) -> None:
        """Raises InputError for what is no network, one line."""
        stages = len(self.depths)
        for name in ("dims", "heads", "hidden", "pools", "kinds"):
            if len(getattr(self, name)) != stages:
                raise InputError(f"turbovit {name} has {len(getattr(self, name))} values, depths {stages}; give one for each stage")
        _refuse_small(self)
        for stage, (dim, heads) in enumerate(zip(self.dims, self.heads, strict=True), 1):
            if dim % heads:
                raise InputError(
                    f"turbovit stage {stage}: {dim} channels are not whole for {heads} heads; give {_nearest_divisor(dim, heads)}"
                )
        for stage, kind in enumerate(self.kinds, 1):
            if kind not in KINDS:
                raise InputError(f"turbovit stage {stage}: attention is '{kind}'; it must be one of {', '.join(KINDS)}")
        if self.unit % self.pooling:
            raise InputError(f"turbovit unit is {self.unit}; its stages halve it to no whole tokens; give a multiple of {self.pooling}")
        if self.trained_px % self.step_px:
            raise InputError(f"turbovit trained_px is {self.trained_px}; it must be a multiple of {self.step_px}, as every picture's sides")

    @property
    def pooling(self) -> int:
        """How many tokens of the first stage, each way, are one of the last."""
        return int(2 ** sum(self.pools))

    @property
    def step_px(self) -> int:
        """A picture's sides must be multiples of this: whole units, whole tokens of every stage."""
        return PATCH_PX * self.unit


def _refuse_small(spec: TurboViTSpec) -> None:
    numbers = {"depths": spec.depths, "dims": spec.dims, "heads": spec.heads, "hidden": spec.hidden}
    for name, values in numbers.items():
        if not values or min(values) < 1:
            raise InputError(f"turbovit {name} is {list(values)}; it must be whole numbers above 0, one for each stage")
    if spec.block < 2 or spec.block % 2:
        raise InputError(f"turbovit block is {spec.block}; it must be even, as queries may be pooled; give {max(2, spec.block + 1)}")
    if spec.unit < 1 or spec.decoder_dim < 1 or not spec.labels or spec.trained_px < 1:
        raise InputError("turbovit unit, decoder_dim and trained_px must be at least 1, and there must be a label")
    if spec.pools[0]:
        raise InputError("turbovit pools in its first stage; only later stages pool: their first block does")


def _nearest_divisor(dim: int, heads: int) -> int:
    return min((count for count in range(1, dim + 1) if dim % count == 0), key=lambda count: abs(count - heads))


@dataclass(frozen=True, slots=True)
class Layer:
    """One step. `op` is

    `conv` (`kernel`, `stride`, padded by half the kernel), `linear` of every token by itself, `norm` of a token's channels, `positions`
    (added), `pool` (maximum over 2x2), `query_pool` (the same of the first third of its input), `attention`, `mean` over all tokens,
    `resize` (twice as large, bilinear, half pixels), `add` of two, `softmax` or `sigmoid`. After `conv` and `linear` comes the second
    input, if there is one, added; then `activation`: gelu (by the error function) or none.
    `attention` reads queries, keys and values as thirds of the channels of its last input, but for the queries where it has two inputs.
    `kind`, `heads` and `unit` (side of a window of keys in tokens) say how.
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    channels: int
    kernel: int = 1
    stride: int = 1
    activation: str = "none"
    kind: str = ""
    heads: int = 0
    unit: int = 0

    @property
    def has_weights(self) -> bool:
        """Whether there are `.weight` and `.bias` of it (of `positions` just the weight)."""
        return self.op in ("conv", "linear", "norm", "positions")


def layers(spec: TurboViTSpec) -> tuple[Layer, ...]:
    """The steps in the order they run; the last one is the output."""
    dim, unit = spec.dims[0], spec.unit
    steps = [
        Layer("patch", "conv", ("image",), dim, PATCH_KERNEL, PATCH_PX),
        Layer("positions", "positions", ("patch",), dim),
    ]
    kind, ends = spec.kinds[0], []
    for stage, depth in enumerate(spec.depths):
        for block in range(depth):
            is_pooling = spec.pools[stage] and block == 0
            steps += _block(steps[-1], spec, (stage, block), Layer("", "attention", (), 0, kind=kind, unit=unit), is_pooling)
            unit, kind = unit // 2 if is_pooling else unit, spec.kinds[stage]
        ends.append(steps[-1])
    if spec.head == "tokens":
        return tuple(steps)
    return (*steps, *(_class_head(steps[-1], spec) if spec.head == "class" else _segmentation_head(ends, spec)))


def _block(before: Layer, spec: TurboViTSpec, place: tuple[int, int], attention: Layer, is_pooling: bool) -> list[Layer]:
    """The layers of one block; the last one is its output. `attention` says its kind and unit."""
    stage, block = place
    dim, heads, name = spec.dims[stage], spec.heads[stage], f"stage{stage + 1}_block{block + 1}"
    steps = [Layer(f"{name}.norm", "norm", (before.name,), before.channels)]
    shortcut = before.name
    if is_pooling or dim != before.channels:
        steps.append(Layer(f"{name}.skip", "linear", (f"{name}.norm",), dim))
        shortcut = f"{name}.skip"
    steps.append(Layer(f"{name}.qkv", "linear", (f"{name}.norm",), 3 * dim))
    reads: tuple[str, ...] = (f"{name}.qkv",)
    if is_pooling:
        steps.append(Layer(f"{name}.skip_pool", "pool", (shortcut,), dim, 2, 2))
        steps.append(Layer(f"{name}.query_pool", "query_pool", (f"{name}.qkv",), dim, 2, 2))
        shortcut, reads = f"{name}.skip_pool", (f"{name}.query_pool", f"{name}.qkv")
    steps += [
        Layer(f"{name}.attention", "attention", reads, dim, kind=attention.kind, heads=heads, unit=attention.unit),
        Layer(f"{name}.join", "linear", (f"{name}.attention", shortcut), dim),
        Layer(f"{name}.mlp_norm", "norm", (f"{name}.join",), dim),
        Layer(f"{name}.mlp_in", "linear", (f"{name}.mlp_norm",), spec.hidden[stage], activation="gelu"),
        Layer(f"{name}.mlp_out", "linear", (f"{name}.mlp_in", f"{name}.join"), dim),
    ]
    return steps


def _class_head(last: Layer, spec: TurboViTSpec) -> list[Layer]:
    return [
        Layer("head.mean", "mean", (last.name,), last.channels),
        Layer("head.norm", "norm", ("head.mean",), last.channels),
        Layer("head.classes", "linear", ("head.norm",), len(spec.labels)),
        Layer("scores", "softmax", ("head.classes",), len(spec.labels)),
    ]


def _segmentation_head(ends: Sequence[Layer], spec: TurboViTSpec) -> list[Layer]:
    """From the coarsest stage to the finest: what is known so far, twice as large, and the next stage's tokens in as many channels."""
    dim, steps = spec.decoder_dim, []
    known = ""
    for stage in reversed(range(len(ends))):
        name = f"head.stage{stage + 1}"
        steps += [Layer(f"{name}.norm", "norm", (ends[stage].name,), ends[stage].channels)]
        steps += [Layer(name, "linear", (f"{name}.norm", known) if known else (f"{name}.norm",), dim)]
        known = name
        if spec.pools[stage]:
            known = f"{name}.up"
            steps += [Layer(known, "resize", (name,), dim)]
    return [
        *steps,
        Layer("head.mix", "conv", (known,), dim, 3, 1, activation="gelu"),
        Layer("head.labels", "linear", ("head.mix",), len(spec.labels)),
        Layer("defect", "sigmoid", ("head.labels",), len(spec.labels)),
    ]


def sizes(steps: Sequence[Layer], height: int, width: int) -> dict[str, tuple[int, int, int]]:
    """(channels, rows, columns) of the input `image` and of every layer's output."""
    found = {"image": (3, height, width)}
    for step in steps:
        _, rows, columns = found[step.inputs[0]]
        if step.op == "resize":
            rows, columns = rows * 2, columns * 2
        elif step.op == "mean":
            rows, columns = 1, 1
        found[step.name] = (step.channels, -(-rows // step.stride), -(-columns // step.stride))
    return found


def refuse_unfit(spec: TurboViTSpec, height: int, width: int, what: str = "the input") -> None:
    """Raises InputError where a picture of (height, width) is not whole units: with the limit and the nearest size that is."""
    step = spec.step_px
    if height < step or width < step or height % step or width % step:
        near = tuple(max(step, round(side / step) * step) for side in (height, width))
        raise InputError(
            f"{what} is {height} x {width} px; turbovit takes whole units of {step} px each way; the nearest size is {near[0]} x {near[1]}"
        )


def weight_shapes(spec: TurboViTSpec) -> dict[str, tuple[int, ...]]:
    """Name to shape of all weights but those that an attention learns for itself."""
    steps = layers(spec)
    made = sizes(steps, spec.trained_px, spec.trained_px)
    shapes: dict[str, tuple[int, ...]] = {}
    for step in steps:
        if step.op == "positions":
            _, rows, columns = made[step.name]
            shapes["positions.weight"] = (rows, columns, step.channels)
        elif step.op == "norm":
            shapes[f"{step.name}.weight"] = (step.channels,)
        elif step.has_weights:
            kernel = (step.kernel, step.kernel) if step.op == "conv" else ()
            shapes[f"{step.name}.weight"] = (step.channels, made[step.inputs[0]][0], *kernel)
        if step.has_weights and step.op != "positions":
            shapes[f"{step.name}.bias"] = (step.channels,)
    return shapes


def parameters(spec: TurboViTSpec) -> int:
    """How many numbers are learned, but for those of an attention's own."""
    return sum(math.prod(shape) for shape in weight_shapes(spec).values())


def macs(steps: Sequence[Layer], height: int, width: int) -> dict[str, int]:
    """Multiply-adds of each layer for one picture; of an attention as many as if it kept all keys that it may."""
    made = sizes(steps, height, width)
    counts = {}
    for step in steps:
        channels, rows, columns = made[step.name]
        if step.op in ("conv", "linear"):
            counts[step.name] = rows * columns * channels * made[step.inputs[0]][0] * step.kernel**2
        elif step.op == "attention":
            _, key_rows, key_columns = made[step.inputs[-1]]
            keys = step.unit**2 if step.kind == "unit" else key_rows * key_columns
            counts[step.name] = 2 * rows * columns * keys * channels
    return counts
