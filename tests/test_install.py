"""What an installation holds: everything a user needs, and nothing that only developers have."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {
    "cv2": "opencv-python-headless", "yaml": "pyyaml", "paho": "paho-mqtt", "annotated_types": "pydantic", "pydantic_core": "pydantic",
    "llvmlite": "numba", "typing_extensions": "pydantic", "prometheus_client": "prometheus-client",
}  # fmt: skip
EXTRAS = {
    "torch": "edgevision/study/train", "onnx": "edgevision/study", "onnxruntime": "edgevision/study/peers",
    "nncf": "edgevision/study/quantize.py", "matplotlib": "edgevision/study",
    "timm": "edgevision/study/peers", "ray": "edgevision/study/train",
}  # fmt: skip


def names_of(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=!~\[; ]", requirement)[0].lower() for requirement in requirements}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_all_that_a_user_needs(wheel):
    names = set(wheel.namelist())
    shared = [path for folder in ("configs", "systemd", "plugins") for path in (ROOT / folder).rglob("*") if path.is_file()]
    wanted = {f"edgevision/share/{path.relative_to(ROOT)}" for path in shared if "__pycache__" not in path.parts}
    package = [path for path in (ROOT / "edgevision").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted |= {str(path.relative_to(ROOT)) for path in package}
    assert wanted - names == set()
    assert "edgevision/networks/weights/default.onnx" in names
    assert any(name.endswith("entry_points.txt") for name in names)


def test_the_wheel_holds_nothing_else_and_is_small(wheel):
    stray = [name for name in wheel.namelist() if "__pycache__" in name or name.endswith(".pyc") or not name.startswith("edgevision")]
    assert stray == []
    assert sum(info.file_size for info in wheel.infolist()) < 12e6


def test_the_default_weights_are_at_most_4_mb():
    weights = ROOT / "edgevision" / "networks" / "weights"
    assert (weights / "default.md").is_file(), "the model card is missing"
    assert sum(path.stat().st_size for path in weights.glob("default*") if path.suffix != ".md") <= 4_000_000


def imports_of(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.split(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def test_the_package_imports_only_what_it_declares():
    declared = names_of(PROJECT["dependencies"])
    found = []
    for path in sorted((ROOT / "edgevision").rglob("*.py")):
        place = str(path.relative_to(ROOT))
        for name in set(imports_of(path)) - set(sys.stdlib_module_names) - {"edgevision"}:
            is_extra = name in EXTRAS and place.startswith(EXTRAS[name])
            if not is_extra and DISTRIBUTIONS.get(name, name) not in declared:
                found.append(f"{place}: {name}")
    assert found == [], "declare them in pyproject.toml or keep them out"


def test_every_declared_dependency_is_used():
    used = {DISTRIBUTIONS.get(name, name) for path in (ROOT / "edgevision").rglob("*.py") for name in imports_of(path)}
    to_come = {"prometheus-client"}  # with the service's metrics
    assert names_of(PROJECT["dependencies"]) - used <= to_come


def test_a_camera_process_needs_no_heavy_library():
    code = "import sys, edgevision, edgevision.capture.decoder; print(*{'numba', 'openvino', 'torch', 'amqtt'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
