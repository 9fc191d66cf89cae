"""The verbs about network files on the command line: what they print, what they refuse."""

from __future__ import annotations

import json

import cv2
import numpy as np
import onnx
import onnx.parser
import pytest

from edgevision.cli import main

NETWORK = """<ir_version: 9, opset_import: ["": 18]>
graph (float[1, 3, height, width] image) => (float[1, 3, height, width] y) { a = Relu(image) y = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (a) }"""  # noqa: E501


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "net.onnx"
    onnx.save(onnx.parser.parse_model(NETWORK), str(path))
    return path


def test_plan_prints_a_line_a_step(network, capsys):
    assert main(["plan", str(network), "--input-shape", "1,3,32,48"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "input 3x32x48" in lines[0]
    assert "relu" in lines[1]
    assert "selective" in lines[1]


def test_plan_as_json(network, capsys):
    assert main(["plan", str(network), "--input-shape", "1x3x32x48", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["input_shape"] == [1, 3, 32, 48]
    assert [step["shape"] for step in report["steps"]] == [[1, 3, 32, 48]] * 2
    assert {step["how"] for step in report["steps"]} == {"selective"}
    assert len(report["sha256"]) == 64


def test_plan_of_the_network_that_ships(capsys):
    assert main(["plan", "default", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dense_macs"] > 1e6


def test_plan_of_the_splicing_engine(network, capsys):
    arguments = ["plan", str(network), "--engine", "splice", "--input-shape", "1,3,64,96"]
    assert main(arguments) == 0
    assert "way crops: " in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["way"] == "crops"
    assert [part["name"] for part in report["parts"]] == ["whole"]
    assert report["parts"][0]["margin_px"] <= 8
    assert all(crop["ms"] > 0 for crop in report["parts"][0]["crops"])


def test_an_open_size_is_asked_for(network, capsys):
    assert main(["plan", str(network)]) == 78
    assert "input_shape" in capsys.readouterr().err


def test_bench_prints_rows_alone_and_says_what_is_left_out(network, capsys):
    arguments = ["bench", "net", str(network), "--input-shape", "1,3,16,16", "--live", "0,.5", "--frames", "2", "--no-memory", "--json"]
    assert main(arguments) == 0
    said, errors = capsys.readouterr()
    rows = json.loads(said)
    assert {row["engine"] for row in rows} >= {"ours", "openvino_f32", "openvino_default"}
    assert {row["live_macs"] for row in rows} == {0.0}  # nothing in it multiplies
    assert all(line.startswith("edgevision: ") and "left out" in line for line in errors.splitlines())


def test_bench_on_a_clip(network, tmp_path, capsys):
    folder = tmp_path / "clip"
    folder.mkdir()
    ground = np.random.default_rng(0).integers(60, 180, (48, 64, 3), dtype=np.uint8)
    for number in range(4):
        picture = ground.copy()
        picture[4:14, 9 * number : 9 * number + 9] = 250
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    plot = tmp_path / "clip.png"
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install 'edgevision[bench]')")
    arguments = ["bench", "net", str(network), "--input-shape", "1,3,48,64", "--clip", str(folder), "--no-memory", "--plot", str(plot)]
    assert main(arguments) == 0
    assert "ours" in capsys.readouterr().out
    assert plot.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    "arguments",
    [
        ["bench"], ["bench", "net"], ["plan", "a.onnx", "--input-shape", "1,3,0,4"], ["plan", "a.onnx", "--precision", "f64"],
        ["bench", "net", "a.onnx", "--live", "2"], ["bench", "net", "a.onnx", "--threads", "0"],
        ["bench", "net", "a.onnx", "--precision", "f32,f64"], ["bench", "net", "a.onnx", "--clip", "a.mp4", "--live", "1"],
        ["quantize", "a.onnx"],
    ],
)  # fmt: skip
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "edgevision" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--plot", "plot.jpg"], 2, "FILE.png"),
        (["--clip", "none.mp4"], 2, "none.mp4"),
        (["--gates", "none.json"], 78, "none.json"),
        (["--int8", "none.xml"], 78, "none.xml"),
    ],
)
def test_bench_refuses_in_one_line(arguments, code, words, network, capsys):
    assert main(["bench", "net", str(network), "--input-shape", "1,3,16,16", "--json", *arguments]) == code
    said, errors = capsys.readouterr()
    assert said == ""
    assert len(errors.splitlines()) == 1
    assert words in errors
