"""What a user may say about the network's output and how it becomes regions. `kind` chooses the decoder, a section holds its own keys."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from edgevision.records import Box, Settings


class BoxSettings(Settings):
    """How a detector's numbers are read. N boxes, C classes."""

    layout: Literal["separate", "rows", "columns", "grid"] = Field(
        "separate",
        description="`separate`: outputs (1, N, 4) and (1, N, C); `rows`: one output (1, N, 4 + C); `columns`: one output (1, 4 + C, N); "
        "`grid`: outputs (1, 4, rows, columns) and (1, C, rows, columns), how far a box reaches left, up, right and down from the middle "
        "of its cell, in pixels of the network's input.",
    )
    boxes_output: str | None = Field(
        None, description="Name of the output with the boxes, for `separate` and `grid`; left out: the one of 4 values."
    )
    scores_output: str | None = Field(
        None, description="Name of the output with the scores, for `separate` and `grid`; left out: the other one."
    )
    corners: bool = Field(True, description="True for x1, y1, x2, y2; false for the middle's x and y, width and height.")
    normalised: bool = Field(True, description="True for shares of the network's input, 0 to 1; false for its pixels.")
    objectness: bool = Field(False, description="True where a fifth value before the classes says how likely anything is there at all.")
    background: bool = Field(False, description="True where class 0 is the background; it is no label.")
    overlap: float = Field(
        0.45, ge=0.0, le=1.0, description="Of two boxes of a label whose intersection over union is higher, the likelier stays."
    )
    join: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="Boxes of a label that overlap by at least this share of the smaller one are pieces of one defect, told as one box "
        "around those that are about as likely as the likeliest; 0 tells each box alone.",
    )


class ClassSettings(Settings):
    """What a classifier's answer is about."""

    box_px: Box | None = Field(None, description="Where the thing is, [x1, y1, x2, y2] in frame pixels; left out: the whole frame.")
    normal: tuple[str, ...] = Field((), description="Labels that are no defects: where one of them is likeliest, nothing is reported.")

    @model_validator(mode="after")
    def _has_area(self) -> Self:
        if self.box_px is not None and not (0 <= self.box_px[0] < self.box_px[2] and 0 <= self.box_px[1] < self.box_px[3]):
            raise ValueError(f"box_px is {list(self.box_px)}; it must be [x1, y1, x2, y2] with 0 <= x1 < x2 and 0 <= y1 < y2; correct it")
        return self


class NamesSettings(Settings):
    """Which head is asked by name, and for what."""

    head: Path | None = Field(None, description="The head's file, as `edgevision train --names` writes it; it has no default.")
    ask: tuple[str, ...] = Field(
        (),
        max_length=256,
        description="Names of the defects that are asked for, of those that the head knows; where another is likeliest, nothing is "
        "reported. Left out: all.",
    )


class AnomalySettings(Settings):
    """How anomaly values become 0 to 1: (value - threshold) / (max - min) + 0.5, as anomalib does it."""

    score_output: str | None = Field(
        None,
        description="Name of an output with one score for the picture: below its threshold nothing is reported, above it always something.",
    )
    metadata_file: Path | None = Field(
        None, description="anomalib's metadata.json with thresholds, min and max; left out: what the network's file says, else no change."
    )
    map_threshold: float | None = Field(None, description="Map value from which on a pixel is anomalous, instead of the file's.")
    score_threshold: float | None = Field(None, description="Score from which on the picture is anomalous, instead of the file's.")
    min: float | None = Field(None, description="Least value seen in training, instead of the file's.")
    max: float | None = Field(None, description="Greatest value seen in training, instead of the file's.")


class SegmentSettings(Settings):
    """How the network's output becomes regions."""

    kind: Literal["segmentation", "boxes", "class", "anomaly", "names"] = Field(
        "segmentation", description="What the network's output is; chooses the decoder."
    )
    output: str | None = Field(None, description="Name of the network output to decode; leave it out when the network has only one.")
    activation: Literal["sigmoid", "softmax"] = Field(
        "sigmoid", description="`sigmoid`: every channel is one label; `softmax`: channel 0 is the background, the others are labels."
    )
    is_logits: bool = Field(False, description="True where the network ends before its activation, which is then applied here.")
    labels: tuple[str, ...] = Field((), description="Names of the labels, one a channel, instead of those stored in the network file.")
    threshold: float | None = Field(
        None,
        gt=0.0,
        lt=1.0,
        description="A region must reach this probability in a pixel; left out: what the network's file says, else 0.5.",
    )
    low_threshold: float = Field(0.35, gt=0.0, lt=1.0, description="A region grows to all joined pixels of at least this probability.")
    score_quantile: float = Field(
        0.9, ge=0.0, le=1.0, description="A region's score is this quantile of its pixels' probabilities; 1 is the highest."
    )
    min_area_px: int = Field(12, ge=0, le=100_000_000, description="Smaller regions are noise; in frame pixels.")
    max_regions: int = Field(64, ge=1, le=4096, description="At most so many regions are reported for one frame, the largest by box.")
    polygon_tolerance_px: float = Field(
        1.5, ge=0.0, le=100.0, description="How far a region's polygon may stray from its outline, in frame pixels."
    )
    boxes: BoxSettings = Field(BoxSettings(), description="For `kind: boxes`; there max_regions keeps the likeliest.")
    classes: ClassSettings = Field(ClassSettings(), description="For `kind: class`; there softmax has no background.")
    names: NamesSettings = Field(
        NamesSettings(), description="For `kind: names`, which asks a turbovit's tokens for defects by name; where they are as for `class`."
    )
    anomaly: AnomalySettings = Field(AnomalySettings(), description="For `kind: anomaly`; thresholds above are of normalised values.")

    @model_validator(mode="after")
    def _is_ordered(self) -> Self:
        if self.threshold is not None and self.low_threshold > self.threshold:
            raise ValueError(f"low_threshold is {self.low_threshold:g}; it must not exceed threshold ({self.threshold:g}); lower it")
        if self.kind == "names" and self.names.head is None:
            raise ValueError("names.head is missing; kind names asks a head that `edgevision train --names` wrote; add its path")
        return self
