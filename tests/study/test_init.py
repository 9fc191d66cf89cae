from __future__ import annotations

import json

import pytest

from edgevision.cli import main
from edgevision.config import load
from edgevision.errors import InputError
from edgevision.reference import reference_yaml
from edgevision.study.init import init
from edgevision.study.recipe import recipe_names


def test_without_a_recipe_it_is_the_file_to_start_from(tmp_path, capsys):
    assert main(["init", str(tmp_path / "line"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["files"]
    assert told == [str(tmp_path / "line" / name) for name in ("line.yaml", "reference.yaml")]
    assert (tmp_path / "line" / "reference.yaml").read_text() == reference_yaml()  # where the file says that every key stands
    assert list(load(tmp_path / "line" / "line.yaml", env={}).cameras) == ["camera-1"]


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "line.yaml").write_text("mine")
    with pytest.raises(InputError, match=r"line\.yaml: is there already; nothing is overwritten"):
        init(tmp_path, None)
    with pytest.raises(InputError, match=r"is not empty \(line\.yaml\); nothing is overwritten"):
        init(tmp_path, recipe_names()[0])
    assert [path.name for path in tmp_path.iterdir()] == ["line.yaml"]
    assert (tmp_path / "line.yaml").read_text() == "mine"


def test_an_unknown_recipe_is_one_line_with_the_nearest_name(tmp_path, capsys):
    assert main(["init", str(tmp_path / "x"), "--recipe", "waer"]) == 2
    said = capsys.readouterr().err
    assert "did you mean 'wear'?" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name a folder that can be made"):
        init(tmp_path / "file" / "x", None)
