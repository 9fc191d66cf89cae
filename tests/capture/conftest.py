"""What capture's tests share: the real data, plugin sources that misbehave, a loop that takes everything a camera gives."""

import os
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edgevision.capture.camera import Camera
from edgevision.errors import BadFrame, CameraError
from edgevision.records import Frame

DATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def data() -> Callable[[str], Path]:
    """The path of a real recording."""

    def find(name: str) -> Path:
        if not (DATA / name).exists():
            pytest.skip(f"{DATA / name} is absent: recordings lie beside the repository, and a clone has none")
        return DATA / name

    return find


@pytest.fixture
def plugin(tmp_path: Path) -> Callable[[str, str], Path]:
    """Make a plugin folder: a source with this class body."""

    def make(name: str, body: str) -> Path:
        folder = tmp_path / f"source_{name}"
        folder.mkdir()
        indented = textwrap.indent(textwrap.dedent(body), "    ")
        (folder / "plugin.py").write_text(
            "import os, signal, time\nfrom pathlib import Path\nimport numpy as np\n"
            "from edgevision.errors import BadFrame, CameraError, EndOfStream\n"
            f"class Source:\n    n = 0\n    def open(self): pass\n    def close(self): pass\n{indented}\n"
            f"def register(registry):\n    registry.register('source', '{name}', Source)\n"
        )
        return folder

    return make


@dataclass
class Taken:
    """Everything a camera gave until it was over."""

    frames: list[Frame] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    end: CameraError | None = None


@pytest.fixture
def take_all() -> Callable[..., Taken]:
    """Take from a camera until it is over, or until so many frames have come."""

    def take(camera: Camera, frames: int = 10**9, limit_s: float = 30.0) -> Taken:
        taken = Taken()
        until_s = time.monotonic() + limit_s
        while len(taken.frames) < frames:
            assert time.monotonic() < until_s, f"{camera.state} {camera.counters}"
            try:
                frame = camera.next(0.5)
            except BadFrame as error:
                taken.bad.append(str(error))
            except CameraError as error:
                taken.end = error
                return taken
            else:
                taken.frames += [] if frame is None else [frame]
        return taken

    return take


@pytest.fixture
def no_child_left() -> Iterator[None]:
    """After the test, this process has no child that it had not before: Python's own resource tracker may be there from another test."""
    before = _children()
    yield
    assert not _children() - before


def _children() -> set[int]:
    """The processes that are this one's children, ended ones that nobody waited for among them."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
            continue
        if parent == os.getpid():
            found.add(int(stat.parent.name))
    return found
