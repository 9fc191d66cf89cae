"""Training of recipe pcb: what a cell is taught, and that what is written is what was learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import edgevision as ev  # noqa: E402
from edgevision.study.parts import pcb as boards  # noqa: E402
from edgevision.study.train.recipes import pcb, pcb_views  # noqa: E402
from edgevision.study.train.recipes.boxes import overlaps, targets_of  # noqa: E402
from edgevision.study.train.recipes.fit import FitSettings  # noqa: E402

SHIPPED = Path(__file__).parents[2] / "plugins" / "recipe_pcb" / "network.onnx"
NOT_CUT = np.zeros(4, bool)


def test_the_cells_near_the_middle_of_a_box_answer_for_it():
    """A box from 8, 8 to 32, 24: its middle is 20, 16. Cells have their middles at 4, 12, 20, 28...; 9 px off they answer."""
    targets = targets_of(np.array([[1, 8, 8, 32, 24]], np.float32), NOT_CUT, labels=2, cells=6)
    answering = np.argwhere(targets.labels[1])
    assert answering.tolist() == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]
    assert not targets.labels[0].any()
    assert targets.edges[:, 1, 2].tolist() == [12, 4, 12, 12]  # left, up, right, down of 20, 12
    assert targets.weights[1, 4] == 0  # 16 px off: not asked
    assert targets.weights[5, 5] == 1  # far off: silent


def test_where_a_crop_is_cut_nothing_is_asked():
    weights = targets_of(np.zeros((0, 5), np.float32), np.array([True, False, False, True]), labels=1, cells=8).weights
    assert not weights[:, :3].any()
    assert not weights[5:].any()
    assert weights[:5, 3:].all()


def test_overlap_of_equal_boxes_is_one_and_of_far_ones_less_than_none():
    one = torch.tensor([[10.0, 10.0, 10.0, 10.0]])
    assert float(overlaps(one, one)) == pytest.approx(1.0, abs=1e-3)
    assert float(overlaps(torch.tensor([[30.0, 1.0, 0.0, 1.0]]), torch.tensor([[0.0, 1.0, 30.0, 1.0]]))) < 0.05


@pytest.mark.parametrize("seed", range(4))
def test_a_turned_crop_shows_in_its_boxes_what_it_showed_before(seed):
    random = np.random.default_rng(seed)
    picture = np.zeros((pcb_views.CROP_PX, pcb_views.CROP_PX, 2), np.uint8)
    picture[10:30, 40:80] = 200
    turned, boxes, edges = pcb_views._turned(
        random, picture, np.array([[3, 40, 10, 80, 30]], np.float32), np.array([True, False, False, False])
    )
    _, x1, y1, x2, y2 = boxes[0].astype(int)
    assert (turned[y1:y2, x1:x2] == 200).all()
    assert int(turned.sum()) == int(picture.sum())
    assert edges.sum() == 1


def test_what_is_written_is_what_was_learnt(tmp_path, monkeypatch):
    monkeypatch.setattr(pcb_views, "FIRST_BOARDS", 2)
    monkeypatch.setattr(pcb, "SHOWN", 1)
    monkeypatch.setattr(pcb, "BATCH", 4)
    report = pcb.learn(pcb.PcbTask(tmp_path, begin=SHIPPED), FitSettings(steps=1), is_shown=False)
    assert report["learnt_from"] == []
    assert (tmp_path / "shown" / "00.png").is_file()
    sample = boards.make(np.random.default_rng(5), (128, 128), 2)
    shown = pcb_views.beside(sample.image, sample.template)
    written, shipped = (ev.SelectiveNetwork.load(path, input_shape=(1, 3, 128, 128)) for path in (tmp_path / "pcb.onnx", SHIPPED))
    for network in (written, shipped):
        network.set_preprocess()
    ours, theirs = written.first(shown), shipped.first(shown)
    assert np.abs(ours["scores"] - theirs["scores"]).max() < 0.3  # one step from where it began
    assert np.abs(ours["boxes"] - theirs["boxes"]).mean() < 3
    assert (written.metadata["labels"], written.metadata["stride"]) == (shipped.metadata["labels"], "8")
