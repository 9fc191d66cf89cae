"""`network: turbovit` in a configuration: the whole pipeline with each attention on synthetic frames, and what is refused at load."""

from __future__ import annotations

import re

import numpy as np
import pytest

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.config import load
from edgevision.daemon.check import check
from edgevision.errors import ConfigError, UnsupportedNetwork
from edgevision.networks.attention.phi import spread_tokens
from edgevision.networks.turbovit import TurboViTSpec
from edgevision.networks.turbovit_weights import random_turbovit, read_turbovit, write_turbovit
from edgevision.recompute.load_tokens import open_tokens
from edgevision.recompute.settings import TurboViTSettings
from edgevision.records import Verdict

SPEC = TurboViTSpec(
    (1, 1, 2), (64, 64, 64), (1, 2, 2), (64, 64, 64), (False, True, True), ("unit", "unit", "dense"),
    head="segmentation", labels=("scratch", "stain"), trained_px=128,
)  # fmt: skip
CSAT = {"attention": ("unit", "unit", "csat"), "measurements": 16}
CONFIG = """
cameras:
  cam:
    source: {type: synthetic}
    segment: {threshold: 0.999}
    recompute:
      network: turbovit
      audit_every: 3
      audit_engine_every: 2
      turbovit: {weights: net.npz%s}
%s
"""


@pytest.fixture
def weights(tmp_path):
    write_turbovit(tmp_path / "net.npz", SPEC, random_turbovit(SPEC).weights, {"labels": "scratch, stain", "mean": "0.5", "std": "0.25"})
    return tmp_path


def config(folder, turbovit="", rest=""):
    path = folder / "line.yaml"
    path.write_text(CONFIG % (turbovit, rest))
    return path


@pytest.mark.parametrize("kind", ["dense", "sparsifiner", "hybrid", "csat"])
def test_the_pipeline_runs_with_each_attention(weights, kind):
    pipe = ev.Pipeline.from_config(config(weights, f", attention: [unit, unit, {kind}], sparsifiner: {{keep: 0.3}}, measurements: 16"))
    line = Line(SyntheticSettings(seed=3, width=448, height=176))
    found = [pipe.inspect(ev.Frame(line.frame(40 + k)[0], 1000.0 + k / 30, k)) for k in range(6)]
    assert {inspection.verdict for inspection in found} == {Verdict.OK}, found[-1].reason
    assert found[0].mode == "full"
    assert {inspection.mode for inspection in found[1:]} <= {"partial", "cached"}
    assert pipe.network.input_shape == (1, 3, 192, 448)
    last = pipe.network.attentions[-1]
    assert (last.step.attention.kind, last.state.note) == (kind, "")
    assert kind in ("dense", "csat") or last.state.kept().mean() < 0.6
    assert found[2].audit_disagreement is not None


def test_csat_measures_single_tokens_where_it_is_told_to(weights):
    made = open_tokens(read_turbovit(weights / "net.npz"), TurboViTSettings(**CSAT, phi="tokens"), (128, 128), 0.0)
    csat = made.attentions[-1].step.attention
    assert np.array_equal(csat.phi.rows, spread_tokens(16, csat.phi.size))
    with pytest.raises(UnsupportedNetwork, match="measurements is 0"):
        open_tokens(read_turbovit(weights / "net.npz"), TurboViTSettings(**{**CSAT, "measurements": 0}, phi="tokens"), (128, 128), 0.0)


def test_frames_of_any_size_lie_in_the_corner_or_are_stretched_to_the_size_that_is_named(weights):
    for turbovit, wanted in (("", (1, 3, 128, 224)), (", size_px: [64, 96]", (1, 3, 64, 96))):
        pipe = ev.Pipeline.from_config(config(weights, turbovit))
        pipe.prepare(np.zeros((100, 200, 3), np.uint8))
        assert pipe.network.input_shape == wanted


@pytest.mark.parametrize(
    ("turbovit", "rest", "line"),
    [
        (", sparsifiner: {keep: 0}", "", r"turbovit.sparsifiner.keep is 0; it must be above 0 and at most 1"),
        (", attention: [unit, spars]", "", r"attention.1 is spars; it must be unit, .*; did you mean 'sparsifiner'"),
        ("", "      engine: splice", r"engine is splice and network turbovit, which runs selectively only"),
        ("", "      precision: bf16", r"precision is bf16; turbovit runs in f32; leave it out"),
    ],
)
def test_a_file_that_asks_for_what_cannot_be_is_refused(weights, turbovit, rest, line):
    with pytest.raises(ConfigError, match=line):
        load(config(weights, turbovit, rest))


def test_a_network_without_weights_is_refused(tmp_path):
    path = tmp_path / "line.yaml"
    path.write_text("cameras: {cam: {source: {type: synthetic}, recompute: {network: turbovit}}}")
    with pytest.raises(ConfigError, match=r"turbovit.weights is missing; turbovit needs a file of weights"):
        load(path)


@pytest.mark.parametrize(
    ("turbovit", "error", "line"),
    [
        (", size_px: [100, 96]", ConfigError, r"recompute.turbovit.size_px is 100 x 96 px; .* the nearest size is 96 x 96"),
        (", attention: [unit]", ConfigError, r"recompute.turbovit.attention has 1 entries; .*net.npz has 3 stages; give one for each"),
    ],
)
def test_what_does_not_fit_the_network_is_refused_when_it_is_loaded(weights, turbovit, error, line):
    with pytest.raises(error, match=line):
        ev.Pipeline.from_config(config(weights, turbovit)).prepare(np.zeros((96, 96, 3), np.uint8))


@pytest.mark.parametrize(
    ("turbovit", "line"),
    [
        (", size_px: [100, 96]", r"recompute.turbovit.size_px is 100 x 96 px; .* the nearest size is 96 x 96"),
        (", size_px: [99968, 96]", r"size_px is \[99968, 96\]; a side may have at most 8192 pixels; give 8192 or less"),
        (", attention: [unit]", r"recompute.turbovit.attention has 1 entries; .*net.npz has 3 stages; give one for each"),
        (
            ", size_px: [64, 64], attention: [csat, csat, csat], measurements: 99999",
            r"measurements is 99999; it must be 1 to \d+, the layer's tokens",
        ),
        (", size_px: [64, 64], attention: [csat, csat, csat], measurements: 0", r"measurements is 0; .*; nearest: 1"),
        (", attention: [unit, unit, hybrid], hybrid: {keep: 0}", r"hybrid.keep is 0; it must be above 0 and at most 1"),
    ],
)
def test_check_refuses_it_without_a_frame(weights, turbovit, line):
    said = check(config(weights, turbovit))
    assert said["exit_code"] == 78
    assert len(said["lines"]) == 1
    assert re.search(line, said["lines"][0]), said["lines"]


def test_a_moving_belt_and_a_missing_file_are_refused(weights):
    belt = ev.Pipeline.from_config(config(weights, rest="    compare: {motion: shift}"))
    with pytest.raises(UnsupportedNetwork, match=r"compare.motion is shift, but turbovit's tokens know their places"):
        belt.prepare(np.zeros((96, 96, 3), np.uint8))
    gone = ev.Pipeline.from_config(config(weights))
    (weights / "net.npz").unlink()
    with pytest.raises(UnsupportedNetwork, match=r"net.npz: no such network file; recompute.turbovit.weights is the path of an .npz file"):
        gone.prepare(np.zeros((96, 96, 3), np.uint8))
