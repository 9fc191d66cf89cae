"""What a decoder is told of the network: labels, threshold, how its input lies on the frame. Made by the pipeline. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a point of the network's input lies in the frame: (point - offset) * scale, each (y, x). `input_px` is (height, width)."""

    input_px: Size
    scale: tuple[float, float]
    offset: tuple[int, int]

    @classmethod
    def of(cls, frame_px: Size, input_px: Size, fit: str = "stretch") -> Self:
        """For frames of (height, width) that were made to fit by `stretch`, `letterbox` or `corner`, as `recompute.preprocess` does it."""
        if fit == "corner":
            return cls(input_px, (1.0, 1.0), (0, 0))
        inside = input_px
        if fit == "letterbox":
            ratio = min(input_px[0] / frame_px[0], input_px[1] / frame_px[1])
            inside = max(1, round(frame_px[0] * ratio)), max(1, round(frame_px[1] * ratio))
        offset = (input_px[0] - inside[0]) // 2, (input_px[1] - inside[1]) // 2
        return cls(input_px, (frame_px[0] / inside[0], frame_px[1] / inside[1]), offset)


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """What the network's file says of itself, and how frames are given to it. The settings come before `labels` and `threshold`.

    `span_px` is what its input covers, where that is more than the frame; `placement` None means that its input is the frame. `sha256` is
    that of its file.
    """

    labels: tuple[str, ...] = ()
    threshold: float | None = None
    span_px: Size | None = None
    placement: Placement | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
