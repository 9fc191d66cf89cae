"""What is written for people and what the code does are the same: settings, errors, README's commands, units."""

from __future__ import annotations

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import edgevision
from edgevision import errors
from edgevision.config import builtin_registry, load
from edgevision.records import Settings
from edgevision.reference import reference_yaml

ROOT = Path(__file__).parents[1]
MADE_OF_OTHERS = {"AuditSettings"}  # filled from `recompute.audit_*`
OPTIONAL = ("edgevision.study.train", "edgevision.study.peers")  # need extras


def settings_classes() -> set[type[Settings]]:
    for module in pkgutil.walk_packages(edgevision.__path__, "edgevision."):
        if not module.name.startswith(OPTIONAL) and module.name != "edgevision.__main__":
            importlib.import_module(module.name)
    found, open_classes = set(), [Settings]
    while open_classes:
        for cls in open_classes.pop().__subclasses__():
            open_classes.append(cls)
            if cls.__module__.startswith("edgevision.") and not cls.__module__.startswith(OPTIONAL):
                found.add(cls)
    return found


def test_every_setting_says_what_it_does():
    bare = [
        f"{cls.__name__}.{name}"
        for cls in settings_classes()
        for name, field in cls.model_fields.items()
        if not field.description or not field.description.rstrip().endswith((".", "?"))
    ]
    assert not bare, f"{sorted(bare)}: give each a description of one sentence"


def test_every_setting_is_in_the_reference():
    text = (ROOT / "configs" / "reference.yaml").read_text()
    absent = [
        f"{cls.__name__}.{key}"
        for cls in settings_classes()
        if cls.__name__.endswith(("Settings", "Config")) and cls.__name__ not in MADE_OF_OTHERS
        for name, field in cls.model_fields.items()
        if (key := field.alias or name) and not re.search(rf"^\s*(# )?{key}:", text, re.MULTILINE)
    ]
    assert not absent, f"{sorted(absent)}: not reachable from a configuration"


def test_the_reference_is_up_to_date():
    assert (ROOT / "configs" / "reference.yaml").read_text() == reference_yaml(), "run `make reference`"


def test_the_reference_holds_the_defaults():
    config = load(ROOT / "configs" / "reference.yaml", env={})
    plain = yaml.safe_load((ROOT / "configs" / "reference.yaml").read_text())
    camera = config.cameras["synthetic-camera"]
    registry = builtin_registry()
    assert set(config.cameras) >= {f"{name}-camera" for name in registry.names("source")}
    assert camera.source.settings == registry.settings("source", "synthetic")()
    for section in ("trigger", "capture", "compare", "recompute", "segment", "judge"):
        assert getattr(camera, section) == type(camera).model_fields[section].default, section
        assert section in plain["defaults"]


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_configuration_loads(path):
    assert load(path, env={}).cameras


def test_the_error_tree_is_drawn_in_full():
    drawn = str(errors.__doc__)
    names = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.EdgevisionError)]
    assert [name for name in names if not re.search(rf"\b{name}\b", drawn)] == []
    for name in names:
        for base in getattr(errors, name).__bases__:
            if base in (errors.EdgevisionError, ValueError) or not issubclass(base, errors.EdgevisionError):
                continue
            assert drawn.index(base.__name__) < drawn.index(name), f"{name} stands before {base.__name__} in the tree"


def test_every_error_is_raised_or_caught_somewhere():
    names = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.EdgevisionError)]
    sources = "".join(path.read_text() for path in (ROOT / "edgevision").rglob("*.py") if path.name != "errors.py")
    assert [name for name in names if not re.search(rf"\b{name}\b", sources)] == []


def readme_command(kind: str) -> str:
    found = re.search(rf"^<!-- {kind} command -->\n```[a-z]*\n(.+)\n```$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert found, f"README.md: put the {kind} command on one line in a fence below `<!-- {kind} command -->`"
    return found[1]


def test_ci_runs_the_readme_s_test_command():
    script = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    extract = re.search(r"command=\$\((sed .+)\)", script)
    assert extract
    found = subprocess.run(["bash", "-c", extract[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    assert found == readme_command("test")
    assert "pytest" in found


def test_the_demo_command_needs_nothing_installed():
    command = readme_command("demo")
    assert command.startswith("python3 -m venv .venv && ")
    assert "edgevision demo" in command


def test_the_changelog_knows_this_version():
    assert f"## {edgevision.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_template_unit_is_the_unit_for_one_instance():
    unit = (ROOT / "systemd" / "edgevision.service").read_text()
    template = (ROOT / "systemd" / "edgevision@.service").read_text()
    for one, many in (
        ("reports them over MQTT", "reports them over MQTT (%i)"),
        ("/etc/edgevision/line.yaml", "/etc/edgevision/%i.yaml"),
        ("Directory=edgevision", "Directory=edgevision/%i"),
        ("ConfigurationDirectory=edgevision/%i", "ConfigurationDirectory=edgevision"),
        ("%C/edgevision/numba", "%C/edgevision/%i/numba"),
        ("EnvironmentFile=-/etc/edgevision/", "Environment=EDGEVISION_NODE__ID=%i\nEnvironmentFile=-/etc/edgevision/%i."),
    ):
        unit = unit.replace(one, many)
    assert unit.splitlines()[1:] == template.splitlines()[1:]


@pytest.mark.parametrize("unit", ["edgevision.service", "edgevision@.service"])
def test_the_unit_is_locked_down(unit, present):
    analyze = present("systemd-analyze", "systemd")
    done = subprocess.run([analyze, "security", "--offline=true", ROOT / "systemd" / unit], capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for .*: ([0-9.]+)", done.stdout)
    assert found, done.stderr
    assert float(found[1]) <= 1.6


def test_the_reference_can_be_written_anew():
    done = subprocess.run([sys.executable, "-m", "edgevision.reference"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == reference_yaml()


def test_no_message_names_a_verb_that_is_not_there():
    import argparse

    from edgevision.cli import parser

    root = parser()
    verbs = {name for action in root._actions if isinstance(action, argparse._SubParsersAction) for name in action.choices}
    places = [*(ROOT / "edgevision").rglob("*.py"), *(ROOT / "configs").glob("*.yaml"), ROOT / "README.md", ROOT / "systemd" / "README.md"]
    unknown = {
        f"{path.relative_to(ROOT)}: {verb}"
        for path in places
        for verb in re.findall(r"(?<![\w./-])edgevision ([a-z]+)(?= [A-Z`.\[<-]|`|\n)", path.read_text())
        if verb not in verbs
    }
    assert not unknown, sorted(unknown)
