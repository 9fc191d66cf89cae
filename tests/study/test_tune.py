"""From two populations to thresholds, by hand; then the whole verb: what it proposes, writes, leaves alone and refuses."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.cli import main
from edgevision.compare.golden import from_picture
from edgevision.compare.settings import ChangeSettings
from edgevision.config import load
from edgevision.errors import InputError
from edgevision.judge.rules import JudgeSettings
from edgevision.records import Frame, Region
from edgevision.study.against import LADDER, Teacher, strength, without_specks
from edgevision.study.tune_measure import Kept, Seen, without_whole_tiles
from edgevision.study.tune_propose import between, propose_judge

CONFIG = """# line 7, press outlet
node: {id: line-7, state_dir: STATE}   # do not rename
mqtt: {host: 127.0.0.1}

cameras:
  cam:
    source: {type: folder, path: GOOD}
    compare:
      # found on a Monday
      hysteresis: 0.8     # keep
      abs_threshold:      # to be tuned
        - 200
        - 200

    judge: {ng: 0.7}   # end
"""
GROUND = np.random.default_rng(5).integers(60, 190, (12, 16, 3)).astype(np.uint8)


def part(number: int, has_spot: bool = False) -> np.ndarray:
    """A textured part under a lamp that varies a little, with noise; a bad one has a dark spot of 8x8 pixels."""
    random = np.random.default_rng(number)
    picture = cv2.resize(GROUND, (128, 96), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    picture = picture * random.uniform(0.97, 1.03) + random.normal(0, 1.5, picture.shape)
    if has_spot:
        x, y = random.integers(20, 90), random.integers(20, 60)
        picture[y : y + 8, x : x + 8] -= 60
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("parts")
    for name, count, first in (("good", 16, 0), ("bad", 6, 100), ("few", 3, 200)):
        (root / name).mkdir()
        for number in range(count):
            cv2.imwrite(str(root / name / f"{name}-{number:02}.png"), part(first + number, has_spot=name == "bad"))
    (root / "wide").mkdir()
    cv2.imwrite(str(root / "wide" / "wide.png"), np.zeros((96, 200, 3), np.uint8) + 90)
    return root


@pytest.fixture
def config(folders, tmp_path):
    path = tmp_path / "line.yaml"
    path.write_text(CONFIG.replace("STATE", str(tmp_path / "state")).replace("GOOD", str(folders / "good")))
    return path


def test_a_limit_lies_as_far_from_good_as_from_bad():
    value, margins = between([2.0, 4.0], [16.0, 40.0], least=1.0)
    assert value == pytest.approx(8.0)
    assert margins == pytest.approx((2.0, 2.0))


def test_without_bad_ones_a_limit_lies_above_the_good_ones():
    value, margins = between([1.0] * 99 + [10.0], [], least=1.0)
    assert 10.0 > value >= 1.5  # one in a hundred does not set it alone
    assert margins[1] is None
    assert between([], [], least=4.0)[0] == 6.0


def test_where_they_overlap_a_miss_weighs_more_than_a_false_alarm():
    value, margins = between([1.0, 1.0, 6.0, 7.0], [5.0, 9.0], least=1.0)
    assert 1.0 < value < 5.0
    assert margins[0] < 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1, 50), min_size=1), st.lists(st.floats(60, 255), min_size=1))
def test_what_can_be_told_apart_is(good, bad):
    value, margins = between(good, bad, least=1.0)
    assert max(good) < value < min(bad)
    assert min(margins) > 1


def region(score: float, area_px: int) -> Region:
    return Region("hole", score, (0, 0, 9, 9), area_px, ((0, 0), (9, 0), (9, 9)), (4.0, 4.0))


def seen(*regions: Region) -> Seen:
    return Seen("one", np.zeros((4, 4), np.uint8), regions=regions)


def test_the_judge_s_limits_lie_between_good_and_bad():
    good, bad = [seen(region(0.3, 90)), seen(), seen(region(0.9, 5))], [seen(region(0.8, 400)), seen(region(0.95, 80))]
    warn, ng, area = propose_judge(JudgeSettings(), good, bad)
    assert ng.value == pytest.approx(0.55)  # the region of 5 pixels does not count
    assert ng.margins == pytest.approx((0.55 / 0.3, 0.8 / 0.55))
    assert warn.value == 0.5
    assert not area.is_new
    assert [(one.false, one.missed) for one in ng.around if one.is_proposed] == [(0, 0)]


def test_good_parts_that_the_network_calls_bad_move_no_limit():
    _, ng, _ = propose_judge(JudgeSettings(), [seen(region(1.0, 50))] * 4, [])
    assert not ng.is_new
    assert "train the network" in ng.why


def test_strength_is_the_highest_limit_that_a_large_enough_group_passes():
    values = np.zeros((20, 20), np.float32)
    values[4:8, 4:8] = 30.0
    values[15, 15] = 200.0  # a speck
    expected = max(level for level in LADDER if level < 30)
    assert strength(values, min_area=8, despeckle=3) == expected
    assert strength(values, min_area=17, despeckle=3) == 0.0
    assert not without_specks(values > 100, 3).any()


def test_a_picture_differs_from_its_reference_by_what_was_done_to_it():
    first = part(1)
    other = first.astype(np.int16)
    other[40:48, 60:68] += np.int16(50)
    settings_of = ChangeSettings(vibration_px=0)
    away = Teacher(from_picture(first), settings_of, np.ones((96, 128), np.uint8)).away(np.clip(other, 0, 255).astype(np.uint8))
    assert away.brighter[44, 64] == pytest.approx(50, abs=3)
    assert np.median(away.darker) < 1
    assert away.foreground(settings_of)[42:46, 62:66].all()
    with pytest.raises(InputError, match="image 2 is"):
        Teacher(from_picture(first), settings_of, np.ones((96, 128), np.uint8)).away(first[:50])


def test_kept_pictures_are_spread_evenly_whatever_comes():
    for count in (5, 16, 100, 1000):
        kept = Kept(most=8)
        for number in range(count):
            kept.add(Frame(np.zeros((4, 4), np.uint8), float(number), number))
        numbers = [frame.seq for frame in kept.frames]
        assert numbers[0] == 0
        assert len(set(np.diff(numbers))) <= 1
        assert min(count, 8) <= len(numbers) <= 16
        assert count - numbers[-1] <= kept.every


def test_tiles_taken_anew_are_no_change():
    live = np.zeros((40, 40), np.bool_)
    live[16:32, 0:16] = True
    live[3:6, 20:30] = True
    assert np.argwhere(without_whole_tiles(live)).max(axis=0).tolist() == [5, 29]


def test_the_verb_tunes_writes_and_leaves_all_else(folders, config, tmp_path, capsys):
    before = config.read_bytes()
    out = tmp_path / "tune.html"
    arguments = ["tune", "cam", "--good", str(folders / "good"), "--bad", str(folders / "bad"), "--config", str(config), "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    found = {proposal["key"]: proposal for proposal in report["proposals"]}
    assert report["together"]["now"]["foreground_missed"] == 6, "limits of 200 gray levels see nothing"
    assert report["together"]["proposed"]["foreground_missed"] == 0
    assert report["together"]["proposed"]["foreground_false"] == 0
    level = found["compare.abs_threshold"]
    assert level["is_new"]
    assert min(level["margin_to_good"], level["margin_to_bad"]) > 1.2
    assert [(one["false"], one["missed"]) for one in level["around"] if one["is_proposed"]] == [(0, 0)]
    assert list(load(config, env={}).cameras["cam"].compare.abs_threshold) == level["value"]
    assert (tmp_path / "line.yaml.before-tune").read_bytes() == before
    changed = {proposal["key"].split(".")[1] for proposal in report["proposals"] if proposal["is_new"]}
    old, new = before.decode().splitlines(), config.read_text().splitlines()
    assert [line for line in new if not any(key in line for key in changed) and not line.strip().startswith("[")] == [
        line for line in old if not any(key in line for key in changed) and "- 200" not in line
    ]
    assert "# to be tuned" in config.read_text()
    page = out.read_text()
    assert "http" not in page
    assert "bad-0" in page, "pictures are named as their files"
    assert page.count("data:image/jpeg") >= 3


def test_a_dry_run_writes_nothing_but_the_page(folders, config, tmp_path, capsys):
    before = config.read_bytes()
    out = tmp_path / "tune.html"
    arguments = ["tune", "cam", "--good", str(folders / "good"), "--config", str(config), "--dry-run", "--out", str(out)]
    assert main(arguments) == 0
    assert config.read_bytes() == before
    assert not (tmp_path / "line.yaml.before-tune").exists()
    assert "No bad parts were shown" in out.read_text()
    assert "compare.abs_threshold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("good", "more", "words"),
    [
        ("few", [], "3 pictures are too few to tune from; at least 8 are needed: record a longer one"),
        ("none", [], "no such file or folder"),
        ("good", ["--bad", "WIDE"], "200x96, the good ones 128x96"),
        ("good", ["--out", "page.txt"], "HTML"),
    ],
)
def test_what_cannot_be_tuned_from_is_told_in_one_line(folders, good, more, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    more = [str(folders / "wide") if word == "WIDE" else word for word in more]
    assert main(["tune", "cam", "--good", str(folders / good), *more]) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_camera_that_is_not_there_is_named(folders, config, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", "other", "--good", str(folders / "good"), "--config", str(config)]) == 78
    assert "must be one of cam" in capsys.readouterr().err


def test_a_still_camera_s_flicker_is_measured_from_a_video(tmp_path, capsys):
    path = tmp_path / "still.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"FFV1"), 25, (128, 96))
    for number in range(60):
        random = np.random.default_rng(number)
        picture = cv2.resize(GROUND, (128, 96), interpolation=cv2.INTER_CUBIC) + random.normal(0, 2.0, (96, 128, 3))
        writer.write(np.clip(picture, 0, 255).astype(np.uint8))
    writer.release()
    assert main(["tune", "cam", "--good", str(path), "--out", str(tmp_path / "tune.html"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert 1.5 < report["noise_levels"]["median"] < 3.0
    around = report["proposals"][0]["around"]
    assert [one["false"] for one in around][2:] == [0, 0, 0], "nothing flickers at the threshold in force or above"
    falses = [one["false"] for one in around]
    assert falses == sorted(falses, reverse=True)
