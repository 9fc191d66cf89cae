"""The segmentation decoder: a hand-worked case, then laws."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edgevision.errors import EngineFault, InputError
from edgevision.segment.segmentation import SegmentationDecoder, SegmentSettings

LABELS = ("scratch", "stain", "hole")
LOOSE = SegmentSettings(min_area_px=0)


def nhwc_view(channels: int, height: int, width: int) -> np.ndarray:
    """An output as the engine gives it: (1, C, h, w) seen in padded channel-last memory."""
    memory = np.zeros((height + 2, width + 2, channels), np.float32)
    return memory[1:-1, 1:-1].transpose(2, 0, 1)[None]


def decode(decoder, output, box):
    return decoder.decode({"defect": output}, {"defect": box})


def test_hand_worked_region():
    output = nhwc_view(3, 20, 30)
    output[0, 1, 4:8, 10:16] = 0.9  # 4 rows, 6 columns of stain
    output[0, 0, 4:8, 10:12] = 0.95  # of which two columns look more like a scratch
    output[0, 1, 8, 10:16] = 0.4  # grown to, but not enough alone
    output[0, 2, 15:18, 2:5] = 0.4  # nowhere enough
    decoder = SegmentationDecoder(LOOSE, (40, 60), LABELS)
    (region,) = decode(decoder, output, None)
    assert region.label == "stain"
    assert region.box_px == (20, 8, 32, 18)
    assert region.area_px == 30 * 4
    assert region.centroid_px == pytest.approx((26.0, 13.0))
    assert region.score == pytest.approx(0.95)
    assert set(region.polygon) == {(21, 9), (21, 17), (31, 17), (31, 9)}
    assert decoder.mask.sum() == 30 + 9


def test_nothing_changed_gives_the_same_object():
    output = nhwc_view(3, 20, 30)
    output[0, 0, 3:9, 3:9] = 0.9
    decoder = SegmentationDecoder(LOOSE, (40, 60), LABELS)
    first = decode(decoder, output, (0, 0, 30, 20))
    assert decode(decoder, output, None) is first
    assert decode(decoder, output, (5, 5, 5, 9)) is first


def test_a_region_outside_the_changed_box_is_not_read_again():
    output = nhwc_view(1, 40, 40)
    output[0, 0, 2:8, 2:8] = 0.9
    decoder = SegmentationDecoder(LOOSE, (40, 40), ("hole",))
    (before,) = decode(decoder, output, None)
    output[0, 0, 30:35, 30:35] = 0.8
    after = decode(decoder, output, (28, 28, 38, 38))
    assert after[0] is before
    assert len(after) == 2


def test_reset_reads_the_whole_output():
    output = nhwc_view(1, 10, 10)
    decoder = SegmentationDecoder(LOOSE, (10, 10))
    assert decode(decoder, output, None) == ()
    output[0, 0, 2:5, 2:5] = 0.9
    assert decode(decoder, output, None) == ()
    decoder.reset()
    (region,) = decode(decoder, output, None)
    assert region.label == "defect"


def test_small_regions_and_too_many_regions():
    output = nhwc_view(1, 40, 40)
    for index in range(6):
        output[0, 0, 1 : 3 + index, 6 * index : 6 * index + 3] = 0.9
    few = SegmentationDecoder(SegmentSettings(min_area_px=7, max_regions=3), (40, 40))
    assert [region.area_px for region in decode(few, output, None)] == [15, 18, 21]
    assert [region.area_px for region in decode(SegmentationDecoder(LOOSE, (40, 40)), output, None)] == [6, 9, 12, 15, 18, 21]


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_logits_give_what_probabilities_give(activation):
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 3, (1, 4, 24, 32)).astype(np.float32)
    if activation == "softmax":
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares = powers / powers.sum(axis=1, keepdims=True)
    else:
        shares = 1 / (1 + np.exp(-logits))
    raw = SegmentationDecoder(SegmentSettings(activation=activation, is_logits=True), (48, 64))
    done = SegmentationDecoder(SegmentSettings(activation=activation), (48, 64))
    found, expected = decode(raw, logits, None), decode(done, shares, None)
    assert [(r.label, r.box_px, r.area_px) for r in found] == [(r.label, r.box_px, r.area_px) for r in expected]
    assert found


def test_softmax_leaves_the_background_out():
    output = nhwc_view(3, 10, 10)
    output[0, 0] = 1.0
    output[0, :, 2:5, 2:5] = np.array([0.1, 0.2, 0.7], np.float32)[:, None, None]
    (region,) = decode(SegmentationDecoder(SegmentSettings(activation="softmax"), (20, 20), ("dent", "hole")), output, None)
    assert (region.label, region.area_px) == ("hole", 36)


def test_the_settings_come_before_the_network_s_own_threshold():
    output = nhwc_view(1, 10, 10)
    output[0, 0, 2:5, 2:5] = 0.7

    def count(given: float | None, own: float | None) -> int:
        return len(decode(SegmentationDecoder(SegmentSettings(threshold=given, min_area_px=0), (10, 10), (), own), output, None))

    assert [count(None, None), count(None, 0.8), count(0.6, 0.8), count(0.8, 0.6), count(None, 0.2)] == [1, 0, 1, 0, 1]


def test_nan_is_never_a_clean_surface():
    output = nhwc_view(1, 10, 10)
    output[0, 0, 2:6, 2:6] = np.nan
    with pytest.raises(EngineFault, match="NaN"):
        decode(SegmentationDecoder(SegmentSettings(), (20, 20)), output, None)


def test_outputs_that_do_not_fit_are_refused():
    output = nhwc_view(3, 10, 10)
    with pytest.raises(InputError, match="2 label"):
        decode(SegmentationDecoder(LOOSE, (20, 20), ("a", "b")), output, None)
    with pytest.raises(InputError, match="shape"):
        decode(SegmentationDecoder(LOOSE, (20, 20)), output[0], None)
    with pytest.raises(InputError, match="softmax needs"):
        decode(SegmentationDecoder(SegmentSettings(activation="softmax"), (20, 20)), output[:, :1], None)
    two = {"boxes": output, "defect": output}
    with pytest.raises(InputError, match="one of boxes, defect"):
        SegmentationDecoder(LOOSE, (20, 20)).decode(two, {})
    assert SegmentationDecoder(SegmentSettings(output="defect"), (20, 20)).decode(two, {}) == ()
    with pytest.raises(ValidationError, match="must not exceed"):
        SegmentSettings(threshold=0.4, low_threshold=0.5)


def test_regions_are_the_connected_components():
    """Against OpenCV's component labelling, on smooth noise without enclosed islands."""
    rng = np.random.default_rng(1)
    output = cv2.GaussianBlur(rng.random((60, 80), np.float32), (0, 0), 3)[None, None]
    output = (output - output.min()) / (output.max() - output.min())
    found = decode(SegmentationDecoder(SegmentSettings(min_area_px=0, threshold=0.62, low_threshold=0.62), (60, 80)), output, None)
    _, _, stats, centroids = cv2.connectedComponentsWithStats((output[0, 0] >= 0.62).astype(np.uint8), connectivity=8)
    boxes = {(x, y, x + w, y + h): (area, tuple(c + 0.5)) for (x, y, w, h, area), c in zip(stats[1:].tolist(), centroids[1:], strict=True)}
    assert len(found) > 5
    assert {region.box_px for region in found} == set(boxes)
    for region in found:
        area, centroid = boxes[region.box_px]
        assert region.area_px == area
        assert region.centroid_px == pytest.approx(centroid)


values = st.sampled_from([0.0, 0.3, 0.45, 0.7, 0.9])
changes = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 26), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2), values), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(changes, st.integers(1, 5))
def test_law_incremental_equals_fresh(steps, limit):
    output = nhwc_view(3, 24, 30)
    choice = SegmentSettings(min_area_px=6, max_regions=limit)
    kept = SegmentationDecoder(choice, (48, 60), LABELS)
    decode(kept, output, None)
    for y, x, height, width, channel, value in steps:
        output[0, channel, y : y + height, x : x + width] = value
        regions = decode(kept, output, (x, y, min(30, x + width), min(24, y + height)))
        fresh = SegmentationDecoder(choice, (48, 60), LABELS)
        assert regions == decode(fresh, output, None)
        assert np.array_equal(kept.mask, fresh.mask)


def test_where_the_frame_lies_in_a_corner_boxes_stay_true_and_inside():
    output = np.zeros((1, 1, 12, 16), np.float32)
    output[0, 0, 2:5, 6:9] = output[0, 0, 8:, 13:] = 0.9
    regions = SegmentationDecoder(LOOSE, (21, 29), span_px=(24, 32)).decode({"defect": output}, {"defect": None})
    assert [region.box_px for region in regions] == [(12, 4, 18, 10), (26, 16, 29, 21)]
