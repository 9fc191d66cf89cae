"""Clips of a surface, what a gate loses on them, and the truth of frames that `gates` takes; a network of tokens of toy size."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from edgevision.compare.background import ChangeSettings
from edgevision.errors import InputError
from edgevision.networks.turbovit import TurboViTSpec
from edgevision.networks.turbovit_weights import random_turbovit, write_turbovit
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.frame_truth import read_truth
from edgevision.study.gate_accuracy import Course, Tally, loss_of, selective, tally, watch, whole
from edgevision.study.gates import chosen, within_points
from edgevision.study.rehearsal import Rehearsal
from edgevision.study.surface_clip import ClipSettings, Piece, surface_clip

PX = 64
SPEC = TurboViTSpec((1, 1), (32, 32), (1, 1), (32, 32), (False, True), ("unit", "hybrid"), 4, 2, labels=("a", "b", "c"), trained_px=PX)
CLIP = ClipSettings(px=PX, pieces=3, stay=9, visit=9, come=5)


def pieces():
    random = np.random.default_rng(0)
    return [Piece(random.integers(20, 230, (PX, PX), np.uint8), label) for label in range(4)]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "net.npz"
    write_turbovit(path, SPEC, random_turbovit(SPEC).weights, {"labels": "a, b, c", "mean": "0.5", "std": "0.25"})
    return load_for_frames(chosen(RecomputeSettings(), str(path)), PX, PX)


@pytest.fixture(scope="module")
def clip():
    return watch(surface_clip(pieces(), CLIP, 1), ChangeSettings(), 10.0)


def test_a_clip_begins_and_ends_with_pieces_and_has_no_name_between():
    frames, again = (list(surface_clip(pieces(), CLIP, 7)) for _ in range(2))
    assert len(frames) == 3 * 9 + 2 * 5
    assert all(np.array_equal(one.image, other.image) and one.label == other.label for one, other in zip(frames, again, strict=True))
    labels = [one.label for one in frames]
    assert None in labels[9:14]
    assert None not in labels[:9] + labels[-9:]
    assert labels[0] != labels[-1]
    source = pieces()[labels[0]].image.astype(int)
    assert np.abs(frames[0].image - source).mean() < 4, "the first frame shows the piece alone, with noise"
    hidden = np.mean([np.mean(np.abs(one.image - source) > 30) for one in frames[:9]])
    assert 0 < hidden < 0.13


def test_gate_zero_on_all_live_frames_is_the_whole_network_and_what_is_counted_adds_up(network, clip):
    network.set_gates(0.0)
    exact, held = selective(network, clip), whole(network, clip, 1)
    found = tally(exact, exact, held, clip)
    assert (found.right, found.differing, found.late) == (found.exact, 0, 0)
    assert exact.named[0] == held.named[0]
    assert 0 < found.macs < 1
    assert found.frames == np.count_nonzero(clip.labels >= 0) == found.raw_frames
    network.set_gates(0.9)
    shut = tally(selective(network, clip), exact, held, clip)
    assert shut.macs < found.macs


def test_what_is_lost_is_the_share_of_named_frames():
    one = Tally(10, 8, 9, 2, 1, 4, 5, 4, 4, 0.5)
    other = Tally(30, 30, 30, 0, 0, 10, 15, 15, 15, 0.1)
    loss = loss_of([one, other])
    assert (loss.accuracy, loss.loss, loss.differing, loss.macs) == (38 / 40, 1 / 40, 2 / 40, 0.3)
    assert loss.loss < loss.most <= 0.1
    assert loss.late == 1 / 14
    course = Course(np.array([0, 1, 1]), np.ones(3))
    clip = SimpleNamespace(labels=np.array([0, 0, -1]))
    found = tally(course, Course(np.array([0, 0, 0]), np.ones(3)), Course(np.array([0, -1, 0]), np.ones(3)), clip)
    assert (found.frames, found.right, found.exact, found.differing, found.raw_frames, found.raw_right) == (2, 1, 2, 1, 1, 1)


def test_a_network_of_tokens_rehearses_with_gates_of_its_attentions_and_with_the_truth(network, clip, tmp_path):
    path = tmp_path / "truth.txt"
    path.write_text("\n".join("-" if label < 0 else "abc"[label % 3] for label in clip.labels))
    truth = read_truth(path, network, clip.recording.frames, (PX, PX))
    rehearsal = Rehearsal(network, clip.recording, truth)
    assert "stage2_block1.attention" in rehearsal.steps
    exact, shut = (rehearsal.row(dict.fromkeys(rehearsal.steps, gate)) for gate in (0.0, 0.9))
    assert exact["disagreement"] == 0.0
    assert 0 <= exact["accuracy"] <= 1
    assert "accuracy" in exact["searched"]
    assert shut["macs_share"] < exact["macs_share"]
    assert "accuracy" not in Rehearsal(network, clip.recording).row(dict.fromkeys(rehearsal.steps, 0.9))


def test_the_largest_gate_within_a_point_is_named_by_the_searched_frames():
    rows = [
        {"gate": gate, "accuracy": accuracy, "macs_share": 0.5, "searched": {"accuracy": searched}}
        for gate, accuracy, searched in ((0.0, 0.9, 0.9), (0.01, 0.88, 0.895), (0.02, 0.9, 0.85), (0.04, 0.9, 0.9))
    ]
    within = within_points(rows, 0.01)
    assert within["gate"] == 0.01, "not one beyond a gate that loses more"
    assert within["lost"] == pytest.approx(0.02)


def test_marked_frames_score_by_what_they_have_in_common(tmp_path):
    for number, top in enumerate((0, 8)):
        mask = np.zeros((16, 16), np.uint8)
        mask[top:, :8] = 255
        cv2.imwrite(str(tmp_path / f"{number}.png"), mask)
    network = SimpleNamespace(graph=SimpleNamespace(shapes={"d": (1, 2, 4, 4)}, outputs={"d": "d"}), metadata={"threshold": "0.4"})
    truth = read_truth(tmp_path, network, 2, (16, 16))
    answer = np.zeros((1, 2, 4, 4), np.float32)
    answer[0, 1, :, :2] = 0.5
    assert [truth.score({"d": answer}, number) for number in range(2)] == [1.0, 0.5]
    with pytest.raises(InputError, match=r"tells of 2 frames, the clip has 3"):
        read_truth(tmp_path, network, 3, (16, 16))


@pytest.mark.parametrize(("text", "message"), [("a\nd", "truth.txt:2: 'd' is no label"), ("a", "tells of 1 frames, the clip has 2")])
def test_a_truth_that_names_no_label_or_too_few_is_refused(network, tmp_path, text, message):
    path = tmp_path / "truth.txt"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_truth(path, network, 2, (PX, PX))
