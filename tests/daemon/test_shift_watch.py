"""The watch over a camera's pictures as the worker has it: its file, its words, its WARN."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from edgevision.config import load
from edgevision.daemon.shift_watch import ShiftWatch, looked_at
from edgevision.recompute.shift_settings import ShiftSettings
from edgevision.records import Frame, Inspection, Verdict

SETTINGS = ShiftSettings(every=1, block=2, learn_blocks=3, window=1, action="warn")
PIPELINE = SimpleNamespace(network=SimpleNamespace(sha256="a" * 64), noise_measured=2.0, shake_px=0.1)
SEEN = replace(Inspection.not_made("cam", None, 0.0, 0.7), mode="partial", verdict=Verdict.OK)


def show(watch, gray, count, pipeline=PIPELINE):
    random = np.random.default_rng(0)
    frames = (np.clip(random.normal(gray, 3, (128, 256, 3)), 0, 255).astype(np.uint8) for _ in range(count))
    return [watch.look(Frame(image, float(k), k), SEEN, pipeline) for k, image in enumerate(frames)]


def test_a_shift_warns_outlives_a_restart_and_ends_when_learnt_anew(tmp_path):
    path = tmp_path / "shift" / "cam.json"
    watch = ShiftWatch(path, SETTINGS)
    assert {one.verdict for one in show(watch, 120, 10)} == {Verdict.OK}
    assert path.is_file()
    again = ShiftWatch(path, SETTINGS)
    *_, last = show(again, 60, 4)
    assert last.verdict is Verdict.WARN
    assert last.reason.startswith("shift: ")
    again.forget()
    assert not path.exists()
    found = show(again, 60, 10)
    assert all(notice.is_over for one in found for notice in one.notices)
    assert found[-1].verdict is Verdict.OK


def test_another_network_and_a_broken_file_learn_anew(tmp_path, caplog):
    path = tmp_path / "cam.json"
    show(ShiftWatch(path, SETTINGS), 120, 8)
    other = SimpleNamespace(network=SimpleNamespace(sha256="b" * 64), noise_measured=2.0, shake_px=0.1)
    assert not any(one.notices for one in show(ShiftWatch(path, SETTINGS), 60, 8, other))
    path.write_text("{")
    with caplog.at_level("WARNING", logger="edgevision"):
        assert not any(one.notices for one in show(ShiftWatch(path, SETTINGS), 60, 4))
    assert "learnt anew" in caplog.text


def test_it_looks_at_what_the_roi_encloses_and_may_be_switched_off(tmp_path):
    sections = "compare: {roi: [[-5, 8], [40, 8], [40, 30]]}\n    recompute: {shift: {enabled: false}}"
    (tmp_path / "line.yaml").write_text(f"cameras:\n  cam:\n    source: {{type: synthetic}}\n    {sections}\n")
    camera = load(tmp_path / "line.yaml").cameras["cam"]
    seen = looked_at(camera.compare, 64, 64)
    assert (seen[10, 30], seen[2, 30], seen[40, 30]) == (True, False, False)
    assert looked_at(load(tmp_path / "line.yaml").cameras["cam"].compare.model_copy(update={"roi": None}), 64, 64) is None
    watch = ShiftWatch.of(tmp_path / "cam.json", camera)
    assert show(watch, 120, 5) == [SEEN] * 5
    assert not (tmp_path / "cam.json").exists()
