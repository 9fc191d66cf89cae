"""The decoder for each kind of network output. A further kind is a file beside this one and a line in `decoder_for`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.records import Box, Region
from edgevision.segment.segmentation import SegmentationDecoder, SegmentSettings


class Decoder(Protocol):
    """One camera's way from outputs to regions. Keeps what it needs of the last frame."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], changed: Mapping[str, Box | None]) -> tuple[Region, ...]:
        """The regions of these outputs, of which only the boxes in `changed` differ from the last call."""

    def reset(self) -> None:
        """Forget the last frame."""


def decoder_for(
    settings: SegmentSettings,
    shape_px: tuple[int, int],
    labels: Sequence[str] = (),
    threshold: float | None = None,
    span_px: tuple[int, int] | None = None,
) -> Decoder:
    """The decoder that `settings.kind` names, for frames of `shape_px` (height, width). Raises InputError for an unknown kind.

    `labels` and `threshold` are what the network's file says of itself; the settings come before them. `span_px` is what the network's
    input covers, where that is more than the frame.
    """
    if settings.kind == "segmentation":
        return SegmentationDecoder(settings, shape_px, labels, threshold, span_px)
    raise InputError(f"segment.kind is {settings.kind!r}; it must be segmentation")
