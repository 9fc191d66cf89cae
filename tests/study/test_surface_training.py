"""Training of surfaces: lessons are right, a network goes on from a file as the file answers, a few pictures are enough to begin."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.networks.reach import ReachSpec
from edgevision.study.sets import Case, Labelled

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
onnx = pytest.importorskip("onnx")
openvino = pytest.importorskip("openvino")
from edgevision.study.train.export import write_onnx  # noqa: E402
from edgevision.study.train.network import folded  # noqa: E402
from edgevision.study.train.recipes import begin, few, grain, learn, likeness, likeness_file, regrind, surface, surface_boxes  # noqa: E402
from edgevision.study.train.recipes.begin import new_network, take_over  # noqa: E402
from edgevision.study.train.recipes.fit import FitSettings  # noqa: E402
from edgevision.study.train.recipes.lessons import Lesson, batch_images, tensors  # noqa: E402
from edgevision.study.train.recipes.pictures import PictureLessons, set_in  # noqa: E402
from edgevision.study.train.recipes.variation import OUTSIDE, Variation, lit, viewed  # noqa: E402
from edgevision.study.train.recipes.wear import MistakenLessons  # noqa: E402

STILL = Variation(turn_deg=0, is_flipped=False, scale=(1.0, 1.0), bend_px=0, gain=1, ramp=0, noise=0, blur_px=0)


def test_marks_go_where_their_pixels_go():
    image, marks = np.full((60, 80, 3), 40, np.uint8), np.zeros((60, 80), np.uint8)
    image[20:30, 30:50], marks[20:30, 30:50] = 220, 1
    for seed in range(20):
        rng = np.random.default_rng(seed)
        view, seen = viewed(image, marks, (64, 64), rng, Variation(turn_deg=30, is_quartered=True), (25, 40))
        bright = view[..., 0] > 180
        assert (seen == 1).any()
        assert np.logical_xor(bright, seen == 1).sum() < 0.25 * bright.sum() + 12
    assert lit(np.full((8, 8, 3), 100, np.uint8), np.random.default_rng(0), Variation(gain=2.0)).shape == (8, 8, 3)


def test_what_lies_beyond_a_picture_does_not_count():
    marks = np.zeros((8, 8), np.uint8)
    marks[:, 4:], marks[0, 0], marks[4:6, 0:2] = OUTSIDE, 2, 1
    images, targets, weights = tensors([Lesson(np.zeros((8, 8, 3), np.uint8), marks, True)], 2)
    assert images.shape == (1, 3, 8, 8)
    assert weights[0, 0].tolist() == [[1, 1, 0, 0]] * 4
    assert targets[0, 1, 0, 0] == 0.25
    assert targets[0, 0, 2, 0] == 1
    assert targets.sum() == 1.25


def test_a_defect_set_into_another_picture_is_as_much_darker_there():
    dark = np.full((64, 64, 3), 100, np.uint8)
    marks = np.zeros((64, 64), np.uint8)
    dark[30:36, 30:36], marks[30:36, 30:36] = 50, 3
    lessons = PictureLessons([Lesson(dark, marks, True)], 32, STILL)
    (piece,) = lessons._small
    after = set_in(Lesson(np.full((80, 80, 3), 200, np.uint8), np.zeros((80, 80), np.uint8), False), piece, np.random.default_rng(0))
    assert (after.marks == 3).sum() == 36
    assert after.image[after.marks == 3].mean() == pytest.approx(110, abs=25)
    assert after.image[after.marks == 0].mean() > 195


def test_a_defect_is_set_where_the_surface_is_like_its_own():
    dark = np.full((64, 64, 3), 100, np.uint8)
    marks = np.zeros((64, 64), np.uint8)
    dark[30:36, 30:36], marks[30:36, 30:36] = 50, 1
    (piece,) = PictureLessons([Lesson(dark, marks, True)], 32, STILL)._small
    halves = np.full((80, 120, 3), 200, np.uint8)
    halves[:, 60:] = 100
    for seed in range(5):
        after = set_in(Lesson(halves, np.zeros((80, 120), np.uint8), False), piece, np.random.default_rng(seed), tries=40)
        assert np.flatnonzero(after.marks.any(axis=0)).min() >= 60


def test_places_that_a_network_marks_without_cause_are_learnt_again():
    class Bright(torch.nn.Module):
        def forward(self, images):
            return 4 * torch.nn.functional.avg_pool2d(images[:, :1], 2)

    image, marks = np.full((192, 256, 3), 20, np.uint8), np.zeros((192, 256), np.uint8)
    image[40:52, 60:72] = image[140:152, 200:212] = 250
    marks[140:152, 200:212] = 1
    mistaken = MistakenLessons(Bright(), [Lesson(image, marks, True)])
    assert mistaken.count == 1
    for view in mistaken.draw(np.random.default_rng(0), 4):
        assert view.image.max() > 120
        assert view.is_marked


def test_a_network_goes_on_from_a_file_as_the_file_answers(tmp_path):
    torch.manual_seed(0)
    before = new_network(ReachSpec(labels=("a", "b")))
    images = batch_images(np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3)).astype(np.uint8))
    before.train()
    before(images)
    before.eval()
    write_onnx(tmp_path / "n.onnx", before.steps, folded(before), (64, 64), {})
    after = new_network(ReachSpec(labels=("a", "b")))
    assert take_over(after, tmp_path / "n.onnx", images) == len(before.convolutions)
    with torch.no_grad():
        assert torch.allclose(before(images), after(images), atol=1e-3)
    other = new_network(ReachSpec(labels=("a", "b", "c")))
    assert take_over(other, tmp_path / "n.onnx", images) == len(before.convolutions) - 1
    (tmp_path / "no.onnx").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"cannot be read as ONNX|holds none of this network's weights"):
        take_over(after, tmp_path / "no.onnx", images)


def test_a_larger_network_begins_with_what_the_file_knows(tmp_path):
    torch.manual_seed(0)
    before = new_network(ReachSpec(labels=("a", "b")))
    images = batch_images(np.random.default_rng(0).integers(0, 255, (4, 128, 128, 3)).astype(np.uint8))
    halves = torch.nn.functional.avg_pool2d(images, 2)
    before.train()
    before(halves)
    before.eval()
    write_onnx(tmp_path / "n.onnx", before.steps, folded(before), (64, 64), {})
    wide = ReachSpec(widths=(18, 33, 48, 70), labels=("a", "b"))
    after = new_network(wide)
    assert take_over(after, tmp_path / "n.onnx", halves, wide) == len(before.convolutions)
    fine = ReachSpec(widths=(18, 33, 48, 70), labels=("a", "b"), fine=8)
    finer = new_network(fine)
    assert take_over(finer, tmp_path / "n.onnx", images, fine) == len(before.convolutions)  # `fine` is new, `defect` takes another layer
    with torch.no_grad():
        assert torch.allclose(before(halves), after(halves), atol=1e-3)
        wanted, found = before.run(halves)["mix_half"], finer.run(images)["mix_half"]
    assert wanted.abs().max() > 0.1
    assert torch.allclose(wanted, found[:, :16], atol=1e-3)


def test_pictures_that_are_halved_are_halved_by_the_network():
    spec, shrink = learn.seen_at(2, ("a",))
    assert (spec.fine > 0, spec.labels, spec.stride, shrink) == (True, ("a",), 32, 1)
    spec, shrink = learn.seen_at(3, ("a",))
    assert (spec.fine, spec.stride, shrink) == (0, 16, 3)


def test_a_box_is_aimed_at_by_the_pixels_about_its_middle_and_found_again(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((200, 200), np.uint8))
    case = Case("a", "g", tmp_path / "a.png", True, boxes=(Labelled("x", (0, 0, 200, 200)), Labelled("y", (40, 80, 72, 96))))
    picture = surface_boxes.boxed(case, ("x", "y"), 208)
    label, box = surface_boxes.aims(picture)
    assert label[11, 7] == 1  # the smaller box where two claim a pixel
    assert label[14, 14] == 0
    assert label[0, 0] == -1
    assert (box[:, 11, 7] * 8).tolist() == [40, 80, 72, 96]
    middles = np.array([7.5, 11.5, 7.5, 11.5], np.float32)
    sides = np.abs(box[:, 11, 7] - middles)
    grid = torch.zeros(1, 4, 26, 26)
    grid[0, :, 11, 7] = torch.from_numpy(sides)
    assert torch.allclose(surface_boxes.corners_of(grid)[0, :, 11, 7] * 8, torch.tensor([40.0, 80, 72, 96]))


def folder_of(path, count, seed, hole=False, bench_px=0):
    path.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        image = rng.normal(120, 3, (48, 64)).clip(0, 255).astype(np.uint8)
        if bench_px:
            image[:bench_px], image[-bench_px:], image[:, :bench_px], image[:, -bench_px:] = 10, 10, 10, 10
        if hole:
            image[20:28, 20 + number : 28 + number] = 20
        cv2.imwrite(str(path / f"{number}.png"), image)


def test_a_few_pictures_make_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr(few, "VIEW_PX", 48)
    folder_of(tmp_path / "good", 6, 0, bench_px=6)
    folder_of(tmp_path / "bad", 3, 1, hole=True, bench_px=6)
    task = surface.SurfaceTask(tmp_path / "out", good=tmp_path / "good", bad=tmp_path / "bad", settings=FitSettings(steps=3))
    report = surface.train(task, is_shown=False)
    assert report["pictures"] == 9
    metadata = {entry.key: entry.value for entry in onnx.load(report["network"]).metadata_props}
    assert json.loads(metadata["labels"]) == ["defect"]
    assert metadata["stride"] == "2"
    assert "| steps | 3 |" in (tmp_path / "out" / "surface.md").read_text()


def test_zones_of_convolutions_are_those_by_hand():
    for shape in ((1, 1), (2, 9), (5, 7), (12, 9)):
        values = torch.rand(1, 3, *shape)
        for weight, bias in likeness_file.zone_layers(3).values():
            kernel = torch.from_numpy(weight if weight.ndim == 4 else weight[..., None, None])
            values = torch.relu(torch.nn.functional.conv2d(values, kernel, torch.from_numpy(bias), padding=kernel.shape[2] // 2))
        by_hand = likeness.zones_of(*shape)
        assert np.array_equal(values[0].numpy(), np.stack([by_hand == zone for zone in range(likeness.ZONES)]).astype(np.float32))
    assert likeness.zones_of(7, 7)[:4, :4].tolist() == [[0, 0, 0, 0], [1, 2, 2, 2], [1, 3, 4, 4], [1, 3, 4, 5]]


def test_a_surface_that_fills_its_pictures_is_told_by_likeness(tmp_path):
    folder_of(tmp_path / "good", 6, 0)
    folder_of(tmp_path / "bad", 3, 1, hole=True)
    report = surface.train(surface.SurfaceTask(tmp_path / "out", good=tmp_path / "good", bad=tmp_path / "bad"), is_shown=False)
    assert report["steps"] == 0
    assert "nothing was trained" in report["way"]
    folder_of(tmp_path / "others", 4, 2)
    folder_of(tmp_path / "wrong", 4, 3, hole=True)
    good, bad = ([cv2.imread(str(path)) for path in sorted((tmp_path / name).glob("*.png"))] for name in ("others", "wrong"))
    network = openvino.Core().compile_model(report["network"], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    weights = likeness.weights_in(surface.shipped())
    taught = [[cv2.imread(str(path)) for path in sorted((tmp_path / name).glob("*.png"))] for name in ("good", "bad")]
    known = likeness.learn_likeness(*taught, surface.shipped())
    told = []
    for image in (*good, *bad):
        answer = network(batch_images(image[None]).numpy())[0]
        far = likeness.unlike(likeness.shown_in(image, weights, is_upright=known.is_upright), known)
        logit = known.steepness * (far - known.even)
        assert answer.max() == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-4)
        told.append(answer.max())
    assert max(told[:4]) < 0.5 < min(told[4:])
    write_onnx(tmp_path / "n.onnx", new_network(ReachSpec()).steps[:1], {"half": weights["half"]}, (64, 64), {})
    with pytest.raises(InputError, match="is no surface network"):
        likeness.learn_likeness(*taught, tmp_path / "n.onnx")


def test_too_few_pictures_and_half_a_question_are_refused(tmp_path):
    folder_of(tmp_path / "good", 2, 0)
    folder_of(tmp_path / "bad", 3, 1)
    with pytest.raises(InputError, match="2 good and 3 bad pictures; at least 5 and 2 are needed"):
        surface.train(surface.SurfaceTask(tmp_path / "out", good=tmp_path / "good", bad=tmp_path / "bad"), is_shown=False)
    with pytest.raises(InputError, match="--good and --bad are given together"):
        surface.train(surface.SurfaceTask(tmp_path / "out", good=tmp_path / "good"), is_shown=False)
    with pytest.raises(InputError, match="holds no picture; name a folder of bad ones"):
        surface.train(surface.SurfaceTask(tmp_path / "out", good=tmp_path / "good", bad=tmp_path / "none"), is_shown=False)


def test_what_learns_a_set_once_more_stays_halfway_to_where_it_began(tmp_path):
    network = new_network(ReachSpec())
    weights = {name: (np.full_like(weight, 3), np.full_like(bias, 1)) for name, (weight, bias) in folded(network).items()}
    write_onnx(tmp_path / "n.onnx", network.steps, weights, (64, 64), {})
    mean = begin.midway({name: (weight * 0 + 1, bias * 0) for name, (weight, bias) in weights.items()}, tmp_path / "n.onnx")
    assert all((weight == 2).all() and (bias == 0.5).all() for weight, bias in mean.values())
    other = {**weights, "defect": (np.zeros((2, 16, 1, 1), np.float32), np.zeros(2, np.float32))}
    assert begin.midway(other, tmp_path / "n.onnx") is other


def test_a_side_that_is_ground_otherwise_keeps_the_lightness_and_breaks_the_grain():
    def ground(seed):
        rng = np.random.default_rng(seed)
        return np.repeat(np.clip(rng.normal(120, 12, (1, 128, 1)) + rng.normal(0, 2, (160, 128, 1)), 0, 255), 3, axis=2).astype(np.uint8)

    image = ground(0)
    shown, side = regrind.reground(image, ground(1), np.random.default_rng(5))
    assert 0.02 < side.mean() < 0.6
    assert np.array_equal(shown[~cv2.dilate(side.astype(np.uint8), np.ones((25, 51), np.uint8)).astype(bool)],
                          image[~cv2.dilate(side.astype(np.uint8), np.ones((25, 51), np.uint8)).astype(bool)])  # fmt: skip
    assert 0.7 < shown[side].mean() / image[side].mean() < 1.4
    whole, broken = (grain.grain_of(one, is_upright=True)[0] for one in (image, shown))
    assert whole.min() > 0.8 > 0.6 > broken.min()
    assert grain.runs_down([image])
    assert not grain.runs_down([np.ascontiguousarray(image.transpose(1, 0, 2))])


def test_grain_is_told_alike_of_a_picture_that_is_filled_up():
    rng = np.random.default_rng(0)
    image = np.repeat(np.clip(rng.normal(120, 12, (1, 128, 1)) + rng.normal(0, 2, (96, 128, 1)), 0, 255), 3, axis=2).astype(np.uint8)
    odd = image[:91, :125]
    assert grain.grain_of(odd, is_upright=True).shape == (2, 5, 7)
    assert np.allclose(grain.grain_of(odd, is_upright=True)[:, :4, :5], grain.grain_of(image, is_upright=True)[:, :4, :5], atol=1e-4)
