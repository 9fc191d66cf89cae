"""The same bits from other instruction sets, and without a cache folder (one warning, no failure)."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import pytest

from edgevision.kernels.compiled.jit import _SealedFile, _unsealed, remove_unused

PROGRAM = """
import hashlib, warnings
import numpy as np
from edgevision.kernels import open_backend
from edgevision.kernels.forms import Activation, Convolve, Plane, Window
def plane(values):
    height, width, _ = values.shape
    padded = np.pad(values, ((1, 1), (1, 1), (0, 0)))
    return Plane(padded, 1, 1, height, width, np.zeros((height, width), np.uint8), np.zeros((height, 2), np.int32))
random = np.random.default_rng(0)
draw = lambda *shape: random.standard_normal(shape).astype(np.float32)
form = Convolve(Window((3, 3), pad=(1, 1)), draw(16, 5, 3, 3), draw(16), activation=Activation("sigmoid"))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    backend = open_backend("compiled")
source, target = plane(draw(6, 30, 5)), plane(np.zeros((6, 30, 16), np.float32))
kernel, unit = backend.bind(form, backend.pack(form), (source,), target, None)
kernel(np.array([(row, 0, 30) for row in range(6)], np.int32), 0, 6)
print(backend.lanes, len(caught), hashlib.sha256(target.values.tobytes()).hexdigest())
"""


def run(**environment: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env={**os.environ, **environment}, capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.split()


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> str:
    return run(NUMBA_CACHE_DIR=str(tmp_path_factory.mktemp("cache")))[2]


@pytest.mark.parametrize(("cpu", "features", "lanes"), [("haswell", "+avx2,+fma", "8"), ("generic", "", "4")])
def test_other_instruction_sets_give_the_same_bits(here, tmp_path, cpu, features, lanes):
    got = run(NUMBA_CPU_NAME=cpu, NUMBA_CPU_FEATURES=features, NUMBA_CACHE_DIR=str(tmp_path))
    assert got == [lanes, "0", here]


def test_without_a_cache_folder_there_is_one_warning_and_the_same_result(here):
    got = run(NUMBA_CACHE_DIR="/proc/nowhere")
    assert got[1:] == ["1", here]


def flipped(data: bytes) -> bytes:
    """One bit in the middle, where the machine code lies, is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 0x10]) + data[middle + 1 :]


def test_a_flipped_bit_is_noticed():
    sealed = _SealedFile("", "name", None)._dump({"code": bytes(range(256))})
    assert pickle.loads(_unsealed(sealed)) == {"code": bytes(range(256))}
    for place in (0, 3, 4, len(sealed) // 2, len(sealed) - 1):
        with pytest.raises(ValueError, match="damaged"):
            _unsealed(sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :])


def test_folders_of_other_versions_go_after_sixty_days(tmp_path):
    days = {"kernels-0123456789abcdef": 61, "kernels-00000000000000ff": 59, "kernels-mine": 99, "other": 99}
    for name, age in days.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
        os.utime(tmp_path / name, (1e9 - age * 86_400, 1e9 - age * 86_400))
    remove_unused(tmp_path, 1e9)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == sorted(set(days) - {"kernels-0123456789abcdef"})


def test_torn_cache_files_are_compiled_anew(here, tmp_path):
    run(NUMBA_CACHE_DIR=str(tmp_path))
    kept = [file for file in tmp_path.rglob("*") if file.suffix in (".nbi", ".nbc")]
    assert kept
    for place, file in enumerate(kept):
        file.write_bytes((b"", file.read_bytes()[:40], flipped(file.read_bytes()))[place % 3])
    assert run(NUMBA_CACHE_DIR=str(tmp_path))[1:] == ["0", here]
    assert run(NUMBA_CACHE_DIR=str(tmp_path))[1:] == ["0", here]
