"""TurboViT in torch computes what the engine does, learns what it is asked to and nothing else, and a stopped course goes on."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.networks.attention import Tokens
from edgevision.networks.turbovit import TurboViTSpec
from edgevision.networks.turbovit_weights import read_turbovit, write_turbovit
from edgevision.recompute.load_tokens import open_tokens
from edgevision.recompute.settings import TurboViTSettings

torch = pytest.importorskip("torch", reason="torch is not installed (extra `train`)")
from edgevision.study.train import course, surfaces, token_attention  # noqa: E402
from edgevision.study.train.classify import TeachSettings, teach  # noqa: E402
from edgevision.study.train.course import CourseTask  # noqa: E402
from edgevision.study.train.token_attention import Choice, attentions  # noqa: E402
from edgevision.study.train.turbovit import TrainedTurboViT, attend, load_weights, weights_of  # noqa: E402

SPEC = TurboViTSpec(
    depths=(1, 1, 2, 1), dims=(16, 16, 32, 32), heads=(1, 1, 2, 2), hidden=(16, 32, 64, 64), labels=("a", "b", "c"), trained_px=128, block=2
)
KEPT = {"sparsifiner": Choice("sparsifiner", 0.2), "hybrid": Choice("hybrid", 0.2), "csat": Choice("csat", measurements=24)}


def network(kind="dense", seed=0):
    torch.manual_seed(seed)
    spec = replace(SPEC, kinds=("unit", "unit", kind, kind))
    return TrainedTurboViT(spec, attentions(spec, KEPT[kind]) if kind != "dense" else {})


@pytest.fixture
def folder(tmp_path):
    """Six tiles, each filmed twice, half of them with a dark square, laid out as the magnetic tiles are."""
    random = np.random.default_rng(0)
    for tile in range(12):
        name = "MT_Free" if tile % 2 else "MT_Blowhole"
        (tmp_path / name).mkdir(exist_ok=True)
        for film in range(2):
            image = random.normal(120, 6, (140, 150)).clip(0, 255).astype(np.uint8)
            mask = np.zeros_like(image)
            if not tile % 2:
                image[40:80, 50:90] = 30
                mask[40:80, 50:90] = 255
            path = tmp_path / name / f"exp{film}_num_{tile * 5000 + film * 20}"
            cv2.imwrite(str(path.with_suffix(".jpg")), image)
            cv2.imwrite(str(path.with_suffix(".png")), mask)
    return tmp_path


@pytest.mark.parametrize("kind", ["dense", "sparsifiner", "hybrid", "csat"])
def test_the_engine_computes_what_torch_does(kind, tmp_path):
    made = network(kind)
    path = tmp_path / "net.npz"
    write_turbovit(path, made.spec, weights_of(made), {"labels": "a, b, c"})
    image = np.random.default_rng(1).standard_normal((1, 3, 128, 128)).astype(np.float32)
    with torch.no_grad():
        want = made.eval()(torch.from_numpy(image)).softmax(-1).numpy()
    kept = {"sparsifiner": {"keep": 0.2}, "hybrid": {"keep": 0.2}, "measurements": 24}
    settings = TurboViTSettings.model_validate(kept)
    got = open_tokens(read_turbovit(path), settings, (128, 128), 0.0).first(image)["scores"]
    assert np.abs(got - want).max() < (5e-3 if kind == "sparsifiner" else 1e-4)  # its predictor is in whole numbers there
    assert want.max() - want.min() > 1e-3  # the picture matters


@pytest.mark.parametrize("kind", ["sparsifiner", "hybrid"])
def test_keeping_all_is_dense(kind):
    tokens = Tokens((4, 4), (8, 8), 2, 8, 2)
    made = token_attention.SparsifinerAttention(tokens, 1.0) if kind == "sparsifiner" else token_attention.HybridAttention(tokens, 1.0)
    q, k, v = torch.randn(2, 4, 4, 16), torch.randn(2, 8, 8, 16), torch.randn(2, 8, 8, 16)
    step = next(s for s in network().steps if s.op == "attention")
    dense = attend(replace(step, kind="dense", heads=2, channels=16), q, k, v)
    assert torch.allclose(made(q, k, v), dense, atol=1e-5)


def test_kept_sets_have_their_size_and_ties_go_to_the_first():
    tokens = Tokens((8, 8), (8, 8), 2, 8, 2)
    q, k = torch.randn(1, 2, 64, 8), torch.randn(1, 2, 64, 8)
    for made in (token_attention.SparsifinerAttention(tokens, 0.25), token_attention.HybridAttention(tokens, 0.25)):
        kept = made.choose(q, k)
        assert kept.shape == (1, 2, 16, 16)
        assert (kept.sum(-1) == 4).all()
    assert token_attention.top(torch.zeros(3, 5), 2).tolist() == [[True, True, False, False, False]] * 3


def test_parts_are_never_on_both_sides(folder):
    surface = surfaces.load_surface(folder)
    assert {p.part for p in surface.learnt}.isdisjoint({p.part for p in surface.judged})
    assert len({p.part for p in (*surface.learnt, *surface.judged)}) == 12
    assert {p.label for p in surface.judged} == {0, 1}
    crops, labels = surfaces.judged_crops(surface, 64)
    assert crops.shape == (5 * len(surface.judged), 64, 64)
    assert np.array_equal(surfaces.judged_crops(surface, 64)[1], labels)
    with pytest.raises(InputError, match="holds neither"):
        surfaces.load_surface(folder / "MT_Free")


@pytest.mark.parametrize(("lesson", "kind"), [("predictor", "sparsifiner"), ("distilled", "hybrid"), ("measured", "csat")])
def test_a_lesson_trains_what_it_says(lesson, kind, folder):
    student, teacher = network(kind), network()
    load_weights(student, weights_of(teacher))
    before = weights_of(student)
    teach(student, surfaces.load_surface(folder), TeachSettings(lesson=lesson, steps=2, batch=2, px=128), None, teacher)
    moved = {name for name, value in weights_of(student).items() if not np.array_equal(value, before[name])}
    assert moved
    assert all((".attention." in name) == (lesson != "distilled") for name in moved)


def test_a_pool_is_run_once_up_to_where_the_lesson_begins(folder):
    start, made = "stage2_block1.mlp_out", network()
    before = weights_of(made)
    taught = teach(made, surfaces.load_surface(folder), TeachSettings(steps=2, batch=2, px=128, start=start, pool=4), None)
    moved = {name.split(".")[0] for name, value in weights_of(taught.network).items() if not np.array_equal(value, before[name])}
    assert moved == {"stage3_block1", "stage3_block2", "stage4_block1", "head"}
    image = torch.randn(1, 3, 128, 128)
    assert torch.equal(made.run(made.until(image, start), start)[0], made(image))


def test_a_stopped_lesson_goes_on_as_if_it_had_not_been(folder, tmp_path):
    surface = surfaces.load_surface(folder)
    settings = TeachSettings(steps=4, batch=2, px=64, judge_every=2)
    whole, parts = network(), network()
    teach(whole, surface, settings, tmp_path / "a")

    class Stop(Exception):
        pass

    def stopping(self, path, save=course.Taught.save):
        save(self, path)
        if self.step == 2:
            raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course.Taught, "save", stopping)
        with pytest.raises(Stop):
            teach(parts, surface, settings, tmp_path / "b")
    taught = teach(network(seed=5), surface, settings, tmp_path / "b")
    assert [point[0] for point in taught.curve] == [2, 4]
    for name, value in weights_of(whole).items():
        assert np.array_equal(value, weights_of(taught.network)[name]), name


def test_a_course_writes_weights_that_the_engine_reads(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(course, "SMALL", replace(SPEC, trained_px=64))
    report = course.run(CourseTask(folder, tmp_path / "dense", steps=2))
    dense = read_turbovit(report["network"])
    assert dense.spec.labels == surfaces.LABELS["magnetic-tile"]
    assert 0 <= report["accuracy"] <= 1
    assert (tmp_path / "dense" / "magnetic-tile-dense.png").stat().st_size > 1000
    with pytest.raises(InputError, match="begins with a trained dense network"):
        course.run(CourseTask(folder, tmp_path / "csat", choice=Choice("csat")))
    choice = Choice("csat", measurements=4)
    learnt = course.run(CourseTask(folder, tmp_path / "csat", tmp_path / "dense" / "magnetic-tile-dense.npz", choice, steps=2))
    assert read_turbovit(learnt["network"]).learned("stage3_block2.attention")["phi"].shape == (4, 4, 4)
