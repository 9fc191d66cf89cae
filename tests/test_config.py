"""From file and environment to one Config, and every way in which a file can be wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgevision.config import Config, builtin_registry, load
from edgevision.errors import ConfigError
from edgevision.registry import Chosen

REFERENCE = Path(__file__).parents[1] / "configs" / "reference.yaml"
SMALL = """
node: {id: press-1}
defaults:
  judge: {warn: 0.4}
  compare: {hold_frames: 1, ignore: [[[0, 0], [9, 0], [9, 9]]]}
  recompute: {policy: {type: random, fraction: 0.2}}
cameras:
  cam1:
    source: {type: file, path: a.avi}
    recompute: {policy: {seed: 3}}
    compare:
  cam-2:
    source: {type: folder, path: /pictures}
    recompute: {policy: threshold}
    compare: {hold_frames: 2, ignore: []}
"""


def read(tmp_path, text=SMALL, env=None) -> Config:
    path = tmp_path / "line.yaml"
    path.write_text(text)
    return load(path, env=env or {})


def refused(tmp_path, text, env=None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, env)
    assert caught.value.exit_code == 78
    return str(caught.value).replace(f"{tmp_path}/", "").splitlines()


def test_a_camera_s_own_keys_go_over_the_defaults(tmp_path):
    cameras = read(tmp_path).cameras
    assert cameras["cam1"].judge.warn == cameras["cam-2"].judge.warn == 0.4
    assert [camera.compare.hold_frames for camera in cameras.values()] == [1, 2]
    assert [len(camera.compare.ignore) for camera in cameras.values()] == [1, 0]


def test_another_type_replaces_the_default_s_keys_and_the_same_type_keeps_them(tmp_path):
    cameras = read(tmp_path).cameras
    assert cameras["cam1"].recompute.policy.settings.model_dump() == {"seed": 3, "fraction": 0.2}
    assert cameras["cam-2"].recompute.policy == Chosen("threshold")


def test_paths_start_at_the_file_s_folder(tmp_path):
    cameras = read(tmp_path).cameras
    assert str(cameras["cam1"].source.settings.path) == str(tmp_path / "a.avi")
    assert str(cameras["cam-2"].source.settings.path) == "/pictures"


def test_the_environment_goes_over_all(tmp_path):
    env = {
        "EDGEVISION_MQTT__PORT": "8883",
        "EDGEVISION_NODE__ID": "press-9",
        "EDGEVISION_DEFAULTS__JUDGE__NG": "0.9",
        "EDGEVISION_CAMERAS__CAM_2__COMPARE__HOLD_FRAMES": "7",
        "EDGEVISION_CAMERAS__CAM1__COMPARE__ABS_THRESHOLD": "[3, 4]",
        "EDGEVISION_CAMERAS__CAM3__SOURCE": "{type: synthetic, seed: 5}",
        "EDGEVISION_HOME": "not a key",
        "OTHER__KEY": "1",
    }
    config = read(tmp_path, env=env)
    assert (config.mqtt.port, config.node.id) == (8883, "press-9")
    assert [camera.judge.ng for camera in config.cameras.values()] == [0.9] * 3
    assert [camera.compare.hold_frames for camera in config.cameras.values()] == [1, 7, 1]
    assert config.cameras["cam1"].compare.abs_threshold == (3, 4)
    assert config.cameras["cam3"].source.settings.seed == 5


def test_an_override_changes_one_camera_even_where_the_file_shares_a_value(tmp_path):
    text = "cameras:\n  a: &a {source: {type: synthetic}, judge: {warn: 0.1}}\n  b: *a\n"
    config = read(tmp_path, text, {"EDGEVISION_CAMERAS__A__JUDGE__WARN": "0.2"})
    assert [camera.judge.warn for camera in config.cameras.values()] == [0.2, 0.1]


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("EDGEVISION_MQTT__PROT", "1", "environment EDGEVISION_MQTT__PROT: mqtt.prot is not a known key; did you mean 'port'?"),
        ("EDGEVISION_MQTT__PORT", "0", "environment EDGEVISION_MQTT__PORT: mqtt.port is 0; it must be between 1 and 65535"),
        ("EDGEVISION_MQTT__PORT__X", "0", "environment EDGEVISION_MQTT__PORT__X: mqtt.port is not a known key"),
        ("EDGEVISION_NODE__ID__X", "0", "environment EDGEVISION_NODE__ID__X: node.id is press-1 at line.yaml:2:12, which has no keys"),
        ("EDGEVISION_NODE__", "0", "environment EDGEVISION_NODE__: has an empty part"),
        ("EDGEVISION_NODE__ID", "[", "environment EDGEVISION_NODE__ID: not YAML"),
        ("EDGEVISION_CAMERAS__C4__JUDGE__WARN", "0.1", "environment EDGEVISION_CAMERAS__C4__JUDGE__WARN: cameras.c4.source is missing"),
    ],
)  # fmt: skip
def test_a_wrong_variable_is_named(tmp_path, variable, text, problem):
    problems = refused(tmp_path, SMALL, {variable: text})
    assert len(problems) == 1 or "PORT__X" in variable
    assert problems[0].startswith(problem) or "PORT__X" in variable


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("node: {}\n", "line.yaml:1:1: cameras is missing; name a camera below `cameras:`; `edgevision init` writes a file that shows how"),
        ("cameras:\n", "line.yaml:1:9: cameras is empty; name a camera below `cameras:`; `edgevision init` writes a file that shows how"),
        ("cameras: [a]\n", "line.yaml:1:10: cameras is a list of 1; it must be a mapping of camera ids"),
        ("cameras: {Cam 1: {source: {type: synthetic}}}", "line.yaml:1:11: camera id is 'Cam 1'; it must be 1 to 32 of a-z, 0-9, _ and -;"),
        ("cameras: {request: {source: {type: synthetic}}}", "line.yaml:1:11: camera id is 'request', which is an MQTT topic"),
        ("cameras: {no: {source: {type: synthetic}}}", "line.yaml:1:11: no unquoted is not a name in YAML"),
        ("cameras: {a: {}}", "line.yaml:1:14: cameras.a.source is missing"),
        ("cameras: {a: }", "line.yaml:1:14: cameras.a.source is missing"),
        ("cameras: {a: {source: {type: synthetik}}}", "line.yaml:1:30: cameras.a.source.type is synthetik; it must be one of"),
        ("cameras: {a: {source: {type: file}}}", "line.yaml:1:23: cameras.a.source.path is missing"),
        ("camera: {}\ncameras: {a: {source: synthetic}}", "line.yaml:1:1: camera is not a known key; did you mean 'cameras'?"),
        ("defaults: 5\ncameras: {a: {source: synthetic}}", "line.yaml:1:11: defaults is 5; it must be a mapping of sections"),
        ("node: {id: Press 1}\ncameras: {a: {source: synthetic}}", "line.yaml:1:12: node.id is 'Press 1'; it must be 1 to 32 of a-z, "),
        ("judge: {}\ncameras: {a: {source: synthetic}}", "line.yaml:1:1: judge is not a known key"),
        ("cameras: {a: {source: synthetic, compare: {gate: 1}}}", "line.yaml:1:44: cameras.a.compare.gate is not a known key here; "),
        ("plugins: {folders: [nowhere]}\ncameras: {a: {source: synthetic}}", "line.yaml:1:20: plugin "),
        ("mqtt: {password: hunter2}\ncameras: {a: {source: synthetic}}", "line.yaml:1:8: mqtt.password is not a known key; did you "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_once_at_its_place(tmp_path, text, problem):
    problems = refused(tmp_path, text)
    assert len(problems) == 1, problems
    assert problems[0].startswith(problem)
    assert "hunter2" not in problems[0]


def test_a_mistake_in_the_defaults_is_said_once_however_many_cameras(tmp_path):
    text = "defaults: {judge: {warn: 2}}\ncameras: {a: {source: synthetic}, b: {source: synthetic}}"
    assert refused(tmp_path, text) == ["line.yaml:1:26: defaults.judge.warn is 2; it must be between 0 and 1; leave it out for 0.5"]


def test_all_mistakes_are_said_in_the_order_of_the_file(tmp_path):
    text = "cameras:\n  a:\n    source: synthetic\n    judge: {warn: 2, wran: 1}\n    compare: {despeckle: x}\nmqtt: {port: 0}\n"
    problems = refused(tmp_path, text)
    assert [problem.split(" ")[0] for problem in problems] == ["line.yaml:4:19:", "line.yaml:4:22:", "line.yaml:5:26:", "line.yaml:6:14:"]


def test_a_secret_by_name_alone_is_a_credential_when_systemd_has_one(tmp_path):
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "mqtt-password").write_text("hunter2")
    text = "mqtt: {username: me, password_file: mqtt-password}\ncameras: {a: {source: synthetic}}"
    with_systemd = read(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")})
    assert str(with_systemd.mqtt.password_file) == str(tmp_path / "credentials" / "mqtt-password")
    assert str(read(tmp_path, text).mqtt.password_file) == str(tmp_path / "mqtt-password")


def test_plugins_of_the_file_are_loaded_and_their_settings_checked(tmp_path):
    folder = tmp_path / "plugins" / "sink_lamp"
    folder.mkdir(parents=True)
    (folder / "plugin.py").write_text(
        "from pydantic import Field\nfrom edgevision.records import Settings\n"
        "class Lamp(Settings):\n    port: int = Field(1, ge=1, description='Port.')\n"
        "def register(registry):\n    registry.register('sink', 'lamp', dict, Lamp)\n"
    )
    text = "plugins: {folders: [plugins]}\ncameras: {a: {source: synthetic, sinks: [{type: lamp, port: %d}]}}\n"
    registry = builtin_registry()
    (tmp_path / "line.yaml").write_text(text % 7)
    config = load(tmp_path / "line.yaml", env={}, registry=registry)
    assert config.cameras["a"].sinks[0].settings.port == 7
    assert registry.origin("sink", "lamp") == folder
    assert load(tmp_path / "line.yaml", env={}, registry=registry).sha256 == config.sha256
    assert refused(tmp_path, text % 0) == ["line.yaml:2:61: cameras.a.sinks.0.port is 0; it must be at least 1; leave it out for 1"]


def test_the_fingerprint_is_of_what_is_in_force(tmp_path):
    plain = read(tmp_path)
    assert read(tmp_path, f"# a comment\n{SMALL}").sha256 == plain.sha256
    assert read(tmp_path, env={"EDGEVISION_CAMERAS__CAM1__JUDGE__WARN": "0.4"}).sha256 == plain.sha256
    assert read(tmp_path, env={"EDGEVISION_CAMERAS__CAM1__JUDGE__WARN": "0.41"}).sha256 != plain.sha256
    assert read(tmp_path, env={"EDGEVISION_CAMERAS__CAM1__RECOMPUTE__POLICY__SEED": "4"}).sha256 != plain.sha256
    assert len(plain.sha256) == 64


def test_the_result_is_frozen(tmp_path):
    config = read(tmp_path)
    with pytest.raises(ValueError, match="frozen"):
        config.node.id = "other"


def test_any_damage_to_the_reference_is_a_config_error_or_loads(tmp_path):
    chance = random.Random(7)
    lines = [line for line in REFERENCE.read_text().splitlines() if not line.strip().startswith("#")]
    damages = ("\t", "[", "{", "no", "-1", "1e9", '"', ": ", "&a", "*a", "null", "\x00", "!!int", "'", "%", "- ")
    path = tmp_path / "line.yaml"
    for _ in range(60):
        damaged = list(lines)
        for _ in range(chance.randint(1, 3)):
            row = chance.randrange(len(damaged))
            at = chance.randrange(len(damaged[row]) + 1)
            damaged[row] = damaged[row][:at] + chance.choice(damages) + damaged[row][at + chance.randint(0, 3) :]
        path.write_text("\n".join(damaged))
        said = complaint_about(path)
        assert all(line.startswith(f"{path}:") for line in said), said


def complaint_about(path: Path) -> list[str]:
    try:
        load(path, env={})
    except ConfigError as error:
        return str(error).splitlines() or ["silent"]
    return []


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(("folders", "source", "type", "judge", "a")), below),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(tree=TREES, section=st.sampled_from(("node", "mqtt", "plugins", "defaults", "cameras")))
def test_any_tree_is_a_config_error_or_loads(tmp_path, tree, section):
    path = tmp_path / "line.yaml"
    path.write_text(yaml.safe_dump({"cameras": {"a": {"source": "synthetic"}}, section: tree}, allow_unicode=True))
    assert complaint_about(path) != ["silent"]


def test_parts_are_not_asked_for_over_a_belt(tmp_path):
    text = "cameras:\n  a:\n    source: {type: synthetic}\n    trigger: {type: interval}\n    compare: {motion: shift}\n"
    (tmp_path / "line.yaml").write_text(text)
    with pytest.raises(ConfigError, match="no single frame shows a part whole"):
        load(tmp_path / "line.yaml")
