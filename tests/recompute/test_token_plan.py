"""A network of tokens in the engine: OpenVINO's own answer, the laws of Memory, what is refused. Small networks, kernels in plain NumPy."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.errors import ConfigError, InputError, UnsupportedNetwork
from edgevision.networks.turbovit import TurboViTSpec
from edgevision.networks.turbovit_weights import random_turbovit
from edgevision.recompute.load_tokens import open_tokens
from edgevision.recompute.settings import TurboViTSettings
from edgevision.recompute.token_plan import positions_for
from edgevision.study.turbovit_export import export_turbovit, nested_order

SMALL = {
    "depths": (1, 1, 2), "dims": (8, 16, 32), "heads": (1, 2, 2), "hidden": (16, 32, 64), "pools": (False, True, True),
    "kinds": ("unit", "unit", "dense"), "trained_px": 64, "labels": ("a", "b", "c"), "decoder_dim": 8,
}  # fmt: skip
SIZE = 64, 96
PLAIN = {"backend": "plain"}


def network(head="class", gate=0.0, **means):
    return open_tokens(random_turbovit(TurboViTSpec(**SMALL, head=head)), TurboViTSettings(), SIZE, gate, 1, {**PLAIN, **means})


def picture(seed=0):
    return np.random.default_rng(seed).standard_normal((1, 3, *SIZE)).astype(np.float32)


@pytest.mark.parametrize("head", ["class", "segmentation"])
def test_the_answer_is_that_of_openvino_on_the_exported_file(head, tmp_path):
    export_turbovit(random_turbovit(TurboViTSpec(**SMALL, head=head)), SIZE, tmp_path / "net.onnx")
    compiled = ov.Core().compile_model(tmp_path / "net.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    net, x = network(head), picture()
    (name, ours), theirs = next(iter(net.first(x).items())), compiled(x)[0]
    assert net.outputs[name] == ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= 1e-4 * np.ptp(theirs)
    assert net.metadata["labels"] == "a, b, c"


def test_tokens_in_the_nested_order_lie_unit_by_unit_and_four_by_four():
    order = nested_order(8, 16, 4, 1).reshape(2, 4, -1, 4)  # (row and column of a unit, 2x2 in it, token)
    assert order[0, 0, 0].tolist() == [0, 1, 16, 17]
    assert order[0, 1, 0].tolist() == [4, 5, 20, 21]
    assert order[0, 0, 3].tolist() == [34, 35, 50, 51]
    assert sorted(order.reshape(-1)) == list(range(8 * 16))


def test_positions_are_stretched_between_half_pixels():
    table = np.array([[[0.0], [4.0]]], np.float32)
    assert positions_for(table, (2, 4))[:, :, 0].tolist() == [[0, 1, 3, 4]] * 2
    assert np.array_equal(positions_for(table, (1, 2)), table)


@settings(max_examples=4, deadline=None, derandomize=True)
@given(data=st.data(), head=st.sampled_from(["class", "segmentation"]))
def test_after_any_changes_memory_is_that_of_a_whole_run(data, head):
    net, x = network(head), picture()
    net.first(x)
    for seed in range(data.draw(st.integers(1, 3))):
        live = np.zeros(SIZE, np.bool_)
        top, left = data.draw(st.integers(0, SIZE[0] - 1)), data.draw(st.integers(0, SIZE[1] - 1))
        live[top : top + data.draw(st.integers(1, 20)), left : left + data.draw(st.integers(1, 20))] = True
        made = next(iter(net.next(picture(seed + 1), live).values())).copy()
    twin = net.sibling()
    whole = next(iter(twin.first(net.used()).values()))
    assert made.tobytes() == whole.tobytes()
    planes = zip(net._memory.planes.items(), twin._memory.planes.values(), strict=True)
    assert [name for (name, one), other in planes if one.values.tobytes() != other.values.tobytes()] == []
    assert net.verify() == net.verify((0.3, 0.2, 0.6, 0.9)) == {}


@pytest.mark.parametrize(("kind", "precision"), [("sparsifiner", "f32"), ("sparsifiner", "bf16"), ("hybrid", "f32"), ("csat", "f32")])
def test_sparse_attention_pooled_or_not_leaves_the_memory_of_a_whole_run(kind, precision):
    spec = TurboViTSpec(**{**SMALL, "kinds": (kind, "unit", "unit")})
    net = open_tokens(random_turbovit(spec), TurboViTSettings(measurements=24), (64, 128), 0.0, 1, {**PLAIN, "precision": precision})
    x, live = np.random.default_rng(0).standard_normal((2, 1, 3, 64, 128)).astype(np.float32), np.zeros((64, 128), np.bool_)
    net.first(x[0])
    assert {one.state.note for one in net.attentions} == {""}
    for top, left in ((3, 70), (40, 5)):
        live[...] = False
        live[top : top + 9, left : left + 14] = True
        made = net.next(x[1], live)["scores"].copy()
    twin = net.sibling()
    assert made.tobytes() == twin.first(net.used())["scores"].tobytes()
    planes = zip(net._memory.planes.items(), twin._memory.planes.values(), strict=True)
    assert [name for (name, one), other in planes if one.values.tobytes() != other.values.tobytes()] == []
    assert net.verify((0.4, 0.1, 0.9, 0.6)) == {}


def test_only_units_that_changed_are_run_and_counted():
    net, live = network("segmentation"), np.zeros(SIZE, np.bool_)
    net.first(picture())
    assert net.costs.macs == net.plan.dense_macs == net.costs.dense_macs
    live[40, 40] = True  # in the second unit of the second row
    net.next(picture(1), live)
    shares = {step.name: step.live_fraction for step in net.costs.steps}
    assert shares["stage1_block1.attention"] == shares["stage2_block1.attention"] == pytest.approx(1 / 6)
    assert shares["stage2_block1.mlp_in"] == pytest.approx(1 / 6)
    assert shares["stage3_block2.attention"] == 1.0  # all keys are kept
    assert 0.1 < net.costs.macs / net.costs.dense_macs < 0.9
    net.next(picture(1), np.zeros(SIZE, np.bool_))
    assert net.costs.macs == 0
    assert net.costs.mode == "cached"


def test_a_damaged_memory_is_found():
    net = network()
    net.first(picture())
    net._memory.planes["stage3_block2.attention"].values[1, 2, 3] += 1
    assert "stage3_block2.attention" in net.verify()


def test_gates_save_work_and_cost_little_of_the_answer():
    exact, gated, live = network("segmentation"), network("segmentation", {"*": 0.05}), np.zeros(SIZE, np.bool_)
    live[8:20, 8:20] = True
    answers = []
    for net in (exact, gated):
        net.first(picture())
        answers.append(net.next(picture() + 0.1 * picture(1), live)["defect"].copy())
    assert gated.costs.macs < 0.7 * exact.costs.macs
    assert 0 < np.abs(answers[0] - answers[1]).max() < 0.1
    assert gated.verify() == {}


def test_the_plan_says_what_each_attention_keeps():
    def line(kind, size_px):
        spec = TurboViTSpec(**{**SMALL, "kinds": ("unit", kind, "dense"), "depths": (1, 2, 1)})
        net = open_tokens(random_turbovit(spec), TurboViTSettings(measurements=20), size_px, 0.0, 1, PLAIN)
        return next(text for text in str(net.plan).splitlines() if text.startswith("stage2_block2.attention"))

    assert line("dense", SIZE).endswith("all keys: a change makes every token live")
    assert line("sparsifiner", SIZE).endswith("dense: 96 keys are 2 blocks; with fewer than 8 choosing costs more than it saves")
    assert line("sparsifiner", (256, 256)).endswith("keeps 0.25, predictor not trained")
    assert line("hybrid", (256, 256)).endswith("keeps 0.1, correction low_rank")
    assert line("csat", SIZE).endswith("20 measurements, block means")
    with pytest.raises(UnsupportedNetwork, match=r"'stage2_block2.attention': .*measurements"):
        line("csat", (32, 32))


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match=r"is 64 x 100 px; .* units of 32 px each way; the nearest size is 64 x 96"):
        open_tokens(random_turbovit(TurboViTSpec(**SMALL)), TurboViTSettings(), (64, 100), 0.0)
    with pytest.raises(InputError, match=r"gate for 'stage9', but no step has this name"):
        network(gate={"stage9": 0.1})
    with pytest.raises(UnsupportedNetwork, match=r"needs .* MB a camera, memory_limit_mb is 0.1; raise it"):
        network(memory_limit_mb=0.1)
    with pytest.raises(ConfigError, match=r"recompute.turbovit.attention has 2 entries; .* has 3 stages; give one for each"):
        open_tokens(random_turbovit(TurboViTSpec(**SMALL)), TurboViTSettings(attention=("unit", "dense")), SIZE, 0.0)
