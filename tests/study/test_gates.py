"""The whole verb on a small moving scene: what it writes, what it says, what it refuses; and the recording it rests on."""

from __future__ import annotations

import json

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest

from edgevision.cli import main
from edgevision.compare.background import ChangeDetector, ChangeSettings
from edgevision.errors import ConfigError
from edgevision.recompute.gate_file import read_gates
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.refresh import RollingRefresh
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.gate_search import Point
from edgevision.study.gates import GateTask, equal_share, find
from edgevision.study.recording import Deltas, record
from edgevision.study.rehearsal import Rehearsal

FRAMES = 48
KEYFRAME_S = RecomputeSettings().keyframe_s
NO_CONVOLUTION = """<ir_version: 9, opset_import: ["": 18]>
graph (float[1, 3, 72, 96] image) => (float[1, 3, 72, 96] y) { y = Relu(image) }"""


def scene(number: int) -> np.ndarray:
    """A bright disk that goes back and forth over a textured ground, with a little noise."""
    ground = np.random.default_rng(0).integers(80, 120, (72, 96, 3)).astype(np.int16)
    noise = np.random.default_rng(number + 1).normal(0, 1.5, ground.shape)
    picture = np.clip(ground + noise, 0, 255).astype(np.uint8)
    cv2.circle(picture, (48 + round(30 * np.sin(number / 4)), 36), 9, (220, 200, 230), -1)
    return picture


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    for number in range(FRAMES):
        cv2.imwrite(str(folder / f"{number:03}.png"), scene(number))
    return folder


@pytest.fixture(scope="module")
def recording(clip):
    return record(clip, (24, FRAMES), ChangeSettings(), KEYFRAME_S)


@pytest.fixture(scope="module")
def report(clip, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    found = find(GateTask("default", clip, 0.02, FRAMES, folder / "gates.json", folder / "curve.png"), is_quiet=True)
    return folder, found


def test_arrays_come_back_as_they_went_in():
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((3, 4)).astype(np.float32)]
    for _ in range(5):
        arrays.append(arrays[-1].copy())
        arrays[-1][random.integers(3), random.integers(4)] = random.choice([np.nan, -0.0, 1.0])
    arrays.append(arrays[-1].copy())
    deltas = Deltas()
    for array in arrays:
        deltas.add(array)
    news = []
    for array, (played, differs) in zip(arrays, deltas.play(), strict=True):
        assert played.tobytes() == array.tobytes()
        news.append(differs)
    assert news[-1] is False
    assert next(played.tobytes() for played, _ in deltas.play()) == arrays[0].tobytes()


def test_the_recording_gives_a_network_what_the_camera_would(clip, recording):
    live_net, played_net = (load_for_frames(RecomputeSettings(foreign="never"), 72, 96) for _ in range(2))
    detector, refresh = ChangeDetector(), RollingRefresh(KEYFRAME_S)
    partial = 0
    for number, (picture, live) in zip(range(FRAMES), recording.play(), strict=True):
        change = detector.measure(scene(number), float(number), refresh.rows(float(number), 72))
        detector.commit(change, change.live)
        is_full = change.full_reason is not None
        assert is_full == (live is None)
        wanted = live_net.first(change.corrected) if is_full else live_net.next(change.corrected, change.live)
        found = played_net.first(picture) if live is None else played_net.next(picture, live)
        assert wanted["defect"].tobytes() == found["defect"].tobytes()
        partial += not is_full
    assert partial > FRAMES // 2


def test_exact_gates_agree_with_themselves_and_coarse_ones_do_not(recording):
    rehearsal = Rehearsal(load_for_frames(RecomputeSettings(foreign="never"), 72, 96), recording)
    assert not (rehearsal.searched & rehearsal.held_out).any()
    assert rehearsal.searched.sum() == rehearsal.held_out.sum() == FRAMES * 5 // 12
    exact = rehearsal.row(dict.fromkeys(rehearsal.steps, 0.0))
    assert exact["disagreement"] == exact["disagreement_worst"] == exact["searched"]["disagreement"] == 0.0
    coarse = rehearsal.row(dict.fromkeys(rehearsal.steps, 0.08))
    assert coarse["disagreement"] > 0.001
    assert coarse["macs_share"] < exact["macs_share"]
    assert rehearsal.measure(dict.fromkeys(rehearsal.steps, 0.0)).disagreement == 0.0


def test_sets_timed_in_turn_have_the_figures_of_each_alone(recording):
    rehearsal = Rehearsal(load_for_frames(RecomputeSettings(foreign="never"), 72, 96), recording)
    sets = [dict.fromkeys(rehearsal.steps, gate) for gate in (0.0, 0.02)]
    for row, gates in zip(rehearsal.rows(sets), sets, strict=True):
        alone = rehearsal.row(gates)
        assert [row[key] for key in ("disagreement", "macs_share", "flips")] == [
            alone[key] for key in ("disagreement", "macs_share", "flips")
        ]
        assert 0 < row["ms_p50"] <= row["ms_p99"]


def test_an_answer_that_never_changes_is_what_the_coarsest_gate_gives(recording):
    rehearsal = Rehearsal(load_for_frames(RecomputeSettings(foreign="never"), 72, 96), recording)
    shut = rehearsal.row(dict.fromkeys(rehearsal.steps, 0.999))
    assert shut["disagreement"] == pytest.approx(rehearsal.frozen(), rel=1e-6)
    assert rehearsal.frozen() > 0.01


def test_frames_passed_over_are_not_lost(recording):
    """The searched blocks alone end with the same exact answer as all frames: what was live in between is taken in one."""
    rehearsal = Rehearsal(load_for_frames(RecomputeSettings(foreign="never"), 72, 96), recording)
    run = rehearsal.run(dict.fromkeys(rehearsal.steps, 0.0), rehearsal._is_run)
    counted = ~np.isnan(run.shares)
    assert counted.any()
    assert not counted[~rehearsal._is_run].any()
    assert not run.answers[counted].any()


def test_what_is_found_is_within_the_limit_no_worse_than_one_gate_and_written_for_this_network(report):
    folder, found = report
    assert found["is_within_limit"]
    assert found["tuned"]["disagreement"] <= 0.02
    assert found["tuned"]["searched"]["macs_share"] <= found["uniform_at_limit"]["searched"]["macs_share"]
    assert found["tuned"]["macs_share"] < found["uniform"][0]["macs_share"]
    settings = RecomputeSettings(foreign="never", gate=folder / "gates.json")
    net = load_for_frames(settings, 72, 96)
    assert dict(net.plan.gates) == found["gates"]
    content = json.loads((folder / "gates.json").read_text())
    assert content["sha256"] == net.sha256
    assert content["measured"]["clip"] == found["clip"]


def test_the_figures_of_the_written_gates_are_found_again_by_a_network_loaded_with_them(report, recording):
    folder, found = report
    net = load_for_frames(RecomputeSettings(foreign="never", gate=folder / "gates.json"), 72, 96)
    gates = dict(net.plan.gates)
    again = Rehearsal(net, recording).row(gates)
    for key in ("disagreement", "macs_share", "flips"):
        assert again[key] == pytest.approx(found["tuned"][key], rel=1e-6), key


def test_the_curve_is_a_picture_and_the_report_is_json(report):
    folder, found = report
    picture = cv2.imread(str(folder / "curve.png"))
    assert picture.shape[0] > 300
    assert (picture[:, :, 2].astype(int) - picture[:, :, 0] > 100).sum() > 100  # the operating point and the limit are red
    assert json.loads(json.dumps(found))["text"].count("\n") > 8
    assert "one gate for all" in found["text"]
    assert ("not far below" in found["text"]) == (found["limit"] > found["frozen"] / 4)


def test_gates_of_the_network_are_those_of_its_own_steps(report):
    _, found = report
    names = {step.name for step in load_for_frames(RecomputeSettings(foreign="never"), 72, 96).plan.steps}
    assert set(found["gates"]) == names


def test_the_work_of_one_gate_is_read_between_the_ladder_s_rungs():
    ladder = [{"disagreement": d, "macs_share": m} for d, m in ((0.0, 0.5), (0.001, 0.4), (0.1, 0.2))]
    assert equal_share(ladder, 0.01) == pytest.approx(0.3)
    assert equal_share(ladder, 0.0) == 0.5
    assert equal_share(ladder, 1.0) == pytest.approx(0.2)


def failed(capsys, arguments, code, *words):
    assert main(["gates", *map(str, arguments)]) == code
    said, error = capsys.readouterr()
    assert said == ""
    assert error.startswith("edgevision: ")
    assert error.count("\n") == 1, error
    for word in words:
        assert word in error


@pytest.mark.parametrize("limit", ["0", "-0.1", "nan", "1"])
def test_a_limit_that_is_none_is_refused(limit, clip, capsys):
    failed(capsys, ["default", "--clip", clip, f"--limit={limit}"], 2, "it must be above 0 and below 1")


def test_clips_that_do_not_serve_are_named(tmp_path, clip, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed(capsys, ["default", "--clip", tmp_path / "none.mp4"], 2, "none.mp4", "no such file")
    (tmp_path / "words.mp4").write_text("these are words, not a video")
    failed(capsys, ["default", "--clip", tmp_path / "words.mp4"], 69, "words.mp4", "cannot be opened")
    (tmp_path / "empty").mkdir()
    failed(capsys, ["default", "--clip", tmp_path / "empty"], 69, "holds no picture")
    (tmp_path / "words.onnx").write_text("these are words, not a network")
    failed(capsys, [tmp_path / "words.onnx", "--clip", clip], 78, "words.onnx", "no network")
    failed(capsys, ["default", "--clip", clip, "--frames", 5], 2, "frames is 5; it must be 24 or more")
    (tmp_path / "still").mkdir()
    for number in range(26):
        cv2.imwrite(str(tmp_path / "still" / f"{number}.png"), scene(0))
    failed(capsys, ["default", "--clip", tmp_path / "still"], 2, "nothing moves in its first 26 frames")
    assert not list(tmp_path.glob("*.json"))


def test_networks_that_do_not_serve_are_named(tmp_path, clip, capsys):
    failed(capsys, [tmp_path / "none.onnx", "--clip", clip, "--out", tmp_path / "g.json"], 78, "none.onnx", "no such network file")
    (tmp_path / "words.onnx").write_text("no network")
    failed(capsys, [tmp_path / "words.onnx", "--clip", clip, "--out", tmp_path / "g.json"], 78, "words.onnx")
    onnx.save(onnx.parser.parse_model(NO_CONVOLUTION), str(tmp_path / "relu.onnx"))
    failed(
        capsys,
        [tmp_path / "relu.onnx", "--clip", clip, "--out", tmp_path / "g.json"],
        78,
        "relu.onnx",
        "no convolution of it runs selectively",
    )


def test_places_that_cannot_be_written_are_named_before_any_work(tmp_path, clip, capsys):
    failed(capsys, ["default", "--clip", clip, "--out", tmp_path / "none" / "g.json"], 2, "none/g.json", "may be written")
    failed(capsys, ["default", "--clip", clip, "--out", tmp_path], 2, "may be written")
    failed(capsys, ["default", "--clip", clip, "--out", tmp_path / "g.json", "--plot", tmp_path / "p.svg"], 2, "p.svg", ".png")


def test_gates_of_one_network_are_refused_for_another(report, tmp_path):
    folder, _ = report
    path = tmp_path / "other.onnx"
    net = load_for_frames(RecomputeSettings(foreign="never"), 72, 96)
    model = onnx.load(net.plan.path)
    model.doc_string = "another file"
    onnx.save(model, str(path))
    with pytest.raises(ConfigError, match=r"its gates are for default\.onnx"):
        read_gates(folder / "gates.json", path)


def test_what_the_held_out_frames_refuse_is_not_written(clip, tmp_path, monkeypatch):
    """A held-out part that disagrees more than any search can mend: the report says so, the exit code is 1, no file."""
    row = Rehearsal.row

    def worse(self, gates):
        return {**row(self, gates), "disagreement": 0.9}

    monkeypatch.setattr(Rehearsal, "row", worse)
    monkeypatch.setattr(Rehearsal, "rows", lambda self, sets, told: [worse(self, gates) for gates in sets])
    monkeypatch.setattr(Rehearsal, "measure", lambda self, gates: Point(gates, 0.0, 0.0, 1.0))
    found = find(GateTask("default", clip, 0.02, 24, tmp_path / "g.json"), is_quiet=True)
    assert not found["is_within_limit"]
    assert len(found["limits_searched"]) == 4
    assert found["out"] is None
    assert "nothing was written" in found["text"]
    assert not (tmp_path / "g.json").exists()
