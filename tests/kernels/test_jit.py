"""The same bits from other instruction sets, and without a cache folder (one warning, no failure)."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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


def test_torn_cache_files_are_compiled_anew(here, tmp_path):
    run(NUMBA_CACHE_DIR=str(tmp_path))
    kept = [file for file in tmp_path.rglob("*") if file.suffix in (".nbi", ".nbc")]
    assert kept
    for place, file in enumerate(kept):
        file.write_bytes(b"" if place % 2 else file.read_bytes()[:40])
    assert run(NUMBA_CACHE_DIR=str(tmp_path))[1:] == ["0", here]
    assert run(NUMBA_CACHE_DIR=str(tmp_path))[1:] == ["0", here]
