"""Convolution: compiled equals plain bit for bit, whatever the stores, the geometry, the instructions and the runs."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels.compiled.backend import Compiled
from edgevision.kernels.compiled.blocking import split
from edgevision.kernels.compiled.cpu import Cpu, detect, named
from edgevision.kernels.compiled.dot import arrange, cut
from edgevision.kernels.forms import BF16, F32, NO_LIVE, Activation, Backend, Convolve, Plane, Store, Window
from edgevision.kernels.plain.backend import Plain
from edgevision.kernels.plain.store import decode, encode

HEIGHT, WIDTH = 5, 17
U8, SHIFTED = Store("u8", 0.02, 0), Store("u8", 0.03, 121)
HERE = detect()
CPUS = [Cpu(4), Cpu(8)] + ([Cpu(16)] if HERE.lanes == 16 else []) + ([HERE] if HERE.has_vnni or HERE.has_bf16 else [])


@dataclass(frozen=True)
class Case:
    """One convolution and how its tensors are held; `beside`: channels of a joined buffer before and after."""

    inputs: int
    outputs: int
    window: Window
    groups: int
    stores: tuple[Store, Store]
    residual: Store | None
    activation: Activation
    gate: float | None
    beside: int
    seed: int


def plane(values: np.ndarray, store: Store, border: tuple[int, int], beside: int, random: np.random.Generator) -> Plane:
    """The values, held so, in a buffer whose other channels hold anything at all."""
    (height, width, channels), size = values.shape, store.dtype.itemsize
    top, left = border
    pitch = -(-(channels + 2 * beside) * size // 4) * 4 // size
    whole = np.zeros((height + 2 * top + 4, width + 2 * left + 4, pitch), store.dtype)
    if beside:
        whole[...] = random.integers(0, 256, whole.nbytes, np.uint8).view(store.dtype).reshape(whole.shape)
    padded = whole[:, :, beside : beside + channels]
    padded[...] = store.zero
    extent = np.empty((height, 2), np.int32)
    extent[...] = NO_LIVE
    made = Plane(padded, top, left, height, width, np.zeros((height, width), np.uint8), extent, store=store)
    made.values[...] = encode(values, store)
    return made


def build(case: Case) -> tuple[Convolve, tuple[Plane, ...], Plane]:
    """The form and fresh planes, the same for the same case."""
    random = np.random.default_rng(case.seed)
    source, target = case.stores
    window = case.window
    shape = (case.outputs, case.inputs // case.groups, *window.kernel)
    if source.kind == "u8":
        is_narrow = (random.random(shape) < 0.98) & (case.seed % 2 == 1)  # few large weights, or any
        weights = np.where(is_narrow, random.integers(-50, 50, shape), random.integers(-128, 128, shape)).astype(np.int8)
        factors = random.uniform(1e-4, 1e-3, case.outputs).astype(np.float32)
    else:
        weights, factors = random.standard_normal(shape).astype(np.float32), None
        weights = decode(encode(weights, BF16), BF16) if source.kind == "bf16" else weights
    bias = random.standard_normal(case.outputs).astype(np.float32)
    form = Convolve(window, weights, bias, case.groups, case.activation, case.residual is not None, factors)
    size = [(HEIGHT - 1) * window.stride[0] + 1, (WIDTH - 1) * window.stride[1] + 1]
    border = tuple((window.kernel[axis] - 1) * window.dilation[axis] + window.pad[axis] for axis in (0, 1))

    def draw(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 2).astype(np.float32)

    sources = [plane(draw(*size, case.inputs), source, border, case.beside, random)]
    if case.residual is not None:
        sources.append(plane(draw(HEIGHT, WIDTH, case.outputs), case.residual, (0, 0), case.beside, random))
    return form, tuple(sources), plane(draw(HEIGHT, WIDTH, case.outputs), target, (1, 1), case.beside, random)


def results(case: Case, backend: Backend, runs: np.ndarray) -> list[bytes]:
    """The target's whole buffer and live bytes after a first pass, and after a second with other inputs at a few pixels."""
    form, sources, target = build(case)
    gate = None if case.gate is None else np.array([case.gate], np.float32)
    kernel, unit = backend.bind(form, backend.pack(form), sources, target, gate)
    assert unit == 1
    told = []
    for values in (None, sources[0].values[1, 3:6][..., ::-1].copy()):
        if values is not None:
            sources[0].values[2, 4:7] = values
        target.live[...] = 0
        with np.errstate(all="ignore"):
            kernel(runs, 0, len(runs))
        told += [target.padded.base.tobytes(), target.live.tobytes()]
    return told


EVERYTHING = np.array([(row, 0, WIDTH) for row in range(HEIGHT)], np.int32)
FLOATS, BYTES = (F32, BF16), (U8, SHIFTED)
PAIRS = st.tuples(st.sampled_from([*FLOATS, *BYTES]), st.sampled_from([*FLOATS, *BYTES]))
SMALL = st.tuples(st.integers(1, 3), st.integers(1, 3))
WINDOWS = st.builds(Window, SMALL, st.sampled_from([(1, 1), (2, 2), (2, 1)]), st.sampled_from([(1, 1), (1, 2)]), st.just((0, 1)))
CASES = st.builds(
    Case,
    inputs=st.sampled_from([1, 2, 3, 5, 8]).map(lambda n: 2 * n),
    outputs=st.sampled_from([2, 6, 16, 24, 42, 80, 120]),
    window=st.one_of(WINDOWS, st.just(Window((3, 3), pad=(1, 1)))),
    groups=st.sampled_from([1, 1, 2]),
    stores=PAIRS,
    residual=st.one_of(st.none(), st.sampled_from([*FLOATS, *BYTES])),
    activation=st.sampled_from([Activation(), Activation("relu"), Activation("clamp", 0.0, 6.0)]),
    gate=st.sampled_from([None, None, -1.0, 0.0, 0.5]),
    beside=st.sampled_from([0, 1, 3]),
    seed=st.integers(0, 99),
)


@pytest.mark.parametrize("cpu", CPUS, ids=str)
@settings(max_examples=12, deadline=None, derandomize=True)
@given(case=CASES, is_odd=st.booleans())
def test_compiled_equals_plain(cpu, case, is_odd):
    if is_odd and case.groups == 1:
        case = replace(case, inputs=case.inputs - 1, outputs=case.outputs + 1)
    assert results(case, Compiled(cpu), EVERYTHING) == results(case, Plain(), EVERYTHING)


@pytest.mark.parametrize("cpu", CPUS, ids=str)
@pytest.mark.parametrize("kernel", [(1, 2), (3, 3)])
def test_groups_of_one_channel_next_to_each_other(cpu, kernel):
    """Two bf16 channels, a group each, share a word: a kernel's row is no single run of words."""
    case = Case(2, 4, Window(kernel), 2, (BF16, F32), None, Activation(), None, 0, 3)
    assert results(case, Compiled(cpu), EVERYTHING) == results(case, Plain(), EVERYTHING)


COMBINATIONS = [(source, target) for source in (F32, BF16, SHIFTED) for target in (F32, BF16, U8, SHIFTED)]


@pytest.mark.parametrize("cpu", CPUS, ids=str)
@pytest.mark.parametrize(("source", "target"), COMBINATIONS, ids=[f"{a.kind}.{a.zero}-{b.kind}.{b.zero}" for a, b in COMBINATIONS])
def test_every_pair_of_stores(cpu, source, target):
    window = Window((3, 3), (1, 1), (1, 1), (1, 1))
    for gate in (None, 0.25):
        case = Case(7, 37, window, 1, (source, target), target, Activation("relu"), gate, 1, 5)
        assert results(case, Compiled(cpu), EVERYTHING) == results(case, Plain(), EVERYTHING)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(store=st.sampled_from([F32, BF16, SHIFTED]), data=st.data())
def test_runs_do_not_matter(store, data):
    """A pixel's value is the same in runs of any length and order, and what no run names is left alone."""
    spans = data.draw(st.lists(st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.integers(1, WIDTH)), max_size=8))
    runs = np.array([(y, x, min(WIDTH, x + length)) for y, x, length in spans], np.int32).reshape(-1, 3)
    case = Case(6, 72, Window((3, 3), pad=(1, 1)), 1, (store, store), None, Activation(), None, 0, 1)
    named_px = np.zeros((HEIGHT, WIDTH), bool)
    for y, start, stop in runs:
        named_px[y, start:stop] = True
    targets = []
    for chosen in (EVERYTHING, runs):
        form, sources, target = build(case)
        before = target.values.copy()
        backend = Compiled()
        kernel, _ = backend.bind(form, backend.pack(form), sources, target, None)
        kernel(chosen, 0, len(chosen))
        targets.append(target)
    full, some = targets
    assert some.values[named_px].tobytes() == full.values[named_px].tobytes()
    assert some.values[~named_px].tobytes() == before[~named_px].tobytes()
    assert not some.live[~named_px].any()


def test_a_long_list_of_pixels_is_taken_in_parts():
    """More pixels than are listed at once, in runs that end anywhere, with and without a gate."""
    random = np.random.default_rng(0)
    for gate, outputs in ((None, 24), (0.5, 80)):
        window = Window((1, 1))
        weights, bias = random.standard_normal((outputs, 8, 1, 1)).astype(np.float32), np.zeros(outputs, np.float32)
        values = random.standard_normal((9, 233, 8)).astype(np.float32)
        made = []
        for backend in (Plain(), Compiled()):
            source = plane(values, F32, (0, 0), 0, random)
            target = plane(np.zeros((9, 233, outputs), np.float32), F32, (0, 0), 0, random)
            form = Convolve(window, weights, bias)
            kernel, _ = backend.bind(form, backend.pack(form), (source,), target, None if gate is None else np.array([gate], np.float32))
            runs = np.array([(row, row, 233 - 2 * row) for row in range(9)], np.int32)
            kernel(runs, 1, 9)
            made.append((target.padded.tobytes(), target.live.tobytes()))
        assert made[0] == made[1]


@pytest.mark.parametrize("target", [F32, BF16, U8, SHIFTED], ids=lambda store: f"{store.kind}.{store.zero}")
def test_values_beyond_all_bounds(target):
    """NaN, infinities, -0, ties and what no byte reaches, in one channel of a full vector and of a tail."""
    special = [np.nan, np.inf, -np.inf, 1e30, -1e30, 3e38, -0.0, 0.0, 0.01, 0.03, 0.045, -0.01, 5.09, 5.1, 5.11, 1e-3, 2.0**31, -(2.0**31)]
    values = np.zeros((1, len(special), 1), np.float32)
    values[0, :, 0] = special
    form = Convolve(Window((1, 1)), np.ones((21, 1, 1, 1), np.float32), np.full(21, -0.0, np.float32))
    told = []
    for backend in (Plain(), *map(Compiled, CPUS)):
        random = np.random.default_rng(0)
        source, made = plane(values, F32, (0, 0), 0, random), plane(np.ones((1, len(special), 21), np.float32), target, (0, 0), 0, random)
        kernel, _ = backend.bind(form, backend.pack(form), (source,), made, None)
        kernel(np.array([(0, 0, len(special))], np.int32), 0, 1)
        told.append(made.values.tolist() if target.kind == "u8" else made.values.tobytes())
    assert all(one == told[0] for one in told[1:])


@given(seed=st.integers(0, 1000), channels=st.integers(1, 9))
def test_cut_weights_fit_sixteen_bits(seed, channels):
    weights = np.random.default_rng(seed).choice(np.array([-128, -127, -90, -1, 0, 1, 64, 90, 127], np.int8), (2, channels, 3))
    parts = cut(weights)
    assert np.array_equal(parts[0].astype(int) + parts[1], weights)
    for part in parts:
        pairs = np.pad(part.astype(int), ((0, 0), (0, channels % 2), (0, 0))).reshape(2, -1, 2, 3)
        assert (255 * np.maximum(pairs, 0).sum(2)).max() < 1 << 15
        assert (255 * np.minimum(pairs, 0).sum(2)).min() >= -(1 << 15)


def test_sums_of_bytes_saturate_nowhere():
    """255 x 127 in every channel: pairs of such products do not fit 16 bits."""
    for cpu in CPUS:
        source, target = (plane(np.full((1, 4, 64), 9, np.float32), F32, (0, 0), 0, np.random.default_rng(0)) for _ in range(2))
        source = plane(np.full((1, 4, 64), 9, np.float32), Store("u8", 0.01, 0), (0, 0), 0, np.random.default_rng(0))
        form = Convolve(Window((1, 1)), np.full((64, 64, 1, 1), 127, np.int8), np.zeros(64, np.float32), factors=np.ones(64, np.float32))
        backend = Compiled(cpu)
        kernel, _ = backend.bind(form, backend.pack(form), (source,), target, None)
        kernel(np.array([(0, 0, 4)], np.int32), 0, 1)
        assert (target.values == 255 * 127 * 64).all()


@pytest.mark.parametrize("cpu", [Cpu(4), Cpu(8), Cpu(16, True, True)])
@pytest.mark.parametrize("channels", [1, 7, 8, 9, 16, 17, 24, 31, 33, 40, 64, 72, 80, 144, 320, 512, 1000])
def test_blocks_cover_all_channels_once(cpu, channels):
    for channel_bytes in (36, 20_000):
        blocks = split(channels, channel_bytes, cpu)
        assert [block.start for block in blocks] == [sum(one.used for one in blocks[:place]) for place in range(len(blocks))]
        assert sum(block.used for block in blocks) == channels
        assert all(0 < block.tail <= block.lanes for block in blocks)


@pytest.mark.parametrize("kind", ["f32", "bf16", "halves", "bytes", "quads", "pairs"])
def test_arranged_weights_lie_word_by_word(kind):
    """Every weight of a tap once, and what fills words up is 0."""
    weights = np.arange(1, 1 + 5 * 16, dtype=np.int8 if kind in ("bytes", "quads", "pairs") else np.float32).reshape(1, 5, 16)
    held = arrange(weights, kind, 8)
    values = decode(held, BF16) if kind == "bf16" else held
    assert sorted(values.ravel().tolist()) == sorted([0] * (values.size - 80) + weights.ravel().tolist())
    per_word = {"f32": 1, "bf16": 2, "halves": 2, "bytes": 4, "quads": 4, "pairs": 4}[kind]
    assert values.shape[1] == -(-5 // per_word)
    assert values[0, 0, 1].min() >= 9


@pytest.mark.parametrize(
    ("name", "features", "cpu"),
    [
        ("generic", "", Cpu(4)),
        ("x86-64-v3", "", Cpu(8)),
        ("haswell", "+avx2,+fma", Cpu(8)),
        ("haswell", "-avx2", Cpu(4)),
        ("alderlake", "", Cpu(8, True)),
        ("skylake-avx512", "", Cpu(16)),
        ("skylake-avx512", "-avx512f", Cpu(8)),
        ("cascadelake", "", Cpu(16, True)),
        ("znver4", "", Cpu(16, True, True)),
        ("znver4", "-avx512bf16,-avx512vnni", Cpu(16)),
        ("generic", "+avx2,+fma", Cpu(8)),
    ],
)
def test_named_cpus(name, features, cpu):
    assert named(name, features) == cpu


PROGRAM = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from test_convolve import *
for store in (F32, BF16, SHIFTED):
    case = Case(6, 42, Window((3, 3), pad=(1, 1)), 1, (store, store), None, Activation("relu"), None, 0, 1)
    print(hashlib.sha256(b"".join(results(case, Compiled(), EVERYTHING))).hexdigest())
print(detect().lanes)
"""


@pytest.mark.parametrize(("cpu", "lanes"), [("haswell", "8"), ("x86-64", "4")])
def test_cpus_without_new_instructions_give_the_same_bits(tmp_path, cpu, lanes):
    told = []
    for forced in ({}, {"NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": ""}):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, os.path.dirname(__file__)],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), **forced},
            capture_output=True, text=True, check=True, timeout=150,
        )  # fmt: skip
        told.append(done.stdout.split())
    assert told[0][:-1] == told[1][:-1]
    assert told[1][-1] == lanes
