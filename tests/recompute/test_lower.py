"""What is folded into what, which tensors share a buffer, and what goes to an island."""

from __future__ import annotations

import numpy as np

from edgevision.kernels.forms import Convolve
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.graph import read_graph
from edgevision.recompute.lower import lower
from edgevision.recompute.memory import Layout
from edgevision.recompute.plan import IslandStep


def plan_of(g, tmp_path, *outputs):
    return lower(read_graph(g.save(tmp_path / "net.onnx", *outputs)))


def test_bias_scale_normalisation_and_activation_become_one_step(writer, tmp_path):
    g = writer((1, 3, 8, 8))
    y = g.conv("image", 3, 4, act="")
    ones = [g.constant(np.full(4, value, np.float32)) for value in (2, 1, 0.5, 4)]
    plan = plan_of(g, tmp_path, g.node("Relu", g.node("BatchNormalization", y, *ones)))
    (step,) = plan.steps
    assert isinstance(step.form, Convolve)
    assert step.form.activation.kind == "relu"


def test_silu_written_as_two_nodes_is_one_activation(writer, tmp_path):
    g = writer((1, 3, 8, 8))
    y = g.conv("image", 3, 4, act="")
    plan = plan_of(g, tmp_path, g.node("Mul", y, g.node("Sigmoid", y)))
    assert [step.form.activation.kind for step in plan.steps] == ["silu"]


def test_a_residual_joins_the_convolution_that_only_it_reads(writer, tmp_path, random):
    g = writer((1, 3, 8, 8))
    x = g.conv("image", 3, 8)
    y = g.conv(x, 8, 8, act="")
    plan = plan_of(g, tmp_path, g.node("Relu", g.node("Add", y, x)))
    assert len(plan.steps) == 2
    assert plan.steps[1].form.residual
    assert plan.steps[1].form.activation.kind == "relu"


def test_concat_is_written_once_and_a_second_home_costs_a_copy(writer, tmp_path):
    g = writer((1, 3, 8, 8))
    a, b = g.conv("image", 3, 8), g.conv("image", 3, 4)
    first = g.node("Concat", a, b, axis=1)
    second = g.node("Concat", b, a, "image", axis=1)
    plan = plan_of(g, tmp_path, g.conv(first, 12, 4), g.conv(second, 15, 4))
    assert [step.op for step in plan.steps].count("copy") == 3
    homes = Layout.of(plan).homes
    places = {homes[part] for part in plan.tensors[first].parts}
    assert {start for _, start in places} == {0, 8}
    assert len({root for root, _ in places}) == 1


def test_what_has_no_kernel_is_an_island_that_says_why(writer, tmp_path, random):
    g = writer((1, 3, 8, 8))
    middle = g.node("LRN", g.conv("image", 3, 4), size=3)
    path = g.save(tmp_path / "net.onnx", g.conv(middle, 4, 4))
    net = SelectiveNetwork.load(path)
    assert [isinstance(step, IslandStep) for step in net.plan.steps] == [False, True, False]
    assert "island: LRN has no selective kernel" in str(net.plan)
    net.first(random.standard_normal(net.input_shape).astype(np.float32))
    assert net.costs.steps[1].how == "island"
