"""Depthwise, pooling, resizing, combining and intake: compiled equals plain bit for bit, whatever the stores, widths, gates and runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from edgevision.kernels.compiled.backend import Compiled
from edgevision.kernels.forms import (
    BF16,
    F32,
    NO_LIVE,
    Activation,
    Axis,
    Backend,
    Combine,
    Convolve,
    Form,
    Intake,
    Plane,
    Pool,
    Resize,
    Store,
    Window,
)
from edgevision.kernels.plain.backend import Plain
from edgevision.kernels.plain.store import encode

HEIGHT, WIDTH, BORDER = 3, 11, 8
STORES = (F32, BF16, Store("u8", 0.02, 0), Store("u8", 0.031, 120))
WINDOWS = (
    Window((3, 3), (1, 1), (1, 1), (1, 1)), Window((3, 3), (2, 2), (1, 1), (1, 1)), Window((2, 2), (2, 2)),
    Window((5, 5), (1, 2), (1, 1), (2, 2)), Window((3, 2), (2, 1), (2, 3), (2, 1)), Window((1, 7), (1, 1), (1, 1), (0, 3)),
    Window((7, 3), (1, 1), (1, 1), (3, 0)),
)  # fmt: skip
ODD = np.array([-np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 3e38], np.float32)  # the NaN that x86 makes itself


@dataclass(frozen=True)
class Case:
    """One operation and how its tensors are held; `beside`: channels of a joined buffer before and after the target's."""

    name: str
    channels: int
    window: Window
    stores: tuple[Store, Store, Store]
    activation: Activation
    gate: float | None
    beside: int
    seed: int


def plane(values: np.ndarray, store: Store, random: np.random.Generator, beside: int = 0) -> Plane:
    """The values, held so, in a buffer whose other channels hold anything at all."""
    (height, width, channels), size = values.shape, store.dtype.itemsize
    pitch = -(-(channels + 2 * beside) * size // 4) * 4 // size
    shape = (height + 2 * BORDER, width + 2 * BORDER, pitch)
    whole = random.integers(0, 256, int(np.prod(shape)) * size, np.uint8).view(store.dtype).reshape(shape)
    padded = whole[:, :, beside : beside + channels]
    padded[...] = store.zero
    extent = np.empty((height, 2), np.int32)
    extent[...] = NO_LIVE
    made = Plane(padded, BORDER, BORDER, height, width, np.zeros((height, width), np.uint8), extent, store=store)
    made.values[...] = encode(values, store)
    return made


def axis(before: int, after: int, random: np.random.Generator) -> Axis:
    first, second = random.integers(0, before, (2, after)).astype(np.int32)
    return Axis(first, second, random.random(after, np.float32))


def form_of(case: Case, random: np.random.Generator) -> Form:
    channels = case.channels
    bias = random.standard_normal(channels).astype(np.float32)
    if case.name == "depthwise":
        weights, factors = random.standard_normal((channels, 1, *case.window.kernel)).astype(np.float32), None
        if case.stores[0].kind == "u8":
            weights, factors = (
                random.integers(-128, 128, weights.shape).astype(np.int8),
                random.uniform(-1e-3, 1e-3, channels).astype(np.float32),
            )
        return Convolve(case.window, weights, bias, channels, case.activation, False, factors)
    if case.name in ("max", "average", "average padded"):
        return Pool(case.window, case.name.split()[0], "padded" in case.name)
    if case.name in ("nearest", "bilinear"):
        return Resize(axis(5, HEIGHT, random), axis(7, WIDTH, random), case.name == "nearest")
    if case.name.startswith("constant "):
        return Combine(case.name.split()[1], bias, bool(random.integers(2)), case.activation)
    return Combine(case.name.split()[0], activation=case.activation)


def sizes_of(case: Case) -> tuple[int, int]:
    if case.name in ("nearest", "bilinear"):
        return 5, 7
    if case.name not in ("depthwise", "max", "average", "average padded"):
        return HEIGHT, WIDTH
    window = case.window
    return tuple(
        max(1, (outputs - 1) * stride - 2 * pad + (kernel - 1) * dilation + 1)
        for outputs, stride, pad, kernel, dilation in zip(
            (HEIGHT, WIDTH), window.stride, window.pad, window.kernel, window.dilation, strict=True
        )
    )


def build(case: Case) -> tuple[Form, tuple[Plane, ...], Plane]:
    """The form and fresh planes, the same for the same case. A quarter of the values are the odd ones."""
    if case.name == "depthwise" and case.channels == 1:
        case = replace(case, channels=2)
    random = np.random.default_rng(case.seed)

    def draw(*shape: int) -> np.ndarray:
        values = (random.standard_normal(shape) * 2).astype(np.float32)
        return np.where(random.random(shape) < 0.25, random.choice(ODD, shape), values)

    form, size = form_of(case, random), sizes_of(case)
    count = 2 if case.name in ("add", "sub", "mul", "div", "max of two", "min of two", "prelu") else 1
    sources = tuple(plane(draw(*size, case.channels), case.stores[place], random) for place in range(count))
    target = plane(draw(HEIGHT, WIDTH, case.channels), case.stores[2], random, case.beside)
    return form, sources, target


def run(case: Case, backend: Backend, spans: list[tuple[int, int, int]]) -> tuple[bytes, bytes, Plane]:
    """All of the buffer, the live bytes, and the target."""
    form, sources, target = build(case)
    gate = None if case.gate is None else np.array([case.gate], np.float32)
    kernel, unit = backend.bind(form, backend.pack(form), sources, target, gate)
    assert unit == 1
    runs = np.array(spans, np.int32).reshape(-1, 3)
    with np.errstate(all="ignore"):
        kernel(runs, 0, len(runs))
    whole = target.padded if target.padded.base is None else target.padded.base
    return np.ascontiguousarray(whole).tobytes(), target.live.tobytes(), target


NAMES = (
    "depthwise", "max", "average", "average padded", "nearest", "bilinear", "copy", "add", "sub", "mul", "div", "max of two", "min of two",
    "prelu", "constant add", "constant div", "constant prelu",
)  # fmt: skip
CASES = st.builds(
    Case,
    name=st.sampled_from(NAMES),
    channels=st.sampled_from([1, 3, 4, 16, 19, 33, 40, 71]),
    window=st.sampled_from(WINDOWS),
    stores=st.tuples(*[st.sampled_from(STORES)] * 3),
    activation=st.sampled_from([Activation(), Activation("relu"), Activation("clamp", 0.0, 6.0), Activation("hswish"), Activation("silu")]),
    gate=st.sampled_from([None, None, 0.0, 0.7]),
    beside=st.sampled_from([0, 0, 5]),
    seed=st.integers(0, 9),
)
FULL = [(row, 0, WIDTH) for row in range(HEIGHT)]


def assert_equal(case: Case, lanes: int, spans: list[tuple[int, int, int]]) -> None:
    want, got = run(case, Plain(), spans), run(case, Compiled(lanes), spans)
    assert want[1] == got[1]
    assert want[0] == got[0]


@settings(max_examples=24, deadline=None, derandomize=True, phases=[Phase.generate])
@given(case=CASES, lanes=st.sampled_from([4, 8, 16]))
def test_compiled_equals_plain(case, lanes):
    """Target, its neighbours in a joined buffer, live bytes."""
    assert_equal(case, lanes, FULL)


@settings(max_examples=25, deadline=None, derandomize=True, phases=[Phase.generate])
@given(
    case=CASES,
    lanes=st.sampled_from([4, 16]),
    spans=st.lists(st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.integers(1, WIDTH)), min_size=1, max_size=4),
)
def test_run_length_does_not_matter(case, lanes, spans):
    """Pixels of short runs equal those of long ones, and no other pixel is touched: the oracle's on the same runs."""
    assert_equal(case, lanes, sorted({(y, x, min(WIDTH, x + length)) for y, x, length in spans}))


@pytest.mark.parametrize("pair", [(a, b) for a in range(4) for b in range(4)])
@pytest.mark.parametrize("name", ["depthwise", "copy"])
def test_every_pair_of_stores(name, pair):
    """And so does f32 become u8: a copy to another store."""
    stores = (STORES[pair[0]], STORES[pair[0]], STORES[pair[1]])
    for gate in (None, 0.5):
        assert_equal(Case(name, 21, WINDOWS[0], stores, Activation(), gate, 5, 1), 16, FULL)


@pytest.mark.parametrize("name", ["copy", "max", "nearest"])
@pytest.mark.parametrize("store", STORES, ids=str)
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_what_is_handed_on_as_it_is(name, store, lanes):
    """Equal stores: whole vectors of bytes and what is left of them."""
    for channels in (3, 64, 150):
        assert_equal(Case(name, channels, WINDOWS[1], (store, store, store), Activation(), None, 0, 2), lanes, FULL)


@pytest.mark.filterwarnings("ignore:overflow")
def test_a_store_too_fine_to_become_itself_again_is_not_copied_as_it_is():
    """1 / scale overflows: every value is coded anew, to other bytes."""
    store = Store("u8", 1e-39, 0)
    assert_equal(Case("copy", 16, WINDOWS[0], (store, store, store), Activation(), None, 0, 0), 16, FULL)


@pytest.mark.parametrize("store", STORES, ids=str)
@pytest.mark.parametrize("kind", ["tensor", "frame", "resized"])
def test_intake_into_every_store(kind, store):
    random = np.random.default_rng(0)
    table = random.standard_normal((3, 256)).astype(np.float32)
    resize = Resize(axis(6, HEIGHT, random), axis(9, WIDTH, random), is_nearest=False)
    resize.rows.first[0] = -1
    intake, picture = {
        "tensor": (Intake(), random.standard_normal((3, HEIGHT, WIDTH)).astype(np.float32)),
        "frame": (Intake(table, (2, 1, 0)), random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)),
        "resized": (Intake(table, (2, 0, 1), resize, np.array([1, 2, 3], np.float32)), random.integers(0, 256, (6, 9, 3), np.uint8)),
    }[kind]
    made = []
    for backend in (Plain(), Compiled(4), Compiled(16)):
        target = plane(np.zeros((HEIGHT, WIDTH, 3), np.float32), store, np.random.default_rng(1))
        backend.bind_intake(intake, target)(picture, np.array(FULL, np.int32), HEIGHT)
        made.append((target.padded.tobytes(), target.live.tobytes()))
        new = plane(np.zeros((HEIGHT, WIDTH, 3), np.float32), store, np.random.default_rng(1))
        backend.bind_intake(intake, new)(picture, np.array(FULL, np.int32), HEIGHT, True)
        assert new.padded.tobytes() == target.padded.tobytes()  # compared with nothing: the same bits, and all of it live
        assert new.live.all()
    assert made[0] == made[1] == made[2]
