"""The plugins that ship are whole, and their samples work."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevision.config import builtin_registry, load
from edgevision.registry import KINDS

PLUGINS = Path(__file__).parents[1] / "plugins"
FOLDERS = sorted(path for path in PLUGINS.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))


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
