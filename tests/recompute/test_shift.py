"""What is learnt of a camera's pictures, when a statistic has moved, and that what the scene does by itself is no shift."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.recompute.door import DETAILS, GRAYS, Door, Light, detail_of, evenness, kinds, looked_at, sharpness
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.shift import ShiftMonitor
from edgevision.recompute.shift_settings import ShiftLimits, ShiftSettings

SETTINGS = ShiftSettings(block=2, learn_blocks=4, window=2, limits=ShiftLimits(contrast=0.2))


def picture(random, blur=0.0, size=(240, 320)):
    """Bright squares on a dark ground, noisy."""
    image = np.full((*size, 3), 60, np.float32)
    for y in range(10, size[0] - 30, 40):
        for x in range(10, size[1] - 30, 40):
            image[y : y + 24, x : x + 24] = 160
    if blur:
        image = cv2.GaussianBlur(image, (0, 0), blur)
    return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def test_the_statistics_are_what_they_are_called(random):
    door = Door()
    values = door.sample(picture(random), Light(1.5, 4.0, 2.0), None)
    assert values["brightness"][0] == pytest.approx(1.5 * values["light"][0] + 4)
    assert values["noise"][0] == 3.0
    assert values["colour"] == pytest.approx([1.0, 1.0], abs=0.02)
    gray = picture(random)[:, :, 0]
    hand = detail_of(np.array([[10, 10, 16, 10]] * 3, np.uint8))
    assert hand.tolist() == [[6, 12]] * 3
    assert sharpness(hand) == pytest.approx(np.sqrt((6**2 + 12**2) / 2))
    assert sharpness(hand, hand > 6) == 12.0
    assert sharpness(detail_of(cv2.GaussianBlur(gray, (0, 0), 1))) < 0.5 * sharpness(detail_of(gray))
    hand = np.full((32, 48), 100, np.uint8)
    hand[:2, :2] = 40
    assert evenness(hand, None, 100.0) == pytest.approx([0.4] + [1.0] * 383)
    assert evenness(hand, (hand == 100).astype(np.uint8), 100.0) == pytest.approx([1.0] * 384)
    deep = picture(random).astype(np.uint16) << 4
    assert door.sample(deep, Light(1, 0, None), None)["light"][0] < 17
    assert Door(bits=12).sample(deep, Light(1, 0, None), None)["light"][0] > 60
    corner = np.zeros((240, 320), bool)
    corner[:8, :8] = True
    boxed = Door(allowed=corner).sample(picture(random), Light(1, 0, None), None)
    assert boxed["light"][0] == pytest.approx(60, abs=2)
    assert boxed["colour"] == pytest.approx([1, 1], abs=0.05)
    assert boxed["sharpness"][0] == pytest.approx(np.sqrt(6) * 2, rel=0.15)


def test_samples_of_a_block_see_a_still_picture_alike(random):
    """A block's mean does not hang on which rows were looked at, as it would if each were drawn by chance."""
    image = np.repeat(random.integers(40, 200, (80, 1)).astype(np.uint8), 4, axis=0).repeat(64, axis=1)  # stripes of 4 rows

    def spread(draws_by_chance):
        door, blocks = Door(), []
        for _ in range(6):
            samples = []
            for _ in range(20):
                if draws_by_chance:
                    door._phases = random.random(len(door._phases))
                samples.append(door.sample(image, Light(1, 0, None), None)["evenness"])
            blocks.append(np.mean(samples, axis=0))
        return float(np.std(blocks, axis=0).max())

    assert spread(False) < 0.5 * spread(True)


def test_a_picture_that_shakes_is_told():
    monitor, door, image = ShiftMonitor(SETTINGS), Door(), np.full((32, 48), 100, np.uint8)
    told = [monitor.take(door.sample(image, Light(1, 0, None, shake), None)) for shake in [0.0, 0.2] * 8 + [0.4, 0.6] * 4]
    (notice,) = (notice for news in told for notice in news)
    assert notice.text.startswith("shift: how far the picture shakes is 1.57 times what it was")
    assert "mount" in notice.text


def test_features_are_read_from_memory_as_they_lie_there(unet, random):
    net = SelectiveNetwork.load(unet)
    net.set_preprocess()
    frame = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    net.first(frame)
    names = looked_at(net)
    assert len(names) == 2
    rows, columns = np.array([0, 3]), np.array([2, 5])
    assert np.array_equal(net.peek(names[0], rows, columns), net._memory.planes[names[0]].values[rows, columns])
    values = Door(seed=1).sample(frame, Light(1, 0, None), net)
    assert values["features"].shape == values["spread"].shape
    assert (values["spread"] >= 0).all()


def feed(monitor, *contrasts):
    return [notice for value in contrasts for notice in monitor.take({"contrast": np.array([float(value)])})]


def test_a_slow_shift_is_told_once_and_its_end_too():
    monitor = ShiftMonitor(SETTINGS)
    assert feed(monitor, *[40, 41, 39, 40] * 2) == []
    assert monitor.is_learnt
    assert feed(monitor, *[40] * 6, *[34] * 4) == []
    (notice,) = feed(monitor, *[30] * 8)
    assert (notice.kind, notice.what, notice.is_over) == ("shift", "shift contrast", False)
    assert notice.text.startswith("shift: contrast is 0.7")
    assert "clean the lens" in notice.text
    assert "learn_reference" in notice.text
    assert monitor.moved == {"contrast"}
    (end,) = feed(monitor, *[40] * 8)
    assert end.is_over
    assert monitor.moved == frozenset()


def test_a_jump_is_told_within_a_block_and_one_bad_block_is_not_a_shift():
    monitor = ShiftMonitor(SETTINGS)
    feed(monitor, *[40] * 8, *[40] * 4)
    assert feed(monitor, 30, 30, 40, 40, 40, 40) == []
    assert len(feed(monitor, 20, 20)) == 1


def test_what_the_scene_does_by_itself_widens_the_limit():
    monitor = ShiftMonitor(SETTINGS)
    feed(monitor, 30, 30, 50, 50, 30, 30, 50, 50)
    assert feed(monitor, *[52, 52] * 4, *[28, 28] * 4) == []
    assert len(feed(monitor, *[64, 64] * 3)) == 1


def test_of_many_places_each_has_a_limit_of_its_own():
    monitor, random = ShiftMonitor(SETTINGS), np.random.default_rng(0)

    def show(quiet, count):
        told = []
        for _ in range(count):
            told += monitor.take({"evenness": np.array([quiet, random.uniform(0.5, 1.5), 1.0])})
        return told

    assert show(1.0, 40) == []
    (notice,) = show(0.85, 6)
    assert "one part of the picture beside the rest is 0.85 times" in notice.text
    assert "the limit is 10% off" in notice.text


def a_field(random, stain=1.0, parts=0.5, side=1.0):
    """16 x 24 fields, through the lower half of which a bright part comes and goes; daylight from one side."""
    fields = 1.0 + random.normal(0, 0.01, (16, 24))
    fields[8:, 8:16] *= 1.5 if random.random() < parts else 1.0
    fields[3:5, 4:6] *= stain
    return {"stains": np.concatenate((random.random(16), (fields * np.linspace(side, 1.0, 24)).ravel()))}


def test_a_stain_is_told_and_a_line_that_stops_or_light_from_one_side_is_none(random):
    settings = ShiftSettings(block=20, learn_blocks=6, window=2)
    monitor = ShiftMonitor(settings)

    def show(count, **how):
        return [notice for _ in range(count) for notice in monitor.take(a_field(random, **how))]

    assert show(120) == []
    assert show(60) + show(60, parts=1.0) + show(60, parts=0.0) == []
    assert show(60, side=0.9) == []
    (notice,) = show(60, stain=0.92)
    assert "one place of the picture beside those around it is 0.9" in notice.text
    assert "the limit is 2% off: clean the lens" in notice.text
    again = ShiftMonitor(settings)
    again.restore(json.loads(json.dumps(monitor.plain())))
    assert again.plain() == monitor.plain()
    broken = monitor.plain()
    broken["learnt"]["stains"]["low"][0][3][1] = 0.0
    with pytest.raises(InputError, match="learnt anew"):
        again.restore(broken)
    (end,) = show(60)
    assert end.is_over


def test_features_count_by_how_they_spread():
    monitor = ShiftMonitor(SETTINGS)
    still = {"features": np.array([1.0, -2.0]), "spread": np.array([2.0, 4.0])}
    for _ in range(12):
        assert monitor.take(still) == ()
    moved = still | {"features": np.array([2.0, 0.0])}
    told = [notice for _ in range(4) for notice in monitor.take(moved)]
    assert "has moved by 0.25 of its spread, the limit is 0.15" in told[0].text


def test_pixels_are_told_apart_by_brightness_in_the_references_light_and_by_detail():
    gray = np.full((2, 10), 100, np.uint8)
    gray[:, 5] = 108
    shares = kinds(gray, detail_of(gray), None, Light(1.0, 0.0, None)).reshape(GRAYS, -1)
    assert {(int(row), int(column)): round(float(shares[row, column]), 3) for row, column in np.argwhere(shares)} == {
        (9, 0): 0.625, (9, 1): 0.25, (10, 2): 0.125,
    }  # fmt: skip
    assert kinds(gray, detail_of(gray), None, Light(2.0, 0.0, None)).reshape(GRAYS, -1)[18].sum() == pytest.approx(0.875)
    assert kinds(gray, detail_of(gray), gray[:, 1:-1] == 100, Light(1.0, 0.0, None)).reshape(GRAYS, -1)[9].sum() == 1.0


def test_what_was_never_seen_is_told_within_a_few_samples():
    monitor = ShiftMonitor(SETTINGS)

    def show(share, count):
        seen = np.zeros(GRAYS * DETAILS)
        seen[5], seen[9] = 1 - share, share
        return [notice for _ in range(count) for notice in monitor.take({"contrast": np.array([40.0]), "kinds": seen})]

    assert show(0, 40) == []
    assert show(0.002, 9) == []
    assert show(0.1, 2) == []
    (notice,) = show(0.1, 1)
    assert notice.what == "shift novelty"
    assert "10.0% of the pixels" in notice.text
    assert [one.is_over for one in show(0, 12)] == [True]


def test_what_was_learnt_goes_through_a_file_and_rubbish_does_not():
    monitor = ShiftMonitor(SETTINGS)
    feed(monitor, *[40, 42] * 4)
    again = ShiftMonitor(SETTINGS)
    again.restore(json.loads(json.dumps(monitor.plain())))
    assert again.plain() == monitor.plain()
    whole = monitor.plain()
    square = {"contrast": {"mean": [[1]], "own": [1], "scale": None}}
    for bad in ({}, {"schema": 9}, {"schema": 1, "learnt": square}, {"schema": 1, "learnt": 3}, whole | {"seen": [1]}):
        with pytest.raises(InputError, match="learnt anew"):
            again.restore(bad)
    assert again.is_learnt
