"""The synthetic line: the same frames for the same seed, and a truth that is exactly what is drawn."""

import numpy as np
import pytest
from pydantic import ValidationError

from edgevision.capture.line.design import design_part
from edgevision.capture.synthetic import LABELS, Line, SyntheticSettings, SyntheticSource
from edgevision.errors import CameraError, EndOfStream, InputError

QUIET = {"noise_sigma": 0, "lamp_drift": 0, "flicker": 0, "vibration_px": 0, "jpeg_quality": 0, "exposure_s": 0}


@pytest.fixture(scope="module")
def marred_line():
    """A line on which every part has a defect, its camera perfect."""
    return Line(SyntheticSettings(seed=4, defect_rate=1.0, gap_rate=0.0, **QUIET))


def standing_frame(line, cycle, after=5):
    return line.belt.standing(cycle)[0] + after


def test_frame_follows_from_seed_and_number_alone():
    settings = SyntheticSettings(seed=11)
    straight, jumping = Line(settings), Line(settings)
    jumping.frame(300)
    for number in (0, 15, 61):
        first, second = straight.frame(number), jumping.frame(number)
        assert np.array_equal(first[0], second[0])
        assert [d.box_px for d in first[1].defects] == [d.box_px for d in second[1].defects]


def test_other_seed_other_line():
    assert not np.array_equal(Line(SyntheticSettings(seed=1)).scene(60), Line(SyntheticSettings(seed=2)).scene(60))


def test_picture_is_8_bit_bgr_of_the_size_asked_for():
    picture, _ = Line(SyntheticSettings(width=640, height=368)).frame(40)
    assert picture.shape == (368, 640, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("seed", range(6))
def test_at_least_three_frames_in_ten_show_motion(seed):
    belt = Line(SyntheticSettings(seed=seed, width=320, height=176)).belt
    share = np.mean([belt.at(k).is_moving for k in range(1800)])
    assert 0.3 <= share <= 0.55


def test_moving_frames_differ_and_standing_frames_do_not(marred_line):
    first, last = marred_line.belt.standing(1)
    assert np.array_equal(marred_line.scene(first + 3), marred_line.scene(last - 1))
    assert (marred_line.scene(first - 8) != marred_line.scene(first - 7)).any(axis=2).mean() > 0.02


def test_belt_never_jumps(marred_line):
    ways = np.array([marred_line.belt.at(k).way for k in range(400)])
    steps = np.diff(ways)
    assert (steps >= 0).all()
    assert steps.max() < 0.08
    assert np.abs(np.diff(steps)).max() < 0.02


@pytest.mark.parametrize("cycle", range(8))
def test_mask_is_what_the_defect_changes(marred_line, cycle):
    number = standing_frame(marred_line, cycle)
    truth = marred_line.truth(number)
    with_defects = marred_line.scene(number).astype(int)
    change = np.abs(with_defects - marred_line.scene(number, with_defects=False)).max(axis=2)
    outside = np.ones(change.shape, bool)
    for defect in truth.defects:
        x1, y1, x2, y2 = defect.box_px
        inside = change[y1:y2, x1:x2][defect.mask]
        assert defect.area_px == np.count_nonzero(defect.mask)
        assert np.median(inside) > 0.35 * defect.contrast
        outside[max(0, y1 - 12) : y2 + 12, max(0, x1 - 12) : x2 + 12] = False
        rim = change[y1 - 12 : y2 + 12, x1 - 12 : x2 + 12].copy()
        rim[12:-12, 12:-12][defect.mask] = 0
        assert np.count_nonzero(rim > 0.62 * defect.contrast) <= 0.08 * defect.area_px + 4
    assert change[outside].max(initial=0) <= 3


def test_every_label_appears_with_the_sizes_and_contrast_set():
    line = Line(SyntheticSettings(seed=9, defect_rate=1.0, gap_rate=0.0, contrast=(20, 25), stain_px=(12, 14)))
    seen = {}
    for cycle in range(24):
        for defect in line.truth(standing_frame(line, cycle)).defects:
            if defect.part == cycle:
                seen.setdefault(defect.label, []).append(defect)
    assert set(seen) == set(LABELS)
    assert all(20 <= d.contrast <= 25 for label in ("scratch", "stain", "dent") for d in seen[label])
    assert all(d.box_px[2] - d.box_px[0] <= 20 for d in seen["stain"])
    assert all(d.contrast > 40 for d in seen["hole"])


def test_about_a_third_of_the_parts_are_defective():
    plans = [design_part(SyntheticSettings(seed=3), number) for number in range(400)]
    numbers = [len(plan.defects) for plan in plans if plan is not None]
    assert 0.28 < np.mean(np.array(numbers) > 0) < 0.42
    assert max(numbers) == 2


def test_standing_parts_lie_in_the_station():
    line = Line(SyntheticSettings(seed=5, gap_rate=0.0))
    x1, y1, x2, y2 = line.station_px
    for cycle in range(10):
        truth = line.truth(standing_frame(line, cycle))
        assert truth.station == cycle
        assert len(truth.parts_px) == 1
        assert x1 <= truth.parts_px[0][0] < truth.parts_px[0][2] <= x2
        assert y1 <= truth.parts_px[0][1] < truth.parts_px[0][3] <= y2


def test_defect_keeps_its_id_and_moves_with_its_part(marred_line):
    first, _ = marred_line.belt.standing(2)
    boxes = {}
    for number in range(first - 12, first + 3, 3):
        for defect in marred_line.truth(number).defects:
            if defect.part == 2:
                boxes.setdefault(defect.id, []).append(defect.box_px[0])
    assert boxes
    assert all(trail == sorted(trail) and trail[0] < trail[-1] for trail in boxes.values())


def test_inspected_counts_parts_that_stood_long_enough(marred_line):
    first, last = marred_line.belt.standing(0)
    assert marred_line.inspected(first + 14) == ()
    early = marred_line.inspected(first + 15)
    assert {d.part for d in early} == {0}
    assert early[0].frames == (first, first + 15)
    assert marred_line.inspected(last)[0].frames == (first, last)


def test_summary_tells_sizes_and_contrast(marred_line):
    summary = marred_line.truth_summary(600)
    assert summary["defects"] == len(marred_line.inspected(600)) == sum(summary["labels"].values())
    assert summary["contrast"][0] >= 14
    assert 0.3 < summary["moving_share"] < 0.6


def test_empty_places_have_no_part():
    line = Line(SyntheticSettings(gap_rate=1.0))
    truth = line.truth(standing_frame(line, 0))
    assert truth.station is None
    assert truth.parts_px == ()


def test_clock_changes_each_second_and_only_in_its_box():
    line = Line(SyntheticSettings(gap_rate=1.0, stand_s=(3, 3), **QUIET))
    still = line.belt.standing(0)[0] + 5
    second = still + (30 - still % 30)
    before, after, later = (line.frame(k)[0] for k in (second - 1, second, second + 1))
    x1, y1, x2, y2 = line.clock_px
    changed = (before != after).any(axis=2)
    assert changed[y1:y2, x1:x2].any()
    changed[y1:y2, x1:x2] = False
    assert not changed.any()
    assert np.array_equal(after, later)


def test_noise_grows_with_the_gray_level():
    line = Line(SyntheticSettings(noise_sigma=2.0, lamp_drift=0, flicker=0, jpeg_quality=0, vibration_px=0))
    spread = [np.std(line.camera.expose(np.full((200, 300, 3), gray, np.uint8), 3, (0.0, 0.0)).astype(float)) for gray in (20, 128, 220)]
    assert spread[0] < spread[1] < spread[2]
    assert spread[1] == pytest.approx(2.0, abs=0.15)


def test_lamp_wanders_and_flickers_within_its_settings():
    line = Line(SyntheticSettings(lamp_drift=0.07, flicker=0.015))
    gains = np.array([line.camera.lamp(k) for k in range(0, 3000)])
    assert 0.9 < gains.min() < 0.96
    assert 1.04 < gains.max() < 1.1
    assert np.abs(np.diff(gains)).max() > 0.01


def test_vibration_is_half_a_pixel_while_moving_and_little_at_rest():
    line = Line(SyntheticSettings(vibration_px=0.5, knock_every_s=3600))
    shifts = {True: [], False: []}
    for number in range(900):
        moment = line.belt.at(number)
        if moment.is_moving or moment.frames_at_rest > 15:
            shifts[moment.is_moving].append(np.abs(line.camera.shake(number, moment)).max())
    assert 0.4 < max(shifts[True]) <= 0.5
    assert max(shifts[False]) < 0.11


def test_shake_moves_the_picture_by_part_of_a_pixel():
    line = Line(SyntheticSettings(**QUIET))
    ramp = np.repeat(np.repeat(np.arange(0, 200, 2, dtype=np.uint8)[None, :, None], 40, axis=0), 3, axis=2)
    moved = line.camera.expose(ramp, 0, (0.5, 0.0))
    assert (moved[5:-5, 5:-5] == ramp[5:-5, 5:-5] - 1).all()


def test_compression_pulses_with_the_key_frames():
    line = Line(SyntheticSettings(jpeg_quality=92, jpeg_pulse=6, key_every=30))
    qualities = [line.camera.quality(k) for k in range(61)]
    assert qualities[0] == qualities[30] == 86
    assert qualities[29] == 92


def test_settings_refuse_a_reversed_range_and_unknown_names():
    with pytest.raises(ValidationError, match="minimum"):
        SyntheticSettings(contrast=(40, 14))
    with pytest.raises(ValidationError, match="sead"):
        SyntheticSettings(sead=3)


def test_source_gives_all_frames_then_ends():
    source = SyntheticSource(SyntheticSettings(width=320, height=176, frames=3, realtime=False))
    with pytest.raises(CameraError, match="open the source first"):
        source.read()
    source.open()
    times = [source.read()[1] for _ in range(3)]
    assert np.allclose(np.diff(times), 1 / 30)
    with pytest.raises(EndOfStream, match="all 3 frames"):
        source.read()
    source.close()


def test_source_in_real_time_waits_and_skips_what_the_reader_missed():
    now, slept = [100.0], []

    def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    source = SyntheticSource(SyntheticSettings(width=320, height=176, fps=10), clock=lambda: now[0], sleep=sleep)
    source.open()
    assert source.read()[1] == 100.0
    assert source.read()[1] == pytest.approx(100.1)
    now[0] += 0.55
    assert source.read()[1] == pytest.approx(100.6)
    assert slept == [pytest.approx(0.1)]


def test_frames_count_from_zero(marred_line):
    with pytest.raises(InputError, match="count from 0"):
        marred_line.frame(-1)
