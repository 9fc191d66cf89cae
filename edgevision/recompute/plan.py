"""The plan of a network as plain data: which steps, in which order, over which tensors. Prints itself, one line a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgevision.kernels.forms import F32, Across, Broadcast, Combine, Convolve, Form, Pick, Pool, Store, Total
from edgevision.networks.attention import Attention, Tokens
from edgevision.recompute.arrangement import Arrangement


@dataclass(frozen=True, slots=True)
class Tensor:
    """A picture of `channels` values a pixel. With `parts` it is those tensors' channels, one after another, written once in its buffer."""

    name: str
    height: int
    width: int
    channels: int
    parts: tuple[str, ...] = ()
    store: Store = F32


@dataclass(frozen=True, slots=True)
class Ref:
    """The channels `start .. start + channels - 1` of a tensor."""

    tensor: str
    start: int
    channels: int


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """One operation recomputed only where its sources changed."""

    name: str
    form: Form
    sources: tuple[Ref, ...]
    target: str

    @property
    def op(self) -> str:
        """A word for people."""
        form = self.form
        if isinstance(form, Convolve):
            kind = "depthwise" if form.is_depthwise else "conv"
            return f"{kind} {form.window.kernel[0]}x{form.window.kernel[1]}" + (
                f" /{form.window.stride[0]}" if max(form.window.stride) > 1 else ""
            )
        if isinstance(form, Pool):
            return f"{form.mode} {form.window.kernel[0]}x{form.window.kernel[1]}"
        if isinstance(form, Combine):
            return form.op if form.op != "copy" or form.activation.kind == "none" else form.activation.kind
        if isinstance(form, Pick):
            return "rearrange"
        if isinstance(form, Broadcast):
            return "constant" if form.op == "copy" else f"{form.op} spread"
        if isinstance(form, Across):
            return form.op if form.op.startswith(("arg", "norm")) or "soft" in form.op else f"channel {form.op}"
        if isinstance(form, Total):
            return f"{'row' if form.axis == 1 else 'column'} {form.mode}"
        return "nearest" if form.is_nearest else "bilinear"

    @property
    def macs_px(self) -> int:
        """Multiply-accumulates for one output pixel."""
        return int(self.form.weights.size) if isinstance(self.form, Convolve) else 0


@dataclass(frozen=True, slots=True, eq=False)
class IslandStep:
    """Nodes that have no selective kernel, run whole by OpenVINO whenever a source changed.

    `sources` are file tensors with the channels they live in, or None for a *loose* array that another island made. `targets` are file
    tensors, True where selective steps read them as a picture.
    """

    name: str
    nodes: tuple[str, ...]
    sources: tuple[tuple[str, Ref | None], ...]
    targets: tuple[tuple[str, bool], ...]
    why: str


@dataclass(frozen=True, slots=True, eq=False)
class AttentionStep:
    """Tokens that look at others: `sources` are queries, keys and values. `macs` are those of keeping every key that may be kept;
    `words` say how it is done."""

    name: str
    attention: Attention
    tokens: Tokens
    sources: tuple[Ref, Ref, Ref]
    target: str
    macs: int
    words: str = ""

    @property
    def targets(self) -> tuple[tuple[str, bool], ...]:
        """The target as an island has it: read as a picture."""
        return ((self.target, True),)


AnyStep = Step | IslandStep | AttentionStep


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All of a network. `outputs` gives each public output its channels, or the name of a loose array.

    `arrangements`: file tensors that islands or the user read in another order than the picture's own.
    """

    path: str
    input: str
    tensors: Mapping[str, Tensor]
    steps: tuple[AnyStep, ...]
    outputs: Mapping[str, Ref | str]
    gates: Mapping[str, float]
    arrangements: Mapping[str, Arrangement] = field(default_factory=dict)

    @property
    def dense_macs(self) -> int:
        """Multiply-accumulates of a whole run, islands not counted."""
        return sum(self.macs(step) for step in self.steps)

    def macs(self, step: AnyStep) -> int:
        """The step's, of a whole run; an attention's as if it kept every key that it may."""
        if isinstance(step, AttentionStep):
            return step.macs
        return step.macs_px * self._pixels(step) if isinstance(step, Step) else 0

    def _pixels(self, step: Step) -> int:
        tensor = self.tensors[step.target]
        return tensor.height * tensor.width

    def precision(self, step: Step | AttentionStep) -> str:
        """What the step multiplies: int8, bf16 or f32."""
        if isinstance(step, Step) and isinstance(step.form, Convolve) and step.form.factors is not None:
            return "int8"
        kind = self.tensors[step.sources[0].tensor].store.kind
        return "int8" if kind == "u8" else kind

    def line(self, step: AnyStep) -> str:
        """name, operation, shape, how, precision, gate."""
        if isinstance(step, IslandStep):
            return f"{step.name:<32} {len(step.nodes):>3} nodes{'':<24} island: {step.why}"
        tensor, gate = self.tensors[step.target], self.gates.get(step.name, 0.0)
        shape = f"{tensor.channels}x{tensor.height}x{tensor.width}"
        how = f"selective  {self.precision(step):<4}  gate {gate:g}"
        if isinstance(step, AttentionStep):
            return f"{step.name[-32:]:<32} {step.attention.kind:<14} {shape:<16} {how}  {step.words}".rstrip()
        form = step.form
        activation = getattr(form, "activation", None)
        extra = f"+ {activation.kind}" if activation and activation.kind not in ("none", step.op) else ""
        extra = ("+ residual " if getattr(form, "residual", False) else "") + extra
        if isinstance(form, Total) and (tensor.height, tensor.width) == (1, 1):
            extra += "(whatever reads it is all live when it moves: gate it)"
        return f"{step.name[-32:]:<32} {step.op:<14} {shape:<16} {how}  {extra}".rstrip()

    def __str__(self) -> str:
        first = self.tensors[self.input]
        head = (
            f"{self.path}: input {first.channels}x{first.height}x{first.width}, {len(self.steps)} steps, {self.dense_macs / 1e9:.3f} GMAC"
        )
        return "\n".join([head, *(self.line(step) for step in self.steps)])
