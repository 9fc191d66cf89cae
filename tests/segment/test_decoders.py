"""The choice of a decoder, and where a point of the network's input lies in the frame."""

from __future__ import annotations

import numpy as np
import pytest

import edgevision as ev
from edgevision.errors import InputError
from edgevision.recompute.preprocess import Preprocess, build_intake
from edgevision.segment.anomaly import AnomalyDecoder
from edgevision.segment.boxes import BoxDecoder
from edgevision.segment.classes import ClassDecoder
from edgevision.segment.decoders import decoder_for
from edgevision.segment.facts import Placement
from edgevision.segment.segmentation import SegmentationDecoder
from edgevision.segment.settings import SegmentSettings


def test_kind_chooses_the_decoder():
    kinds = {"segmentation": SegmentationDecoder, "boxes": BoxDecoder, "class": ClassDecoder, "anomaly": AnomalyDecoder}
    for kind, decoder in kinds.items():
        assert type(decoder_for(SegmentSettings(kind=kind), (20, 20))) is decoder
    with pytest.raises(InputError, match=r"segment\.kind is 'depth'; it must be one of segmentation, boxes, class, anomaly"):
        decoder_for(SegmentSettings.model_construct(kind="depth"), (20, 20))


@pytest.mark.parametrize(
    ("fit", "frame_px"), [("stretch", (90, 200)), ("letterbox", (90, 200)), ("letterbox", (311, 77)), ("corner", (60, 70))]
)
def test_a_point_of_the_input_lies_where_the_frame_s_pixel_went(fit, frame_px):
    """A bright square of the frame, taken in by preprocess, is where `Placement` says."""
    settings = Preprocess(frame_px=frame_px, resize=fit, fill=0)
    intake = build_intake(settings, 1, (64, 96))
    placement = Placement.of(frame_px, (64, 96), fit)
    rows, columns = intake.resize.rows, intake.resize.columns
    for axis, table in enumerate((rows, columns)):
        reached = np.flatnonzero(table.first >= 0)
        seen = table.first[reached] + table.share[reached] * (table.second[reached] - table.first[reached])
        expected = (reached + 0.5 - placement.offset[axis]) * placement.scale[axis] - 0.5
        assert np.allclose(seen, np.clip(expected, 0, frame_px[axis] - 1), atol=1e-3)


def test_a_decoder_that_does_not_fit_the_network_leaves_frames_not_inspected(tmp_path):
    config = tmp_path / "line.yaml"
    config.write_text("cameras:\n  cam1:\n    source: {type: synthetic}\n    segment: {kind: class}\n")
    pipeline = ev.Pipeline.from_config(config)
    for seq in (1, 2):
        seen = pipeline.inspect(ev.Frame(np.full((96, 128, 3), 90, np.uint8), float(seq), seq))
        assert seen.verdict is ev.Verdict.NOT_INSPECTED
        assert "class scores are" in seen.reason
