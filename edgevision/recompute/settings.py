"""What a user may say about the network and how it is recomputed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from edgevision.networks.attention.hybrid import HybridSettings
from edgevision.networks.attention.sparsifiner import SparsifinerSettings
from edgevision.recompute.settle_settings import SettleSettings
from edgevision.recompute.shift_settings import ShiftSettings
from edgevision.records import Settings
from edgevision.registry import Chosen, Kind

MOST_SIDE_PX = 8192  # of turbovit's input: what one map of larger ones needs, no PC has


class SpliceSettings(Settings):
    """How the splicing engine cuts crops; the selective engine needs none of it."""

    way: Literal["auto", "crops", "split", "tail"] = Field(
        "auto",
        description="`crops` of the whole network; `split`: crops of its local part, then of the rest, which sees the whole picture; "
        "`tail`: that whole on every change; `auto`: the cheapest, measured at load.",
    )
    margin_px: int | None = Field(
        None,
        ge=0,
        le=4096,
        description="Context around each crop's answer that is not used, in network pixels; left out: measured at load.",
    )
    tolerance: float = Field(
        0.01, gt=0, lt=1, description="What may be missing of the whole network's answer, as a share of the output's range."
    )
    context_gate: float | None = Field(
        None,
        gt=0,
        le=1,
        description="What sees the whole picture runs whole once global pooling has moved by this share of its range; left out: once crops "
        "elsewhere show that the answer has moved by the tolerance.",
    )
    crop_px: tuple[tuple[int, int], ...] = Field(
        (),
        max_length=16,
        description="Heights and widths of crops, [[h, w], ...]; each is compiled at load. Left out: by the picture's size.",
    )


class TurboViTSettings(Settings):
    """The network of tokens; `network: turbovit` chooses it."""

    weights: Path | None = Field(None, description="The file of weights, .npz, as `edgevision train` writes it; it has no default.")
    size_px: tuple[int, int] | None = Field(
        None,
        description="Height and width of its input, to which frames are stretched; whole units, 32 px with the default ones. Left out: the "
        "frame's own size, filled up, or for a classifier the size that it was trained on.",
    )
    output: Literal["answer", "tokens"] = Field(
        "answer",
        description="What it gives: its own head's answer, or the last block's tokens, at which a head that is asked by name looks "
        "(`segment.kind: names`).",
    )
    attention: tuple[Literal["unit", "dense", "sparsifiner", "csat", "hybrid"], ...] = Field(
        (),
        max_length=16,
        description="How the tokens of each stage attend, as [unit, unit, sparsifiner, sparsifiner]; left out: as they were trained.",
    )
    sparsifiner: SparsifinerSettings = Field(
        SparsifinerSettings(), description="For attention `sparsifiner`: what its predictor lets through."
    )
    hybrid: HybridSettings = Field(HybridSettings(), description="For attention `hybrid`: what is kept, and what is done about the rest.")
    measurements: int = Field(256, description="For csat: into how many measurements a layer's tokens are compressed; at most its tokens.")
    phi: Literal["means", "tokens"] = Field(
        "means",
        description="For csat, where the weights hold no measurements that were learnt: each the mean of a block of tokens, or one token, "
        "spread evenly; tokens come nearer to dense attention where they differ much, as on textures.",
    )
    recovery: Literal["none", "denoise", "token"] = Field(
        "none",
        description="For csat: `denoise` what was found by soft thresholds of `sparsity`; `token`: look at tokens recovered from the "
        "measurements, slow, to see what compression costs.",
    )
    sparsity: float = Field(0.0, ge=0, le=1e6, description="For csat's recovery `denoise`: what is below it is taken for noise.")

    @model_validator(mode="after")
    def _is_no_mistake(self) -> Self:
        if self.size_px is not None and max(self.size_px) > MOST_SIDE_PX:
            raise ValueError(f"size_px is {list(self.size_px)}; a side may have at most {MOST_SIDE_PX} pixels; give {MOST_SIDE_PX} or less")
        return self


class RecomputeSettings(Settings):
    """Which network runs, in which precision, and how its results are kept and checked."""

    network: Literal["default", "turbovit"] | Path = Field(
        "default", description="`default`, the network that ships, `turbovit`, a network of tokens, or an ONNX or OpenVINO IR file."
    )
    turbovit: TurboViTSettings = Field(TurboViTSettings(), description="What `network: turbovit` needs to know.")
    engine: Literal["selective", "splice"] = Field(
        "selective",
        description="`selective` recomputes what changed, exactly; `splice` runs crops through OpenVINO, for networks with global context.",
    )
    splice: SpliceSettings = Field(SpliceSettings(), description="How crops are cut, for `engine: splice`.")
    template: Literal["none", "golden", "each"] = Field(
        "none",
        description="golden: the network is shown each frame beside the picture that compare.golden names: frame, template, difference; "
        "run is what differs from the frame before; each: from the template itself, so that no part depends on those before it.",
    )
    precision: Literal["auto", "f32", "bf16", "int8"] = Field("auto", description="Arithmetic of the network; `auto` is the file's own.")
    threads: int = Field(1, ge=1, le=256, description="Threads that compute for this camera.")
    gate: float | dict[str, float] | Path = Field(
        0.0,
        description="Share of a step's range, from 0 to below 1, that a pixel must move by to be passed on; 0 is exact. Or such shares by "
        'step, as `edgevision plan` names them, "*" for the others. Or the path of a file of gates, as `edgevision gates` makes it.',
    )
    policy: Annotated[Chosen, Kind("policy")] = Field(
        Chosen("threshold"), description="Which live pixels are recomputed: threshold takes all; all, none and random are controls."
    )
    keyframe_s: float = Field(10.0, ge=0, le=86_400, description="The whole picture is refreshed in so many seconds, in bands; 0: never.")
    audit_every: int = Field(
        300, ge=0, le=1_000_000, description="Frames between two runs of the whole network, to find what the change map missed; 0: none."
    )
    audit_every_s: float = Field(
        10.0, ge=0, le=86_400, description="Seconds after which such a run is due, however few frames came; 0: frames alone count."
    )
    audit_engine_every: int = Field(
        15, ge=0, le=1_000_000, description="Frames between two checks of a patch: what went in, each step, what came out; 0: none."
    )
    audit_engine_every_s: float = Field(
        1.0, ge=0, le=86_400, description="Seconds after which such a check is due, however few frames came; 0: frames alone count."
    )
    audit_levels: float = Field(
        32.0,
        gt=0,
        le=255,
        description="Gray levels that 8 px in a row may lie off what was used for them, unless they are recomputed; less where twice "
        "compare.pixel_threshold is less.",
    )
    audit_tolerance: float = Field(0.2, gt=0, le=1e6, description="How far an output value may lie from the whole network's.")
    audit_limit: float = Field(0.01, ge=0, le=1, description="Share of disagreeing output values from which on an audit has failed.")
    audit_k_of_n: tuple[int, int] = Field(
        (2, 3),
        description="So many failed audits of the last so many let the camera run dense; after one the next come with the next frames.",
    )
    audit_cooldown_s: float = Field(60.0, ge=0, le=86_400, description="Seconds that it runs dense then.")
    settle: SettleSettings = Field(SettleSettings(), description="What is done about verdicts that hang on numbers near their limits.")
    shift: ShiftSettings = Field(ShiftSettings(), description="Whether the pictures stay what they were when the camera was set up.")
    foreign: Literal["auto", "never"] = Field(
        "auto",
        description="A scene that stays busy runs whole in OpenVINO, where that is faster, and results say so; never, and turbovit: not.",
    )
    memory_limit_mb: int = Field(1024, ge=16, le=1_048_576, description="A network whose memory would exceed this is refused at the start.")

    @field_validator("gate")
    @classmethod
    def _is_share(cls, value: float | dict[str, float] | Path) -> float | dict[str, float] | Path:
        for step, share in value.items() if isinstance(value, dict) else () if isinstance(value, Path) else (("", value),):
            if not 0 <= share < 1:
                of = f" for step {step!r}" if step else ""
                raise ValueError(f"is {share:g}{of}; it must be at least 0 and below 1, or the path of a file made by `edgevision gates`")
        return value

    @field_validator("audit_k_of_n")
    @classmethod
    def _is_k_of_n(cls, value: tuple[int, int]) -> tuple[int, int]:
        if not 1 <= value[0] <= value[1] <= 100:
            raise ValueError(f"is {list(value)}; it must be [k, n] with 1 <= k <= n <= 100")
        return value

    @model_validator(mode="after")
    def _is_for_its_engine(self) -> Self:
        if self.engine == "splice" and self.gate != 0.0:
            raise ValueError(f"gate is {self.gate}; engine splice has no gates between steps; leave it out, or set splice.tolerance")
        if self.network == "turbovit":
            self._refuse_for_tokens()
        return self

    def _refuse_for_tokens(self) -> None:
        if self.engine == "splice":
            raise ValueError("engine is splice and network turbovit, which runs selectively only; leave engine out")
        if self.precision == "int8":
            raise ValueError("precision is int8; turbovit runs in f32 or bf16; leave it out")
        if self.turbovit.weights is None:
            raise ValueError("turbovit.weights is missing; turbovit needs a file of weights, as `edgevision train` writes it; add its path")
