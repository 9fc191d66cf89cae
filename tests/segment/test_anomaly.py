"""The anomaly decoder: hand-worked normalisation as anomalib does it, the picture's score, and that the changed box is enough."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.errors import ConfigError, EngineFault, InputError
from edgevision.segment.anomaly import AnomalyDecoder
from edgevision.segment.facts import NetworkFacts
from edgevision.segment.settings import AnomalySettings, SegmentSettings

EXPORTED = {"image_threshold": "30", "pixel_threshold": "20", "min": "0", "max": "40"}


def of(**more) -> SegmentSettings:
    return SegmentSettings(kind="anomaly", min_area_px=0, score_quantile=1.0, anomaly=AnomalySettings(**more))


def a_map(value: float = 26.0) -> np.ndarray:
    output = np.full((1, 1, 20, 30), 5.0, np.float32)
    output[0, 0, 4:8, 10:16] = value
    return output


def test_hand_worked_normalisation_from_the_file():
    decoder = AnomalyDecoder(of(), (40, 60), NetworkFacts(metadata=EXPORTED))
    (region,) = decoder.decode({"map": a_map()}, {})
    assert (region.label, region.box_px, region.area_px) == ("anomaly", (20, 8, 32, 16), 24 * 4)
    assert region.score == pytest.approx((26 - 20) / 40 + 0.5)
    decoder.reset()
    assert decoder.decode({"map": a_map(19.0)}, {}) == ()  # below the threshold


def test_a_map_without_facts_is_taken_as_it_is():
    (region,) = AnomalyDecoder(of(), (20, 30)).decode({"map": a_map() / 40}, {})
    assert region.score == pytest.approx(26 / 40)


def test_anomalib_s_own_file_and_settings_over_it(tmp_path):
    path = tmp_path / "metadata.json"
    facts = {"pixel_threshold": 20.0, "anomaly_maps.min": 0.0, "anomaly_maps.max": 40.0, "image_threshold": 9, "task": "segmentation"}
    path.write_text(json.dumps({**facts, "pred_scores.min": 0.0, "pred_scores.max": 18.0}))
    decoder = AnomalyDecoder(of(metadata_file=path, score_output="score"), (20, 30), NetworkFacts(metadata=EXPORTED))
    outputs = {"map": a_map(), "score": np.array([9.1], np.float32)}
    assert decoder.decode(outputs, {})[0].score == pytest.approx(0.65)
    decoder = AnomalyDecoder(of(metadata_file=path, map_threshold=10.0), (20, 30))
    assert decoder.decode({"map": a_map()}, {})[0].score == pytest.approx(0.9)
    for text in ("{", "[]"):
        path.write_text(text)
        with pytest.raises(ConfigError, match=r"metadata\.json"):
            AnomalyDecoder(of(metadata_file=path), (20, 30))
    with pytest.raises(ConfigError, match="absent"):
        AnomalyDecoder(of(metadata_file=tmp_path / "absent.json"), (20, 30))


@pytest.mark.parametrize("given", [{"min": "0", "max": "1"}, {"pixel_threshold": "3"}, {"pixel_threshold": "3", "min": "2", "max": "2"}])
def test_half_a_normalisation_is_refused(given):
    with pytest.raises(ConfigError, match="all three are needed"):
        AnomalyDecoder(of(), (20, 30), NetworkFacts(metadata=given))


def test_the_picture_s_score_clears_and_finds():
    decoder = AnomalyDecoder(of(score_output="score"), (40, 60), NetworkFacts(metadata=EXPORTED))
    low, high = np.array([[29.0]], np.float32), np.array([[34.0]], np.float32)
    nothing = {"map": None, "score": None}
    assert decoder.decode({"map": a_map(), "score": low}, nothing) == ()
    first = decoder.decode({"map": a_map(), "score": high}, nothing)
    assert first[0].score == pytest.approx(0.65)
    assert decoder.decode({"map": a_map(), "score": high}, nothing) is first
    (whole,) = decoder.decode({"map": a_map(5.0), "score": high}, {"map": (10, 4, 16, 8), "score": None})
    assert (whole.box_px, whole.score) == ((0, 0, 60, 40), pytest.approx((34 - 30) / 40 + 0.5))


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="an anomaly map is"):
        AnomalyDecoder(of(), (20, 30)).decode({"map": np.zeros((1, 2, 20, 30), np.float32)}, {})
    with pytest.raises(InputError, match=r"segment\.output is None"):
        AnomalyDecoder(of(), (20, 30)).decode({"map": a_map(), "score": np.zeros(1)}, {})
    for name in ("absent", "map"):
        with pytest.raises(InputError, match=r"score_output|segment\.output"):
            AnomalyDecoder(of(score_output=name), (20, 30)).decode({"map": a_map(), "more": a_map()}, {})


@pytest.mark.parametrize("place", ["map", "score"])
def test_nan_is_a_fault(place):
    outputs = {"map": a_map(), "score": np.array([34.0], np.float32)}
    outputs[place].reshape(-1)[0] = np.nan
    with pytest.raises(EngineFault, match="NaN"):
        AnomalyDecoder(of(score_output="score"), (20, 30), NetworkFacts(metadata=EXPORTED)).decode(outputs, {})


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_changed_box_is_enough(seed):
    random = np.random.default_rng(seed)
    output = a_map()
    facts = NetworkFacts(metadata=EXPORTED)
    watching = AnomalyDecoder(of(), (40, 60), facts)
    watching.decode({"map": output}, {})
    for _ in range(4):
        x1, y1 = int(random.integers(0, 25)), int(random.integers(0, 15))
        x2, y2 = x1 + int(random.integers(1, 6)), y1 + int(random.integers(1, 6))
        output[0, 0, y1:y2, x1:x2] = random.uniform(0, 45, (y2 - y1, x2 - x1))
        found = watching.decode({"map": output}, {"map": (x1, y1, x2, y2)})
        assert found == AnomalyDecoder(of(), (40, 60), facts).decode({"map": output}, {})
        assert watching.decode({"map": output}, {"map": None}) is found
