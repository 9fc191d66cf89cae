"""`bench turbovit` and `explain` on a network of toy size: their rows, their page, what they refuse."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from rich.console import Console

from edgevision.cli import main
from edgevision.networks.turbovit import TurboViTSpec
from edgevision.networks.turbovit_weights import random_turbovit, write_turbovit
from edgevision.study.turbovit_bench import TurboTask, bench, shots_of
from edgevision.study.turbovit_report import show

SPEC = TurboViTSpec(
    (1, 1, 2), (64, 64, 64), (1, 2, 2), (64, 64, 64), (False, True, True), ("unit", "dense", "dense"),
    head="segmentation", labels=("scratch", "stain"), trained_px=128,
)  # fmt: skip
CONFIG = """
cameras:
  cam:
    source: {type: synthetic}
    segment: {threshold: 0.999}
    recompute: {network: turbovit, turbovit: {weights: net.npz}}
"""


@pytest.fixture
def folder(tmp_path):
    write_turbovit(tmp_path / "net.npz", SPEC, random_turbovit(SPEC).weights, {})
    return tmp_path


def test_each_attention_is_raced_whole_changed_and_gated(folder):
    task = TurboTask(128, 0.06, 1, 0.02, methods=("dense",), weights=folder / "net.npz", shots=3, has_memory=False)
    found = bench(task, lambda text: None)
    ours = [row for row in found.rows if row["engine"] == "ours"]
    assert [(row["method"], row["changed"], row["gate"]) for row in ours] == [
        ("dense", 1.0, 0.0),
        ("dense", 0.06, 0.0),
        ("dense", 0.06, 0.02),
    ]
    assert {row["engine"] for row in found.rows} >= {"openvino_f32", "openvino_default", "ours"}
    assert all(
        list(row) == ["method", "engine", "changed", "gate", "ms_p50", "ms_p99", "error_to_dense", "macs", "mb"] for row in found.rows
    )
    assert ours[0]["error_to_dense"] == ours[1]["error_to_dense"] < 1e-4 < ours[2]["error_to_dense"] < 0.5
    assert ours[0]["macs"] == found.rows[0]["macs"] > ours[1]["macs"] >= ours[2]["macs"] > 0
    with (folder / "table").open("w") as file:
        show(found, Console(file=file, width=120))
    assert "x f32" in (folder / "table").read_text()


def test_two_settings_run_side_by_side_and_say_how_far_they_agree(folder, capsys):
    command = ["bench", "turbovit", "--size", "128", "--weights", str(folder / "net.npz"), "--threads", "1", "--frames", "3", "--json"]
    assert main([*command, "--ab", "measurements=16", "measurements=16"]) == 0
    same = json.loads(capsys.readouterr().out)
    assert [side["settings"] for side in same["sides"]] == ["measurements=16", "measurements=16"]
    assert (same["agreement"]["same_label"], same["agreement"]["most_apart"]) == (1.0, 0.0)
    assert main([*command, "--ab", "measurements=16", "measurements=2,gate=0"]) == 0
    assert json.loads(capsys.readouterr().out)["agreement"]["most_apart"] > 0
    assert main([*command, "--ab", "measurement=16", "keep=1"]) != 0
    assert "did you mean 'measurements'" in capsys.readouterr().err


def test_a_change_stays_in_its_units():
    shots = shots_of(TurboTask(128, 0.06), SPEC)
    before, _ = next(shots)
    after, live = next(shots)
    assert np.array_equal((before != after).any(axis=(0, 1)), live)
    rows, columns = np.flatnonzero(live.any(axis=1)), np.flatnonzero(live.any(axis=0))
    assert (len(rows), len(columns)) == (29, 29)  # one unit of 32 px but for what the next unit's first tokens see
    assert rows[0] % 32 == columns[0] % 32 == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--size", "100"], "--size is 100 x 100 px; turbovit takes whole units of 32 px each way; the nearest size is 96 x 96"),
        (["--methods", "dense,best"], "--methods names 'best'; it must be of dense, sparsifiner, hybrid, csat"),
    ],
)
def test_what_cannot_be_raced_is_refused(arguments, line, capsys):
    assert main(["bench", "turbovit", *arguments]) == 2
    assert line in capsys.readouterr().err


def test_explain_writes_a_page_over_the_frame(folder, capsys):
    (folder / "line.yaml").write_text(CONFIG)
    random = np.random.default_rng(0)
    still = random.integers(60, 200, (128, 192, 3), np.uint8)
    (folder / "frames").mkdir()
    for number in range(4):
        frame = still.copy()
        frame[40:60, 100 + 4 * number : 120 + 4 * number] = 250
        cv2.imwrite(str(folder / "frames" / f"{number}.png"), frame)
    out = folder / "page.html"
    arguments = ["explain", str(folder / "frames"), "--config", str(folder / "line.yaml"), "--out", str(out)]
    assert main([*arguments, "--frame", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert [layer["kind"] for layer in report["layers"]] == ["unit", "unit", "dense", "dense"]
    assert 0 < report["layers"][0]["queries_run"] < 1 == report["layers"][3]["keys_kept"]
    text = out.read_text()
    assert text.count("<img") == 5  # three stages, two attentions over the whole picture
    assert "stage3_block2.attention" in text
    spec = replace(SPEC, block=4)
    write_turbovit(folder / "small.npz", spec, random_turbovit(spec).weights, {"labels": "scratch, stain", "mean": "0.5", "std": "0.25"})
    (folder / "line.yaml").write_text(CONFIG.replace("net.npz}", "small.npz, attention: [unit, hybrid, sparsifiner]}"))
    assert main([*arguments, "--frame", "3", "--json"]) == 0
    capsys.readouterr()
    text = out.read_text()
    assert "Why: its mean query" in text
    assert text.count("<img") == 6, "one attention of three has enough blocks to choose from, and says why"
    assert main([*arguments, "--frame", "4"]) == 2
    assert "--frame is 4; " in capsys.readouterr().err
    (folder / "line.yaml").write_text("cameras: {cam: {source: {type: synthetic}}}")
    assert main(arguments) == 2
    assert "recompute.network is default; explain is for turbovit; set it" in capsys.readouterr().err
