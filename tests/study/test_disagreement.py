from __future__ import annotations

import numpy as np
import onnx
import onnx.parser
import pytest

from edgevision.recompute.engine import SelectiveNetwork
from edgevision.study.disagreement import Scale, Span, disagreement, probable_outputs, scale_of


def one(gated, exact, scale):
    return disagreement({"y": np.float32(gated)}, {"y": np.float32(exact)}, {"y": scale})


def test_worked_by_hand():
    found = one([[0.0, 3.0, 0.0, 4.0]], [[0.0, 0.0, 0.0, 0.0]], Scale(10.0))
    assert found.error == pytest.approx(2.5 / 10)  # the root of (9 + 16) / 4
    assert found.flips == 0
    assert found.total == found.error == found.strain


def test_decisions_that_flip_are_counted_at_the_threshold_and_among_classes():
    across = one([[0.4, 0.6, 0.9, 0.1]], [[0.6, 0.6, 0.9, 0.1]], Scale(1.0, threshold=0.5))
    assert across.flips == 0.25
    assert across.error == pytest.approx(0.1)
    assert across.total == pytest.approx(0.35)
    classes = one([[0.4, 0.6], [0.9, 0.1]], [[0.6, 0.4], [0.9, 0.1]], Scale(1.0, axis=1))
    assert classes.flips == 0.5


def test_the_worst_output_speaks_for_all_and_the_strain_knows_the_others():
    gated, exact = {"a": np.float32([3.0]), "b": np.float32([4.0])}, {"a": np.float32([0.0]), "b": np.float32([0.0])}
    found = disagreement(gated, exact, {"a": Scale(10.0), "b": Scale(10.0)})
    assert found.total == pytest.approx(0.4)
    assert found.strain == pytest.approx(0.5)


def test_an_answer_that_is_not_finite_is_right_only_where_it_is_the_same():
    same = one([np.inf, np.nan, 1.0], [np.inf, np.nan, 1.0], Scale(2.0))
    assert same.total == 0
    wrong = one([np.inf, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], Scale(2.0))
    assert wrong.total == pytest.approx(0.5)  # one of four wrong by the whole span


def test_the_span_is_the_farthest_that_one_value_moves():
    span = Span()
    for values in ([0.0, 5.0, np.nan], [1.0, 5.0, np.nan], [-1.0, 5.5, np.inf]):
        span.add(np.float32(values))
    assert span.read() == 2.0
    still = Span()
    still.add(np.float32([7.0]))
    assert still.read() == 1.0


NETWORK = """<ir_version: 9, opset_import: ["": 18]>
graph (float[1, 3, 16, 16] image) => (float[1, 3, 16, 16] y, float[1, 3, 16, 16] sure, float[1, 256, 3] flat, float[1, 6, 16, 16] joined)
<int64[3] shape = {1, 256, 3}> {
    y = Tanh(image)
    sure = Sigmoid(y)
    soft = Softmax<axis = 1>(y)
    moved = Transpose<perm = [0, 2, 3, 1]>(soft)
    flat = Reshape(moved, shape)
    joined = Concat<axis = 1>(sure, y)
}"""


def test_outputs_that_are_probabilities_are_known_by_what_makes_them(tmp_path):
    onnx.save(onnx.parser.parse_model(NETWORK), str(tmp_path / "net.onnx"))
    net = SelectiveNetwork.load(tmp_path / "net.onnx")
    assert probable_outputs(net.graph) == {"sure", "flat"}
    outputs = net.first(np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32))
    assert scale_of(outputs["flat"], 1.0, True, 0.5) == Scale(1.0, None, 2)
    assert scale_of(outputs["sure"], 0.7, True, 0.5) == Scale(0.7, 0.5)
    assert scale_of(outputs["y"], 0.7, False, 0.5) == Scale(0.7)
