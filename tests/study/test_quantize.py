"""A float network made an int8 one: data of every kind, metadata kept, errors in one line; nncf itself where it is installed."""

from __future__ import annotations

import importlib.util
import json
import sys

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevision.cli import main
from edgevision.errors import InputError
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.graph import read_graph, read_metadata
from edgevision.study import quantize_limit
from edgevision.study.peers.openvino_layers import Layer
from edgevision.study.quantize import QuantizeTask, Samples, quantise
from edgevision.study.quantize_limit import Way, held_to, needed

needs_nncf = pytest.mark.skipif(
    importlib.util.find_spec("nncf") is None, reason="nncf is not installed (pip install 'edgevision[quantize]')"
)
SHAPE = (1, 3, 32, 48)


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(5):
        picture = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    (folder / "notes.txt").write_text("no picture")
    return folder


@needs_nncf
def test_a_quantised_file_keeps_its_metadata_and_says_how_far_it_is_off(chain, pictures, tmp_path):
    out = tmp_path / "small.xml"
    report = quantise(QuantizeTask(chain(SHAPE, mean="0.5", std="0.25", channel_order="bgr"), pictures, out), is_quiet=True)
    assert read_graph(out).is_quantised
    assert read_metadata(out).items() >= {"mean": "0.5", "std": "0.25", "channel_order": "bgr"}.items()
    assert report["samples"] == 5
    assert 0 < report["disagreement_rms"] < report["disagreement"] < 0.2
    assert "5 samples" in report["text"]


@needs_nncf
def test_the_verb_prints_one_object(chain, pictures, tmp_path, capsys):
    out = tmp_path / "small.xml"
    assert main(["quantize", str(chain(SHAPE)), "--data", str(pictures), "--out", str(out), "--json"]) == 0
    said, errors = capsys.readouterr()
    assert json.loads(said)["out"] == str(out)
    assert errors == ""
    assert main(["quantize", str(out), "--data", str(pictures), "--out", str(tmp_path / "again.xml")]) == 78
    assert "quantised already" in capsys.readouterr().err


def test_pictures_and_tensors_become_inputs(chain, pictures):
    graph = read_graph(chain(SHAPE, mean="0.5", std="0.25"))
    np.save(pictures / "batch.npy", np.ones((4, *SHAPE[1:])))
    np.save(pictures / "one.npy", np.zeros(SHAPE[1:]))
    samples = Samples(pictures, graph, most=50)
    found = list(samples)
    assert len(samples) == 7
    assert len(found) == 10
    assert {x.shape for x in found} == {SHAPE}
    assert {x.dtype for x in found} == {np.dtype(np.float32)}
    assert min(x.min() for x in found[:5]) >= -2
    assert found[0].std() > 0.3
    few = Samples(pictures, graph, most=3)
    assert [file.name for file in few.files] == ["0.png", "3.png", "one.npy"]


def test_data_that_cannot_be_used_is_named(chain, pictures, tmp_path):
    graph = read_graph(chain(SHAPE))
    with pytest.raises(InputError, match="no such file"):
        Samples(tmp_path / "none", graph, 5)
    (pictures / "broken.png").write_bytes(b"no picture")
    np.save(pictures / "small.npy", np.zeros((3, 8, 8), np.float32))
    for name, words in (("broken.png", "broken.png: is no picture"), ("small.npy", r"small.npy: holds float32 \(3, 8, 8\)")):
        with pytest.raises(InputError, match=words):
            list(Samples(pictures / name, graph, 5))


@pytest.mark.parametrize(
    ("data", "out", "code", "words"),
    [("empty", "a.xml", 2, "holds no picture"), ("none", "a.xml", 2, "no such file"), ("empty", "a.onnx", 2, "FILE.xml")],
)
@needs_nncf
def test_wrong_arguments_are_one_line(data, out, code, words, chain, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["quantize", str(chain(SHAPE)), "--data", str(tmp_path / data), "--out", str(tmp_path / out)]) == code
    said, errors = capsys.readouterr()
    assert said == ""
    assert len(errors.splitlines()) == 1
    assert words in errors


def test_without_nncf_it_is_69_and_says_what_to_install(chain, pictures, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert main(["quantize", str(chain(SHAPE)), "--data", str(pictures)]) == 69
    assert "pip install 'edgevision[quantize]'" in capsys.readouterr().err


@needs_nncf
def test_a_file_that_is_no_network_is_78(pictures, tmp_path, capsys):
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07 this is no network")
    assert main(["quantize", str(tmp_path / "net.onnx"), "--data", str(pictures)]) == 78
    assert "OpenVINO cannot read it" in capsys.readouterr().err


@needs_nncf
def test_a_mobile_network_runs_in_int8_throughout(pictures, tmp_path):
    """Ranges by channel for what depthwise convolutions read, weights that ONNX reshapes on the way: still bytes from end to end."""
    random, nodes, constants = np.random.default_rng(0), [], []

    def constant(values):
        constants.append(numpy_helper.from_array(np.asarray(values, np.float32), f"k{len(constants)}"))
        return constants[-1].name

    def conv(x, inputs, outputs, kernel, group=1):
        weights = constant(random.standard_normal((outputs, inputs // group, kernel, kernel)) / np.sqrt(inputs / group) / kernel)
        made = [f"y{len(nodes)}", f"z{len(nodes)}"]
        nodes.append(helper.make_node("Conv", [x, weights], made[:1], kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4, group=group))
        nodes.append(helper.make_node("Clip", [made[0], constant(0), constant(6)], made[1:]))
        return made[1]

    out = conv(conv(conv("image", 3, 8, 3), 8, 8, 3, group=8), 8, 4, 1)
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in (("image", SHAPE), (out, None))]
    graph = helper.make_graph(nodes, "mobile", *ends, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(tmp_path / "mobile.onnx"))
    quantise(QuantizeTask(tmp_path / "mobile.onnx", pictures, tmp_path / "mobile.xml", limit=1.0), is_quiet=True)
    plan = SelectiveNetwork.load(tmp_path / "mobile.xml").plan
    assert [step.op for step in plan.steps] == ["conv 3x3", "depthwise 3x3", "conv 1x1"]
    assert {plan.precision(step) for step in plan.steps} == {"int8"}


def test_as_many_layers_as_their_losses_ask_for():
    """Losses add up as squares: 5 of 3, 4 and little else; without the 4 there are 3 left, without both nearly nothing."""
    assert needed([4.0, 3.0, 0.1], before=5.0, aim=3.1) == 1
    assert needed([4.0, 3.0, 0.1], before=5.0, aim=1.0) == 2
    assert needed([0.1] * 8, before=5.0, aim=1.0) == 2  # alone none of them says where it is lost: a quarter, to begin with


@pytest.mark.parametrize(
    ("losses", "calls", "kept"),
    [
        ([0.004], [Way()], ()),
        ([0.02, 0.004], [Way(), Way(is_plain=True)], ()),
        ([0.02, 0.03, 0.02, 0.004], [Way(), Way(is_plain=True), Way(), Way(kept=("first",))], ("first",)),
        ([0.03, 0.02, 0.006, 0.0055], [Way(), *(Way(is_plain=True, kept=names) for names in ((), ("first",), ("first", "second")))],
         ("first", "second")),
        ([0.03, 0.02, 0.025, 0.021, 0.02],
         [Way(), *(Way(is_plain=True, kept=names) for names in ((), ("first",), ("first", "second"), ()))], ()),
    ],
)  # fmt: skip
def test_what_is_tried_until_the_limit_is_held(losses, calls, kept, monkeypatch):
    layers = (Layer("first", 10, 0.02), Layer("second", 20, 0.001), Layer("large", 70, 0.0005))
    monkeypatch.setattr(quantize_limit, "ranked", lambda *_: layers)
    seen, left = [], list(losses)
    held = held_to(0.005, lambda way: seen.append(way) or left.pop(0), None, None, [])
    assert (seen, held.way.kept) == (calls, kept)
    assert held.share == pytest.approx(sum(layer.macs for layer in layers if layer.name in kept) / 100)


@needs_nncf
def test_the_layer_that_loses_most_stays_float_and_is_named(pictures, tmp_path):
    """The first layer's weights are of very different size by input channel: in bytes one channel vanishes."""
    random = np.random.default_rng(0)
    first = random.standard_normal((8, 3, 3, 3)) * np.array([300.0, 300.0, 1.0])[None, :, None, None]
    first[:, 1] = -first[:, 0]
    weights = {"a": first, "b": random.standard_normal((8, 8, 3, 3)), "c": random.standard_normal((2, 8, 1, 1))}
    constants = [numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in weights.items()]
    nodes = [
        helper.make_node("Conv", ["image", "a"], ["x"], name="first", pads=[1] * 4),
        helper.make_node("Relu", ["x"], ["y"]),
        helper.make_node("Conv", ["y", "b"], ["z"], name="second", pads=[1] * 4),
        helper.make_node("Relu", ["z"], ["v"]),
        helper.make_node("Conv", ["v", "c"], ["out"], name="third"),
    ]
    ends = [[helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in (("image", SHAPE), ("out", None))]
    graph = helper.make_graph(nodes, "uneven", *ends, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(tmp_path / "net.onnx"))
    for picture in pictures.glob("*.png"):  # two channels alike but for a level: their difference is what the layer sees
        colours = cv2.imread(str(picture))
        colours[..., 1] = colours[..., 2] - (colours[..., 2] % 2)
        cv2.imwrite(str(picture), colours)
    report = quantise(QuantizeTask(tmp_path / "net.onnx", pictures, tmp_path / "net.xml", limit=0.01), is_quiet=True)
    assert report["disagreement_rms"] <= 0.01 < report["disagreement_rms_all_int8"]
    assert [name.split("/")[0] for name in report["kept_float"]] == ["first"]
    assert "kept float: first" in report["text"]
    plan = SelectiveNetwork.load(tmp_path / "net.xml").plan
    assert [plan.precision(step) for step in plan.steps if step.op.startswith("conv")] == ["f32", "int8", "int8"]
