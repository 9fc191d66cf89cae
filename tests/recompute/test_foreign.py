"""Foreign mode: a busy scene gets OpenVINO's answer and says so, x_used stays right, and a calm one returns by a whole run, exact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
import pytest

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.kernels.forms import BF16, F32, Store
from edgevision.kernels.plain.store import decode, encode
from edgevision.recompute import foreign
from edgevision.recompute.calibrate import Forecast, Notebook, StepTimes
from edgevision.recompute.engine import SelectiveNetwork, camera_bytes
from edgevision.recompute.graph import read_graph
from edgevision.recompute.island import compile_whole
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.plan import Tensor
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.replay import pipeline_for
from tests.recompute.conftest import write_unet
from tests.recompute.test_engine import patches, picture, same_bits, same_memory
from tests.recompute.test_quantised import write_qdq


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    """The break-even is kept in a folder of the test's own."""
    monkeypatch.setattr("edgevision.kernels.compiled.jit.cache_folder", lambda: tmp_path / "kernels")
    return tmp_path / "kernels"


@pytest.fixture
def fast_openvino(monkeypatch):
    """OpenVINO is known to take four fifths of our time, so that what is busy does not depend on this machine."""
    monkeypatch.setattr(foreign.ForeignNetwork, "share", lambda self: 0.8)


def openvinos(path: Path, x: np.ndarray) -> np.ndarray:
    return openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x)[0]


def compile_now(net: SelectiveNetwork) -> None:
    net._network.foreign.want()
    net._network.foreign.wait()


def make_busy(net: SelectiveNetwork, random: np.random.Generator) -> None:
    """Whole pictures until the mode is foreign; OpenVINO compiles in between."""
    everything = np.ones(net.input_shape[2:], bool)
    net.first(picture(random, net))
    for _ in range(20):
        net.next(picture(random, net), everything)
        net._network.foreign.wait()
        if net.costs.mode == "foreign":
            return
    raise AssertionError("never became foreign")


def test_who_asks_for_nothing_stays_selective_and_exact(unet, random, fast_openvino):
    net = SelectiveNetwork.load(unet)
    net.first(picture(random, net))
    for _ in range(20):
        net.next(picture(random, net), np.ones(net.input_shape[2:], bool))
        assert net.costs.mode == "full"
    twin = net.sibling()
    twin.first(net.used())
    assert same_memory(net, twin)


def test_a_busy_scene_gets_openvinos_answer_and_says_so(unet, random, fast_openvino, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto")
    make_busy(net, random)
    used = net.used()
    for _ in range(5):
        x, live = picture(random, net), random.random(net.input_shape[2:]) < 0.6
        out = net.next(x, live)["defect"]
        used = np.where(live, x, used)
        assert same_bits(net.used(), used)
        assert np.allclose(out, openvinos(unet, used), atol=1e-6)
        assert not out.flags.writeable
    costs = net.costs
    assert costs.mode == "foreign"
    assert [(step.how, step.live_fraction, step.macs) for step in costs.steps] == [("foreign", 1.0, costs.dense_macs)]
    assert costs.steps[0].seconds > 0
    assert costs.live_fraction == live.mean()
    assert net.changed == {"defect": (0, 0, 32, 24)}
    assert net.verify() == {}


def test_a_still_frame_costs_nothing_in_foreign_mode_either(unet, random, fast_openvino, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto")
    make_busy(net, random)
    x = picture(random, net)
    before = net.next(x, np.ones(net.input_shape[2:], bool))["defect"].copy()
    again = net.next(x, np.zeros(net.input_shape[2:], bool))["defect"]
    assert same_bits(before, again)
    assert net.costs.mode == "cached"
    assert net.costs.macs == 0
    assert net.changed == {"defect": None}


def test_a_calm_scene_returns_by_a_whole_run_and_is_exact_again(unet, random, fast_openvino, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto")
    make_busy(net, random)
    modes = []
    for _ in range(12):
        live = np.zeros(net.input_shape[2:], bool)
        live[:1, :1] = True
        net.next(picture(random, net), live)
        modes.append(net.costs.mode)
    assert modes[0] == "foreign"
    assert modes.count("full") == 1
    assert modes[-1] == "partial"
    twin = net.sibling()
    twin.first(net.used())
    assert same_memory(net, twin)
    assert net.verify() == {}


def test_first_and_reset_end_it(unet, random, fast_openvino, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto")
    make_busy(net, random)
    net.first(picture(random, net))
    assert net.costs.mode == "full"
    net.next(picture(random, net), patches(random, net.input_shape[2:]))
    assert net.costs.mode == "partial"
    make_busy(net, random)
    net.reset()
    with pytest.raises(InputError, match="call first"):
        net.next(picture(random, net), np.ones(net.input_shape[2:], bool))


def test_one_busy_frame_is_not_enough(unet, random, fast_openvino, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto")
    net.first(picture(random, net))
    compile_now(net)
    calm = np.zeros(net.input_shape[2:], bool)
    for _ in range(10):
        net.next(picture(random, net), ~calm)
        net.next(picture(random, net), calm)
        net.next(picture(random, net), calm)
        assert net.costs.mode == "cached"


def test_cameras_are_foreign_each_for_itself(unet, random, fast_openvino, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto")
    twin = net.sibling()
    make_busy(net, random)
    x = picture(random, twin)
    twin.first(x)
    assert twin.costs.mode == "full"
    out = net.next(x, np.ones(net.input_shape[2:], bool))["defect"]
    assert np.allclose(out, twin._results()["defect"], atol=1e-5)
    make_busy(twin, random)
    assert net.costs.mode == twin.costs.mode == "foreign"
    assert net._network.foreign.compiled is twin._network.foreign.compiled


def test_frames_go_through_the_preprocess_in_foreign_mode_too(unet, random, fast_openvino, notebook):
    net, exact = SelectiveNetwork.load(unet, foreign="auto"), SelectiveNetwork.load(unet)
    for one in (net, exact):
        one.set_preprocess()
    frames = [random.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(12)]
    net.first(frames[0])
    for frame in frames[1:]:
        out = net.next(frame, np.ones((48, 64), bool))
        net._network.foreign.wait()
        assert np.allclose(out["defect"], exact.first(frame)["defect"], atol=1e-5)
    assert net.costs.mode == "foreign"


def test_a_refused_call_leaves_foreign_mode_valid(unet, random, fast_openvino, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto")
    make_busy(net, random)
    used, everything = net.used(), np.ones(net.input_shape[2:], bool)
    bad = picture(random, net)
    bad[0, 1, 2, 3] = np.nan
    for x, live, message in (
        (bad, everything, "row 2, column 3"),
        (used, everything[1:], "live is bool"),
        (used[:, :2], everything, "x is"),
    ):
        with pytest.raises(InputError, match=message):
            net.next(x, live)
    assert same_bits(net.used(), used)
    out = net.next(picture(random, net), everything)["defect"]
    assert np.allclose(out, openvinos(unet, net.used()), atol=1e-6)


def test_an_interrupted_foreign_run_does_not_pass_off_the_answer_before_it(unet, random, fast_openvino, notebook, monkeypatch):
    net = SelectiveNetwork.load(unet, foreign="auto")
    make_busy(net, random)
    still = np.zeros(net.input_shape[2:], bool)
    net.next(picture(random, net), ~still)

    def interrupt(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(foreign.Foreign, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            net.next(picture(random, net), ~still)
    with pytest.raises(InputError, match="Memory is empty"):
        net.next(picture(random, net), still)
    out, twin = net.first(picture(random, net)), net.sibling()
    assert same_bits(out["defect"], twin.first(net.used())["defect"])


def test_foreign_is_auto_or_never(unet):
    with pytest.raises(InputError, match="must be auto or never"):
        SelectiveNetwork.load(unet, foreign="always")


def test_the_break_even_is_measured_on_busy_frames_and_kept(unet, random, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto")
    exact = SelectiveNetwork.load(unet)
    everything = np.ones(net.input_shape[2:], bool)
    net.first(picture(random, net))
    for _ in range(20):
        x = picture(random, net)
        out = net.next(x, everything)
        net._network.foreign.wait()
        if net.costs.mode != "foreign":
            assert same_bits(out["defect"], exact.first(x)["defect"])
    share = net._network.foreign.share()
    assert share is not None
    assert share > 0
    assert len(list(notebook.glob("break-even-*.json"))) == 1
    assert SelectiveNetwork.load(unet, foreign="auto")._network.foreign.share() == share
    assert SelectiveNetwork.load(unet, foreign="auto", threads=2)._network.foreign.share() is None


def test_an_openvino_that_is_found_slower_is_never_entered(unet, random, notebook, monkeypatch):
    run = foreign.Foreign.run

    def slow(self) -> None:
        run(self)
        self.seconds = 10.0

    monkeypatch.setattr(foreign.Foreign, "run", slow)
    net = SelectiveNetwork.load(unet, foreign="auto")
    net.first(picture(random, net))
    for _ in range(20):
        net.next(picture(random, net), np.ones((48, 64), bool))
        net._network.foreign.wait()
        assert net.costs.mode == "full"
    assert net._network.foreign.share() > 1


def test_a_torn_notebook_is_measured_again_and_a_full_disk_is_no_error(tmp_path):
    book = Notebook(tmp_path, ["a", "b"])
    assert book.read() is None
    book.write(0.5)
    assert book.read() == 0.5
    assert Notebook(tmp_path, ["a", "c"]).read() is None
    (file,) = tmp_path.iterdir()
    for torn in ("", "{", '{"share": "x"}', '{"share": -1}', "[]"):
        file.write_text(torn)
        assert book.read() is None
    (tmp_path / "occupied").write_text("")
    Notebook(tmp_path / "occupied", ["a"]).write(0.5)


def test_a_network_that_openvino_cannot_run_whole_stays_selective_with_one_warning(unet, random, fast_openvino, notebook, tmp_path):
    path = tmp_path / "replaced.onnx"
    path.write_bytes(unet.read_bytes())
    net = SelectiveNetwork.load(path, foreign="auto")
    path.write_bytes(unet.read_bytes() + b"\x00\x00")
    with pytest.warns(UserWarning, match="stays selective"):
        compile_now(net)
    net.first(picture(random, net))
    for _ in range(8):
        net.next(picture(random, net), np.ones(net.input_shape[2:], bool))
        assert net.costs.mode == "full"


def test_an_answer_that_is_not_ours_is_not_relied_on(unet, random, fast_openvino, notebook, monkeypatch):
    """OpenVINO computes some convolutions of unequal strides wrongly: a scene that is busy then stays selective, and says so once."""
    net = SelectiveNetwork.load(unet, foreign="auto")
    run = foreign.Foreign.run

    def wrong(self) -> None:
        run(self)
        self.outputs = {name: np.zeros_like(array) for name, array in self.outputs.items()}

    monkeypatch.setattr(foreign.Foreign, "run", wrong)
    with (
        pytest.warns(UserWarning, match="is not ours; a busy scene stays selective"),
        pytest.raises(AssertionError, match="never became foreign"),
    ):
        make_busy(net, random)
    twin = net.sibling()
    twin.first(net.used())
    assert same_memory(net, twin)


def test_a_whole_run_costs_what_a_whole_run_costs(unet, random):
    net, everything = SelectiveNetwork.load(unet), np.ones((48, 64), bool)
    times = StepTimes(net._steps)
    net.first(picture(random, net))
    times.learn()
    net.next(picture(random, net), everything)
    assert times.last_s() == pytest.approx(times.dense_s)
    assert times.has_news
    net.next(picture(random, net), np.indices((48, 64)).sum(axis=0) < 4)
    assert not times.has_news
    pixels = sum(step.pixels * best for step, best in zip(net._steps, times._best_s, strict=True))
    assert times.last_s() == pytest.approx(pixels + 150e-9 * sum(step.run_count for step in net._steps))


def test_the_forecast_is_what_can_be_reached(unet, random):
    net = SelectiveNetwork.load(unet)
    net.first(picture(random, net))
    forecast, plane = Forecast(net._steps, net._entrance.plane), net._entrance.plane
    for share in (0.0, 0.001, 0.01, 0.1):
        live = random.random(net.input_shape[2:]) < share
        net.next(picture(random, net), live)
        real = np.array([step.live_fraction for step in net._steps])
        foreseen = forecast.shares(plane)
        assert ((foreseen >= 0) & (foreseen <= 1)).all()
        assert (foreseen >= real - 0.05).all()
        if not plane.live_px:
            assert not foreseen.any()
    net.next(picture(random, net), np.ones(net.input_shape[2:], bool))
    assert (forecast.shares(plane) == 1).all()


def test_the_forecast_of_a_small_change_is_small(tmp_path, random):
    net = SelectiveNetwork.load(write_unet(tmp_path / "large.onnx", 480, 640))
    net.first(picture(random, net))
    live = np.zeros((480, 640), bool)
    live[100:140, 200:240] = True
    net.next(picture(random, net), live)
    real = np.array([step.live_fraction for step in net._steps])
    foreseen = Forecast(net._steps, net._entrance.plane).shares(net._entrance.plane)
    assert (np.abs(foreseen - real) < 0.05).all()
    assert 0 < foreseen.max() < 0.3


@pytest.mark.parametrize("store", [F32, BF16, Store("u8", 0.02, 128)], ids=["f32", "bf16", "u8"])
def test_openvino_reads_the_plane_as_it_is_held(unet, random, store):
    graph = read_graph(unet)
    x = random.standard_normal((48, 64, 3)).astype(np.float32)
    whole = compile_whole(graph, Tensor(graph.input, 48, 64, 3, store=store), "f32", 1)
    request, array = whole.request()
    whole.feed(array, encode(x, store))
    request.infer()
    held = decode(encode(x, store), store).transpose(2, 0, 1)[None]
    assert np.allclose(request.get_output_tensor(0).data, openvinos(unet, np.ascontiguousarray(held)), atol=1e-5)


def test_cameras_are_foreign_when_busy_unless_told_not_to_and_recordings_never(tmp_path):
    assert load_for_frames(RecomputeSettings(), 96, 96)._network.foreign is not None
    assert load_for_frames(RecomputeSettings(foreign="never"), 96, 96)._network.foreign is None
    (tmp_path / "frames").mkdir()
    assert pipeline_for(tmp_path / "frames", None, None).settings.recompute.foreign == "never"


def test_the_copy_of_the_input_counts_against_the_memory_limit(unet):
    network = SelectiveNetwork.load(unet)._network
    needed = camera_bytes(network.graph, network.plan, network.layout) / (1 << 20)
    SelectiveNetwork.load(unet, memory_limit_mb=needed + 0.001)
    with pytest.raises(UnsupportedNetwork, match=r"memory_limit_mb is .*; raise it"):
        SelectiveNetwork.load(unet, memory_limit_mb=needed + 0.001, foreign="auto")


def test_bf16_stays_bf16_in_foreign_mode(unet, random, fast_openvino, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto", precision="bf16")
    make_busy(net, random)
    out = net.next(picture(random, net), np.ones(net.input_shape[2:], bool))["defect"]
    truth = openvinos(unet, net.used())
    assert net.costs.mode == "foreign"
    assert 0 < np.abs(out - truth).max() < 0.05


def test_a_quantised_file_runs_as_it_is(tmp_path, random, fast_openvino, notebook):
    path = write_qdq(tmp_path / "qdq.onnx")
    net = SelectiveNetwork.load(path, foreign="auto")
    make_busy(net, random)
    (out,) = net.next(picture(random, net), np.ones(net.input_shape[2:], bool)).values()
    assert net.costs.mode == "foreign"
    truth = openvino.Core().compile_model(str(path), "CPU")(net.used())[0]
    assert np.allclose(out, truth, atol=0.02 * np.ptp(truth))


def test_who_asks_for_whole_runs_alone_gets_openvinos_and_is_told_so(unet, random, fast_openvino, notebook):
    net = SelectiveNetwork.load(unet, foreign="auto")
    modes = []
    for _ in range(12):
        x = picture(random, net)
        out = net.first(x)["defect"].copy()
        modes.append(net.costs.mode)
        assert np.allclose(out, openvinos(unet, x), atol=1e-5)
        net.reset()
        net.wait()
    assert modes[:4] == ["full"] * 4
    assert modes[-1] == "foreign"
    net.first(picture(random, net))
    assert net.changed == {"defect": (0, 0, 32, 24)}
    assert net.verify() == {}
    x = picture(random, net)
    out = net.next(x, np.ones(net.input_shape[2:], bool))["defect"]
    assert np.allclose(out, openvinos(unet, x), atol=1e-5)
    for _ in range(12):  # calm: the steps run again, and first() is theirs while next() is what is asked for
        live = np.zeros(net.input_shape[2:], bool)
        live[:1, :1] = True
        net.next(picture(random, net), live)
    assert net.costs.mode == "partial"
    net.first(picture(random, net))
    assert net.costs.mode == "full"
    twin = net.sibling()
    twin.first(net.used())
    assert same_memory(net, twin)


def test_a_twin_for_audits_never_runs_in_openvino(unet, random, fast_openvino, notebook):
    twin = SelectiveNetwork.load(unet, foreign="auto").sibling(has_foreign=False)
    for _ in range(8):
        twin.first(picture(random, twin))
        twin.wait()
        assert twin.costs.mode == "full"


def test_whole_runs_stay_ours_where_that_is_faster(unet, random, notebook, monkeypatch):
    monkeypatch.setattr(foreign.ForeignNetwork, "share", lambda self: 1.0)
    net = SelectiveNetwork.load(unet, foreign="auto")
    for _ in range(8):
        net.first(picture(random, net))
        assert net.costs.mode == "full"
    assert net._network.foreign.compiled is None


def test_openvino_is_given_a_quantised_file_as_it_is_written(tmp_path):
    """Once its constants are folded, weights are floats, and it runs twice as long."""
    path = write_qdq(tmp_path / "qdq.onnx")
    graph = read_graph(path)
    whole = compile_whole(graph, Tensor(graph.input, *graph.shapes[graph.input][2:], 3, store=Store("u8", 0.02, 128)), "int8", 1)
    kinds = {node.get_rt_info()["runtimePrecision"].astype(str) for node in whole.compiled.get_runtime_model().get_ops()}
    assert kinds & {"i8", "u8"}
