"""The shipped network: it loads, says how it wants its input, and finds defects on lines it has never seen."""

import json
from importlib.resources import files

import numpy as np
import pytest

from edgevision.capture.synthetic import LABELS, Line, SyntheticSettings

onnx = pytest.importorskip("onnx")
openvino = pytest.importorskip("openvino")
PATH = files("edgevision") / "networks" / "weights" / "default.onnx"


@pytest.fixture(scope="module")
def facts():
    return {p.key: p.value for p in onnx.load(str(PATH)).metadata_props}


@pytest.fixture(scope="module")
def marks_of(facts):
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(str(PATH)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    mean, std = (np.array(json.loads(facts[name]), dtype=np.float32) for name in ("mean", "std"))

    def run(picture):
        image = (picture[..., ::-1].astype(np.float32) / 255 - mean) / std
        return compiled([np.ascontiguousarray(image.transpose(2, 0, 1)[None])])[0][0]

    return run


def test_file_is_small_and_names_its_facts(facts):
    assert PATH.stat().st_size < 4_000_000
    assert json.loads(facts["labels"]) == list(LABELS)
    assert facts["channel_order"] == "RGB"
    assert 0.2 < float(facts["threshold"]) < 0.95
    assert len(facts["data_sha256"]) == 64
    assert "edgevision train" in facts["command"]


def test_card_states_data_command_seed_scores_and_limits():
    card = (PATH.parent / "default.md").read_text(encoding="utf-8")
    for word in ("training data", "command", "seed", "## Scores", "## Limits", "threshold"):
        assert word in card


def test_takes_other_sizes_after_a_reshape():
    core = openvino.Core()
    model = core.read_model(str(PATH))
    model.reshape([1, 3, 368, 640])
    assert list(model.output(0).shape) == [1, 4, 184, 320]


def test_finds_most_defects_on_unseen_lines_and_little_else(marks_of, facts):
    threshold, found, total, false_cells, cells = float(facts["threshold"]), 0, 0, 0, 0
    for seed in (2_000_001, 2_000_002):
        line = Line(SyntheticSettings(seed=seed, defect_rate=1.0, gap_rate=0.0))
        for cycle in range(5):
            picture, truth = line.frame(line.belt.standing(cycle)[0] + 6)
            marks = marks_of(picture)
            strongest = marks.max(axis=0)
            for defect in truth.defects:
                x1, y1, x2, y2 = (v // 2 for v in defect.box_px)
                total += 1
                found += bool((strongest[y1 : y2 + 1, x1 : x2 + 1] >= threshold).sum() >= 3)
                strongest[y1 - 4 : y2 + 4, x1 - 4 : x2 + 4] = 0
            false_cells += int((strongest >= threshold).sum())
            cells += strongest.size
    assert total >= 10
    assert found >= 0.9 * total
    assert false_cells < 1e-4 * cells
