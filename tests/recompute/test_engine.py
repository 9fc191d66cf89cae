"""The engine's contract: exact after any sequence, on every path; nothing live costs nothing; what is refused changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels import open_backend
from edgevision.kernels.forms import Backend
from edgevision.recompute.engine import SelectiveNetwork

BACKENDS = ("plain", "compiled-4", "compiled-8", "compiled-16")


def backend(name: str) -> Backend:
    return open_backend("compiled", int(name.split("-")[1])) if "-" in name else open_backend(name)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()


def same_memory(a: SelectiveNetwork, b: SelectiveNetwork) -> bool:
    planes = a._memory.planes
    return all(same_bits(plane.values, b._memory.planes[name].values) for name, plane in planes.items())


def picture(random: np.random.Generator, net: SelectiveNetwork) -> np.ndarray:
    return random.standard_normal(net.input_shape).astype(np.float32)


def patches(random: np.random.Generator, shape: tuple[int, int], count: int = 2) -> np.ndarray:
    live = np.zeros(shape, bool)
    for _ in range(count):
        y, x, h, w = (*(random.integers(0, side) for side in shape), *random.integers(1, 9, 2))
        live[y : y + h, x : x + w] = True
    return live


def test_a_hand_worked_convolution(writer, tmp_path):
    """A 3x3 kernel of ones over a picture with one bright pixel: 9 sums of its neighbourhood, and only those change."""
    g = writer((1, 1, 5, 5))
    y = g.node("Conv", "image", g.constant(np.ones((1, 1, 3, 3), np.float32)), pads=[1] * 4)
    net = SelectiveNetwork.load(g.save(tmp_path / "sum.onnx", y))
    x = np.zeros((1, 1, 5, 5), np.float32)
    assert not net.first(x)[y].any()
    x[0, 0, 2, 2] = 7
    live = np.zeros((5, 5), bool)
    live[2, 2] = True
    out = net.next(x, live)[y][0, 0]
    assert np.array_equal(out[1:4, 1:4], np.full((3, 3), 7))
    assert out.sum() == 63
    assert net.changed[y] == (1, 1, 4, 4)
    assert net.costs.macs == net.costs.steps[0].live_fraction * 25 * 9


@pytest.mark.parametrize("name", BACKENDS)
def test_all_live_equals_first_and_none_live_touches_nothing(unet, random, name):
    net = SelectiveNetwork.load(unet, backend=backend(name))
    other = net.sibling()
    x, y = picture(random, net), picture(random, net)
    net.first(x)
    net.next(y, np.ones(net.input_shape[2:], bool))
    other.first(y)
    assert same_memory(net, other)
    before = {name: plane.padded.copy() for name, plane in net._memory.planes.items()}
    net.next(x, np.zeros(net.input_shape[2:], bool))
    assert all(same_bits(plane.padded, before[name]) for name, plane in net._memory.planes.items())
    assert net.costs.mode == "cached"
    assert net.costs.macs == 0
    assert net.changed == {"defect": None}


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("kind", ["unet", "unet_linear"])
def test_after_any_sequence_memory_is_first_of_the_input_in_use(request, random, name, kind):
    net = SelectiveNetwork.load(request.getfixturevalue(kind), backend=backend(name))
    net.first(picture(random, net))
    for _ in range(3 if name == "plain" else 60):
        net.next(picture(random, net), patches(random, net.input_shape[2:]))
    twin = net.sibling()
    twin.first(net.used())
    assert same_memory(net, twin)
    assert net.verify() == {}


def test_plain_and_every_width_give_the_same_bits_and_marks(unet, random):
    nets = [SelectiveNetwork.load(unet, backend=backend(name)) for name in BACKENDS]
    for x in [picture(random, nets[0]) for _ in range(3)]:
        live = patches(random, nets[0].input_shape[2:])
        for net in nets:
            net.next(x, live) if net._memory.is_filled else net.first(x)
        for net in nets[1:]:
            assert same_memory(nets[0], net)
            assert net.changed == nets[0].changed


def test_agrees_with_openvino(unet, unet_linear, random):
    for path in (unet, unet_linear):
        net = SelectiveNetwork.load(path)
        x = picture(random, net)
        compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        expected = compiled(x)[0]
        assert np.abs(net.first(x)["defect"] - expected).max() <= 1e-4 * np.ptp(expected)


@pytest.mark.parametrize("channels", [8, 80])
def test_a_gate_bounds_each_step_and_saves_work(writer, tmp_path, random, channels):
    """One block (in registers) and several blocks (by a strip) judge a pixel by all its channels alike."""
    g = writer((1, 3, 24, 40))
    y = g.conv("image", 3, channels, act="")
    path = g.save(tmp_path / "net.onnx", y)
    exact = SelectiveNetwork.load(path)
    gated = [SelectiveNetwork.load(path, gate=0.05, backend=backend(name)) for name in ("plain", "compiled-16", "compiled-8")]
    x = picture(random, exact)
    scale = np.ptp(exact.first(x)[y])
    for net in gated:
        net.first(x)
    for _ in range(4):
        x = x + random.standard_normal(x.shape).astype(np.float32) * np.float32(0.05)
        live = patches(random, x.shape[2:])
        truth = exact.next(x, live)[y]
        for net in gated:
            assert np.abs(net.next(x, live)[y] - truth).max() <= 0.0501 * scale
            assert same_memory(gated[0], net)
    assert gated[0].changed != exact.changed or gated[0]._memory.planes[y].live_px < exact._memory.planes[y].live_px


def test_gates_set_later_are_as_if_loaded_with_them_and_leave_siblings_alone(unet, random):
    net = SelectiveNetwork.load(unet)
    gates = {"*": 0.03, net.plan.steps[0].name: 0.0}
    loaded = SelectiveNetwork.load(unet, gate=gates)
    twin = net.sibling()
    x = picture(random, net)
    exact = twin.first(x)["defect"].copy()
    net.first(x)
    net.set_gates(gates)
    with pytest.raises(InputError, match="call first"):
        net.next(x, np.zeros(x.shape[2:], bool))
    assert same_bits(net.first(x)["defect"], loaded.first(x)["defect"])
    for _ in range(3):
        x = x + random.standard_normal(x.shape).astype(np.float32) * np.float32(0.05)
        live = patches(random, x.shape[2:])
        assert same_bits(net.next(x, live)["defect"], loaded.next(x, live)["defect"])
        assert net.costs.macs == loaded.costs.macs
        assert same_memory(net, loaded)
    assert set(twin.plan.gates.values()) == {0.0}
    assert same_bits(twin.next(x, np.zeros(x.shape[2:], bool))["defect"], exact)
    net.set_gates(0.0)
    assert same_bits(net.first(x)["defect"], twin.first(x)["defect"])
    with pytest.raises(InputError, match="'nobody'"):
        net.set_gates({"nobody": 0.1})
    with pytest.raises(InputError, match=r"gate is 1\.5"):
        net.set_gates(1.5)


def test_frames_go_through_the_files_own_preprocess(unet, random):
    net, tensors = SelectiveNetwork.load(unet), SelectiveNetwork.load(unet)
    net.set_preprocess()
    frame = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    x = ((frame[:, :, ::-1].astype(np.float64) / 255 - 0.5) / 0.25).astype(np.float32).transpose(2, 0, 1)[None]
    assert same_bits(net.first(frame)["defect"], tensors.first(np.ascontiguousarray(x))["defect"])
    assert net.metadata["labels"].split(",")[0] == "scratch"


def test_outputs_are_read_only(unet, random):
    net = SelectiveNetwork.load(unet)
    out = net.first(picture(random, net))["defect"]
    assert out.shape == net.outputs["defect"] == (1, 4, 24, 32)
    with pytest.raises(ValueError, match="read-only"):
        out[0] = 0


def test_the_plan_says_how_every_step_runs(unet):
    net = SelectiveNetwork.load(unet, gate={"*": 0.01})
    lines = str(net.plan).splitlines()
    assert len(lines) == 1 + len(net.plan.steps)
    assert "sigmoid" in lines[-1]
    assert all("selective" in line and "gate 0.01" in line for line in lines[1:])


def wrong_calls(net: SelectiveNetwork) -> list[tuple[object, object, str]]:
    shape = net.input_shape
    x, live = np.zeros(shape, np.float32), np.ones(shape[2:], bool)
    bad, far = x.copy(), x.copy()
    bad[0, 1, 2, 3] = np.nan
    far[0, 0, 0, 0] = np.inf
    return [
        (x.astype(np.float64), live, "float64"),
        (x[:, :, 1:], live, "must be float32"),
        (x, live[1:], "live is bool"),
        (x, live.astype(np.uint8), "live is uint8"),
        (bad, live, "row 2, column 3"),
        (far, live, "row 0, column 0"),
        ("picture", live, "x is str"),
    ]


@pytest.mark.parametrize("name", ["plain", "compiled-16"])
def test_a_refused_call_names_the_remedy_and_leaves_memory_valid(unet, random, name):
    net = SelectiveNetwork.load(unet, backend=backend(name))
    net.first(picture(random, net))
    net.next(picture(random, net), patches(random, net.input_shape[2:]))
    for x, live, message in wrong_calls(net):
        with pytest.raises(InputError, match=message) as caught:
            net.next(x, live)
        assert "\n" not in str(caught.value)
    net.next(picture(random, net), patches(random, net.input_shape[2:]))
    twin = net.sibling()
    twin.first(net.used())
    assert same_memory(net, twin)


@pytest.mark.parametrize("name", ["plain", "compiled-16"])
def test_a_live_mask_whose_true_is_not_one_counts_each_pixel_once(unet, random, name):
    """A bool array may be a view of other data, so that any byte but 0 means live."""
    net, twin = (SelectiveNetwork.load(unet, backend=backend(name)) for _ in range(2))
    x, y = picture(random, net), picture(random, net)
    live = patches(random, net.input_shape[2:])
    odd = np.where(live, 255, 0).astype(np.uint8).view(np.bool_)
    for one, mask in ((net, odd), (twin, live)):
        one.first(x)
        one.next(y, mask)
    assert same_memory(net, twin)
    assert net.costs.live_fraction == twin.costs.live_fraction == live.mean()


def test_nan_outside_the_live_pixels_is_nobodys_business(unet, random):
    net = SelectiveNetwork.load(unet)
    net.first(picture(random, net))
    x = np.full(net.input_shape, np.nan, np.float32)
    x[0, :, 5, 5] = 1
    live = np.zeros(net.input_shape[2:], bool)
    live[5, 5] = True
    assert np.isfinite(net.next(x, live)["defect"]).all()


def test_next_before_first_is_refused(unet, random):
    net = SelectiveNetwork.load(unet)
    with pytest.raises(InputError, match="call first"):
        net.next(picture(random, net), np.ones(net.input_shape[2:], bool))
    net.first(picture(random, net))
    net.reset()
    with pytest.raises(InputError, match="call first"):
        net.next(picture(random, net), np.ones(net.input_shape[2:], bool))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"precision": "f16"}, InputError, "must be auto"),
        ({"precision": "int8"}, UnsupportedNetwork, "int8"),
        ({"threads": 0}, InputError, "threads is 0"),
        ({"threads": "1"}, InputError, "threads is '1'"),
        ({"gate": "gates.json"}, InputError, "gate is 'gates.json'"),
        ({"memory_limit": 1}, InputError, "memory_limit_mb"),
        ({"gate": 2.0}, InputError, "gate is 2.0"),
        ({"gate": {"nobody": 0.1}}, InputError, "'nobody'"),
        ({"memory_limit_mb": 0.1}, UnsupportedNetwork, "memory_limit_mb"),
        ({"input_shape": (1, 3, 48)}, InputError, "input_shape is"),
        ({"backend": "cuda"}, InputError, "compiled or plain"),
    ],
)
def test_bad_arguments_are_refused_at_load(unet, arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        SelectiveNetwork.load(unet, **arguments)
    assert "\n" not in str(caught.value)


def test_bad_files_are_refused_in_one_line(tmp_path: Path, unet):
    truncated, foreign = tmp_path / "cut.onnx", tmp_path / "text.onnx"
    truncated.write_bytes(unet.read_bytes()[:2000])
    foreign.write_text("hello")
    for path in (truncated, foreign, tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(UnsupportedNetwork, match=path.name) as caught:
            SelectiveNetwork.load(path)
        assert "\n" not in str(caught.value)


def test_an_open_size_asks_for_input_shape(writer, tmp_path, random):
    g = writer((1, 3, "h", "w"))
    path = g.save(tmp_path / "open.onnx", g.conv("image", 3, 8))
    with pytest.raises(UnsupportedNetwork, match="give input_shape"):
        SelectiveNetwork.load(path)
    assert SelectiveNetwork.load(path, input_shape=(1, 3, 20, 30)).input_shape == (1, 3, 20, 30)


@pytest.mark.parametrize(
    ("name", "content"),
    [("net.onnx", b""), ("net.onnx", b"version https://git-lfs"), ("net.xml", b"<net"), ("net.xml", b"\x08\x07"), ("net.txt", b"hello")],
)
def test_what_is_plainly_no_network_is_refused_before_openvino_writes_of_it(name, content, tmp_path, capfd):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnsupportedNetwork, match=name):
        SelectiveNetwork.load(tmp_path / name)
    assert capfd.readouterr() == ("", "")
