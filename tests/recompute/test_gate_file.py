"""Gates go to a file and come back for the same network only; whatever else is said in one line that names the file."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from edgevision.errors import ConfigError, InputError
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.gate_file import GateFile, read_gates, sha256_of, write_gates
from edgevision.recompute.load import check_network, load_for_frames
from edgevision.recompute.settings import RecomputeSettings


@pytest.fixture
def gate_file(unet, tmp_path):
    names = [step.name for step in SelectiveNetwork.load(unet).plan.steps]
    path = tmp_path / "gates.json"
    gates = {name: 0.01 * place for place, name in enumerate(names)}
    write_gates(path, GateFile(unet.name, sha256_of(unet), gates, {"clip": "none"}))
    return path


def test_the_hash_is_the_network_s_own(unet):
    assert sha256_of(unet) == SelectiveNetwork.load(unet).sha256


def test_gates_come_back_as_they_were_and_the_pipeline_s_network_has_them(unet, gate_file):
    gates = read_gates(gate_file, unet)
    assert len(set(gates.values())) == len(gates) > 5
    net = load_for_frames(RecomputeSettings(network=unet, gate=gate_file), 48, 64)
    assert dict(net.plan.gates) == gates


def test_gates_by_step_may_stand_in_the_settings(unet):
    names = [step.name for step in SelectiveNetwork.load(unet).plan.steps]
    settings = RecomputeSettings(network=unet, gate={"*": 0.01, names[2]: 0.2})
    check_network(settings)
    gates = load_for_frames(settings, 48, 64).plan.gates
    assert [gates[name] for name in names[:4]] == [0.01, 0.01, 0.2, 0.01]


def test_a_gate_in_the_settings_for_a_step_that_is_not_there_is_refused_before_anything_runs(unet):
    with pytest.raises(InputError, match="gate for 'attic', but no step has this name; see the plan for names"):
        check_network(RecomputeSettings(network=unet, gate={"attic": 0.2}))
    with pytest.raises(ValidationError, match="is 1 for step 'a'; it must be at least 0 and below 1"):
        RecomputeSettings(network=unet, gate={"a": 1.0})


def test_gates_of_another_network_are_refused_in_one_line(unet, unet_linear, gate_file):
    with pytest.raises(ConfigError) as caught:
        load_for_frames(RecomputeSettings(network=unet_linear, gate=gate_file), 48, 64)
    text = str(caught.value)
    assert text.startswith(f"{gate_file}: its gates are for unet.onnx (sha256 {sha256_of(unet)[:12]})")
    assert sha256_of(unet_linear)[:12] in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content | {"schema": "edgevision.gates/9"}, "schema is 'edgevision.gates/9'"),
        (lambda content: {key: value for key, value in content.items() if key != "gates"}, "with `gates`"),
        (lambda content: content | {"gates": {"a": 1.0}}, "step 'a' is 1.0; it must be a number, at least 0 and below 1"),
        (lambda content: content | {"gates": {"a": "0.1"}}, "step 'a' is '0.1'"),
        (lambda content: content | {"gates": {"a": True}}, "step 'a' is True"),
        (lambda content: content | {"gates": {"a": float("nan")}}, "step 'a' is nan"),
        (lambda content: [content], "holds no JSON object"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_the_remedy(change, words, unet, gate_file):
    gate_file.write_text(json.dumps(change(json.loads(gate_file.read_text()))))
    with pytest.raises(ConfigError) as caught:
        read_gates(gate_file, unet)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{gate_file}: ")
    assert "edgevision gates" in str(caught.value)


@pytest.mark.parametrize(("content", "words"), [(None, "No such file"), (b"", "no gate file"), (b"\xff\xfe", "no gate file")])
def test_what_is_no_gate_file_is_named(content, words, unet, tmp_path):
    path = tmp_path / "gates.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        read_gates(path, unet)


def test_a_step_that_is_not_there_is_refused(unet, gate_file):
    content = json.loads(gate_file.read_text())
    gate_file.write_text(json.dumps(content | {"gates": {"nobody": 0.1}}))
    with pytest.raises(Exception, match="'nobody', but no step has this name"):
        load_for_frames(RecomputeSettings(network=unet, gate=gate_file), 48, 64)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none/gates\.json: No such file"):
        write_gates(tmp_path / "none" / "gates.json", GateFile("net.onnx", "0", {}))
