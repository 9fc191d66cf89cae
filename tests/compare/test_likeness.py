"""Is it the template's part at all: frames of it in any light, with pieces gone, and of another product."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import edgevision as ev
from edgevision.compare.likeness import CELL_PX, Likeness
from edgevision.errors import BadFrame
from edgevision.study.parts.presence import Fault, SeriesSettings, series

SIZE_PX = (240, 320)
ALL = np.ones(SIZE_PX, np.uint8)


def scene(seed: int) -> np.ndarray:
    """Rectangles, soft as a lens makes them."""
    random, picture = np.random.default_rng(seed), np.full((*SIZE_PX, 3), 120, np.uint8)
    for _ in range(40):
        x, y, w, h = (int(random.integers(*span)) for span in ((0, 300), (0, 220), (8, 60), (8, 60)))
        cv2.rectangle(picture, (x, y), (x + w, y + h), tuple(int(v) for v in random.integers(30, 220, 3)), -1)
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def test_the_same_scene_is_alike_in_any_light_and_another_is_not():
    likeness = Likeness(scene(1), ALL)
    assert likeness.share(scene(1)) == 1
    darker = (scene(1) * 0.5 + 20).astype(np.uint8)
    assert likeness.share(darker) > 0.95
    assert likeness.share(np.roll(scene(1), 2, axis=1)) > 0.9
    assert likeness.share(scene(2)) < 0.2


def test_of_a_plain_frame_nothing_is_said_and_of_one_half_gone_only_what_is_left():
    likeness, half = Likeness(scene(1), ALL), scene(1)
    half[:, 160:] = 120
    assert likeness.share(half) > 0.85
    assert likeness.share(np.full((*SIZE_PX, 3), 120, np.uint8)) is None


def test_only_what_is_looked_at_counts():
    only_left, mixed = ALL.copy(), scene(1)
    only_left[:, 160:] = 0
    mixed[:, 160:] = scene(2)[:, 160:]
    assert Likeness(scene(1), only_left).share(mixed) > 0.9  # the blur takes a little of what lies beside it
    assert Likeness(scene(1), ALL).share(mixed) < 0.75


def test_sixteen_bits_and_gray_are_seen_alike():
    gray = cv2.cvtColor(scene(1), cv2.COLOR_BGR2GRAY)
    finer = gray.astype(np.uint16) * 16
    assert Likeness(finer, ALL, 16.0).share(finer) == Likeness(gray, ALL).share(gray) == 1
    assert Likeness(gray[:CELL_PX, :CELL_PX], ALL[:CELL_PX, :CELL_PX]).share(gray[:CELL_PX, :CELL_PX]) in (None, 1.0)


@pytest.fixture(scope="module")
def stations() -> list[list]:
    faults: tuple[Fault, ...] = ("none", "absent", "broken", "covered", "split", "feature")
    return [list(series(np.random.default_rng(seed), SeriesSettings((240, 320), 0.5, faults))) for seed in (7100, 7101, 7102, 7103)]


def test_another_station_is_another_product_and_no_fault_of_a_part_is(stations):
    for number, parts in enumerate(stations):
        likeness = Likeness(parts[0].template, ALL)
        assert all((likeness.share(part.image) or 1.0) >= 0.15 for part in parts)
        others = [likeness.share(one[0].image) for one in stations[number + 1 :] + stations[:number]]
        assert all(share is None or share < 0.15 for share in others)


def test_a_detector_refuses_another_product_and_goes_on_with_the_next_part(stations, tmp_path):
    parts = stations[0]
    cv2.imwrite(str(tmp_path / "template.png"), parts[0].template)
    given = {"reference": "golden", "golden": tmp_path / "template.png", "align_px": 0, "golden_fraction": 1.0, "pixel_threshold": 12.0}
    for has_begun in (True, False):  # as with recompute.template, and without
        detector = ev.ChangeDetector(ev.ChangeSettings(**given, golden_likeness=0.15))
        if has_begun:
            change = detector.begin(parts[0].image)
            detector.commit(change, change.live)
        detector.update(parts[0].image)
        with pytest.raises(BadFrame, match=r"golden_likeness\); is it another product"):
            detector.update(stations[1][0].image)
        assert detector.update(parts[1].image).fraction > 0
