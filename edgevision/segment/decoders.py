"""The decoder for each kind of network output. A further kind is a file beside this one and a line in `decoder_for`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.records import Box, Candidate, Region
from edgevision.segment.anomaly import AnomalyDecoder
from edgevision.segment.boxes import BoxDecoder
from edgevision.segment.classes import ClassDecoder
from edgevision.segment.facts import NetworkFacts
from edgevision.segment.names import NamesDecoder
from edgevision.segment.segmentation import SegmentationDecoder
from edgevision.segment.settings import SegmentSettings


class Decoder(Protocol):
    """One camera's way from outputs to regions. Keeps what it needs of the last frame."""

    def decode(self, outputs: Mapping[str, NDArray[Any]], changed: Mapping[str, Box | None]) -> tuple[Region, ...]:
        """The regions of these outputs, of which only the boxes in `changed` differ from the last call."""

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the last answer shows, and what falls short of the threshold by at most `odds.NEAR`: it might be shown, too."""

    @property
    def told(self) -> tuple[Candidate, ...]:
        """Of the candidates those that the last answer shows: for who need not know what else there might be."""

    def reset(self) -> None:
        """Forget the last frame."""


def decoder_for(settings: SegmentSettings, shape_px: tuple[int, int], facts: NetworkFacts = NetworkFacts()) -> Decoder:  # noqa: B008
    """The decoder that `settings.kind` names, for frames of `shape_px` (height, width). Raises InputError or ConfigError, one line."""
    if settings.kind == "boxes":
        return BoxDecoder(settings, shape_px, facts)
    if settings.kind == "class":
        return ClassDecoder(settings, shape_px, facts)
    if settings.kind == "anomaly":
        return AnomalyDecoder(settings, shape_px, facts)
    if settings.kind == "names":
        return NamesDecoder(settings, shape_px, facts)
    if settings.kind == "segmentation":
        return SegmentationDecoder(settings, shape_px, facts.labels, facts.threshold, facts.span_px)
    raise InputError(f"segment.kind is {settings.kind!r}; it must be one of segmentation, boxes, class, anomaly, names")
