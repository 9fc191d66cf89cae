"""`bench attention`: what it times answers rightly, and its rows are as promised."""

from __future__ import annotations

import json

import numpy as np
import pytest

from edgevision.cli import main
from edgevision.networks.attention import Tokens
from edgevision.study.attention_scene import shots

SMALL = ["bench", "attention", "--tokens", "600", "--heads", "1", "--dim", "16", "--keep", ".3", "--shots", "2", "--threads", "1"]


def test_rows_say_what_each_costs_and_how_far_it_is_off(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    assert main([*SMALL, "--methods", "dense,sparsifiner,hybrid", "--json", "--plot", str(tmp_path / "a.png")]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"method", "engine", "ms_p50", "ms_p99", "error_to_dense", "macs", "mb"} <= set(rows[0])
    assert {row["engine"] for row in rows} >= {"openvino_f32_products", "openvino_default_fused", "ours"}
    exact = [row for row in rows if row["method"] == "dense" and row["gate"] == 0 and "default" not in row["engine"]]
    assert max(row["error_to_dense"] for row in exact) < 1e-4
    whole, exact_change, gated = (row for row in rows if row["method"] == "hybrid")
    assert whole["error_to_dense"] == exact_change["error_to_dense"], "exact: a change is answered as a first run"
    assert gated["macs"] < exact_change["macs"] <= whole["macs"]
    assert (tmp_path / "a.png").stat().st_size > 10_000


def test_few_tokens_are_told_to_run_dense(capsys):
    assert main([*SMALL[:2], "--tokens", "196", *SMALL[4:], "--methods", "sparsifiner"]) == 0
    assert "sparsifiner: dense: 196 keys are 4 blocks" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "says"), [("--keep", "0", "above 0"), ("--methods", "best", "must be of dense"), ("--tokens", "0", "1 or more")]
)
def test_what_cannot_be_is_refused_in_one_line(capsys, option, value, says):
    try:
        code = main([*SMALL, option, value])
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert says in capsys.readouterr().err


def test_shots_change_one_square_and_mark_it():
    tokens = Tokens((10, 12), (10, 12), 1, 4)
    sequence = shots(tokens, 0.1, 1)
    scene, live = next(sequence)
    assert live.all()
    before = scene.key.values.copy()
    scene, live = next(sequence)
    moved = (scene.key.values != before).any(axis=2)
    assert np.array_equal(moved, live)
    assert scene.query.live_px == live.sum() == 9 or live.sum() == 12
