"""What a user may get wrong with a recipe, recipe by recipe and verb by verb: one line, the right exit code, and never an OK."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.cli import main
from edgevision.errors import InputError
from edgevision.study.evaluate import doubts_of
from edgevision.study.recipe import find_recipe, refuse_other_recipe

ROOT = Path(__file__).parents[2]
SIZE_PX = (96, 128)
COLOUR = {"pcb": False, "presence": True, "surface": True, "wear": True}
TEMPLATE = {"pcb": "template.png", "presence": "template.png", "wear": "reference.png"}
OWN = ("presence", "surface", "wear")  # recipes that take good/ and bad/


def picture(path: Path, seed: int, size_px: tuple[int, int] = SIZE_PX, is_colour: bool = True) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(60, 200, (*size_px, 3) if is_colour else size_px, np.uint8))
    return path


def own(folder: Path, good: int = 2, bad: int = 2) -> Path:
    for number in range(good + bad):
        picture(folder / ("good" if number < good else "bad") / f"{number}.png", number)
    picture(folder / "template.png", 99)
    return folder


def blank_mask(folder: Path) -> None:
    picture(folder / "masks" / "3.png", 0)
    cv2.imwrite(str(folder / "masks" / "3.png"), np.zeros(SIZE_PX, np.uint8))


def failed(capsys, arguments, code, words):
    assert main([str(one) for one in arguments]) == code
    errors = capsys.readouterr().err
    assert len(errors.strip().splitlines()) == 1, errors
    assert re.search(words, errors), errors


FOLDERS = {
    "empty": (lambda folder: shutil.rmtree(folder) or folder.mkdir(), "data: is empty; it must be one of"),
    "pictures alone": (lambda folder: shutil.rmtree(folder) or picture(folder / "1.png", 1), "laid out as no set that is known"),
    "unlabelled": (lambda folder: shutil.rmtree(folder / "bad"), r"no folder bad/; good pictures go into good/"),
    "nothing good": (lambda folder: shutil.rmtree(folder / "good") or (folder / "good").mkdir(), "good: holds no picture"),
    "two pictures": (lambda folder: [(folder / name).unlink() for name in ("good/1.png", "bad/3.png")], r"2 picture\(s\); at least 3"),
    "good and bad": (lambda folder: shutil.copy(folder / "good/0.png", folder / "bad/2.png"), r"bad/2\.png: is good/0\.png, byte for byte"),
    "a mask of nothing": (blank_mask, r"masks/3\.png: marks nothing"),
    "unreadable": (lambda folder: (folder / "good" / "0.png").write_bytes(b"x"), r"0\.png: it is damaged or no picture; .* or take it out"),
}


@pytest.mark.parametrize("recipe", OWN)
@pytest.mark.parametrize("wrong", FOLDERS)
def test_evaluate_names_what_is_wrong_with_a_folder(tmp_path, capsys, recipe, wrong):
    spoil, words = FOLDERS[wrong]
    spoil(own(tmp_path / "data"))
    failed(capsys, ["evaluate", recipe, tmp_path / "data", "--no-memory"], 2, words)


@pytest.mark.parametrize("recipe", ["pcb", *OWN])
def test_evaluate_names_what_is_no_set_of_the_recipe(tmp_path, capsys, recipe):
    picture(tmp_path / "MT_Free" / "exp1_num_1.jpg", 1)
    (tmp_path / "data").mkdir()
    failed(capsys, ["evaluate", recipe, tmp_path / "data"], 2, r"data: is empty; it must be one of")
    if recipe != "surface":
        failed(capsys, ["evaluate", recipe, tmp_path], 2, rf"laid out as magnetic_tile; it must be one of .* instead of {recipe}")


@pytest.mark.parametrize("wrong", FOLDERS)
def test_train_names_what_is_wrong_with_a_folder(tmp_path, capsys, wrong):
    pytest.importorskip("torch")
    spoil, words = FOLDERS[wrong]
    spoil(own(tmp_path / "data"))
    failed(capsys, ["train", "--recipe", "surface", "--data", tmp_path / "data", "--out", tmp_path / "out", "--steps", 1], 2, words)


def test_train_names_what_is_wrong_with_few_pictures(tmp_path, capsys):
    pytest.importorskip("torch")
    folder = own(tmp_path / "data", good=5, bad=2)
    few = ["train", "--recipe", "surface", "--out", tmp_path / "out", "--steps", 1]
    failed(capsys, [*few, "--good", folder / "good"], 2, "--good and --bad are given together")
    failed(capsys, [*few, "--good", folder / "good", "--bad", folder / "masks"], 2, "masks: holds no picture")
    failed(capsys, [*few, "--good", folder / "good", "--bad", folder / "good"], 2, "byte for byte; it is good or bad")
    failed(capsys, [*few[:2], "pcb", *few[3:], "--good", folder / "good", "--bad", folder / "bad"], 2, "are for recipe surface")


@pytest.mark.parametrize("recipe", ["presence", "wear"])
def test_evaluate_wants_a_template_of_the_pictures_size(tmp_path, capsys, recipe):
    folder = own(tmp_path / "data")
    (folder / "template.png").unlink()
    failed(capsys, ["evaluate", recipe, folder], 2, rf"0\.png has no template, and recipe {recipe} compares with one")
    (folder / "template.png").write_bytes(b"x")
    failed(capsys, ["evaluate", recipe, folder], 78, r"template\.png: is no picture that can be read")
    picture(folder / "template.png", 0, (48, 48))
    failed(capsys, ["evaluate", recipe, folder], 2, r"template\.png: is 48x48.*128x96.*; (put|teach)")


@pytest.mark.parametrize(
    ("recipe", "other"), [("presence", "pcb"), ("presence", "wear"), ("wear", "presence"), ("surface", "pcb"), ("pcb", "surface")]
)
def test_evaluate_refuses_the_weights_of_another_recipe(tmp_path, recipe, other):
    with pytest.raises(InputError, match=rf"network\.onnx: is a network of recipe {other}; give one of {recipe}"):
        refuse_other_recipe(find_recipe(other).network, find_recipe(recipe))
    for own in ROOT.glob(f"benchmarks/weights/recipes/{recipe}/*.onnx"):
        refuse_other_recipe(own, find_recipe(recipe))


def test_a_network_that_is_shown_no_template_is_none_of_a_recipe_with_one(tmp_path):
    weights = next((ROOT / "benchmarks/weights/recipes/surface").glob("neu-det.onnx"))
    with pytest.raises(InputError, match="is shown no template, as recipe presence shows one"):
        refuse_other_recipe(weights, find_recipe("presence"))


def test_a_golden_file_that_holds_no_records_is_named(tmp_path, capsys):
    (tmp_path / "golden.jsonl").write_text('{"seq": 0}\n{"seq": 1\n')
    file = line(tmp_path, "presence")
    failed(
        capsys, ["replay", tmp_path / "sample", "--config", file, "--expect", tmp_path / "golden.jsonl"], 2, r"jsonl:2: is '\{\"seq\": 1'"
    )


def test_a_truth_that_looks_wrong_is_said():
    seen = {"good": 5, "bad": 5, "image_auroc": 0.1, "good_alarmed": 5}
    assert [doubt.split(":")[0] for doubt in doubts_of(seen, has_template=True)] == [
        "good ones look worse than bad ones (AUROC 0.10)", "not one good one passes",
    ]  # fmt: skip
    assert doubts_of({**seen, "image_auroc": 0.9, "good_alarmed": 4}, has_template=True) == []
    assert doubts_of({**seen, "good": 2, "bad": 2, "good_alarmed": 2}, has_template=True) == []


def line(tmp_path: Path, recipe: str) -> Path:
    """The recipe's file with its network and its template, before pictures of their size."""
    folder = find_recipe(recipe).folder
    for name, source in (("line.yaml", "sample.yaml"), ("network.onnx", "network.onnx")):
        shutil.copy(folder / source, tmp_path / name)
    text = (tmp_path / "line.yaml").read_text()
    (tmp_path / "line.yaml").write_text(text.replace("  id: line-1", f"  id: line-1\n  state_dir: {tmp_path / 'state'}"))
    for name in ("sample/1.png", *([TEMPLATE[recipe]] if recipe in TEMPLATE else [])):
        picture(tmp_path / name, 1, is_colour=COLOUR[recipe])
    return tmp_path / "line.yaml"


@pytest.mark.parametrize("recipe", ["pcb", "presence", "wear"])
def test_check_names_a_template_that_fits_no_picture(tmp_path, capsys, recipe):
    file, template = line(tmp_path, recipe), tmp_path / TEMPLATE[recipe]
    assert main(["check", str(file)]) == 0
    capsys.readouterr()
    picture(template, 1, (48, 64), COLOUR[recipe])
    failed(
        capsys, ["check", file], 78, rf"compare\.golden: .*{template.name}: is 64x48, .* 8 bit, the camera gives 128x96, .*; teach it anew"
    )
    picture(template, 1, is_colour=not COLOUR[recipe])
    failed(capsys, ["check", file], 78, r"is 128x96, (gray|colour), 8 bit, the camera gives 128x96, (colour|gray), 8 bit")
    template.write_bytes(b"x")
    failed(capsys, ["check", file], 78, "is no picture that can be read")
    template.unlink()
    failed(capsys, ["check", file], 78, "No such file or directory; name an .npz")


def test_probe_says_what_would_not_be_inspected(tmp_path, capsys):
    file = line(tmp_path, "pcb")
    for name, levels in (("template.png", (60, 120, 200, 30)), ("sample/1.png", (200, 60, 30, 120))):  # no light makes one of the other
        cv2.imwrite(str(tmp_path / name), np.tile(np.repeat(np.array(levels, np.uint8), 32), (SIZE_PX[0], 1)))
    assert main(["check", "--probe", str(file)]) == 69
    assert "pcb-1: NOT_INSPECTED: not the part of its template" in capsys.readouterr().err


@pytest.mark.parametrize("recipe", ["pcb", *OWN])
def test_replay_without_pictures_is_no_success(tmp_path, capsys, recipe):
    file = line(tmp_path, recipe)
    (tmp_path / "sample" / "1.png").write_bytes(b"x")
    assert main(["replay", str(tmp_path / "sample"), "--config", str(file)]) == 1
    assert "1.png: it is damaged or no picture" in capsys.readouterr().out
    (tmp_path / "sample" / "1.png").unlink()
    failed(capsys, ["replay", tmp_path / "sample", "--config", file], 69, "sample: it holds no picture")
    (tmp_path / "sample").rmdir()
    failed(capsys, ["replay", tmp_path / "sample", "--config", file], 2, "sample: no such file or folder")


def test_an_init_that_cannot_be_is_one_line(tmp_path, capsys):
    failed(capsys, ["init", "--recipe", "pbc", tmp_path / "x"], 2, "did you mean 'pcb'")
    picture(tmp_path / "pcb" / "1.png", 1)
    failed(capsys, ["init", "--recipe", "pcb", tmp_path / "pcb"], 2, r"is not empty \(1\.png\)")
