"""The plugins that ship are whole, and their samples work. A recipe is a folder of data: card, sample, network, what people read."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevision.config import builtin_registry, load
from edgevision.registry import DATA_KINDS, KINDS
from edgevision.study.recipe import find_recipe, recipe_names

PLUGINS = Path(__file__).parents[1] / "plugins"
ALL = sorted(path for path in PLUGINS.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
RECIPES = [path for path in ALL if path.name.partition("_")[0] in DATA_KINDS]
FOLDERS = [path for path in ALL if path not in RECIPES]
RECIPE_FILES = ("recipe.yaml", "sample.yaml", "README.md", "MODEL_CARD.md", "golden.jsonl", "test_recipe.py")
MOST_BYTES = 1_500_000  # of a file in the wheel


def test_there_is_one_of_each_kind():
    assert {path.name.partition("_")[0] for path in FOLDERS} >= set(KINDS)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_plugin_is_whole(folder):
    assert [name for name in ("plugin.py", "sample.yaml", "README.md", "test_plugin.py") if not (folder / name).is_file()] == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_its_sample_loads_and_uses_it(folder):
    kind, _, name = folder.name.partition("_")
    registry = builtin_registry()
    config = load(folder / "sample.yaml", env={}, registry=registry)
    assert registry.origin(kind, name) == folder.resolve()
    cameras = config.cameras.values()
    used = {
        "source": [camera.source for camera in cameras],
        "policy": [camera.recompute.policy for camera in cameras],
        "rule": [rule for camera in cameras for rule in camera.rules],
        "sink": [sink for camera in cameras for sink in camera.sinks],
    }
    assert name in [chosen.type for chosen in used[kind]]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_its_settings_are_described(folder):
    kind, _, name = folder.name.partition("_")
    registry = builtin_registry()
    registry.load_plugins([PLUGINS])
    model = registry.settings(kind, name)
    assert model is None or all(field.description for field in model.model_fields.values())


def test_recipes_are_found_by_their_names():
    assert [f"recipe_{name}" for name in recipe_names()] == [path.name for path in RECIPES]


@pytest.mark.parametrize("folder", RECIPES, ids=lambda path: path.name)
def test_a_recipe_is_whole_and_holds_no_code(folder):
    assert [name for name in RECIPE_FILES if not (folder / name).is_file()] == []
    assert [path.name for path in folder.rglob("*.py") if "__pycache__" not in path.parts] == ["test_recipe.py"]
    large = {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file() and path.stat().st_size > MOST_BYTES}
    assert not large, f"{large}: what the wheel carries stays below {MOST_BYTES} bytes a file"


@pytest.mark.parametrize("folder", RECIPES, ids=lambda path: path.name)
def test_a_recipe_s_sample_is_one_camera_with_the_recipe_s_network(folder):
    recipe = find_recipe(folder.name.removeprefix("recipe_"))
    (camera,) = recipe.config().cameras.values()
    assert Path(camera.recompute.network) == recipe.network.resolve()
    assert camera.recipe_id == recipe.card.name
    assert camera.source.type == "folder"
    assert Path(camera.source.settings.path) == (folder / "sample").resolve()
