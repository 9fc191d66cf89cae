"""The box decoder: hand-worked cases of every layout, then laws, then a network that others made."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgevision as ev
from edgevision.errors import EngineFault, InputError
from edgevision.kernels.compiled import boxes
from edgevision.segment.boxes import BoxDecoder
from edgevision.segment.facts import NetworkFacts, Placement
from edgevision.segment.settings import BoxSettings, SegmentSettings

ULTRAFACE = Path(__file__).parents[3] / "shared" / "data" / "onnx-models" / "ultraface_RFB-320.onnx"


def of(layout: BoxSettings, **more) -> SegmentSettings:
    return SegmentSettings(kind="boxes", boxes=layout, min_area_px=0, **more)


def facts(frame_px, input_px, fit="stretch", **more) -> NetworkFacts:
    return NetworkFacts(placement=Placement.of(frame_px, input_px, fit), **more)


def test_hand_worked_separate_outputs_like_ultraface():
    boxes = np.array([[[0.1, 0.2, 0.3, 0.4], [0.11, 0.2, 0.3, 0.4], [0.5, 0.5, 0.75, 1.1], [0.0, 0.0, 0.5, 0.5]]], np.float32)
    scores = np.array([[[0.1, 0.9], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]]], np.float32)
    decoder = BoxDecoder(of(BoxSettings(background=True), labels=("face",)), (480, 640), facts((480, 640), (240, 320)))
    first, second = decoder.decode({"scores": scores, "boxes": boxes}, {"scores": None, "boxes": None})
    assert (first.label, first.box_px, first.score) == ("face", (64, 96, 192, 192), pytest.approx(0.9))  # the second overlaps it
    assert first.area_px == 128 * 96
    assert first.centroid_px == (128.0, 144.0)
    assert first.polygon == ((64, 96), (191, 96), (191, 191), (64, 191))
    assert second.box_px == (320, 240, 480, 480)  # held within the frame


def test_hand_worked_rows_with_objectness_letterboxed():
    """A 200x100 frame in a 100x100 input: halved, 25 rows of filling above."""
    rows = np.zeros((1, 3, 7), np.float32)
    rows[0, 0] = [50, 50, 20, 10, 0.9, 0.2, 0.8]  # middle of the input = middle of the frame; score 0.72 of label 1
    rows[0, 1] = [50, 50, 20, 10, 0.9, 0.7, 0.1]  # the same place, another label: stays
    rows[0, 2] = [10, 30, 4, 4, 0.4, 0.9, 0.1]  # 0.36: too unlikely
    decoder = BoxDecoder(
        of(BoxSettings(layout="rows", corners=False, normalised=False, objectness=True), labels=("dent", "hole")),
        (100, 200),
        facts((100, 200), (100, 100), "letterbox"),
    )
    found = decoder.decode({"out": rows}, {"out": None})
    assert [(region.label, region.box_px, round(region.score, 3)) for region in found] == [
        ("dent", (80, 40, 120, 60), 0.63),
        ("hole", (80, 40, 120, 60), 0.72),
    ]


def test_hand_worked_columns_of_logits():
    columns = np.zeros((1, 6, 2), np.float32)
    columns[0, :, 0] = [30, 40, 10, 20, 0.0, 2.0]
    columns[0, :, 1] = [70, 40, 10, 20, -9.0, -9.0]
    layout = BoxSettings(layout="columns", corners=False, normalised=False)
    decoder = BoxDecoder(of(layout, is_logits=True), (80, 100), facts((80, 100), (80, 100)))
    (region,) = decoder.decode({"out": columns}, {})
    assert (region.label, region.box_px) == ("class_1", (25, 30, 35, 50))
    assert region.score == pytest.approx(1 / (1 + np.exp(-2.0)))


def test_the_same_object_until_an_output_changes():
    scores, boxes = np.full((1, 1, 1), 0.9, np.float32), np.array([[[0.1, 0.1, 0.5, 0.5]]], np.float32)
    decoder = BoxDecoder(of(BoxSettings()), (10, 10))
    outputs = {"boxes": boxes, "scores": scores}
    first = decoder.decode(outputs, {"boxes": None, "scores": None})
    scores[...] = 0.8
    assert decoder.decode(outputs, {"boxes": None, "scores": None}) is first
    (region,) = decoder.decode(outputs, {"boxes": None, "scores": (0, 0, 1, 1)})
    assert region.score == pytest.approx(0.8)
    decoder.reset()
    scores[...] = 0.1
    assert decoder.decode(outputs, {"boxes": None, "scores": None}) == ()


@pytest.mark.parametrize(
    ("layout", "outputs", "words"),
    [
        (BoxSettings(), {"boxes": np.zeros((1, 5, 4))}, "scores_output"),
        (BoxSettings(), {"a": np.zeros((1, 5, 4)), "b": np.zeros((1, 5, 4))}, "boxes_output is None; it must be one of a, b"),
        (BoxSettings(), {"a": np.zeros((1, 5, 4)), "b": np.zeros((1, 6, 2))}, r"\(N, 4\) and \(N, C\)"),
        (BoxSettings(background=True), {"a": np.zeros((1, 5, 4)), "b": np.zeros((1, 5, 1))}, r"0 label\(s\) a box"),
        (BoxSettings(layout="rows"), {"a": np.zeros((2, 5, 9))}, "has shape"),
        (BoxSettings(layout="rows"), {"a": np.zeros((5, 9))}, "has shape"),
        (BoxSettings(layout="rows"), {"a": np.zeros((1, 5, 4))}, r"0 label\(s\) a box"),
        (BoxSettings(layout="rows"), {"a": np.zeros((1, 5, 9)), "b": np.zeros((1, 1))}, "segment.output is None"),
    ],
)
def test_outputs_that_do_not_fit_are_refused(layout, outputs, words):
    with pytest.raises(InputError, match=words) as caught:
        BoxDecoder(of(layout), (10, 10)).decode(outputs, {})
    assert "\n" not in str(caught.value)


def test_labels_must_be_as_many():
    with pytest.raises(InputError, match=r"5 label\(s\) a box but 2 are named"):
        BoxDecoder(of(BoxSettings(layout="rows"), labels=("a", "b")), (10, 10)).decode({"a": np.zeros((1, 5, 9))}, {})


def test_what_is_no_number_is_a_fault():
    rows = np.zeros((1, 3, 6), np.float32)
    rows[0, 2, 5] = np.nan
    decoder = BoxDecoder(of(BoxSettings(layout="rows")), (10, 10))
    with pytest.raises(EngineFault, match="NaN"):
        decoder.decode({"a": rows}, {})
    rows[0, 2] = [np.inf, 0, 1, 1, 0.9, 0.0]
    with pytest.raises(EngineFault, match="no number"):
        decoder.decode({"a": rows}, {})


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 4), st.floats(0.0, 0.9))
def test_laws(seed, count, classes, overlap):
    """Inside the frame, likely enough, no two of a label overlap more than allowed, whatever their order; the likeliest is there."""
    random = np.random.default_rng(seed)
    corners = np.sort(random.uniform(0, 1, (count, 2, 2)), axis=1).reshape(count, 4).astype(np.float32)
    scores = random.uniform(0, 1, (count, classes)).astype(np.float32)
    decoder = BoxDecoder(of(BoxSettings(overlap=overlap, boxes_output="boxes"), max_regions=4096), (1000, 1000))

    def found(order):
        decoder.reset()
        return decoder.decode({"boxes": corners[None, order], "scores": scores[None, order]}, {})

    regions = found(np.arange(count))
    assert found(random.permutation(count)) == regions
    for region in regions:
        x1, y1, x2, y2 = region.box_px
        assert 0 <= x1 < x2 <= 1000
        assert 0 <= y1 < y2 <= 1000
        assert 0.5 <= region.score <= 1.0
        assert region.area_px == (x2 - x1) * (y2 - y1)
    for one in regions:
        for other in regions:
            if one is not other and one.label == other.label and min(one.area_px, other.area_px) > 400:
                assert intersection_over_union(one.box_px, other.box_px) <= overlap + 0.15  # boxes were rounded to pixels
    if count and scores.max() >= 0.5:
        best = int(scores.max(axis=1).argmax())
        if np.all(corners[best, 2:] - corners[best, :2] > 0.002):
            assert max(region.score for region in regions) == pytest.approx(float(scores.max()))


def intersection_over_union(a, b):
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(0, width) * max(0, height)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


@pytest.mark.skipif(not ULTRAFACE.is_file(), reason=f"{ULTRAFACE.name} is not there")
def test_a_real_detector_runs_through_the_pipeline(tmp_path):
    """Its priors are everywhere, so at a low threshold a generated picture gives many boxes; the same picture gives the same ones."""
    config = tmp_path / "line.yaml"
    config.write_text(
        f"cameras:\n  cam1:\n    source: {{type: synthetic}}\n    recompute:\n      network: {ULTRAFACE}\n      keyframe_s: 0\n"
        "      audit_every: 0\n    segment:\n      kind: boxes\n      labels: [face]\n      threshold: 0.02\n      low_threshold: 0.01\n"
        "      min_area_px: 1\n      boxes: {background: true}\n"
    )
    pipeline = ev.Pipeline.from_config(config)
    random = np.random.default_rng(3)
    image = np.full((480, 640, 3), 90, np.uint8)
    image[100:300, 200:360] = random.integers(120, 220, (200, 160, 3))
    seen = pipeline.inspect(ev.Frame(image, 1.0, 1))
    assert seen.mode == "full", seen.reason
    assert pipeline.network.outputs == {"scores": (1, 4420, 2), "boxes": (1, 4420, 4)}
    assert seen.regions
    for region in seen.regions:
        assert region.label == "face"
        assert 0.02 <= region.score <= 1
        assert 0 <= region.box_px[0] < region.box_px[2] <= 640
        assert 0 <= region.box_px[1] < region.box_px[3] <= 480
    again = pipeline.inspect(ev.Frame(image.copy(), 1.1, 2))
    assert again.mode == "cached"
    assert again.regions is seen.regions


def grid(rows=2, columns=3, labels=2) -> dict[str, np.ndarray]:
    """Cells of 8 px in which nothing is likely."""
    return {"scores": np.zeros((1, labels, rows, columns), np.float32), "boxes": np.zeros((1, 4, rows, columns), np.float32)}


def test_hand_worked_grid_of_cells():
    """A cell reaches left, up, right and down from its middle, here (20, 4), in the input's pixels; below 0 it does not reach."""
    outputs = grid()
    outputs["scores"][0, 1, 0, 2] = 0.75
    outputs["boxes"][0, :, 0, 2] = 10, 3, -2, 11
    decoder = BoxDecoder(of(BoxSettings(layout="grid"), labels=("open", "short")), (16, 24), facts((16, 24), (16, 24)))
    (region,) = decoder.decode(outputs, {})
    assert (region.label, region.box_px, region.score) == ("short", (10, 1, 20, 15), 0.75)
    assert decoder.decode(outputs, {"scores": None, "boxes": None}) == (region,)


def test_a_grid_lies_on_the_frame_as_the_frame_lies_in_the_input():
    outputs = grid(labels=1)
    outputs["scores"][0, 0, 1, 0] = 0.5
    outputs["boxes"][0, :, 1, 0] = 4, 2, 4, 2
    decoder = BoxDecoder(of(BoxSettings(layout="grid")), (32, 48), facts((32, 48), (16, 24)))
    assert [region.box_px for region in decoder.decode(outputs, {})] == [(0, 20, 16, 28)]


def test_outputs_that_are_no_grid_are_named():
    outputs = grid() | {"boxes": np.zeros((1, 4, 2, 4), np.float32)}
    decoder = BoxDecoder(of(BoxSettings(layout="grid")), (16, 24))
    with pytest.raises(InputError, match=r"have shapes \(1, 4, 2, 4\) and \(1, 2, 2, 3\); a grid is"):
        decoder.decode(outputs, {})


GRID = BoxSettings(layout="grid", join=0.15)


def in_pieces(*pieces):
    """Each piece, (score, x1, x2), all of them from 0 to 10 in y, told by the cell in its middle: outputs of a grid of 10 pixels."""
    scores, reaches = np.zeros((1, 1, 1, 8), np.float32), np.zeros((1, 4, 1, 8), np.float32)
    for score, x1, x2 in pieces:
        cell = (x1 + x2) // 20
        middle = 10 * cell + 5
        scores[0, 0, 0, cell], reaches[0, :, 0, cell] = score, (middle - x1, 5, x2 - middle, 5)
    return {"boxes": reaches, "scores": scores}


def told(layout, outputs):
    decoder = BoxDecoder(of(layout, labels=("open",), threshold=0.35), (10, 80), facts((10, 80), (10, 80)))
    return [(region.box_px, pytest.approx(region.score)) for region in decoder.decode(outputs, {})]


def test_hand_worked_pieces_of_a_long_defect_are_told_as_one():
    """0-20, 15-35 and 30-50 overlap by a quarter; 44-60 by a third, but is fainter; 60-70 touches nobody."""
    outputs = in_pieces((0.8, 0, 20), (0.9, 15, 35), (0.7, 30, 50), (0.4, 44, 60), (0.6, 60, 70))
    assert told(GRID, outputs) == [((0, 0, 50, 10), 0.9), ((60, 0, 70, 10), 0.6)]
    assert len(told(BoxSettings(layout="grid"), outputs)) == 5
    alone = told(BoxSettings(layout="grid"), outputs)
    assert told(BoxSettings(layout="grid", join=0.3), outputs) == [*alone[:3], alone[4]]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0.36, 1.0), st.integers(0, 70), st.integers(1, 40)), min_size=1, max_size=8))
def test_joined_boxes_cover_no_more_and_no_fewer_places_than_their_pieces(made):
    """No two joined boxes of a chain's likeliest pieces are one, and each is among the scores told alone."""
    outputs = in_pieces(*((score, x, min(79, x + wide)) for score, x, wide in made))
    alone, joined = told(BoxSettings(layout="grid"), outputs), told(GRID, outputs)
    assert 1 <= len(joined) <= len(alone)
    assert max(score.expected for _, score in joined) == max(score.expected for _, score in alone)
    assert min(box[0] for box, _ in joined) >= min(box[0] for box, _ in alone)
    assert max(box[2] for box, _ in joined) <= max(box[2] for box, _ in alone)


@pytest.mark.parametrize("objectness", [False, True])
def test_a_grid_says_the_same_however_it_lies_in_memory(objectness):
    rng = np.random.default_rng(5)
    scores = rng.random((1, 5, 20, 30), np.float32) ** 4
    reaches = rng.uniform(1, 12, (1, 4, 20, 30)).astype(np.float32)
    names = ("a", "b", "c", "d", "e")[int(objectness) :]
    decoder = BoxDecoder(of(BoxSettings(layout="grid", objectness=objectness), labels=names), (160, 240), facts((160, 240), (160, 240)))
    outputs = {"scores": scores, "boxes": reaches}
    by_cell = {name: np.ascontiguousarray(value.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for name, value in outputs.items()}
    found = decoder.decode(outputs, {})
    decoder.reset()
    assert found
    assert decoder.decode(by_cell, {}) == found
    by_cell["scores"][0, 2, 7, 9] = np.nan
    decoder.reset()
    with pytest.raises(EngineFault, match="holds NaN"):
        decoder.decode(by_cell, {})


def test_no_answer_waits_for_the_compiler():
    """Whatever the layout: what a decoder is made with serves every answer."""
    rows = np.zeros((1, 3, 6), np.float32)
    rows[0, 0] = 4, 4, 6, 6, 0.9, 0.1
    cells = grid()
    cells["scores"][0, 1, 0, 2], cells["boxes"][0, :, 0, 2] = 0.75, 3
    kernels = [value for value in vars(boxes).values() if hasattr(value, "overloads")]
    decoders = [BoxDecoder(of(BoxSettings(layout=layout, normalised=False)), (16, 24)) for layout in ("rows", "columns", "grid")]
    before = [len(kernel.overloads) for kernel in kernels]
    for decoder, outputs in zip(decoders, ({"out": rows}, {"out": rows.transpose(0, 2, 1)}, cells), strict=True):
        assert decoder.decode(outputs, {})
        assert decoder.candidates
    assert [len(kernel.overloads) for kernel in kernels] == before
    assert all(kernel.overloads for kernel in (boxes.sift_cells, boxes.rank_boxes, boxes.tell_boxes))
