"""Broadcast, pick, across channels and total: worked by hand, then plain against compiled, the same bits for any runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels import open_backend
from edgevision.kernels.compiled.activations import KINDS
from edgevision.kernels.forms import BF16, F32, NO_LIVE, Across, Activation, Backend, Broadcast, Combine, Form, Pick, Plane, Store, Total
from edgevision.kernels.plain.activations import apply
from edgevision.kernels.plain.store import encode

BORDER = 2
STORES = (F32, BF16, Store("u8", 0.03, 128))


def plane(values: np.ndarray, store: Store = F32) -> Plane:
    """Pixels lie a multiple of 4 bytes apart."""
    height, width, channels = values.shape
    wide = -(-channels * store.dtype.itemsize // 4) * 4 // store.dtype.itemsize
    padded = np.full((height + 2 * BORDER, width + 2 * BORDER, wide), store.zero, store.dtype)[:, :, :channels]
    extent = np.full((height, 2), NO_LIVE, np.int32)
    made = Plane(padded, BORDER, BORDER, height, width, np.zeros((height, width), np.uint8), extent, store=store)
    made.values[...] = encode(values, store)
    return made


def run(
    backend: Backend,
    form: Form,
    sources: list[np.ndarray],
    target: np.ndarray,
    runs: np.ndarray,
    gate: float | None = None,
    stores: tuple[Store, ...] = (F32, F32, F32),
) -> Plane:
    """The target after the runs; `stores` of target and sources."""
    made = plane(target, stores[0])
    limit = None if gate is None else np.array([gate], np.float32)
    kernel, _ = backend.bind(
        form, backend.pack(form), tuple(plane(source, store) for source, store in zip(sources, stores[1:], strict=False)), made, limit
    )
    kernel(runs, 0, len(runs))
    return made


def full(height: int, width: int) -> np.ndarray:
    return np.array([(row, 0, width) for row in range(height)], np.int32)


def result(form: Form, sources: list[np.ndarray], shape: tuple[int, int, int], name: str = "plain") -> np.ndarray:
    return run(open_backend(name), form, sources, np.zeros(shape, np.float32), full(*shape[:2])).values


def depth_to_space(height: int, width: int, channels: int, block: int, depth_first: bool) -> Pick:
    """From (height, width, channels x block^2)."""
    y, x, c = np.arange(height * block), np.arange(width * block), np.arange(channels)
    step = 1 if not depth_first else block * block
    jump = channels if not depth_first else 1
    taps = np.stack([np.zeros(channels, int), np.zeros(channels, int), c * step], axis=1).astype(np.int32)
    return Pick(
        (y // block).astype(np.int32), (x // block).astype(np.int32), taps,
        (y % block * block * jump).astype(np.int32), (x % block * jump).astype(np.int32),
    )  # fmt: skip


def space_to_depth(height: int, width: int, channels: int, block: int) -> Pick:
    """To (height, width, channels x block^2), the source's channels side by side."""
    taps = [(dy, dx, c) for dy in range(block) for dx in range(block) for c in range(channels)]
    y, x = np.arange(height) * block, np.arange(width) * block
    return Pick(y.astype(np.int32), x.astype(np.int32), np.array(taps, np.int32), np.zeros(height, np.int32), np.zeros(width, np.int32))


@pytest.mark.parametrize("name", ["plain", "compiled"])
def test_depth_to_space_and_back(name):
    values = np.arange(2 * 3 * 8, dtype=np.float32).reshape(2, 3, 8)
    wide = result(depth_to_space(2, 3, 2, 2, False), [values], (4, 6, 2), name)
    assert wide[:2, :2].reshape(-1).tolist() == values[0, 0].tolist()
    assert np.array_equal(result(space_to_depth(2, 3, 2, 2), [wide], (2, 3, 8), name), values)
    first = result(depth_to_space(2, 3, 2, 2, True), [values], (4, 6, 2), name)
    assert first[0, 0].tolist() == [0, 4]
    assert first[1, 1].tolist() == [3, 7]


@pytest.mark.parametrize("name", ["plain", "compiled"])
def test_what_lies_outside_is_filled(name):
    places = np.array([-1, 0, 1, 0], np.int32)
    taps = np.array([(0, 0, 1), (0, 0, -1), (0, 0, 0)], np.int32)
    form = Pick(places, places, taps, np.zeros(4, np.int32), np.zeros(4, np.int32), 7.0, Activation("neg"))
    out = result(form, [np.arange(8, dtype=np.float32).reshape(2, 2, 2)], (4, 4, 3), name)
    assert (out[0] == -7).all()
    assert (out[:, 0] == -7).all()
    assert out[1, 2].tolist() == [-3, -7, -2]
    assert out[3, 3].tolist() == [-1, -7, 0]


@pytest.mark.parametrize("name", ["plain", "compiled"])
def test_a_sum_of_rows_and_of_them_all(name):
    values = np.array([[[1, 10], [2, 20], [3, 30]], [[4, 40], [5, 50], [6, 60]]], np.float32)
    rows = result(Total(1, "sum"), [values], (2, 1, 2), name)
    assert rows.reshape(-1).tolist() == [6, 60, 15, 150]
    assert result(Total(0, "sum", 6.0), [rows], (1, 1, 2), name).reshape(-1).tolist() == [3.5, 35]
    assert result(Total(0, "max"), [values], (1, 3, 2), name).reshape(-1).tolist() == [4, 40, 5, 50, 6, 60]
    assert result(Total(1, "min"), [values], (2, 1, 2), name).reshape(-1).tolist() == [1, 10, 4, 40]


@pytest.mark.parametrize("name", ["plain", "compiled"])
def test_channels_against_each_other(name):
    values = np.array([[[0, np.log(3)], [5, 5]]], np.float32)
    assert result(Across("softmax"), [values], (1, 2, 2), name).reshape(-1).tolist() == pytest.approx([0.25, 0.75, 0.5, 0.5])
    assert result(Across("argmax"), [values], (1, 2, 1), name).reshape(-1).tolist() == [1, 0]
    assert result(Across("normalise", 1.0), [values * 0 + [3, 7]], (1, 2, 2), name)[0, 0].tolist() == pytest.approx([-(0.8**0.5), 0.8**0.5])
    assert result(Across("mean"), [values], (1, 2, 1), name)[0, 1, 0] == 5


@pytest.mark.parametrize("name", ["plain", "compiled"])
def test_a_pooled_vector_weighs_the_channels_and_a_mask_the_pixels(name):
    values, weights = np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.array([[[2, 3]]], np.float32)
    assert np.array_equal(result(Broadcast("mul"), [values, weights], (2, 2, 2), name), values * weights)
    mask = np.array([[[0], [1]], [[2], [3]]], np.float32)
    assert np.array_equal(result(Broadcast("sub", mask, swapped=True), [values], (2, 2, 2), name), mask - values)
    assert np.array_equal(result(Broadcast("add"), [mask, weights], (2, 2, 2), name), mask + weights)


def axis_picks(random: np.random.Generator, before: int, after: int) -> np.ndarray:
    return random.integers(-1, before, after).astype(np.int32)


@st.composite
def operations(draw):
    """(form, source arrays, target's shape), of any kind and size."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    height, width, channels = draw(st.integers(1, 5)), draw(st.integers(1, 19)), draw(st.sampled_from([1, 3, 16, 19]))
    shape = height, width, channels
    act = Activation(draw(st.sampled_from(["none", "relu", "swish"])), 0.5, 1.5)
    kind = draw(st.sampled_from(["broadcast", "constant", "pick", "across", "total"]))

    def some(*size):
        return random.standard_normal(size).astype(np.float32)

    if kind in ("broadcast", "constant"):
        op = draw(st.sampled_from(["sub", "mul", "copy", "prelu"]))
        flat = [tuple(size if draw(st.booleans()) else 1 for size in shape) for _ in range(2)]
        target = tuple(max(sizes) for sizes in zip(*flat, strict=True))
        sides = [some(*size) for size in flat]
        if kind == "broadcast":
            return Broadcast(op, activation=act), sides, target
        return Broadcast(op, sides[0], draw(st.booleans()), act), sides[1:], target
    if kind == "pick":
        rows, columns = axis_picks(random, height, height + 1), axis_picks(random, width, width + 2)
        taps = np.stack([np.zeros(7, int), np.zeros(7, int), random.integers(-1, channels, 7)], axis=1).astype(np.int32)
        nothing = np.zeros(height + 1, np.int32), np.zeros(width + 2, np.int32)
        return Pick(rows, columns, taps, *nothing, 0.25, act), [some(*shape)], (height + 1, width + 2, 7)
    if kind == "across":
        op = draw(st.sampled_from(["softmax", "log_softmax", "normalise", "argmax", "argmin", "max", "min", "sum", "mean"]))
        return Across(op, 0.01), [some(*shape)], (height, width, channels if "softmax" in op or op == "normalise" else 1)
    axis = draw(st.sampled_from([0, 1]))
    target = (height, 1, channels) if axis == 1 else (1, width, channels)
    return Total(axis, draw(st.sampled_from(["sum", "max", "min"])), 3.0, act), [some(*shape)], target


@settings(max_examples=20, deadline=None, derandomize=True)
@given(operation=operations(), gate=st.sampled_from([None, 0.0, 0.5]), lanes=st.sampled_from([4, 8, 16]), data=st.data())
def test_compiled_equals_plain_for_any_runs(operation, gate, lanes, data):
    form, sources, shape = operation
    rows = data.draw(st.lists(st.integers(0, shape[0] - 1), unique=True))
    runs = np.array([(y, x := data.draw(st.integers(0, shape[1] - 1)), data.draw(st.integers(x + 1, shape[1]))) for y in rows], np.int32)
    before = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    stores = tuple(data.draw(st.sampled_from(STORES)) for _ in range(3))
    backends = open_backend("plain"), open_backend("compiled", lanes)
    made = [run(backend, form, sources, before, runs.reshape(-1, 3), gate, stores) for backend in backends]
    assert made[0].padded.tobytes() == made[1].padded.tobytes()
    assert np.array_equal(made[0].live != 0, made[1].live != 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lanes", [4, 16])
def test_every_activation_has_the_same_bits_for_every_number(kind, lanes):
    odd = [0, -0.0, 1e-40, -1e-40, 1e-20, 50, -50, 100, -100, 3e38, np.inf, -np.inf, np.nan, -1, 0.5, 1.5, 2.5, -2.5]
    values = np.concatenate([odd, np.random.default_rng(0).standard_normal(302) * 4]).astype(np.float32).reshape(1, 20, 16)
    form = Combine("copy", activation=Activation(kind, 0.75, 0.25))
    made = [
        run(backend, form, [values], np.ones_like(values), full(1, 20))
        for backend in (open_backend("plain"), open_backend("compiled", lanes))
    ]
    assert made[0].values.tobytes() == made[1].values.tobytes()


def truth(kind: str, v: np.ndarray) -> np.ndarray:
    erf = np.vectorize(__import__("math").erf)
    soft = np.logaddexp(0, v)
    return {
        "elu": np.where(v > 0, v, 0.75 * np.expm1(v)),
        "softplus": soft,
        "mish": v * np.tanh(soft),
        "gelu": v / 2 * (1 + erf(v / np.sqrt(2))),
        "gelu_tanh": v / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (v + 0.044715 * v**3))),
        "erf": erf(v),
        "tanh": np.tanh(v),
        "swish": v / (1 + np.exp(-0.75 * v)),
        "softsign": v / (1 + np.abs(v)),
        "exp": np.exp(v),
        "log": np.log(np.abs(v)),
    }[kind]


@pytest.mark.parametrize("kind", ["elu", "softplus", "mish", "gelu", "gelu_tanh", "erf", "tanh", "swish", "softsign", "exp", "log"])
def test_activations_are_what_their_names_say(kind):
    """Within 1e-6 of the range."""
    v = np.linspace(-9, 9, 4001).astype(np.float32)
    v = np.where(v == 0, np.float32(1), np.abs(v) if kind == "log" else v)
    expected = truth(kind, v.astype(np.float64))
    assert np.abs(apply(Activation(kind, 0.75), v) - expected).max() <= 1e-6 * max(1, np.ptp(expected))
