"""A network that follows a shifted picture: bit-identical to `first` of the input in use after any shifts, and cheap where all moves."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgevision.errors import InputError
from edgevision.kernels import open_backend
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.preprocess import Preprocess
from tests.recompute.test_engine import patches, picture, same_bits, same_memory
from tests.recompute.test_quantised import needs_bf16, write_qdq
from tests.recompute.test_random_graphs import build, recipes


@pytest.fixture(scope="module")
def qdq(tmp_path_factory) -> Path:
    return write_qdq(tmp_path_factory.mktemp("qdq") / "qdq.onnx")


def moved(x: np.ndarray, down: int, right: int, random: np.random.Generator) -> np.ndarray:
    """The picture shifted, (1, C, H, W), with new pixels where there were none before."""
    result = random.standard_normal(x.shape).astype(np.float32)
    height, width = x.shape[2:]
    if abs(down) < height and abs(right) < width:
        rows, columns = slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right))
        old_rows, old_columns = slice(rows.start - down, rows.stop - down), slice(columns.start - right, columns.stop - right)
        result[:, :, rows, columns] = x[:, :, old_rows, old_columns]
    return result


def test_a_hand_worked_shift(writer, tmp_path):
    """Sums of 3x3 pixels; one bright pixel moves two columns to the right: its sums move with it and only the ends are run."""
    g = writer((1, 1, 5, 24))
    y = g.node("Conv", "image", g.constant(np.ones((1, 1, 3, 3), np.float32)), pads=[1] * 4)
    net = SelectiveNetwork.load(g.save(tmp_path / "sum.onnx", y), may_move=True)
    assert net.shift_step_px == (1, 1)
    x = np.zeros((1, 1, 5, 24), np.float32)
    x[0, 0, 2, 2] = 7
    net.first(x)
    net.shift(0, 2)
    x[0, 0, 2] = 0
    x[0, 0, 2, 4] = 7
    out = net.next(x, np.zeros((5, 24), bool))[y][0, 0]
    assert np.array_equal(out[1:4, 3:6], np.full((3, 3), 7))
    assert out.sum() == 63
    assert net._steps[0].pixels == 5 * (4 + 4)  # three that see new columns, one that saw zeros; no run is shorter than 4
    assert same_bits(net.used(), x)


@pytest.mark.parametrize("backend", ["plain", "compiled"])
def test_after_any_shifts_and_changes_memory_is_first_of_the_input_in_use(unet, random, backend):
    net = SelectiveNetwork.load(unet, backend=backend, may_move=True)
    twin = net.sibling()
    assert net.shift_step_px == (8, 8)
    x = picture(random, net)
    net.first(x)
    shifts = [(0, 8), (-8, 24), (0, 64), (0, -16), (8, 0), (-48, 8), (0, 640), (16, 0)]
    for down, right in shifts[: 3 if backend == "plain" else None]:
        x = moved(x, down, right, random)
        live = patches(random, net.input_shape[2:])
        x[:, :, live] = 0.5
        net.shift(down, right)
        net.next(x, live)
        assert same_bits(net.used(), x)
        twin.first(x)
        assert same_memory(net, twin)
        assert net.verify() == {}
    before = {name: plane.padded.copy() for name, plane in net._memory.planes.items()}
    net.next(picture(random, net), np.zeros(net.input_shape[2:], bool))
    assert all(same_bits(plane.padded, before[name]) for name, plane in net._memory.planes.items())
    assert net.costs.macs == 0
    net.shift(8, 0)
    net.shift(-8, 0)
    net.next(x, np.zeros(net.input_shape[2:], bool))
    assert net.costs.mode == "cached"


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(recipe=recipes(), steps=st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=1, max_size=3))
def test_random_networks_follow(writer, recipe, steps):
    layers, height, width, seed = recipe
    g = writer((1, 3, height + 9, width), seed)
    out = build(g, layers)
    if out == "image":
        return
    with tempfile.TemporaryDirectory() as folder:
        path = g.save(Path(folder) / "random.onnx", out)
        random = np.random.default_rng(seed)
        for backend, threads in ((open_backend("plain"), 1), (open_backend("compiled", 8), 2)):
            follow(SelectiveNetwork.load(path, backend=backend, threads=threads, may_move=True), steps, random)


def follow(net, steps, random):
    twin, x = net.sibling(), picture(random, net)
    net.first(x)
    down_step, right_step = net.shift_step_px
    for down, right in steps:
        x = moved(x, down * down_step, right * right_step, random)
        live = patches(random, net.input_shape[2:], 1)
        x[:, :, live] += 1
        net.shift(down * down_step, right * right_step)
        out = net.next(x, live)
        expected = twin.first(x)
        assert same_memory(net, twin)
        assert all(same_bits(out[name], expected[name]) for name in out)


@pytest.mark.parametrize("precision", [pytest.param("bf16", marks=needs_bf16), "int8", "gated"])
def test_every_precision_follows(qdq, unet_linear, random, precision):
    """Odd shifts along rings whose size is no multiple of a pixel's: what fills up pixels stays 0, too. A gate's errors stay within it."""
    path, gate = (qdq if precision == "int8" else unet_linear), 0.02 * (precision == "gated")
    net = SelectiveNetwork.load(path, "auto" if precision == "gated" else precision, 2, gate, may_move=True)
    twin, x = net.sibling(), picture(random, net)
    down_step, right_step = net.shift_step_px
    net.first(x)
    for k in range(12):
        down, right = (k % 3 - 1) * down_step, (k % 4 + 1) * right_step
        x = moved(x, down, right, random)
        live = patches(random, net.input_shape[2:], 1)
        x[:, :, live] += 1
        net.shift(down, right)
        net.next(x, live)
    assert net.verify() == {}
    twin.first(net.used())
    if not gate:
        assert all(same_bits(plane.padded, twin._memory.planes[name].padded) for name, plane in net._memory.planes.items())


def test_a_refused_picture_moves_nothing(unet, random):
    net = SelectiveNetwork.load(unet, may_move=True)
    x = picture(random, net)
    net.first(x)
    before, bad = net.used(), moved(x, 0, 8, random)
    bad[0, 0, 3, 2] = np.nan  # in the columns that enter
    net.shift(0, 8)
    with pytest.raises(InputError, match="row 3, column 2"):
        net.next(bad, np.zeros(net.input_shape[2:], bool))
    assert same_bits(net.used(), before)
    x = moved(x, 0, 8, random)
    net.next(x, np.zeros(net.input_shape[2:], bool))
    assert same_bits(net.used(), x)


def test_frames_in_a_corner_follow(unet, random):
    """What the frame does not reach is not taken for belt."""
    net = SelectiveNetwork.load(unet, may_move=True)
    net.set_preprocess(Preprocess(frame_px=(45, 60), resize="corner"))
    twin = net.sibling()
    frame = random.integers(0, 256, (45, 60, 3), np.uint8)
    net.first(frame)
    for down, right in [(0, 8), (-8, 0), (0, -24)]:
        frame = np.roll(frame, (down, right), (0, 1))
        net.shift(down, right)
        net.next(frame, np.zeros((45, 60), bool))
        twin.first(frame)
        assert same_memory(net, twin)


def test_a_belt_that_runs_costs_its_ends(unet, random):
    net = SelectiveNetwork.load(unet, input_shape=(1, 3, 64, 640), may_move=True)
    x = picture(random, net)
    net.first(x)
    net.shift(0, 8)
    net.next(moved(x, 0, 8, random), np.zeros((64, 640), bool))
    assert net.costs.macs < 0.3 * net.plan.dense_macs


def test_what_cannot_be_shifted_is_said_in_one_line(unet):
    net = SelectiveNetwork.load(unet)
    with pytest.raises(InputError, match="may_move=True"):
        net.shift(0, 8)
    net = SelectiveNetwork.load(unet, may_move=True)
    with pytest.raises(InputError, match=r"right_px is 3; .* steps of 8 px"):
        net.shift(0, 3)
    with pytest.raises(InputError, match="leave one of them out"):
        SelectiveNetwork.load(unet, may_move=True, foreign="auto")
