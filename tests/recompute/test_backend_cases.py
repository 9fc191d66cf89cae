"""The operator cases of the onnx package: whatever OpenVINO runs, the engine runs alike, or refuses by name. None is wrong.

A case is taken by a rule, not by its name: its first input is a float picture (rank 4), and OpenVINO runs it. The other inputs become
constants with the case's own values; a picture of several images becomes one where the operation lets it. In CI every case whose name falls
into the share of the day's seed runs; all of them by

    EDGEVISION_ALL_CASES=1 python -m pytest tests/recompute/test_backend_cases.py -s
"""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from edgevision.errors import UnsupportedNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.plan import IslandStep

SHARES = 6
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@dataclass
class Case:
    """A network of one operation, what OpenVINO makes of it, and a picture for it."""

    name: str
    model: bytes
    dense: Any
    picture: np.ndarray


def frozen(case: Any) -> tuple[bytes, np.ndarray] | None:
    """The case with one input, and that input's values; None where the first is no float picture."""
    given = {constant.name for constant in case.model.graph.initializer}
    inputs = [value for value in case.model.graph.input if value.name not in given]
    kind = inputs[0].type.tensor_type if inputs else None
    if kind is None or kind.elem_type != onnx.TensorProto.FLOAT or len(kind.shape.dim) != 4:
        return None
    values = dict(zip((value.name for value in inputs), case.data_sets[0][0], strict=False))
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    for value in inputs[1:]:
        if not isinstance(values.get(value.name), np.ndarray):
            return None
        model.graph.initializer.append(numpy_helper.from_array(values[value.name], value.name))
    first = next(value for value in model.graph.input if value.name == inputs[0].name)
    del model.graph.input[:]
    model.graph.input.append(first)
    return model.SerializeToString(), np.asarray(values[inputs[0].name], np.float32)


def cases() -> Iterator[Case]:
    """Those that OpenVINO runs."""
    core = openvino.Core()
    every = os.environ.get("EDGEVISION_ALL_CASES") == "1"
    for case in collect_testcases(None):
        if case.model is None or not case.data_sets or not (every or zlib.crc32(case.name.encode()) % SHARES == 0):
            continue
        made = frozen(case)
        if made is None:
            continue
        model, picture = made
        try:
            parsed = core.read_model(model)
            dense = core.compile_model(parsed, "CPU", F32)
            dense(picture)
        except RuntimeError:
            continue
        if picture.shape[0] != 1:
            try:
                parsed.reshape([1, *picture.shape[1:]])
                dense = core.compile_model(parsed, "CPU", F32)
                dense(picture[:1])
                picture = picture[:1]
            except RuntimeError:
                dense = core.compile_model(core.read_model(model), "CPU", F32)
        yield Case(case.name, model, dense, picture)


def how_it_ran(case: Case, path: Path) -> str:
    """selective, island, or refused; fails where an answer is wrong."""
    path.write_bytes(case.model)
    shape = case.picture.shape
    try:
        net = SelectiveNetwork.load(path, input_shape=shape)
    except UnsupportedNetwork as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert str(path) in said
        assert "\n" not in said
        return "refused"
    random = np.random.default_rng(0)
    assert agrees(net.first(case.picture), case.dense(case.picture)), f"{case.name}: first"
    twin = net.sibling()
    for share in (0.1, 0.5):
        x = random.permutation(case.picture.reshape(-1)).reshape(shape) + random.choice(np.float32([0, 0.125]), shape)
        out = net.next(x.astype(np.float32), random.random(shape[2:]) < share)
        assert agrees(out, case.dense(net.used())), f"{case.name}: next"
        twin.first(net.used())
        for name, plane in net._memory.planes.items():
            assert plane.values.tobytes() == twin._memory.planes[name].values.tobytes(), f"{case.name}: memory of {name}"
    return "island" if any(isinstance(step, IslandStep) for step in net.plan.steps) else "selective"


def agrees(outputs: dict[str, np.ndarray], expected: Any) -> bool:
    """Within 1e-4 of the range, alike where not finite."""
    for got, wanted in zip(outputs.values(), expected.values(), strict=True):
        want = np.asarray(wanted, np.float32)
        finite = np.isfinite(want)
        if got.shape != want.shape or not np.array_equal(got[~finite], want[~finite], equal_nan=True):
            return False
        span = max(np.ptp(want[finite]), np.abs(want[finite]).max(), 1e-3) if finite.any() else 1.0
        if finite.any() and not np.abs(got[finite] - want[finite]).max() <= 1e-4 * span:
            return False
    return True


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
def test_none_is_wrong(tmp_path):
    ran: Counter[str] = Counter()
    for case in cases():
        ran[how_it_ran(case, tmp_path / "case.onnx")] += 1
    print(f"operator cases: {dict(ran)}")
    assert ran["selective"] > ran["refused"]
