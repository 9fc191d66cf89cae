"""Splicing: crops give the whole network's answer within the tolerance, on networks that see the whole picture at once; and says so."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgevision as ev
from edgevision.errors import EngineFault, InputError, UnsupportedNetwork
from edgevision.recompute.anatomy import Grid, Spread
from edgevision.recompute.audit import AuditSettings, EngineAudit, MapAudit
from edgevision.recompute.cover import Crop, Pattern, cover, live_places, live_squares
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.preprocess import Preprocess
from edgevision.recompute.seams import insert_moved
from edgevision.recompute.settings import RecomputeSettings, SpliceSettings
from edgevision.recompute.splice import SpliceNetwork
from edgevision.recompute.witness import Witness

HEIGHT, WIDTH = 200, 264


def write(writer, path, height=HEIGHT, width=WIDTH, pooling="GlobalAveragePool", is_baked=False, is_labels=False):
    """Two strides, a branch that sees the whole picture, an answer at half the size."""
    g = writer((1, 3, height, width))
    half = g.conv("image", 3, 8, stride=2)
    x = g.conv(g.conv(half, 8, 16, stride=2), 16, 16)
    rows, columns = -(-height // 4), -(-width // 4)
    if pooling == "squeeze":  # squeeze and excite
        share = g.node("Sigmoid", g.conv(g.node("GlobalAveragePool", x), 16, 16, kernel=1, act=""))
        x = g.node("Mul", x, share)
    elif pooling == "bins":  # as in a pyramid pooling module: 2 x 2 bins, sized back
        kernel = [rows // 2, columns // 2]
        pooled = g.conv(g.node("AveragePool", x, kernel_shape=kernel, strides=kernel), 16, 16, kernel=1)
        sizes = g.constant(np.array([1, 16, rows, columns], np.int64))
        x = g.conv(g.node("Concat", x, g.node("Resize", pooled, "", "", sizes, mode="linear"), axis=1), 32, 16, kernel=1)
    elif pooling == "attention":  # every token looks at every token
        tokens = g.node("Reshape", x, g.constant(np.array([1, 16, -1], np.int64)))
        likeness = g.node("MatMul", g.node("Transpose", tokens, perm=[0, 2, 1]), tokens)
        scores = g.node("Softmax", g.node("Mul", likeness, g.constant(np.float32(0.05))), axis=2)
        mixed = g.node("MatMul", tokens, g.node("Transpose", scores, perm=[0, 2, 1]))
        x = g.node("Add", x, g.node("Reshape", mixed, g.constant(np.array([1, 16, rows, columns], np.int64))))
    elif pooling != "none":
        one = g.conv(g.node(pooling, x), 16, 16, kernel=1)
        x = g.conv(g.node("Add", x, one), 16, 16, kernel=1)
    if is_baked:  # a channel shuffle and a resize as static exports hold them
        x = g.node("Reshape", x, g.constant(np.array([1, 2, 8, rows, columns], np.int64)))
        x = g.node("Reshape", g.node("Transpose", x, perm=[0, 2, 1, 3, 4]), g.constant(np.array([1, 16, rows, columns], np.int64)))
    sizes = g.constant(np.array([1, 16, -(-height // 2), -(-width // 2)], np.int64))
    x = g.node("Resize", x, "", "", sizes, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
    x = g.conv(g.node("Concat", x, half, axis=1), 24, 3, kernel=3, act="Sigmoid")
    if is_labels:
        x = g.node("ArgMax", x, axis=1, keepdims=1)
    return g.save(path, x, mean="0", std="1", scale="255", labels="a,b,c")


def never_whole(net):
    """Small networks never pay: let crops run whatever they cost."""
    for part in net.plan.parts:
        object.__setattr__(part, "whole_s", 1e9)
    return net


CROPS = ((72, 88), (104, 120), (152, 168))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("splice")


@pytest.fixture
def load(writer, folder):
    made = {}

    def get(pooling="GlobalAveragePool", height=HEIGHT, width=WIDTH, is_baked=False, **more) -> SpliceNetwork:
        path = folder / f"{pooling}-{height}-{width}-{is_baked}.onnx"
        if path not in made:
            made[path] = write(writer, path, height, width, pooling, is_baked)
        given = {"crop_px": CROPS, "tolerance": 0.005, **more}
        net = SpliceNetwork.load(path, SpliceSettings(**given))
        net.set_preprocess()
        return never_whole(net)

    return get


def frames(random, height=HEIGHT, width=WIDTH, side=24):
    """A frame, then copies of it with a patch of other grain, with the live pixels."""
    frame = random.integers(0, 256, (height, width, 3), np.uint8)
    yield frame, None
    while True:
        y, x = int(random.integers(0, height - side + 1)), int(random.integers(0, width - side + 1))
        frame = frame.copy()
        frame[y : y + side, x : x + side] = random.integers(0, 256, (side, side, 3))
        live = np.zeros((height, width), bool)
        live[y : y + side, x : x + side] = True
        yield frame, live


def worst(a, b):
    return max(float(np.abs(a[name] - b[name]).max() / np.ptp(b[name])) for name in b)


WAYS = [
    *(("crops", pooling) for pooling in ("GlobalAveragePool", "GlobalMaxPool", "squeeze", "bins", "none")),
    *(("split", pooling) for pooling in ("GlobalAveragePool", "squeeze", "bins")),
    *(("tail", pooling) for pooling in ("GlobalMaxPool", "bins", "attention")),
]


@pytest.mark.parametrize(("way", "pooling"), WAYS)
def test_many_changes_give_the_whole_network_s_answer(load, random, way, pooling):
    net = load(pooling, way=way, context_gate=0.01)
    dense = net.sibling()
    modes = set()
    scenes = frames(random)
    frame, _ = next(scenes)
    first = net.first(frame)
    assert worst(first, dense.first(frame)) == 0.0
    for _, (frame, live) in zip(range(12), scenes, strict=False):
        out = net.next(frame, live)
        modes.add(net.costs.mode)
        assert np.array_equal(net.used()[0], frame[:, :, ::-1].transpose(2, 0, 1).astype(np.float32) / np.float32(255))
        assert worst(out, dense.first(frame)) <= (0.01 if way == "tail" else 0.03)
        assert net.verify((0.2, 0.1, 0.6, 0.7)) == {}
    assert "splice" in modes


def test_a_tail_that_runs_whole_misses_no_context(load, random):
    """Half of the picture is darkened, which moves the pooled values far; what the tail gives elsewhere is right at once."""
    net = load(way="tail")
    frame = random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    net.first(frame)
    frame = frame.copy()
    frame[:40] //= 8
    live = np.zeros((HEIGHT, WIDTH), bool)
    live[:40] = True
    out = net.next(frame, live)
    assert [step.how for step in net.costs.steps].count("whole") == 1
    (name,) = net.outputs
    assert net.changed[name] == (0, 0, WIDTH // 2, HEIGHT // 2)
    dense = net.sibling().first(frame)
    assert np.abs(out[name] - dense[name])[..., HEIGHT // 4 :, :].max() <= 1e-3 * np.ptp(dense[name])


@pytest.mark.parametrize("way", ["crops", "split"])
def test_witnesses_find_that_the_context_moved_elsewhere(load, random, way):
    """No gate is set: the answer below, where nothing is live, tells that the upper part's darkness reaches it."""
    net = load(way=way)
    frame = random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    net.first(frame)
    frame = frame.copy()
    frame[:24, :60] //= 2
    live = np.zeros((HEIGHT, WIDTH), bool)
    live[:24, :60] = True
    net.next(frame, live)
    assert "witness" in {step.how for step in net.costs.steps}
    frame = frame.copy()
    frame[:60] = 0
    live[:60] = True
    out = net.next(frame, live)
    assert [step.how for step in net.costs.steps][-2:] == ["witness", "whole"]
    assert worst(out, net.sibling().first(frame)) <= 1e-3


def test_a_change_that_the_body_does_not_pass_on_leaves_the_tail_alone(load, random):
    net = load(way="split")
    frame = random.integers(40, 200, (HEIGHT, WIDTH, 3), np.uint8)
    net.first(frame)
    live = np.zeros((HEIGHT, WIDTH), bool)
    live[80:84, 80:84] = True
    net.next(frame, live)  # taken in again, the same
    assert not {step.how for step in net.costs.steps} & {"whole"}
    assert all(step.name.startswith("body") for step in net.costs.steps)
    assert set(net.changed.values()) == {None}


def test_squares_that_hardly_moved_keep_what_was_read_of_them():
    """By hand: of two squares of 4 px one moves beyond the limit in one tensor, and both tensors take it; the other square keeps both."""
    grids = {1: Grid(4, 4, 1, 1), 2: Grid(2, 4, 2, 1)}
    fine = Spread((1, 1, 4, 8), grids[1], Grid(8, 8, 1, 1))
    coarse = Spread((1, 2, 2, 4), grids[2], Grid(4, 8, 2, 1))
    kept = {"fine": np.zeros((1, 1, 4, 8), np.float32), "coarse": np.zeros((1, 2, 2, 4), np.float32)}
    found = {name: np.full_like(array, 0.5) for name, array in kept.items()}
    found["coarse"][0, 1, 1, 3] = 2.0
    crop = Crop((0, 0, 8, 4), (0, 0, 8, 4))
    moved = insert_moved(kept, found, {"fine": fine, "coarse": coarse}, crop, {"fine": 1.0, "coarse": 1.0}, 4)
    assert moved.tolist() == [[False, True]]
    assert kept["fine"][0, 0, 0].tolist() == [0, 0, 0, 0, 0.5, 0.5, 0.5, 0.5]
    assert kept["coarse"][0, 1].tolist() == [[0, 0, 0.5, 0.5], [0, 0, 0.5, 2.0]]


def test_witnesses_by_hand():
    """The mean slope decides; one that is far out decides alone; what is no number always does."""
    witness = Witness(Pattern((64, 64), 8, 8, {(32, 32): 1.0}))
    places = [witness.place({}, {}, {}).box for _ in range(4)]
    assert sorted(places) == [(0, 0, 32, 32), (0, 32, 32, 64), (32, 0, 64, 32), (32, 32, 64, 64)]
    assert witness.is_due(0.1)
    assert witness.error(0.1, 0.01) == pytest.approx(0.01)
    for _ in range(7):
        witness.error(0.1, 0.01)
    assert not witness.is_due(0.1)
    assert witness.error(0.05) == pytest.approx(0.005)
    assert witness.is_due(0.2)  # nobody has been there
    assert witness.error(0.2, 0.2) == pytest.approx(0.1)  # half of its own, more than the mean slope says
    assert witness.error(0.2, float("nan")) == float("inf")
    witness.note(Crop((0, 0, 32, 32), (0, 0, 24, 24)))
    assert (0, 0, 32, 32) not in [witness.place({}, {}, {}).box for _ in range(4)]


@pytest.mark.parametrize(("height", "width"), [(198, 261), (203, 266)])
@pytest.mark.parametrize("is_baked", [False, True])
def test_sizes_that_no_stride_divides_up_to_the_last_row(load, random, height, width, is_baked):
    net = load("squeeze", height, width, is_baked, crop_px=(), context_gate=0.5, way="split" if is_baked else "crops")
    dense = net.sibling()
    frame = random.integers(0, 256, (height, width, 3), np.uint8)
    net.first(frame)
    for rows, columns in ((slice(-20, None), slice(-20, None)), (slice(0, 12), slice(0, 12)), (slice(-9, None), slice(60, 90))):
        frame = frame.copy()
        frame[rows, columns] = 255 - frame[rows, columns]
        live = np.zeros((height, width), bool)
        live[rows, columns] = True
        out = net.next(frame, live)
        assert net.costs.mode == "splice"
        assert worst(out, dense.first(frame)) <= 0.02


def test_what_is_outside_the_crop_s_core_is_not_touched(load, random):
    net = load(way="crops", context_gate=1.0)
    scenes = frames(random)
    net.first(next(scenes)[0])
    (name,) = net.outputs
    before = net._results()[name].copy()
    frame, live = next(scenes)
    out = net.next(frame, live)[name]
    x1, y1, x2, y2 = net.changed[name]
    ys, xs = np.nonzero(live)
    assert x1 * 2 <= xs.min()
    assert xs.max() < x2 * 2
    assert y1 * 2 <= ys.min()
    assert ys.max() < y2 * 2
    differs = (out != before).any(axis=(0, 1))
    differs[y1:y2, x1:x2] = False
    assert not differs.any()
    assert not out.flags.writeable


def test_nothing_live_is_cached(load, random):
    net = load()
    frame, _ = next(frames(random))
    net.first(frame)
    assert net.costs.mode == "full"
    out = net.next(np.zeros_like(frame), np.zeros((HEIGHT, WIDTH), bool))
    assert net.costs.mode == "cached"
    assert set(net.changed.values()) == {None}
    assert worst(out, net.sibling().first(frame)) == 0.0


def test_a_pool_that_moves_beyond_its_gate_runs_the_whole(load, random):
    net = load(context_gate=1e-6, way="crops")
    scenes = frames(random)
    net.first(next(scenes)[0])
    frame, live = next(scenes)
    out = net.next(frame, live)
    assert net.costs.mode == "full"
    assert worst(out, net.sibling().first(frame)) == 0.0


def test_slow_drift_reaches_the_pool_too(load, random):
    """Each change is below the gate; together they are not: the true value is followed, not the last step."""
    net = load(context_gate=0.02, way="crops")
    frame = np.full((HEIGHT, WIDTH, 3), 60, np.uint8)
    net.first(frame)
    modes = []
    for x in range(0, WIDTH - 24, 24):
        frame = frame.copy()
        frame[:, x : x + 24] = 200
        live = np.zeros((HEIGHT, WIDTH), bool)
        live[:, x : x + 24] = True
        net.next(frame, live)
        modes.append(net.costs.mode)
    assert "full" in modes


def test_the_whole_runs_where_crops_cost_more(load, random):
    net = load()
    net.first(next(frames(random))[0])
    for part in net.plan.parts:
        object.__setattr__(part, "whole_s", 0.0)
    frame, live = next(scene for scene in frames(random) if scene[1] is not None)
    net.next(frame, live)
    assert net.costs.mode == "full"


def test_attention_is_refused_until_its_loss_is_accepted(load, random):
    with pytest.raises(UnsupportedNetwork, match=r"still differs from the whole network's.*margin_px"):
        load("attention", way="crops")
    assert "\nnot crops: " in str(load("attention").plan)  # the tail, which holds the attention, runs whole
    net = load("attention", way="crops", margin_px=16)
    net.first(next(frames(random))[0])
    frame, live = next(scene for scene in frames(random) if scene[1] is not None)
    net.next(frame, live)
    assert net.costs.mode == "splice"
    assert "as set" in str(net.plan)
    audit = MapAudit(net, AuditSettings(map_every=1, tolerance=0.5))
    assert 0 <= audit.disagreement(audit.run(frame), net._results()) < 1


def test_labels_instead_of_scores(writer, tmp_path, random):
    path = write(writer, tmp_path / "labels.onnx", is_labels=True)
    net = never_whole(SpliceNetwork.load(path, SpliceSettings(crop_px=CROPS, tolerance=0.03, way="crops")))
    net.set_preprocess()
    dense = net.sibling()
    scenes = frames(random)
    net.first(next(scenes)[0])
    for _, (frame, live) in zip(range(5), scenes, strict=False):
        (out,) = net.next(frame, live).values()
        (whole,) = dense.first(frame).values()
        assert out.dtype == np.float32
        assert np.mean(out != whole) <= 0.03
        assert net.verify() == {}


def test_a_file_without_pictures_to_give_is_refused(writer, tmp_path):
    g = writer((1, 3, 64, 64))
    path = g.save(tmp_path / "class.onnx", g.node("Flatten", g.node("GlobalAveragePool", g.conv("image", 3, 8))))
    with pytest.raises(UnsupportedNetwork, match=r"class\.onnx: output '.*' has shape \(1, 8\), which is no picture.*use selective"):
        SpliceNetwork.load(path)


def test_wrong_arguments_are_refused_by_name(load, writer, folder):
    with pytest.raises(UnsupportedNetwork, match=r"crop_px holds \[70, 88\].*next that is: \[72, 88\]"):
        load(crop_px=((70, 88),))
    with pytest.raises(UnsupportedNetwork, match="no crop of 88x72 has room"):
        load(crop_px=((72, 88),), margin_px=64, way="crops")
    with pytest.raises(UnsupportedNetwork, match=r"way is split, but the network has no pooling"):
        load("none", way="split")
    path = write(writer, folder / "limits.onnx")
    with pytest.raises(UnsupportedNetwork, match=r"memory_limit_mb is 0\.1"):
        SpliceNetwork.load(path, memory_limit_mb=0.1)
    with pytest.raises(UnsupportedNetwork, match="not quantised"):
        SpliceNetwork.load(path, precision="int8")
    with pytest.raises(InputError, match="threads is 0"):
        SpliceNetwork.load(path, threads=0)
    with pytest.raises(UnsupportedNetwork, match="no such network"):
        SpliceNetwork.load(folder / "absent.onnx")


def test_bad_input_changes_nothing(load, random):
    net = load()
    with pytest.raises(InputError, match="before first"):
        net.next(np.zeros((HEIGHT, WIDTH, 3), np.uint8), np.zeros((HEIGHT, WIDTH), bool))
    frame, _ = next(frames(random))
    out = {name: array.copy() for name, array in net.first(frame).items()}
    for picture, live in ((frame[:-1], (HEIGHT, WIDTH)), (frame, (HEIGHT, WIDTH - 1))):
        with pytest.raises(InputError):
            net.next(picture, np.ones(live, bool))
    assert worst(net.next(frame, np.zeros((HEIGHT, WIDTH), bool)), out) == 0.0
    net.reset()
    with pytest.raises(InputError, match="before first"):
        net.next(frame, np.zeros((HEIGHT, WIDTH), bool))


def test_an_interrupted_call_leaves_an_empty_memory(load, random, monkeypatch):
    net, scenes = load(), frames(random)
    net.first(next(scenes)[0])

    def interrupt(lane, squares):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(net, "_run_last", interrupt)
        with pytest.raises(KeyboardInterrupt):
            net.next(*next(scenes))
    with pytest.raises(InputError, match="before first"):
        net.next(*next(scenes))
    net.first(next(scenes)[0])
    net.next(*next(scenes))


def test_the_engine_audit_finds_an_answer_that_was_tampered_with(load, random):
    net = load(way="split")
    net.first(next(frames(random))[0])
    audit = EngineAudit(net, AuditSettings(patch=1.0))
    audit.check()
    (name,) = net.outputs
    net._kept[net._shared.crops.anatomy.outputs[name]][..., 40:50, 40:50] += 1
    with pytest.raises(EngineFault, match=name):
        audit.check()


def test_resized_frames_are_taken_in(load, random):
    net = load()
    net.set_preprocess(Preprocess(frame_px=(100, 132)))
    scenes = frames(random, 100, 132, 12)
    net.first(next(scenes)[0])
    frame, live = next(scenes)
    out = net.next(frame, live)
    assert net.costs.mode == "splice"
    dense = net.sibling()
    assert worst(out, dense.first(frame)) <= 0.02


def test_the_plan_says_how_and_that_it_is_not_exact(load):
    text = str(load().plan)
    assert "not bit-identical" in text
    assert re.search(r"way (crops|split|tail): .*; a square of 5% of the picture is estimated at (crops|split|tail) [0-9.]+ ms, ", text)
    text = str(load(way="split").plan)
    assert "way split: crops go through the body, then through the tail" in text
    assert "as set" in text
    assert "body: context " in text
    assert "tail crop 120x104: 23.6% of the picture" in text
    text = str(load(way="tail").plan)
    assert ", always whole" in text
    text = str(load(way="crops").plan)
    assert "measured" in text
    assert "globalaveragepool" in text
    assert "crop 120x104: 23.6% of the picture" in text


def test_settings_choose_the_engine(load, folder, random):
    load()
    path = folder / f"GlobalAveragePool-{HEIGHT}-{WIDTH}-False.onnx"
    net = load_for_frames(RecomputeSettings(network=path, engine="splice"), 100, 132)
    assert isinstance(net, SpliceNetwork)
    assert net.preprocess.frame_px == (100, 132)
    with pytest.raises(ValueError, match="engine splice has no gates"):
        RecomputeSettings(engine="splice", gate=0.01)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(0, 24))
def test_crops_cover_what_changes_reach(seed, align, margin):
    """Every pixel within the margin of a live one is in a core; every core pixel has the margin around it in its crop, or the end."""
    random = np.random.default_rng(seed)
    height, width = int(random.integers(100, 180)), int(random.integers(100, 180))
    side = 2 * margin + 2 * align + int(random.integers(0, 20))
    sizes = {(total_fit(height, side, align), total_fit(width, side, align)): 1.0}
    pattern = Pattern((height, width), align, margin, sizes)
    live = np.zeros((height, width), np.uint8)
    for _ in range(int(random.integers(1, 5))):
        y, x = int(random.integers(0, height)), int(random.integers(0, width))
        live[y : y + int(random.integers(1, 30)), x : x + int(random.integers(1, 30))] = 1
    crops, seconds = cover(live_places(live_squares(live, pattern.align_px), pattern), pattern)
    assert seconds == len(crops)
    written = np.zeros((height, width), bool)
    for crop in crops:
        (x1, y1, x2, y2), (a1, b1, a2, b2) = crop.box, crop.core
        assert (y2 - y1, x2 - x1) in sizes
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        assert x1 % align == y1 % align == a1 % align == b1 % align == 0
        assert a1 - x1 >= margin or x1 == 0
        assert b1 - y1 >= margin or y1 == 0
        assert x2 - a2 >= margin or x2 == width
        assert y2 - b2 >= margin or y2 == height
        written[b1:b2, a1:a2] = True
    ys, xs = np.nonzero(live)
    for y, x in zip(ys[::7], xs[::7], strict=True):
        assert written[max(0, y - margin) : y + margin + 1, max(0, x - margin) : x + margin + 1].all()


def total_fit(total, side, align):
    return total - max(0, (total - side) // align) * align


def test_no_crop_is_large_enough_is_infinitely_dear():
    pattern = Pattern((100, 100), 4, 30, {(40, 40): 1.0})
    live = np.zeros((100, 100), np.uint8)
    live[50, 50] = 1
    assert cover(live_places(live_squares(live, pattern.align_px), pattern), pattern) == ([], float("inf"))


def test_the_pipeline_holds_it(tmp_path):
    """The shipped network, spliced: the mark is found as a whole run finds it, and audits of both kinds run."""
    config = tmp_path / "line.yaml"
    config.write_text(
        "cameras:\n  cam1:\n    source: {type: synthetic}\n"
        "    recompute: {engine: splice, audit_every: 2, audit_engine_every: 2}\n    compare: {settle_frames: 0}\n"
    )
    pipeline = ev.Pipeline.from_config(config)
    image = np.full((368, 640, 3), 118, np.uint8)
    modes = []
    for seq in range(6):
        if seq == 3:
            image = image.copy()
            image[180:196, 300:330] = 20
        seen = pipeline.inspect(ev.Frame(image, 1.0 + seq / 30, seq))
        assert seen.verdict is not ev.Verdict.NOT_INSPECTED, seen.reason
        modes.append(seen.mode)
    assert isinstance(pipeline.network, SpliceNetwork)
    assert modes[:4] == ["full", "cached", "cached", "splice"]
    assert seen.audit_disagreement == 0.0
    pipeline.reset()
    whole = pipeline.inspect(ev.Frame(image, 2.0, 7))
    assert whole.mode == "full"
    assert [region.label for region in seen.regions] == [region.label for region in whole.regions]
    for here, there in zip(seen.regions, whole.regions, strict=True):
        assert np.abs(np.array(here.box_px) - there.box_px).max() <= 2
