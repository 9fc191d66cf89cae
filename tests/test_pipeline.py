"""A frame's life: what is said of frames that are fine, bad, deferred or doubted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.config import builtin_registry, load
from edgevision.errors import ConfigError, EngineFault
from edgevision.records import Scene, Verdict
from edgevision.stages import sees_alike

CONFIG = """
cameras:
  cam:
    source: {type: synthetic}
    recompute: {%s}
"""


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Twelve frames of a part that stands, after six of one that moves."""
    line = Line(SyntheticSettings(seed=3, width=640, height=368))
    standing = next(k for k in range(1000) if line.truth(k).station is not None and not line.truth(k).is_moving)
    return [line.frame(k)[0] for k in range(standing - 6, standing + 12)]


def pipeline(tmp_path: Path, recompute: str = "") -> ev.Pipeline:
    path = tmp_path / "line.yaml"
    path.write_text(CONFIG % recompute)
    return ev.Pipeline.from_config(path)


def frames(images):
    return [ev.Frame(image, 1000.0 + k / 30, k) for k, image in enumerate(images)]


def test_the_first_frame_runs_whole_and_the_next_ones_in_part(tmp_path, images):
    pipe = pipeline(tmp_path)
    found = [pipe.inspect(frame) for frame in frames(images)]
    assert (found[0].mode, found[0].full_reason) == ("full", "first")
    assert {inspection.mode for inspection in found[1:]} <= {"partial", "cached"}
    assert all(inspection.live_fraction < 0.5 for inspection in found[1:])
    assert [inspection.frame_seq for inspection in found] == list(range(len(images)))
    assert set(found[1].timing_ms) == {"compare", "recompute", "audit", "segment", "judge", "total"}


def test_memory_is_that_of_the_whole_network_on_the_input_in_use(tmp_path, images):
    pipe = pipeline(tmp_path)
    for frame in frames(images):
        pipe.inspect(frame)
    network = pipe.network
    assert network is not None
    kept = {name: value.copy() for name, value in network.next(images[-1], np.zeros(images[-1].shape[:2], bool)).items()}
    twin = ev.SelectiveNetwork.load(Path(ev.__file__).parent / "networks/weights/default.onnx", input_shape=network.input_shape)
    fresh = twin.first(network.used())
    for name, value in kept.items():
        assert np.array_equal(value.view(np.uint32), fresh[name].view(np.uint32))


def test_the_same_frames_give_the_same_answers(tmp_path, images):
    def answers():
        pipe = pipeline(tmp_path)
        return [(i.verdict, i.reason, i.regions, i.live_fraction) for i in map(pipe.inspect, frames(images))]

    assert answers() == answers()


def test_a_frame_of_another_size_is_not_inspected_and_harms_nothing(tmp_path, images):
    pipe = pipeline(tmp_path)
    first, second, *_ = frames(images)
    pipe.inspect(first)
    bad = pipe.inspect(ev.Frame(images[0][:184, :320], 1000.01, 7, part_id="A7"))
    assert (bad.verdict, bad.part_id, bad.frame_seq) == (Verdict.NOT_INSPECTED, "A7", 7)
    assert "320x184" in str(bad.reason)
    assert "640x368" in str(bad.reason)
    assert pipe.inspect(second).mode == "partial"


@pytest.mark.parametrize("value", [0, 255])
def test_a_black_or_blinded_frame_is_never_ok(tmp_path, images, value):
    pipe = pipeline(tmp_path)
    pipe.inspect(frames(images)[0])
    found = pipe.inspect(ev.Frame(np.full_like(images[0], value), 1001.0, 1))
    assert found.verdict is Verdict.NOT_INSPECTED


def test_what_a_policy_defers_forbids_ok(tmp_path, images):
    pipe = pipeline(tmp_path, "policy: {type: none}, keyframe_s: 0")
    _, *later = [pipe.inspect(frame) for frame in frames(images)]
    assert any(inspection.live_fraction for inspection in later)
    assert all(inspection.verdict is not Verdict.OK for inspection in later if inspection.live_fraction)


def test_a_blind_change_map_is_caught_and_the_camera_runs_dense(tmp_path, images):
    keys = "policy: {type: none}, keyframe_s: 0, audit_every: 2, audit_tolerance: 0.01, audit_limit: 0, audit_cooldown_s: 60"
    pipe = pipeline(tmp_path, keys)
    found = [pipe.inspect(frame) for frame in frames(images)]
    assert any((inspection.audit_disagreement or 0) > 0 for inspection in found)
    assert found[-1].scene is Scene.FALLBACK_DENSE


def test_a_faulty_memory_starts_over_on_the_same_frame(tmp_path, images, monkeypatch):
    pipe = pipeline(tmp_path, "audit_engine_every: 3")
    one, two, three, four, *_ = frames(images)
    pipe.inspect(one)
    pipe.inspect(two)
    calls = []

    def moved(self, window=(0, 0, 1, 1), call=None):
        calls.append(window)
        return {"half.conv": 5} if len(calls) == 1 else {}

    monkeypatch.setattr(ev.SelectiveNetwork, "verify", moved)
    found = pipe.inspect(three)
    assert found.mode == "full"
    assert "half.conv" in str(found.full_reason)
    assert found.verdict is not Verdict.NOT_INSPECTED
    assert pipe.inspect(four).mode in ("partial", "cached")
    assert issubclass(EngineFault, ev.EdgevisionError)


def test_several_cameras_need_a_name(tmp_path):
    path = tmp_path / "line.yaml"
    path.write_text("cameras: {a: {source: {type: synthetic}}, b: {source: {type: synthetic}}}")
    with pytest.raises(ConfigError, match="name the one that is meant"):
        ev.Pipeline.from_config(path)
    with pytest.raises(ConfigError, match="must be one of a, b"):
        ev.Pipeline.from_config(path, "c")
    registry = builtin_registry()
    assert ev.Pipeline.from_config(load(path, registry=registry), "b", registry).camera == "b"


def test_reset_forgets_the_scene(tmp_path, images):
    pipe = pipeline(tmp_path)
    one, two, *_ = frames(images)
    pipe.inspect(one)
    pipe.reset()
    assert pipe.inspect(two).full_reason == "first"


def test_frames_that_the_network_cannot_take_are_not_inspected(tmp_path):
    said = pipeline(tmp_path).inspect(ev.Frame(np.full((96, 136), 900, np.int32), 1000.0, 0))
    assert said.verdict is Verdict.NOT_INSPECTED
    assert "int32" in (said.reason or "")


def test_a_pipeline_that_only_judges_otherwise_goes_on_where_the_other_stands(tmp_path, images):
    before = pipeline(tmp_path)
    shown = frames(images)
    for frame in shown[:-1]:
        before.inspect(frame)
    text = (tmp_path / "line.yaml").read_text()
    (tmp_path / "judging.yaml").write_text(text.replace("recompute:", "judge: {ng: 0.99}\n    recompute:"))
    (tmp_path / "seeing.yaml").write_text(text.replace("recompute:", "compare: {min_area: 11}\n    recompute:"))
    adjust = "compare: {adjust: {enabled: true, noise_sigma: 5.5}}\n    recompute:"
    (tmp_path / "adjusting.yaml").write_text(text.replace("recompute:", adjust))
    seeing, judging, adjusting = (ev.Pipeline.from_config(tmp_path / f"{name}.yaml") for name in ("seeing", "judging", "adjusting"))
    assert (sees_alike(before.settings, judging.settings), sees_alike(before.settings, seeing.settings)) == (True, False)
    seeing.take_over(before)
    judging.take_over(before)
    assert seeing.inspect(shown[-1]).full_reason == "first"
    found = judging.inspect(shown[-1])
    assert (found.mode in ("partial", "cached"), found.threshold) == (True, 0.99)
    adjusting.take_over(judging)  # thresholds move, the scene is not forgotten
    assert adjusting.inspect(shown[-1]).mode in ("partial", "cached")
    assert adjusting._detector.noise.max() > 5.0


def test_over_a_belt_what_was_computed_moves_along(tmp_path):
    """The network's answer is bit for bit that of the whole network on what it was given, for a third of the work or less."""
    random = np.random.default_rng(0)
    belt = np.clip(random.normal(120, 30, (96, 1200, 3)), 0, 255).astype(np.uint8)
    shares = {}
    for motion in ("none", "shift"):
        path = tmp_path / f"{motion}.yaml"
        path.write_text((CONFIG % "") + f"    compare: {{motion: {motion}}}\n")
        pipe, costs = ev.Pipeline.from_config(path), []
        for k in range(24):
            found = pipe.inspect(ev.Frame(belt[:, 700 - 5 * k : 1200 - 5 * k].copy(), 1000.0 + k / 30, k))
            assert found.costs is not None
            costs.append(found.costs.macs / found.costs.dense_macs)
        shares[motion] = sum(costs[4:]) / len(costs[4:])
    assert shares["shift"] < shares["none"] / 3
    network = pipe.network
    assert network is not None
    outputs = {name: value.copy() for name, value in network.next(np.zeros((96, 500, 3), np.uint8), np.zeros((96, 500), bool)).items()}
    twin = ev.SelectiveNetwork.load(Path(ev.__file__).parent / "networks/weights/default.onnx", input_shape=network.input_shape)
    fresh = twin.first(network.used())
    assert all(np.array_equal(value.view(np.uint32), fresh[name].view(np.uint32)) for name, value in outputs.items())
