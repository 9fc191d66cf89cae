from __future__ import annotations

import json
import shutil
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.cli import main
from edgevision.errors import ConfigError, InputError
from edgevision.study.evaluate import EvaluateTask, audited_before, evaluate
from edgevision.study.recipe import find_recipe, recipe_names

SAMPLE = """
cameras:
  camera-1:
    source: {type: folder, path: sample}
    recompute: {network: network.onnx}
"""
CARD = "name: plate\ntitle: Holes in plates\nnetwork: network.onnx\nsets: [plain]\nsample: plate\n"


@pytest.fixture
def recipe(tmp_path):
    folder = tmp_path / "recipe_plate"
    folder.mkdir()
    shutil.copy(Path(str(files("edgevision.networks"))) / "weights" / "default.onnx", folder / "network.onnx")
    (folder / "recipe.yaml").write_text(CARD)
    (folder / "sample.yaml").write_text(SAMPLE)
    return folder


@pytest.fixture(scope="module")
def drawn():
    """(frame, mask of its defects) of plates as the default network knows them, as they stand in the station."""
    found = []
    line = Line(SyntheticSettings(seed=5, defect_rate=0.6))
    for cycle in range(1, 9):
        first, last = line.belt.standing(cycle)
        picture, truth = line.frame((first + last) // 2)
        mask = np.zeros(picture.shape[:2], np.uint8)
        for defect in truth.defects:
            x1, y1, x2, y2 = defect.box_px
            mask[y1:y2, x1:x2] |= 255 * defect.mask.astype(np.uint8)
        found.append((picture, mask))
    return found


@pytest.fixture
def pictures(drawn, tmp_path):
    folder = tmp_path / "data"
    for kind in ("good", "bad", "masks"):
        (folder / kind).mkdir(parents=True)
    for number, (picture, mask) in enumerate(drawn):
        cv2.imwrite(str(folder / ("bad" if mask.any() else "good") / f"{number}.png"), picture)
        if mask.any():
            cv2.imwrite(str(folder / "masks" / f"{number}.png"), mask)
    return folder


def test_all_that_is_promised_is_reported(recipe, pictures):
    report = evaluate(EvaluateTask(str(recipe), pictures, has_memory=False), is_quiet=True)
    keys = {"frames", "selective_ms_mean", "selective_ms_p50", "dense_ms_p50", "live_fraction_median", "verdict_differences"}
    assert keys <= set(report)
    assert report["frames"] == 8
    assert report["image_auroc"] == 1.0
    assert report["iou"] > 0.3
    assert (report["bad_found"], report["good_alarmed"]) == (report["bad"], 0)
    assert report["verdict_differences"] == 0
    assert report["precision"] == "f32"
    assert "map" not in report  # nothing says which boxes are true
    json.dumps(report)


def test_a_wrong_truth_is_seen(recipe, pictures):
    for kind, other in (("good", "x"), ("bad", "good"), ("x", "bad")):
        (pictures / kind).rename(pictures / other)
    shutil.rmtree(pictures / "masks")
    assert evaluate(EvaluateTask(str(recipe), pictures, has_memory=False), is_quiet=True)["image_auroc"] == 0.0


def test_the_verb_prints_one_object(recipe, pictures, capsys):
    assert main(["evaluate", str(recipe), str(pictures), "--frames", "4", "--groups", "good,bad", "--no-memory", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["frames"] == 4


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ({"recipe": "plat"}, r"recipe is 'plat'; it must be one of"),
        ({"data": "none"}, "none: no such folder"),
        ({"weights": Path("none.onnx")}, "none.onnx: no such file"),
        ({"groups": ("monday",)}, "has no group 'monday'; its groups are good, bad"),
    ],
)
def test_what_is_wrong_is_one_line(recipe, pictures, task, words):
    given = {"recipe": str(recipe), "data": pictures} | task
    with pytest.raises(InputError, match=words) as error:
        evaluate(EvaluateTask(**given | {"data": Path(given["data"])}), is_quiet=True)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("plate\ntitle", "dish\ntitle", "name is 'dish'; its folder says 'plate'"),
        ("[plain]", "[plane]", "sets has 'plane'.*did you mean 'plain'"),
        ("network.onnx", "net.onnx", "net.onnx is not beside it"),
        ("title", "titel", r"recipe.yaml:2:1: titel is not a known key; did you mean 'title'"),
    ],
)
def test_a_card_that_does_not_hold_together_is_refused(recipe, old, new, words):
    (recipe / "recipe.yaml").write_text(CARD.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        find_recipe(str(recipe))


def test_recipes_that_ship_are_found_by_name():
    assert [find_recipe(name).card.name for name in recipe_names()] == list(recipe_names())


def test_a_size_that_is_new_is_audited_as_often_as_the_others():
    due = [number for number in range(41) if number - audited_before(number, 10.0) >= 10]
    assert due == [10, 20, 30, 40]
    assert audited_before(17, 0.0) == 17.0
