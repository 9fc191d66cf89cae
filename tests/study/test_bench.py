"""The race on a tiny network: which rows there are, what stands in them, what is left out and why; the table and the plot."""

from __future__ import annotations

import importlib.util
import io
import math
import sys

import numpy as np
import pytest
from rich.console import Console

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.recompute.preprocess import Preprocess
from edgevision.study import bench as module
from edgevision.study.bench import BenchTask, Result, bench, race
from edgevision.study.bench_report import best_rival, draw, show
from edgevision.study.lane_memory import peak_mb
from edgevision.study.lanes import LaneSpec
from edgevision.study.shots import Squares

KEYS = [
    "engine", "precision", "threads", "live_input", "live_macs", "ms_mean", "ms_p50", "ms_p99", "first_ms", "disagreement", "peak_mb",
]  # fmt: skip
HAS_ONNXRUNTIME = importlib.util.find_spec("onnxruntime") is not None
HAS_NNCF = importlib.util.find_spec("nncf") is not None


@pytest.fixture
def _no_nncf(monkeypatch):
    def refuse(*_):
        raise UnsupportedNetwork("this test quantises nothing")

    monkeypatch.setattr(module, "make_int8", refuse)


@pytest.fixture
def result(chain, _no_nncf):
    network = chain((1, 3, 32, 48))
    return bench(BenchTask(network, live=(0.0, 0.1, 1.0), threads=(1, 2), frames=3, has_memory=False), is_quiet=True)


def of(rows, engine):
    return [row for row in rows if row["engine"] == engine]


def test_there_is_a_row_for_each_engine_thread_count_and_share(result):
    engines = ["ours", "openvino_f32", "openvino_default", *(["onnxruntime"] if HAS_ONNXRUNTIME else [])]
    assert {row["engine"] for row in result.rows} == set(engines)
    for engine in engines:
        assert [(row["threads"], row["live_input"]) for row in of(result.rows, engine)] == [
            (threads, pytest.approx(share, abs=0.01)) for threads in (1, 2) for share in (0.0, 0.1, 1.0)
        ]
    assert [len(laps) for laps in result.laps] == [3] * len(result.rows)


def test_a_row_holds_what_the_issue_asks_for(result):
    for row in result.rows:
        assert list(row) == KEYS
        assert 0 < row["ms_p50"] <= row["ms_p99"]
        assert row["first_ms"] > 0
    ours = of(result.rows, "ours")
    assert {row["precision"] for row in ours} == {"f32"}
    assert all(row["disagreement"] <= 1e-4 for row in ours)
    assert [row["live_macs"] for row in ours[:3]] == [0.0, pytest.approx(0.2, abs=0.1), 1.0]
    assert {row["disagreement"] for row in of(result.rows, "openvino_f32")} == {0.0}


def test_what_is_left_out_is_said_in_one_line(result):
    assert any("int8 is left out: this test quantises nothing" in note and "--int8" in note for note in result.notes)
    assert all("\n" not in note for note in result.notes)


@pytest.mark.usefixtures("_no_nncf")
def test_a_precision_that_cannot_run_is_a_note_and_the_others_race(chain):
    task = BenchTask(chain((1, 3, 16, 16)), live=(0.5,), precisions=("f32", "int8"), frames=1, has_memory=False)
    found = bench(task, is_quiet=True)
    assert [row["precision"] for row in of(found.rows, "ours")] == ["f32"]


def test_without_nncf_int8_is_left_out(chain, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    found = bench(BenchTask(chain((1, 3, 16, 16)), live=(0.5,), foreign="auto", frames=1, has_memory=False), is_quiet=True)
    assert any("nncf is not installed" in note for note in found.notes)
    assert of(found.rows, "ours")
    assert not of(found.rows, "openvino_int8")


def test_a_file_that_is_none_is_refused(tmp_path):
    with pytest.raises(UnsupportedNetwork, match="no such network file"):
        bench(BenchTask(tmp_path / "none.onnx"), is_quiet=True)


def test_who_begins_turns():
    assert [module._order(3, number) for number in range(4)] == [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]]


def test_each_engine_sees_every_shot_and_the_first_are_not_counted():
    seen = {"a": 0, "b": 0}

    class Fake:
        precision, first_ms = "f32", 1.0

        def __init__(self, name):
            self.name = name

        def begin(self, shot):
            assert shot.is_whole

        def run(self, shot):
            seen[self.name] += 1
            return [shot.x + (self.name == "b")], float(seen[self.name])

    specs = [LaneSpec(engine, None, (1, 1, 8, 8), 1) for engine in ("openvino_f32", "ours")]
    entrants = [module.Entrant(spec, Fake(name)) for spec, name in zip(specs, "ab", strict=True)]
    tally = race(entrants, Squares((1, 1, 8, 8), Preprocess(), 0.25), 4, lambda text: None)
    assert seen == {"a": 6, "b": 6}
    assert tally.laps[0].ms == [3.0, 4.0, 5.0, 6.0]
    assert tally.laps[0].deviation.worst == 0
    assert tally.laps[1].deviation.worst >= 1
    assert tally.live_input == 0.25


def test_a_scene_without_a_second_shot_is_refused():
    class Short(Squares):
        def play(self, count):
            yield from ()

    with pytest.raises(InputError, match="second frame"):
        race([], Short((1, 1, 8, 8), Preprocess(), 0.5), 3, lambda text: None)


def test_memory_is_that_of_an_engine_alone(chain):
    spec = LaneSpec("openvino_f32", chain((1, 3, 256, 256)), (1, 3, 256, 256), 1)
    assert 1 < peak_mb(spec, Squares(spec.shape, Preprocess(), 0.1)) < 400


@pytest.mark.skipif(not HAS_NNCF, reason="nncf is not installed (pip install 'edgevision[quantize]')")
def test_a_float_file_is_quantised_for_the_int8_rows(chain):
    found = bench(BenchTask(chain((1, 3, 32, 48)), live=(0.1,), frames=2, has_memory=False), is_quiet=True)
    (row,) = of(found.rows, "openvino_int8")
    assert row["precision"] == "int8"
    assert 0 < row["disagreement"] < 0.2
    assert 0 < row["live_macs"] <= of(found.rows, "ours")[0]["live_macs"] + 1e-6


def row_of(engine, precision, share, p50):
    return {
        "engine": engine, "precision": precision, "threads": 1, "live_input": share, "live_macs": share, "ms_mean": p50, "ms_p50": p50,
        "ms_p99": p50, "first_ms": 9.0, "disagreement": None, "peak_mb": None,
    }  # fmt: skip


def table_of(result):
    console = Console(file=io.StringIO(), width=160)
    show(result, console)
    return console.file.getvalue()


def test_the_table_compares_with_the_best_peer_of_the_same_precision():
    rows = [
        row_of("ours", "f32", 0.1, 2.0), row_of("openvino_f32", "f32", 0.1, 10.0), row_of("onnxruntime", "f32", 0.1, 8.0),
        row_of("openvino_default", "bf16", 0.1, 1.0), row_of("onnxruntime", "f32", 0.2, 1.0),
    ]  # fmt: skip
    assert best_rival(rows[0], rows) is rows[2]
    text = table_of(Result("", rows, notes=["onnxruntime (auto) is left out: [why]"]))
    assert "4.00" in text.splitlines()[1]
    assert text.splitlines()[-1] == "onnxruntime (auto) is left out: [why]"


def test_the_plot_is_drawn_for_shares_and_for_a_clip(result, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (pip install 'edgevision[bench]')")
    draw(result, tmp_path / "shares.png")
    rows = [row_of("ours", "f32", 0.1, 2.0), row_of("openvino_f32", "f32", 0.1, 10.0)]
    draw(Result("clip", rows, [[1.0, 3.0], [10.0, 10.0]], [[0.0, 0.2]] * 2), tmp_path / "clip.png")
    for name in ("shares.png", "clip.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
    with pytest.raises(InputError, match="none of ours"):
        draw(Result("", rows[1:], [[1.0]], [[0.1]]), tmp_path / "none.png")


def test_numbers_of_a_row(chain):
    laps = module.Laps("f32", 12.3456, [1.0, 2.0, 9.0])
    laps.deviation.add([np.array([0.0, 1.01])], [np.array([0.0, 1.0])])
    row = laps.row(LaneSpec("ours", chain(), (1, 1, 8, 8), 2), 0.05, 0.1, 12.5)
    assert (row["ms_mean"], row["ms_p50"], row["threads"], row["peak_mb"]) == (4.0, 2.0, 2, 12.5)
    assert math.isclose(row["disagreement"], 0.01, rel_tol=1e-3)
