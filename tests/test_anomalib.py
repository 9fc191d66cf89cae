"""Networks as anomalib exports them, from the IR to a verdict: 2.x with pre- and post-processing inside, 1.x with a metadata.json.

anomalib itself is too heavy to install here; the graphs are built from the operators of its exports (STFPM and PaDiM).
"""

from __future__ import annotations

import json

import cv2
import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as op

from edgevision import Frame, Pipeline, SelectiveNetwork
from edgevision.records import Verdict

PX = 64
LINE = """
cameras:
  camera-1:
    source: {{type: folder, path: pictures}}
    recompute: {{network: {network}, audit_every: 1, keyframe_s: 0}}
    segment:
      kind: anomaly
      output: anomaly_map
      anomaly: {{score_output: pred_score{more}}}
    judge: {{warn: 0.5, ng: 0.55}}
"""


def constant(values):
    return op.constant(np.asarray(values, np.float32))


def convolution(x, rng, out, stride=2):
    weights = rng.normal(0, 0.4, (out, channels(x), 3, 3))
    return op.relu(op.convolution(x, constant(weights), [stride, stride], [1, 1], [1, 1], [1, 1]))


def channels(x):
    return x.get_output_partial_shape(0)[1].get_length()


def resized(x, px, mode="linear_onnx"):
    sizes = op.constant(np.array([px, px], np.int64))
    return op.interpolate(
        x, sizes, mode, "sizes", axes=op.constant(np.array([2, 3], np.int64)), coordinate_transformation_mode="half_pixel"
    )


def stfpm(x, rng):
    """How far the unit features of a student lie from its teacher's, layer by layer, multiplied."""
    teacher, student, total = x, x, None
    for width in (8, 12):
        teacher, student = convolution(teacher, rng, width), convolution(student, rng, width)
        units = [op.normalize_l2(f, op.constant(np.array([1], np.int64)), 1e-12, "max") for f in (teacher, student)]
        off = op.reduce_sum(op.power(op.subtract(*units), constant(2.0)), op.constant(np.array([1], np.int64)), True)
        off = resized(op.multiply(off, constant(0.5)), PX)
        total = off if total is None else op.multiply(total, off)
    return total


def padim(x, rng):
    """How far each place's features lie from the mean there, by the inverse of their covariance there; then blurred."""
    first = convolution(x, rng, 8)
    both = op.concat([first, resized(convolution(first, rng, 12), PX // 2, "nearest")], 1)
    chosen = op.gather(both, op.constant(np.array([0, 3, 5, 11, 17], np.int64)), op.constant(np.int64(1)))
    places = (PX // 2) ** 2
    off = op.subtract(op.reshape(chosen, op.constant(np.array([1, 5, places], np.int64)), False), constant(rng.normal(0, 0.1, (5, places))))
    off = op.transpose(off, op.constant(np.array([2, 0, 1], np.int64)))
    inverse = constant(np.repeat(np.eye(5, dtype=np.float32)[None], places, axis=0))
    far = op.reduce_sum(op.multiply(op.matmul(off, inverse, False, False), off), op.constant(np.array([2], np.int64)), False)
    far = op.sqrt(op.reshape(far, op.constant(np.array([1, 1, PX // 2, PX // 2], np.int64)), False))
    blurred = op.pad(resized(far, PX), op.constant([0, 0, 2, 2]), op.constant([0, 0, 2, 2]), "reflect")
    return op.convolution(blurred, constant(np.full((1, 1, 5, 5), 0.04)), [1, 1], [0, 0], [0, 0], [1, 1])


def exported(path, core, *, limit=None):
    """Write the IR; of version 2, with its limit inside, pred_score, pred_label, anomaly_map, pred_mask; of version 1 raw map and score."""
    is_second = limit is not None
    rng = np.random.default_rng(3)
    entry = op.parameter(ov.PartialShape([-1, 3, PX, PX]), ov.Type.f32, name="input")
    entry.output(0).set_names({"input"})
    x = entry
    if is_second:
        mean, std = (constant(np.reshape(v, (1, 3, 1, 1))) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
        x = op.divide(op.subtract(resized(x, PX), mean), std)
    found = core(x, rng)
    score = op.reduce_max(found, op.constant(np.array([2, 3], np.int64)), False)
    named = {"anomaly_map": found, "pred_score": score}
    if is_second:
        mapped, scored = (op.clamp(op.add(op.subtract(v, constant(limit)), constant(0.5)), 0.0, 1.0) for v in (found, score))
        half = constant(0.5)
        named = {"pred_score": scored, "pred_label": op.greater(scored, half), "anomaly_map": mapped, "pred_mask": op.greater(mapped, half)}
    results = []
    for name, node in named.items():
        node.output(0).set_names({name})
        results.append(op.result(node))
    ov.save_model(ov.Model(results, [entry], "anomalib"), str(path), compress_to_fp16=False)


def score_of(path, image):
    """Of version 1, as OpenVINO alone says it."""
    seen = cv2.resize(image, (PX, PX)).transpose(2, 0, 1)[None].astype(np.float32) / 255
    return float(ov.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(seen)["pred_score"][0, 0])


@pytest.mark.parametrize("core", [stfpm, padim])
def test_what_changed_is_recomputed_to_the_bit(core, tmp_path):
    exported(tmp_path / "model.xml", core, limit=0.5)
    net = SelectiveNetwork.load(tmp_path / "model.xml")
    assert net.input_shape == (1, 3, PX, PX)
    rng = np.random.default_rng(0)
    before = rng.random((1, 3, PX, PX), np.float32)
    after, live = before.copy(), np.zeros((PX, PX), np.bool_)
    after[:, :, 20:26, 30:37], live[20:26, 30:37] = 0, True
    net.first(before)
    found = {name: np.array(value) for name, value in net.next(after, live).items()}
    assert set(found) == {"pred_score", "pred_label", "anomaly_map", "pred_mask"}
    net.reset()
    assert all(np.array_equal(found[name], value) for name, value in net.first(after).items())
    dense = ov.Core().compile_model(str(tmp_path / "model.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(after)
    assert all(np.allclose(found[name], dense[name], atol=1e-4) for name in ("pred_score", "anomaly_map"))


@pytest.mark.parametrize("is_second", [True, False])
def test_it_runs_in_a_recipe(is_second, tmp_path):
    still = np.full((120, 160, 3), 128, np.uint8)
    odd = still.copy()
    odd[40:70, 60:100] = np.random.default_rng(1).integers(0, 255, (30, 40, 3))
    exported(tmp_path / "raw.xml", padim)
    low, high = (score_of(tmp_path / "raw.xml", image) for image in (still, odd))
    assert low < high
    limits = {"image_threshold": (low + high) / 2, "pixel_threshold": (low + high) / 2, "min": 0.0, "max": (high - low) * 2}
    (tmp_path / "metadata.json").write_text(json.dumps(limits))
    exported(tmp_path / "model.xml", padim, limit=(low + high) / 2 if is_second else None)
    more = "" if is_second else ", metadata_file: metadata.json"
    (tmp_path / "line.yaml").write_text(LINE.format(network="model.xml", more=more))
    pipeline = Pipeline.from_config(tmp_path / "line.yaml")
    said = [pipeline.inspect(Frame(image, float(number), number)) for number, image in enumerate((still, still, odd, odd))]
    assert [one.verdict for one in said[:2]] == [Verdict.OK] * 2
    assert said[1].live_fraction == 0
    assert [one.verdict for one in said[2:]] == [Verdict.NG] * 2
    assert 0 < said[2].live_fraction < 0.2
    assert said[2].audit_disagreement == pytest.approx(0, abs=1e-3)
    x1, y1, x2, y2 = max(said[2].regions, key=lambda region: region.score).box_px
    reach = 12  # pixels of the frame that a place of the map looks beyond itself
    assert x1 < 100 + reach
    assert x2 > 60 - reach
    assert y1 < 70 + reach
    assert y2 > 40 - reach
