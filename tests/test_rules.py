"""The rules of the house, as far as a program can check them: layers, sizes, names, types, style."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "edgevision"
MODULES = sorted(path for path in PACKAGE.rglob("*.py"))
CODE = [*MODULES, *sorted((ROOT / "plugins").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py"))]
MAX_MODULE, MAX_FUNCTION, MAX_KERNEL, MAX_ARGUMENTS, MAX_PROMISES = 600, 80, 120, 6, 3
AT_ROOT = {
    "README.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml", ".gitignore", ".gitattributes",
    ".ci", "edgevision", "plugins", "configs", "systemd", "tests", "benchmarks",
}  # fmt: skip
# how compiled kernels are made; no operations of their own
MACHINERY = {
    "blocking.py",
    "cpu.py",
    "crew.py",
    "dot.py",
    "finish.py",
    "jit.py",
    "native.py",
    "product.py",
    "rows.py",
    "share.py",
    "spin.py",
    "strip.py",
    "tile.py",
}
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc"}
MACHINE = re.compile(r"/work/|/opt/ev\b|/home/[a-z]|/root/|/tmp/[a-z]")


def tracked() -> list[Path]:
    found = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if found.returncode:
        pytest.skip("not a git checkout: nothing says which files are public")
    return [path for name in found.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_go_down_only(monkeypatch):
    from importlinter.cli import lint_imports

    monkeypatch.chdir(ROOT)
    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), cache_dir=None) == 0


def test_ruff_is_content():
    run("ruff", "check", "--no-cache", "--quiet", "--output-format", "concise", ".")


@pytest.mark.timeout(600)
def test_mypy_is_content():
    run("mypy", "--no-error-summary")


def test_modules_are_short_enough():
    long = {name_of(path): lines for path in CODE if (lines := len(path.read_text().splitlines())) > MAX_MODULE}
    assert not long, f"over {MAX_MODULE} lines: {long}; find the seam"


def test_functions_are_short_enough():
    long = []
    for path in CODE:
        limit = MAX_KERNEL if "kernels" in path.parts else MAX_FUNCTION
        for node in functions(path):
            lines = (node.end_lineno or 0) - node.lineno + 1
            if lines > limit:
                long.append(f"{name_of(path)}:{node.lineno} {node.name}: {lines} lines, at most {limit}")
    assert not long, "\n".join(long)


def test_functions_take_few_arguments():
    many = []
    for path in MODULES:
        if "kernels" in path.parts:  # a kernel is handed arrays and geometry one by one: Numba takes no settings object
            continue
        for node in functions(path):
            arguments = {one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)} - {"self", "cls"}
            if len(arguments) > MAX_ARGUMENTS:
                many.append(f"{name_of(path)}:{node.lineno} {node.name}: {len(arguments)}, at most {MAX_ARGUMENTS}; make Settings")
    assert not many, "\n".join(many)


def test_interfaces_promise_little():
    tree = ast.parse((PACKAGE / "interfaces.py").read_text())
    wide = {
        node.name: methods
        for node in tree.body
        if isinstance(node, ast.ClassDef) and (methods := sum(isinstance(one, ast.FunctionDef) for one in node.body)) > MAX_PROMISES
    }
    assert not wide, f"more than {MAX_PROMISES} methods: {wide}"


def test_no_file_is_named_vaguely():
    vague = [name_of(path) for path in CODE if VAGUE & {path.stem, *path.relative_to(ROOT).parts[:-1]}]
    assert not vague, f"{vague}; name a file after what it holds"


def test_no_assert_stands_in_the_package():
    found = []
    for path in MODULES:
        found += [f"{name_of(path)}:{node.lineno}" for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
    assert not found, f"{found}; raise one of errors.py instead"


def test_nothing_mutable_lives_in_a_module_or_class():
    found = []
    for path in MODULES:
        tree = ast.parse(path.read_text())
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        for body in (tree.body, *(node.body for node in classes if not is_settings(node))):
            found += [f"{name_of(path)}:{node.lineno}" for node in body if is_mutable_value(node)]
    assert not found, f"{found}; use a tuple, a frozenset or MappingProxyType, or keep it in an instance"


def is_settings(node: ast.ClassDef) -> bool:
    return any("Settings" in ast.unparse(base) or "BaseModel" in ast.unparse(base) for base in node.bases)


def is_mutable_value(node: ast.stmt) -> bool:
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    target = node.targets[0] if isinstance(node, ast.Assign) else node.target
    if isinstance(target, ast.Name) and target.id in ("__all__", "__slots__"):
        return False
    value = node.value
    makers = ("dict", "list", "set", "defaultdict", "deque", "OrderedDict")
    is_call = isinstance(value, ast.Call) and ast.unparse(value.func) in makers
    return is_call or isinstance(value, ast.Dict | ast.List | ast.Set | ast.DictComp | ast.ListComp | ast.SetComp)


def test_plain_and_compiled_hold_the_same_operations():
    plain, compiled = ({path.name for path in (PACKAGE / "kernels" / backend).glob("*.py")} for backend in ("plain", "compiled"))
    assert compiled - plain <= MACHINERY, f"no oracle for {sorted(compiled - plain - MACHINERY)}"
    assert plain <= compiled, f"not compiled: {sorted(plain - compiled)}"


def test_the_root_holds_only_what_it_may():
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert found <= AT_ROOT, f"{sorted(found - AT_ROOT)} at the root; give it a folder"


def test_no_public_file_names_a_machine():
    found = []
    for path in tracked():
        if path.suffix in (".onnx", ".png", ".jpg", ".jpeg", ".npz", ".avi", ".mp4", ".gif", ".webp") or path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if MACHINE.search(line):
                found.append(f"{name_of(path)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)
