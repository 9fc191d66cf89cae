"""The choice of a decoder."""

from __future__ import annotations

import pytest

from edgevision.errors import InputError
from edgevision.segment.decoders import decoder_for
from edgevision.segment.segmentation import SegmentationDecoder, SegmentSettings


def test_kind_chooses_the_decoder():
    assert isinstance(decoder_for(SegmentSettings(), (20, 20)), SegmentationDecoder)
    with pytest.raises(InputError, match=r"segment\.kind is 'boxes'"):
        decoder_for(SegmentSettings.model_construct(kind="boxes"), (20, 20))
