"""What cannot be used is refused in one line that names the file or the value, the limit and the remedy; what was valid stays valid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import openvino
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.recompute.anatomy import outputs_of
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.graph import read_graph
from edgevision.recompute.splice import SpliceNetwork
from tests.recompute.test_engine import patches, picture, same_bits, same_memory, wrong_calls


def write(path: Path, inputs: dict[str, tuple[int, list[int]]], op: str, *names: str, **attributes: object) -> Path:
    node = helper.make_node(op, list(names), ["y"], name="only", **attributes)
    given = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
    constant = numpy_helper.from_array(np.ones((1, 3, 4, 4), np.float32), "constant")
    graph = helper.make_graph([node], "graph", given, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [constant])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


FLOAT = TensorProto.FLOAT
NO_IMAGE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "two inputs": (lambda p: write(p, {"a": (FLOAT, [1, 3, 8, 8]), "b": (FLOAT, [1, 3, 8, 8])}, "Add", "a", "b"), r"2 inputs \(a, b\)"),
    "no input": (lambda p: write(p, {}, "Relu", "constant"), "0 inputs"),
    "a vector": (lambda p: write(p, {"a": (FLOAT, [1, 16])}, "Relu", "a"), r"\(1, channels, height, width\)"),
    "a batch": (lambda p: write(p, {"a": (FLOAT, [4, 3, 8, 8])}, "Relu", "a"), r"\(4, 3, 8, 8\) is no image"),
    "whole numbers": (
        lambda p: write(p, {"a": (TensorProto.UINT8, [1, 3, 8, 8])}, "Cast", "a", to=FLOAT),
        "the input is u8; it must be f32",
    ),
    "a foreign operation": (
        lambda p: write(p, {"a": (FLOAT, [1, 3, 8, 8])}, "Foo", "a", domain="com.acme"),
        "node .* \\(com.acme.Foo\\): not known to OpenVINO; export without",
    ),
}


@pytest.mark.parametrize("kind", NO_IMAGE)
def test_a_model_without_an_image_input_is_refused_with_the_remedy(tmp_path, kind):
    make, message = NO_IMAGE[kind]
    path = make(tmp_path / "model.onnx")
    with pytest.raises(UnsupportedNetwork, match=message) as caught:
        SelectiveNetwork.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["xml cut", "weights cut", "weights gone", "empty", "a picture", "onnx cut", "onnx cut early"])
def test_a_truncated_or_foreign_file_is_refused_and_says_what_to_do(tmp_path, unet, damage, capfd):
    xml, weights, other = tmp_path / "net.xml", tmp_path / "net.bin", tmp_path / "net.onnx"
    openvino.save_model(openvino.Core().read_model(str(unet)), str(xml))
    path = xml if damage.startswith(("xml", "weights")) else other
    if damage == "xml cut":
        xml.write_text(xml.read_text()[:3000])
    elif damage == "weights cut":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "weights gone":
        weights.unlink()
    else:
        other.write_bytes(
            {"empty": b"", "a picture": b"\xff\xd8\xff\xe0" + bytes(500), "onnx cut": unet.read_bytes()[:-5000]}.get(
                damage, unet.read_bytes()[:50]
            )
        )
    with pytest.raises(UnsupportedNetwork, match="damaged, truncated or no network: copy or export it again") as caught:
        SelectiveNetwork.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_refused_first_leaves_a_filled_memory_as_it_was(unet, random):
    net = SelectiveNetwork.load(unet)
    net.first(picture(random, net))
    net.next(picture(random, net), patches(random, net.input_shape[2:]))
    used = net.used()
    for x, _, message in wrong_calls(net):
        if "live" in message:
            continue
        with pytest.raises(InputError, match=message):
            net.first(x)
        assert same_bits(net.used(), used)
    twin = net.sibling()
    twin.first(used)
    assert same_memory(net, twin)
    net.next(picture(random, net), patches(random, net.input_shape[2:]))
    twin.first(net.used())
    assert same_memory(net, twin)


def test_a_refused_first_does_not_make_an_empty_memory_valid(unet, random):
    net = SelectiveNetwork.load(unet)
    x = picture(random, net)
    x[0, 2, 1, 1] = -np.inf
    with pytest.raises(InputError, match="row 1, column 1"):
        net.first(x)
    with pytest.raises(InputError, match="call first"):
        net.next(np.zeros_like(x), np.ones(x.shape[2:], bool))


@pytest.mark.parametrize("frame", [(48, 64, 4), (48, 64, 2), (47, 64, 3), (48, 64, 3, 1), (48,)])
def test_frames_of_another_shape_or_type_are_refused(unet, random, frame):
    net = SelectiveNetwork.load(unet)
    net.set_preprocess()
    good = random.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    net.first(good)
    for bad in (np.zeros(frame, np.uint8), good.astype(np.int16), good.astype(np.float32), None):
        with pytest.raises(InputError, match=r"the frame is .*(it must be uint8|convert the frame)"):
            net.next(bad, np.ones((48, 64), bool))
    assert same_bits(net.next(good, np.zeros((48, 64), bool))["defect"], net.first(good)["defect"])


def test_pictures_in_any_order_in_memory_are_taken_alike(unet, random):
    """Strided, read-only or reversed arrays are fine; only what they say counts."""
    net, plain = (SelectiveNetwork.load(unet) for _ in range(2))
    x = picture(random, net)
    strided = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    frozen = x.copy()
    frozen.flags.writeable = False
    expected = plain.first(x)["defect"].copy()
    for same in (strided, frozen, x[:, :, ::-1][:, :, ::-1]):
        assert same_bits(net.first(same)["defect"], expected)
    live = np.asfortranarray(patches(random, x.shape[2:]))
    y = picture(random, net)
    assert same_bits(net.next(y, live)["defect"], plain.next(y, np.ascontiguousarray(live))["defect"])


def test_an_output_of_several_names_is_called_by_the_first_of_the_shortest(unet, tmp_path):
    """The names come as a set, whose order differs between processes."""
    model = openvino.Core().read_model(str(unet))
    model.outputs[0].set_names({f"{letter}{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"} | {"longer"})
    openvino.save_model(model, str(tmp_path / "named.xml"))
    assert (
        list(read_graph(tmp_path / "named.xml").outputs) == list(outputs_of(openvino.Core().read_model(tmp_path / "named.xml"))) == ["aa"]
    )


WRONG: dict[str, tuple[object, ...]] = {
    "path": (None, 5),
    "input_shape": ("1,3,48,64", 5, (3, 48, 64), (1, 3, 48.5, 64), (1, 3, 0, 64), (1, 3, 48, 10**12)),
    "memory_limit_mb": ("x", float("nan"), 0, -1),
    "memories": (0, -1, 2.5, "x"),
    "backend": (None, 5, "foo"),
    "progress": (5,),
    "threads": ("2", 1.5, 0),
    "precision": ("x", ["f32"]),
}


@pytest.mark.parametrize("engine", [SelectiveNetwork, SpliceNetwork])
def test_a_wrong_argument_is_named_in_one_line(unet, engine):
    for name, values in WRONG.items():
        for value in values:
            with pytest.raises(InputError, match=f"^{name} is ") as caught:
                engine.load(**{"path": unet, name: value})
            assert "\n" not in str(caught.value)


def test_a_gate_for_no_step_is_a_wrong_argument(unet):
    with pytest.raises(InputError, match="gate for 'nobody', but no step has this name"):
        SelectiveNetwork.load(unet, gate={"nobody": 0.1}, backend="plain")


@pytest.mark.parametrize("window", [(-1, -1, 0.5, 0.5), (0, 0, 2, 2), (0.9, 0, 0.1, 1), (float("nan"), 0, 1, 1), "x", (0, 1), None])
def test_a_patch_outside_the_picture_is_refused(unet, random, window):
    net = SelectiveNetwork.load(unet, backend="plain")
    with pytest.raises(InputError, match="window is"):
        net.verify(window)


@pytest.mark.parametrize("settings", ["x", 5, {}, {"mean": (1,)}])
def test_a_preprocess_that_is_none_is_refused(unet, settings):
    with pytest.raises(InputError, match=r"preprocess is .*; it must be a Preprocess"):
        SelectiveNetwork.load(unet, backend="plain").set_preprocess(settings)


def test_a_small_limit_shows_its_digits(unet):
    with pytest.raises(UnsupportedNetwork, match=r"needs 0\.\d*[1-9]\d* MB a camera, memory_limit_mb is 1e-05"):
        SelectiveNetwork.load(unet, memory_limit_mb=1e-5, backend="plain")


def test_a_gather_beyond_its_source_is_refused_by_name(writer, tmp_path):
    g = writer((1, 3, 8, 8))
    path = g.save(tmp_path / "gather.onnx", g.node("Relu", g.node("Gather", "image", g.constant(np.array([0, 7])), axis=1)))
    with pytest.raises(UnsupportedNetwork, match=r"node 'gather0' \(Gather\): takes index 7 of 3"):
        SelectiveNetwork.load(path, backend="plain")
