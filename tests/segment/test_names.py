"""Defects asked for by name, through the whole pipeline: events carry the name, what changed is enough, what cannot be is refused."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.errors import ConfigError, EngineFault, InputError
from edgevision.networks.names import NamedHead, Remembered, write_names
from edgevision.networks.turbovit import TurboViTSpec
from edgevision.networks.turbovit_weights import random_turbovit, write_turbovit
from edgevision.records import Verdict
from edgevision.segment.facts import NetworkFacts
from edgevision.segment.names import NamesDecoder
from edgevision.segment.settings import NamesSettings, SegmentSettings

SPEC = TurboViTSpec(
    (1, 1, 2), (64, 64, 64), (1, 2, 2), (64, 64, 64), (False, True, True), ("unit", "unit", "csat"), labels=("good", "bad"), trained_px=128
)  # fmt: skip
NAMES, SIZE, CHANNELS, DIM = ("scratches", "pits", "stains"), (8, 8), 64, 8
CONFIG = """
cameras:
  cam:
    source: {type: synthetic}
    recompute: {network: turbovit, audit_every: 3, turbovit: {weights: net.npz, output: %s, measurements: 16}}
    segment: {kind: %s, names: {head: names.npz%s}}
"""


@pytest.fixture
def folder(tmp_path):
    """A network, and a head for which all is scratches."""
    write_turbovit(tmp_path / "net.npz", SPEC, random_turbovit(SPEC).weights, {"labels": "good, bad", "mean": "0.5", "std": "0.25"})
    random = np.random.default_rng(4)

    def drawn(*shape):
        return random.standard_normal(shape).astype(np.float32)

    offsets = 0.1 * drawn(3, 2 * DIM + 1)
    offsets[:, -1] = 9, 0, 0
    own = {"offsets": offsets, "liked": np.zeros((3, CHANNELS + 1), np.float32), "margins": np.full(3, np.nan, np.float32)}
    weights = {"letters": drawn(32, 4), "ask": drawn(4, DIM), "read": 0.1 * drawn(4, DIM), "key": drawn(CHANNELS, DIM)}
    memory = Remembered(drawn(30, CHANNELS).astype(np.float16), np.arange(30) % 3, np.arange(30))
    network = hashlib.sha256((tmp_path / "net.npz").read_bytes()).hexdigest()
    head = NamedHead(NAMES, **weights, value=drawn(CHANNELS, DIM), **own, measurements=16, size=SIZE, network=network, memory=memory)
    write_names(tmp_path / "names.npz", head)
    return tmp_path


def config(folder, ask="", output="tokens", kind="names"):
    path = folder / "line.yaml"
    path.write_text(CONFIG % (output, kind, ask))
    return path


def inspected(path, count=6):
    pipe, line = ev.Pipeline.from_config(path), Line(SyntheticSettings(seed=3, width=448, height=176))
    return [pipe.inspect(ev.Frame(line.frame(40 + k)[0], 1000.0 + k / 30, k)) for k in range(count)]


def test_events_carry_the_name_that_is_asked_for(folder):
    found = inspected(config(folder))
    assert {inspection.verdict for inspection in found[1:]} == {Verdict.NG}, found[-1].reason
    assert {region.label for inspection in found for region in inspection.regions} == {"scratches"}
    assert [event.defect.region.label for inspection in found for event in inspection.events if event.phase == "new"] == ["scratches"]
    assert {inspection.audit for inspection in found} <= {None, "passed"}
    assert {inspection.mode for inspection in found[1:]} <= {"partial", "cached"}


def test_what_is_not_asked_for_is_not_told(folder):
    assert {inspection.verdict for inspection in inspected(config(folder, ", ask: [pits, stains]"), 3)} == {Verdict.OK}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ask": ", ask: [scratchs]"}, "segment.names.ask: 'scratchs' .*must be one of scratches, pits, stains; did you mean 'scratches'"),
        ({"output": "answer"}, "segment.kind is names and recompute.turbovit.output answer"),
        ({"kind": "class"}, "segment.kind is class and recompute.turbovit.output tokens"),
    ],
)
def test_what_cannot_be_asked_is_refused(folder, more, said):
    with pytest.raises(ConfigError, match=said):
        ev.Pipeline.from_config(config(folder, **more))


def test_the_head_of_another_network_is_refused(folder):
    write_turbovit(folder / "net.npz", SPEC, random_turbovit(SPEC, seed=5).weights, {"labels": "good, bad", "mean": "0.5", "std": "0.25"})
    with pytest.raises(ConfigError, match=r"was taught on the network [0-9a-f]{12}, this one is"):
        ev.Pipeline.from_config(config(folder))
    (folder / "names.npz").unlink()
    with pytest.raises(ConfigError, match="no such file"):
        ev.Pipeline.from_config(config(folder))


def test_tokens_that_changed_are_enough(folder):
    network = hashlib.sha256((folder / "net.npz").read_bytes()).hexdigest()
    settings = SegmentSettings(kind="names", threshold=0.02, low_threshold=0.01, names=NamesSettings(head=folder / "names.npz"))
    decoder, fresh = (NamesDecoder(settings, (30, 40), NetworkFacts(sha256=network)) for _ in range(2))
    random = np.random.default_rng(0)
    tokens = random.standard_normal((1, CHANNELS, *SIZE)).astype(np.float32)
    first = decoder.decode({"out": tokens}, {})
    assert decoder.decode({"out": tokens}, {"out": None}) is first
    for _ in range(3):
        tokens[:, :, 2:5, 1:4] = random.standard_normal((1, CHANNELS, 3, 3))
        fresh.reset()
        assert decoder.decode({"out": tokens}, {"out": (1, 2, 4, 5)}) == fresh.decode({"out": tokens}, {})
    with pytest.raises(InputError, match="the head was taught on"):
        decoder.decode({"out": tokens[:, :, :4]}, {})
    tokens[0, 0, 0, 0] = np.nan
    with pytest.raises(EngineFault, match="NaN"):
        decoder.decode({"out": tokens}, {"out": (0, 0, 1, 1)})
