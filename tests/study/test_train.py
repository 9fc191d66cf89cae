"""Training: the crops are right, a run can be taken up again, and the file written computes what was trained."""

import numpy as np
import pytest

from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.compare.background import ChangeSettings
from edgevision.errors import InputError

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
pytest.importorskip("onnx")
from edgevision.networks.unet import UNetSpec  # noqa: E402
from edgevision.study.train import deliver, samples, segmentation  # noqa: E402
from edgevision.study.train.domain import HELD_OUT, random_settings  # noqa: E402
from edgevision.study.train.network import TrainedUNet  # noqa: E402
from edgevision.study.train.score import FalseRegion, Look, Scores  # noqa: E402


@pytest.fixture(scope="module")
def crops():
    before = samples.CYCLES
    samples.CYCLES = 1
    try:
        return samples.crops_of_line(3, 0)
    finally:
        samples.CYCLES = before


def tiny_crops(number, seed):
    rng = np.random.default_rng((seed, number))
    target = np.zeros((6, 4, 80, 80), np.uint8)
    target[:, 0, 20:30, 20:40] = 1
    images = rng.integers(100, 110, (6, 160, 160, 3)).astype(np.uint8)
    images[:, 40:60, 40:80] = 160
    return samples.Crops(images, target, np.ones((6, 80, 80), np.uint8))


@pytest.fixture
def settings(monkeypatch):
    monkeypatch.setattr(segmentation, "crops_of_line", tiny_crops)
    return segmentation.TrainSettings(steps=12, batch=4, pool_lines=2, steps_a_line=5, workers=0, checkpoint_every=6)


def test_crops_fit_together(crops):
    assert crops.images.shape == (len(crops.images), 160, 160, 3)
    assert crops.targets.shape == (len(crops.images), 4, 80, 80)
    assert crops.weights.shape == (len(crops.images), 80, 80)
    assert set(np.unique(crops.targets)) <= {0, 1}


def test_training_lines_are_never_the_held_out_ones():
    rng = np.random.default_rng(0)
    assert all(random_settings(rng, n).seed < HELD_OUT for n in range(5))
    seeds = [s.seed for kind in deliver.held_out(4) for s in kind]
    assert min(seeds) >= HELD_OUT
    assert len(set(seeds)) == len(seeds)


def test_used_input_keeps_what_changed_little():
    used = samples.UsedInput(ChangeSettings(pixel_threshold=8.0, vibration_px=0, grow_px=0, photometric="none"))
    old = np.random.default_rng(0).integers(98, 103, (120, 120, 3)).astype(np.uint8)
    used.renew(old)
    new = old.copy()
    new[:40] += 3
    new[80:, 80:] += 60
    patchwork = used.renew(new)
    assert np.array_equal(patchwork[:40], old[:40])
    assert np.array_equal(patchwork[85:, 85:], new[85:, 85:])


def test_targets_hold_the_mask_and_leave_its_rim_out():
    line = Line(SyntheticSettings(seed=4, defect_rate=1.0, gap_rate=0.0))
    truth = line.truth(line.belt.standing(0)[0] + 4)
    target, weight = samples.halved(*samples.targets_of(truth, line))
    assert target.any()
    assert (weight[target.max(axis=0) > 0] == 1).all()
    assert np.count_nonzero(weight == 0) > 0


def test_training_learns_and_is_the_same_twice(settings, tmp_path):
    first = segmentation.train(settings, tmp_path / "a", UNetSpec((16, 16, 16), 1), is_shown=False)
    second = segmentation.train(settings, tmp_path / "b", UNetSpec((16, 16, 16), 1), is_shown=False)
    assert first[1] == 12
    for one, other in zip(first[0].parameters(), second[0].parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_stopped_run_goes_on_from_its_checkpoint(settings, tmp_path):
    spec = UNetSpec((16, 16, 16), 1)
    segmentation.train(settings.model_copy(update={"steps": 6}), tmp_path, spec, is_shown=False)
    _, steps, _ = segmentation.train(settings, tmp_path, spec, is_shown=False)
    assert steps == 12


def test_a_foreign_checkpoint_is_refused(settings, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(InputError, match="delete it to begin anew"):
        segmentation.train(settings, tmp_path, is_shown=False)


def test_written_file_computes_what_was_trained(tmp_path):
    openvino = pytest.importorskip("openvino")
    torch.manual_seed(1)
    network = TrainedUNet(UNetSpec((16, 16, 32), 2))
    network.train()
    for _ in range(3):
        network(torch.randn(2, 3, 32, 32))
    network.eval()
    figures = {"frames": 1, "defects": 1, "missed": 0}
    report = deliver.Report(0.5, figures, figures)
    path = deliver.deliver(network, tmp_path / "net.onnx", report, {"seed": 0, "steps": 3, "minutes": 0.1})
    core = openvino.Core()
    model = core.read_model(str(path))
    model.reshape([1, 3, 64, 96])
    image = np.random.default_rng(0).standard_normal((1, 3, 64, 96)).astype(np.float32)
    got = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([image])[0]
    with torch.no_grad():
        want = torch.sigmoid(network(torch.from_numpy(image))).numpy()
    assert np.abs(got - want).max() < 1e-5
    assert "edgevision train" in path.with_suffix(".md").read_text(encoding="utf-8")


def test_threshold_prefers_finding_all():
    looks = tuple(Look("1-a", "stain", 20.0, 100, score, score) for score in (0.55, 0.6))
    false = (FalseRegion(1, 1, False, 0.45, 40, (0, 0, 4, 4)),)
    assert 0.45 < deliver.choose_threshold(Scores(looks, false, 4)) <= 0.6
