"""Every form, plain against compiled in every vector width: the same bits, the same live pixels, for any runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.kernels import open_backend
from edgevision.kernels.forms import Activation, Axis, Backend, Combine, Convolve, Form, Intake, Plane, Pool, Resize, Window

HEIGHT, WIDTH, BORDER = 9, 27, 4


def plane(values: np.ndarray, beside: int = 0) -> Plane:
    """`beside`: so many channels of a joined buffer lie before and after these."""
    height, width, channels = values.shape
    whole = np.zeros((height + 2 * BORDER, width + 2 * BORDER, channels + 2 * beside), np.float32)
    padded = whole[:, :, beside : beside + channels]
    extent = np.empty((height, 2), np.int32)
    extent[...] = (1 << 30, -1)
    made = Plane(padded, BORDER, BORDER, height, width, np.zeros((height, width), np.uint8), extent)
    made.values[...] = values
    return made


NONE = Activation()


def convolution(inputs: int, outputs: int, kernel: int = 3, groups: int = 1, act: Activation = NONE, residual: bool = False, **window):
    random = np.random.default_rng(inputs * 100 + outputs)
    weights = random.standard_normal((outputs, inputs // groups, kernel, kernel)).astype(np.float32)
    shape = Window((kernel, kernel), pad=window.pop("pad", (kernel // 2, kernel // 2)), **window)
    return Convolve(shape, weights, random.standard_normal(outputs).astype(np.float32), groups, act, residual)


def axis(before: int, after: int) -> Axis:
    places = np.linspace(0, before - 1, after).astype(np.float32)
    first = np.floor(places).astype(np.int32)
    return Axis(first, np.minimum(first + 1, before - 1).astype(np.int32), (places - first).astype(np.float32))


FORMS: dict[str, tuple[Form, int, int]] = {
    "stem": (convolution(3, 16, stride=(2, 2), act=Activation("relu")), 1, 3),
    "tail": (convolution(5, 21, act=Activation("leaky", 0.1)), 1, 5),
    "blocks": (convolution(4, 80, act=Activation("clamp", 0.0, 6.0)), 1, 4),
    "three vectors": (convolution(4, 48), 1, 4),
    "dilated": (convolution(3, 8, dilation=(2, 3), pad=(2, 3)), 1, 3),
    "asymmetric": (convolution(3, 8, pad=(0, 1)), 1, 3),
    "large kernel": (convolution(2, 4, kernel=5, act=Activation("sigmoid")), 1, 2),
    "groups": (convolution(12, 20, groups=4, act=Activation("silu")), 1, 12),
    "residual": (convolution(4, 24, kernel=1, residual=True, act=Activation("tanh")), 2, 24),
    "depthwise": (convolution(19, 19, groups=19, act=Activation("hswish")), 1, 19),
    "depthwise s2": (convolution(16, 16, groups=16, stride=(2, 2)), 1, 16),
    "max": (Pool(Window((3, 3), (2, 2), (1, 1), (1, 1)), "max"), 1, 7),
    "average": (Pool(Window((3, 3), (1, 1), (1, 1), (1, 1)), "average"), 1, 7),
    "average padded": (Pool(Window((2, 2), (2, 2), (1, 1), (1, 1)), "average", count_pad=True), 1, 16),
    "nearest": (Resize(axis(HEIGHT, HEIGHT), axis(WIDTH, WIDTH), is_nearest=True), 1, 5),
    "bilinear": (Resize(axis(6, HEIGHT), axis(11, WIDTH), is_nearest=False), 1, 5),
    "add": (Combine("add", activation=Activation("relu")), 2, 5),
    "constant / x": (Combine("div", np.arange(1, 6, dtype=np.float32), swapped=True), 1, 5),
    "max of two": (Combine("max", activation=Activation("hsigmoid")), 2, 16),
    "prelu": (Combine("prelu", np.linspace(-1, 1, 5).astype(np.float32)), 1, 5),
}


def target_channels(form: Form, source: int) -> int:
    return len(form.weights) if isinstance(form, Convolve) else source


def run(backend: Backend, name: str, runs: np.ndarray, gate: float | None, beside: int = 0) -> Plane:
    """A fresh target after the runs. Where the source's grid is finer than the target's, the runs stay inside what exists."""
    form, count, channels = FORMS[name]
    random = np.random.default_rng(3)
    first = form.weights.shape[1] * form.groups if isinstance(form, Convolve) else channels
    stride = form.window.stride[0] if isinstance(form, Convolve | Pool) else 1
    sizes = (HEIGHT * stride, WIDTH * stride)
    sources = [plane(random.standard_normal((*sizes, first)).astype(np.float32))]
    if count == 2:
        sources.append(plane(random.standard_normal((HEIGHT, WIDTH, channels)).astype(np.float32)))
    target = plane(random.standard_normal((HEIGHT, WIDTH, target_channels(form, channels))).astype(np.float32), beside)
    limit = None if gate is None else np.array([gate], np.float32)
    kernel, unit = backend.bind(form, backend.pack(form), tuple(sources), target, limit)
    widened = np.array([(y, min(a, WIDTH - unit), max(b, min(a, WIDTH - unit) + unit)) for y, a, b in runs], np.int32).reshape(-1, 3)
    for _ in range(2):
        kernel(widened, 0, len(widened))
    target.live_px = backend.marker(target, widened)(len(widened))
    return target


@pytest.mark.parametrize("lanes", [4, 8, 16])
@pytest.mark.parametrize("gate", [None, 1.5])
@pytest.mark.parametrize("name", FORMS)
def test_compiled_equals_plain(name, lanes, gate):
    runs = np.array([(row, 0, WIDTH) for row in range(HEIGHT)], np.int32)
    plain, compiled = run(open_backend("plain"), name, runs, gate), run(open_backend("compiled", lanes), name, runs, gate)
    assert plain.padded.tobytes() == compiled.padded.tobytes()
    assert np.array_equal(plain.live, compiled.live)
    assert np.array_equal(plain.extent, compiled.extent)
    assert plain.live_px == compiled.live_px == np.count_nonzero(plain.live)


@pytest.mark.parametrize("gate", [None, 1.5])
@pytest.mark.parametrize("name", FORMS)
def test_a_slice_of_a_joined_buffer_leaves_its_neighbours_alone(name, gate):
    runs = np.array([(row, 0, WIDTH) for row in range(HEIGHT)], np.int32)
    alone, joined = (run(open_backend("compiled"), name, runs, gate, beside) for beside in (0, 5))
    assert alone.padded.tobytes() == joined.padded.tobytes()
    assert np.array_equal(alone.live, joined.live)
    whole = joined.padded.base
    assert not whole[:, :, :5].any()
    assert not whole[:, :, -5:].any()


@settings(max_examples=40, deadline=None, derandomize=True)
@given(name=st.sampled_from(["stem", "tail", "groups", "depthwise", "max", "bilinear", "add"]), data=st.data())
def test_run_length_does_not_matter(name, data):
    """A pixel's value is the same in a run of any length, at any place of it."""
    spans = data.draw(st.lists(st.tuples(st.integers(0, HEIGHT - 1), st.integers(0, WIDTH - 1), st.integers(1, WIDTH)), max_size=6))
    runs = np.array(sorted({(y, x, min(WIDTH, x + length)) for y, x, length in spans}), np.int32).reshape(-1, 3)
    backend = open_backend("compiled")
    full = run(backend, name, np.array([(row, 0, WIDTH) for row in range(HEIGHT)], np.int32), None)
    some = run(backend, name, runs, None)
    for y, start, stop in runs:
        assert np.array_equal(some.values[y, start:stop], full.values[y, start:stop])
    untouched = [row for row in range(HEIGHT) if row not in runs[:, 0]]
    assert not some.live[untouched].any()


def test_minus_zero_and_nan_are_changes():
    """Gate 0 compares bits. The case that a comparison of numbers would miss."""
    for backend in (open_backend("plain"), *(open_backend("compiled", lanes) for lanes in (4, 8, 16))):
        for start, end in ((0.0, -0.0), (np.nan, 1.0)):
            source, target = plane(np.full((1, 16, 16), end, np.float32)), plane(np.full((1, 16, 16), start, np.float32))
            form = Combine("copy")
            kernel, _ = backend.bind(form, backend.pack(form), (source,), target, None)
            kernel(np.array([[0, 0, 16]], np.int32), 0, 1)
            assert target.live.all()
            assert np.array_equal(np.signbit(target.values), np.signbit(source.values))


@pytest.mark.parametrize("name", ["plain", "compiled"])
def test_intake_finds_what_is_not_a_number(name):
    backend = open_backend(name)
    picture = np.zeros((3, 4, 6), np.float32)
    picture[1, 2, 5] = np.inf
    assert backend.first_bad(picture, np.array([[2, 0, 5], [3, 0, 6]], np.int32), 2) == (-1, -1)
    assert backend.first_bad(picture, np.array([[2, 0, 6]], np.int32), 1) == (2, 5)


@pytest.mark.parametrize("width", [6, 16])
def test_scan_copies_the_mask_and_notes_its_extents(width):
    mask = np.zeros((4, width), np.uint8)
    mask[1, 2] = mask[1, 4] = mask[3, 0] = 1
    for name in ("plain", "compiled"):
        live, extent = np.zeros_like(mask), np.zeros((4, 2), np.int32)
        assert open_backend(name).scan(mask, live, extent) == 3
        assert np.array_equal(live, mask)
        assert extent.tolist() == [[1 << 30, -1], [2, 4], [1 << 30, -1], [0, 0]]


def test_a_frame_becomes_the_same_input_in_both():
    table = np.random.default_rng(0).standard_normal((3, 256)).astype(np.float32)
    frame = np.random.default_rng(1).integers(0, 256, (6, 11, 3), dtype=np.uint8)
    runs = np.array([(row, 0, WIDTH) for row in range(HEIGHT)], np.int32)
    resize = Resize(axis(6, HEIGHT), axis(11, WIDTH), is_nearest=False)
    resize.rows.first[0] = -1
    made = []
    for name in ("plain", "compiled"):
        target = plane(np.zeros((HEIGHT, WIDTH, 3), np.float32))
        open_backend(name).bind_intake(Intake(table, (2, 1, 0), resize, np.array([1, 2, 3], np.float32)), target)(frame, runs, len(runs))
        made.append(target)
    assert made[0].padded.tobytes() == made[1].padded.tobytes()
    assert made[0].values[0].tolist() == [[1, 2, 3]] * WIDTH
