"""What an owner is told: the frames looked at, reach, energy, prices by hand; and the whole verb on a small moving scene."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edgevision.cli import main
from edgevision.compare.settings import ChangeSettings
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.records import Costs, StepCost
from edgevision.study.assess_cost import Prices, Scene, cost_of
from edgevision.study.assess_energy import Meter
from edgevision.study.assess_race import Racer, Tally, choose, looked_at, scaled
from edgevision.study.assess_reach import locality

FRAMES = 40


def scene(number: int) -> np.ndarray:
    """A bright disk that goes back and forth over a textured ground, with a little noise, still for the last ten frames."""
    ground = np.random.default_rng(0).integers(80, 120, (72, 96, 3)).astype(np.int16)
    noise = np.random.default_rng(number + 1).normal(0, 1.5, ground.shape)
    picture = np.clip(ground + noise, 0, 255).astype(np.uint8)
    cv2.circle(picture, (48 + round(30 * np.sin(min(number, 30) / 4)), 36), 9, (220, 200, 230), -1)
    return picture


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recording") / "line"
    folder.mkdir()
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"{number:03}.png"), scene(number))
    return folder


def test_a_short_recording_is_looked_at_whole_and_a_long_one_in_even_stretches():
    short = choose(10, 100)
    assert short.numbers == tuple(range(10))
    assert short.counted == set(range(1, 10))
    long = choose(10_000, 240, checks=6)
    assert len(long.numbers) == 240
    starts = [number for place, number in enumerate(long.numbers) if place == 0 or long.numbers[place - 1] != number - 1]
    assert len(starts) == 12
    assert starts[0] == 0
    assert long.numbers[-1] == 9_999
    assert np.ptp(np.diff(starts)) <= 1
    assert long.counted.isdisjoint(starts)
    assert len(long.checked) == 6
    assert long.checked <= long.counted


def test_a_pixel_reaches_what_its_windows_reach(chain):
    net = SelectiveNetwork.load(chain((1, 1, 16, 24)))
    where = locality(net.plan)
    assert where.reach_px == (6, 6)  # three outputs of two pixels each: 3x3, then 3x3 with stride 2
    assert where.share == pytest.approx(36 / (16 * 24))
    assert where.culprit is None


def test_a_changed_pixel_moves_nothing_beyond_its_reach(chain):
    net = SelectiveNetwork.load(chain((1, 1, 32, 32), offset=0.5))
    x = np.random.default_rng(0).uniform(0, 1, (1, 1, 32, 32)).astype(np.float32)
    before = net.first(x)["answer"].copy()
    live = np.zeros((32, 32), np.bool_)
    live[16, 16], x[0, 0, 16, 16] = True, 9.0
    moved = np.argwhere((net.next(x, live)["answer"] != before)[0, 0])
    extent = 2 * (np.ptp(moved, axis=0) + 1)
    assert tuple(extent) == locality(net.plan).reach_px


@pytest.mark.parametrize(
    ("threshold", "levels", "twice"), [("auto", 33.0, "14 sigma"), ("auto", 10.0, 20.0), ("5 sigma", 12.0, "10 sigma"), (15.0, 15.0, 30.0)]
)
def test_a_scaled_threshold_stays_of_its_kind(threshold, levels, twice):
    assert scaled(threshold, 2.0, levels) == twice


def test_energy_is_read_from_the_package_s_counters_and_may_run_over(tmp_path):
    zone, part = tmp_path / "intel-rapl:0", tmp_path / "intel-rapl:0:0"
    for folder, start in ((zone, 900_000), (part, 5)):
        folder.mkdir()
        (folder / "energy_uj").write_text(f"{start}\n")
        (folder / "max_energy_range_uj").write_text("1000000\n")
    meter = Meter(tmp_path)
    assert meter.has_energy
    _, spent = meter.measured(lambda: (zone / "energy_uj").write_text("400000"))
    assert spent.joules == pytest.approx(0.5)
    assert Meter(tmp_path / "none").measured(lambda: 7)[0] == 7
    assert Meter(tmp_path / "none").measured(lambda: 7)[1].joules is None


def test_costs_by_hand():
    tally = Tally("ours", "f32", ms=[10.0, 30.0], cpu_s=[0.01, 0.03])
    prices = Prices(kwh=0.5, pc=800, cameras=20, hours_a_day=12, watts=10)
    cost = cost_of(tally, Scene(fps=10, decode_s=0.005, cores=4), prices)
    assert cost.ms_mean == 20
    assert cost.ms_worst == 30
    assert cost.cpu_s == pytest.approx(20)  # for 1,000 frames
    assert cost.wh == pytest.approx(0.02 * 10 * 1000 / 3600)
    assert cost.cameras == pytest.approx(0.7 * 4 / (0.025 * 10))  # 11.2
    assert cost.pcs == 2
    assert cost.kwh_year == pytest.approx(0.025 * 10 * 10 * 8760 / 2 * 20 / 1000)  # core share, watts, hours, cameras
    assert cost.money_year == pytest.approx(cost.kwh_year / 2)
    assert cost.money_once == 1600
    heavy = cost_of(Tally("heavy", "f32", ms=[900.0], cpu_s=[0.9]), Scene(10, 0.1, 4), Prices(cameras=3))
    assert heavy.cameras == pytest.approx(0.28)
    assert heavy.pcs == math.ceil(3 / 0.28)
    assert heavy.money_year is None


def test_the_whole_verb_writes_a_page_and_prints_the_same_figures(recording, chain, tmp_path, capsys):
    out = tmp_path / "report.html"
    network = chain((1, 3, 72, 96), offset=-1.0)
    arguments = ["assess", str(recording), "--network", str(network), "--out", str(out), "--fps", "30", "--price-kwh", "0.3", "--json"]
    assert main(arguments) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["frames_watched"] == FRAMES
    assert report["frames_run"] == FRAMES
    assert report["frames_compared"] == FRAMES - 1
    assert report["fps"] == 30
    assert report["reach"]["px"] == [6, 6]
    assert 0 < report["changed_share"]["mean"] < 0.5
    assert [row["name"] for row in report["engines"]] == ["edgevision", "OpenVINO f32", "OpenVINO default"]
    assert sum(row["is_operating_point"] for row in report["curve"]) == 1
    assert len(report["curve"]) == 7
    shares = [row["macs_share"] for row in report["curve"]]
    assert shares[:6] == sorted(shares[:6], reverse=True), "a higher threshold asks for less work"
    assert shares[0] > shares[5]  # beyond, what was held back is handed over once the place is at rest
    assert report["is_telling"]
    assert report["frozen_agreement"] < report["agreement"] - 0.01
    assert report["agreement"] > 0.98
    assert report["layers"][0]["live"] >= report["changed_share"]["mean"]
    page = out.read_text()
    assert "http" not in page
    assert "same" in page
    assert "in force" in page
    assert page.count("<svg") >= 5
    assert page.count("data:image/jpeg") == 2


@pytest.mark.parametrize(
    ("more", "words"), [(["--out", "report.txt"], "HTML"), (["--network", "none.onnx"], "none.onnx"), (["--camera", "other"], "camera")]
)
def test_what_cannot_be_is_told_in_one_line(recording, more, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["assess", str(recording), *more]) in (2, 78)
    errors = capsys.readouterr().err
    assert words in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_recording_too_short_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "few"
    folder.mkdir()
    for number in range(3):
        cv2.imwrite(str(folder / f"{number}.png"), scene(number))
    assert main(["assess", str(folder)]) == 2
    assert "at least 10 are needed" in capsys.readouterr().err


def test_nothing_is_compared_where_nothing_is_looked_at(chain):
    net = SelectiveNetwork.load(chain((1, 1, 16, 24)))
    assert looked_at(ChangeSettings(), net, (16, 24)) == {}
    mask = looked_at(ChangeSettings(roi=((0, 0), (11, 0), (11, 15), (0, 15))), net, (16, 24))["answer"]
    assert mask.shape == (8, 12)
    assert mask[:, :6].all()
    assert not mask[:, 6:].any()


def test_steps_that_are_others_on_each_frame_are_counted_by_name():
    racer = object.__new__(Racer)
    racer.race = SimpleNamespace(steps={}, live_steps=[])
    for steps in (
        [],
        [("body", "whole", 1.0)],
        [("body crop (0, 0)", "crop", 0.1), ("body crop (4, 4)", "crop", 0.2), ("tail", "whole", 1.0)],
    ):
        racer._note_steps(Costs(0.0, 0, 1, "splice", [StepCost(name, how, live, 0, 0.0) for name, how, live in steps]))
    assert racer.race.steps == {"body": "whole", "tail": "whole"}
    assert racer.race.live_steps == [{}, {"body": 1.0}, {"body": pytest.approx(0.3), "tail": 1.0}]
