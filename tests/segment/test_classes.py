"""The class decoder: hand-worked cases, what is refused, one law."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edgevision.errors import EngineFault, InputError
from edgevision.segment.classes import ClassDecoder
from edgevision.segment.facts import NetworkFacts
from edgevision.segment.settings import ClassSettings, SegmentSettings

LABELS = NetworkFacts(labels=("good", "scratch", "dent"))


def of(**more) -> SegmentSettings:
    return SegmentSettings(kind="class", **more)


def test_hand_worked_whole_frame_and_box():
    scores = {"out": np.array([[0.1, 0.7, 0.2]], np.float32)}
    (region,) = ClassDecoder(of(), (30, 40), LABELS).decode(scores, {"out": None})
    assert (region.label, region.box_px, region.area_px) == ("scratch", (0, 0, 40, 30), 1200)
    assert region.score == pytest.approx(0.7)
    (region,) = ClassDecoder(of(classes=ClassSettings(box_px=(5, 6, 15, 26))), (30, 40), LABELS).decode(scores, {})
    assert (region.box_px, region.area_px, region.centroid_px) == ((5, 6, 15, 26), 200, (10.0, 16.0))


def test_normal_and_unlikely_labels_are_no_regions():
    decoder = ClassDecoder(of(classes=ClassSettings(normal=("good",))), (30, 40), LABELS)
    assert decoder.decode({"out": np.array([[0.9, 0.05, 0.05]], np.float32)}, {}) == ()
    assert decoder.decode({"out": np.array([[0.3, 0.4, 0.3]], np.float32)}, {}) == ()


def test_logits_by_softmax_and_by_sigmoid():
    logits = {"out": np.array([0.0, 2.0, 0.0], np.float32).reshape(1, 3, 1, 1)}
    (region,) = ClassDecoder(of(is_logits=True, activation="softmax"), (3, 4), LABELS).decode(logits, {})
    assert region.score == pytest.approx(np.exp(2) / (np.exp(2) + 2))
    (region,) = ClassDecoder(of(is_logits=True), (3, 4), LABELS).decode(logits, {})
    assert region.score == pytest.approx(1 / (1 + np.exp(-2)))


def test_the_same_object_until_the_output_changes():
    output = np.array([[0.9]], np.float32)
    decoder = ClassDecoder(of(), (3, 4))
    first = decoder.decode({"out": output}, {"out": None})
    assert first[0].label == "defect"
    output[...] = 0.1
    assert decoder.decode({"out": output}, {"out": None}) is first
    assert decoder.decode({"out": output}, {"out": (0, 0, 1, 1)}) == ()
    output[...] = 0.8
    decoder.reset()
    assert len(decoder.decode({"out": output}, {"out": None})) == 1


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 3, 2, 2), (1, 1, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(InputError, match="class scores are"):
        ClassDecoder(of(), (3, 4)).decode({"out": np.zeros(shape, np.float32)}, {})


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match=r"segment\.output is None; it must be one of a, b"):
        ClassDecoder(of(), (3, 4)).decode({"a": np.zeros((1, 2)), "b": np.zeros((1, 2))}, {})
    with pytest.raises(InputError, match=r"2 class\(es\) but 3 label"):
        ClassDecoder(of(), (3, 4), LABELS).decode({"a": np.zeros((1, 2))}, {})
    with pytest.raises(InputError, match="the frame is 4x3"):
        ClassDecoder(of(classes=ClassSettings(box_px=(0, 0, 5, 3))), (3, 4))
    with pytest.raises(ValidationError, match="x1 < x2"):
        ClassSettings(box_px=(5, 0, 5, 3))
    with pytest.raises(EngineFault, match="NaN"):
        ClassDecoder(of(), (3, 4)).decode({"a": np.array([[0.5, np.nan]])}, {})


@given(st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=9), st.sampled_from(["sigmoid", "softmax"]))
def test_the_likeliest_label_is_the_highest_logit(logits, activation):
    output = {"out": np.array([logits], np.float32)}
    decoder = ClassDecoder(of(is_logits=True, activation=activation, threshold=1e-9, low_threshold=1e-9), (3, 4))
    (region,) = decoder.decode(output, {})
    assert logits[int(region.label.removeprefix("class_"))] >= max(logits)
    assert 0 < region.score <= 1
