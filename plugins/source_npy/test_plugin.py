"""The NumPy source: frames in order, bad files refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgevision.config import builtin_registry, load
from edgevision.errors import CameraError, EndOfStream
from edgevision.interfaces import Source
from edgevision.registry import Registry

HERE = Path(__file__).parent


def source_of(path: Path, **settings: float) -> Source:
    registry = Registry()
    registry.load_plugin(HERE)
    kind = registry.settings("source", "npy")
    assert kind is not None
    source = registry.build("source", "npy", kind(path=str(path), **settings))
    assert isinstance(source, Source)
    return source


@pytest.mark.parametrize("shape", [(3, 8, 10), (3, 8, 10, 3)])
def test_every_frame_once_in_order(tmp_path, shape):
    frames = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    np.save(tmp_path / "frames.npy", frames)
    source = source_of(tmp_path / "frames.npy", fps=10, start_ts=100)
    with pytest.raises(CameraError, match="before open"):
        source.read()
    for _ in range(2):  # opened again, it begins again
        source.open()
        for number in range(3):
            image, ts = source.read()
            assert np.array_equal(image, frames[number])
            assert ts == pytest.approx(100 + number / 10)
        with pytest.raises(EndOfStream):
            source.read()
        source.close()


def test_bad_files_are_refused(tmp_path):
    with pytest.raises(CameraError, match=r"missing\.npy: cannot be read"):
        source_of(tmp_path / "missing.npy").open()
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(CameraError, match="cannot be read"):
        source_of(tmp_path / "text.npy").open()
    np.save(tmp_path / "objects.npy", np.array([{}], object))
    with pytest.raises(CameraError, match="cannot be read"):
        source_of(tmp_path / "objects.npy").open()
    np.save(tmp_path / "floats.npy", np.zeros((2, 8, 8)))
    with pytest.raises(CameraError, match=r"float64 of shape \(2, 8, 8\)"):
        source_of(tmp_path / "floats.npy").open()


def test_the_sample_loads():
    config = load(HERE / "sample.yaml", env={}, registry=builtin_registry())
    assert config.cameras["laboratory"].source.type == "npy"
