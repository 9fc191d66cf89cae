"""Names to factories, and plugin folders."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

from edgevision.errors import ConfigError, InputError, PluginError
from edgevision.records import Settings
from edgevision.registry import Registry, nearest

PLUGIN = """
from __future__ import annotations
from pydantic import Field
from edgevision.records import Settings

class LampSettings(Settings):
    port: int = Field(1, ge=0, description="The port.")

class Lamp:
    def __init__(self, settings):
        self.settings = settings

def register(registry):
    registry.register("sink", "lamp", Lamp, LampSettings)
"""


def plugin(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.mkdir(parents=True, mode=0o755)
    (path / "plugin.py").write_text(text)
    return path


def test_a_registered_name_is_found():
    registry = Registry()
    registry.register("policy", "all", dict)
    assert registry.get("policy", "all") is dict
    assert registry.settings("policy", "all") is None
    assert registry.names("policy") == ("all",)
    assert registry.names("sink") == ()
    assert registry.build("policy", "all") == {}


def test_settings_reach_the_factory():
    class Limits(Settings):
        value: int = 3

    registry = Registry()
    registry.register("rule", "limits", lambda settings: settings.value, Limits)
    assert registry.build("rule", "limits") == 3
    assert registry.build("rule", "limits", Limits(value=4)) == 4


def test_an_unknown_name_suggests_the_nearest():
    registry = Registry()
    registry.register("source", "synthetic", dict)
    with pytest.raises(ConfigError, match=r"source is 'syntetic'; it must be one of synthetic; did you mean 'synthetic'\?"):
        registry.get("source", "syntetic")


@pytest.mark.parametrize(("kind", "name"), [("sorce", "x"), ("source", "Bad Name"), ("source", "taken")])
def test_bad_registrations_are_refused(kind, name):
    registry = Registry()
    registry.register("source", "taken", dict)
    with pytest.raises(InputError):
        registry.register(kind, name, dict)


def test_two_registries_do_not_meet():
    first, second = Registry(), Registry()
    first.register("sink", "lamp", dict)
    assert second.names("sink") == ()


def test_a_plugin_folder_is_loaded(tmp_path):
    folder = plugin(tmp_path, "sink_lamp", PLUGIN)
    registry = Registry()
    assert registry.load_plugins([tmp_path]) == ("sink_lamp",)
    assert registry.origin("sink", "lamp") == folder
    assert registry.build("sink", "lamp").settings.port == 1
    assert not (folder / "__pycache__").exists()
    assert pickle.loads(pickle.dumps(registry.settings("sink", "lamp")())).port == 1


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sink_lamp", "def register(registry): 1/0", "ZeroDivisionError: division by zero"),
        ("sink_lamp", "raise SystemExit(3)", "SystemExit: 3"),
        ("sink_lamp", "x = (", "SyntaxError"),
        ("sink_lamp", "import nothing_of_that_name", "ModuleNotFoundError"),
        ("sink_lamp", "pass", "no function register"),
        ("sink_lamp", "def register(registry): pass", "did not register sink 'lamp'"),
        ("lamp_sink", "pass", "must begin with one of"),
    ],
)
def test_a_broken_plugin_is_named_in_one_line(tmp_path, name, text, message):
    plugin(tmp_path, name, text)
    with pytest.raises(PluginError, match=message) as caught:
        Registry().load_plugins([tmp_path])
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_broken_plugin_leaves_the_sound_one_and_nothing_of_itself(tmp_path):
    plugin(tmp_path, "sink_lamp", PLUGIN)
    plugin(tmp_path, "rule_bad", "def register(registry):\n  registry.register('rule', 'half', dict)\n  raise RuntimeError('no\\nmore')")
    registry = Registry()
    with pytest.raises(PluginError, match="RuntimeError: no more"):
        registry.load_plugins([tmp_path])
    assert registry.names("sink") == ("lamp",)
    assert registry.names("rule") == ()


def test_recipes_and_other_folders_are_left_alone(tmp_path):
    (tmp_path / "recipe_bottle").mkdir()
    (tmp_path / "notes").mkdir()
    assert Registry().load_plugins([tmp_path]) == ()


def test_a_missing_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(PluginError, match="nowhere"):
        Registry().load_plugins([tmp_path / "nowhere"])
    (tmp_path / "sink_lamp").mkdir()
    with pytest.raises(PluginError, match=r"plugin\.py: No such file"):
        Registry().load_plugins([tmp_path])


@pytest.mark.parametrize("which", ["", "sink_lamp", "sink_lamp/plugin.py"])
def test_what_everyone_may_write_is_not_run(tmp_path, which):
    plugin(tmp_path, "sink_lamp", "raise SystemExit('ran')")
    os.chmod(tmp_path / which, 0o777)
    with pytest.raises(PluginError, match="writable by everyone"):
        Registry().load_plugins([tmp_path])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("which", ["sink_lamp/plugin.py", "sink_lamp", ""])
def test_what_another_group_may_write_is_not_run(tmp_path, which):
    plugin(tmp_path, "sink_lamp", "raise SystemExit('ran')")
    os.chown(tmp_path / which, 0, 12345)
    os.chmod(tmp_path / which, 0o775)
    with pytest.raises(PluginError, match="writable by group 12345"):
        Registry().load_plugins([tmp_path])


def test_a_folder_that_others_could_exchange_is_not_used_but_one_for_temporary_files_is(tmp_path):
    (tmp_path / "above").mkdir()
    os.chmod(tmp_path / "above", 0o777)
    plugin(tmp_path / "above" / "plugins", "sink_lamp", PLUGIN)
    with pytest.raises(PluginError, match=r"above is writable by everyone"):
        Registry().load_plugins([tmp_path / "above" / "plugins"])
    os.chmod(tmp_path / "above", 0o1777)
    assert Registry().load_plugins([tmp_path / "above" / "plugins"]) == ("sink_lamp",)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_what_another_user_owns_is_not_run(tmp_path):
    os.chown(plugin(tmp_path, "sink_lamp", "raise SystemExit('ran')") / "plugin.py", 12345, 12345)
    with pytest.raises(PluginError, match="belongs to user 12345"):
        Registry().load_plugins([tmp_path])


def test_nearest_is_silent_when_nothing_is_near():
    assert nearest("zebra", ("file", "folder")) == ""
    assert nearest("Flie", ("file", "rtsp")) == "; did you mean 'file'?"
