"""The golden reference: what is learnt of good parts, its file, and what is refused."""

import cv2
import numpy as np
import pytest

import edgevision as ev
from edgevision.compare import golden
from edgevision.compare.align import Limits, Pose, warped
from edgevision.errors import ConfigError, InputError
from edgevision.judge.rules import verdict
from edgevision.records import Scene, Verdict


def textured(height=240, width=320, seed=0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 3) * 350 + 110, 0, 255)


def flat(*levels: int) -> list[np.ndarray]:
    return [np.full((4, 6), level, np.uint8) for level in levels]


def test_mean_and_tolerances_by_hand():
    found = golden.learn(flat(100, 102, 98, 100), Limits(0, 0))  # running means 100, 101, 100, 100
    assert found.images == 4
    assert (found.mean == 100).all()
    assert (found.bright == round(256 * np.sqrt(2 * (2 * 1) / 3))).all()
    assert (found.dark == round(256 * np.sqrt(2 * (3 * 2) / 3))).all()


def test_noise_of_good_parts_is_learnt_on_both_sides():
    random, scene = np.random.default_rng(3), textured()
    poses = [Pose(), *(Pose(*random.uniform(-4, 4, 2), random.uniform(-0.01, 0.01)) for _ in range(11))]
    images = [
        (warped(scene, pose) * (1 + 0.02 * k) + random.normal(0, 2, scene.shape)).clip(0, 255).astype(np.uint8)
        for k, pose in enumerate(poses)
    ]
    found = golden.learn(images)
    inside = np.s_[16:-16, 16:-16]
    assert np.abs(found.mean.astype(float) - scene)[inside].mean() < 1.5
    for tolerance in (found.bright, found.dark):
        assert np.median(tolerance[inside]) / 256 == pytest.approx(2.0, rel=0.3)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_a_file_gives_back_what_was_saved(tmp_path, dtype, shape):
    random = np.random.default_rng(0)
    images = [random.integers(40, 200, shape).astype(dtype) for _ in range(3)]
    found = golden.learn(images, Limits(0, 0))
    found.save(tmp_path / "part.npz")
    again = golden.load(tmp_path / "part.npz")
    assert (again.mean == found.mean).all()
    assert (again.bright == found.bright).all()
    assert (again.dark == found.dark).all()
    assert (again.images, again.sha256) == (3, found.sha256)
    assert again.mean.dtype == dtype
    assert not again.mean.flags.writeable
    assert [path.name for path in tmp_path.iterdir()] == ["part.npz"]


def test_a_picture_is_taught_from_one_image(tmp_path):
    picture = np.random.default_rng(0).integers(0, 65536, (8, 9, 3)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "part.png"), picture)
    found = golden.load(tmp_path / "part.png")
    assert (found.mean == picture).all()
    assert found.images == 1
    assert not found.bright.any()


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "no image"),
        ([np.zeros((4, 4), np.uint8), np.zeros((4, 5), np.uint8)], "image 2 is uint8 .*one camera and size"),
        ([np.zeros((4, 4), np.float32)], "image 1 is float32"),
        ([np.zeros((4, 4, 4), np.uint8)], "image 1 has shape"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused(images, words):
    with pytest.raises(InputError, match=words):
        golden.learn(images, Limits(0, 0))


def test_an_image_that_lies_too_far_off_is_named():
    scene = textured()
    images = [scene.astype(np.uint8), warped(scene, Pose(11, 0)).astype(np.uint8)]
    with pytest.raises(InputError, match=r"image 2 lies 11.0 px .*compare.align_px"):
        golden.learn(images)
    with pytest.raises(InputError, match=r"image 2 cannot be aligned"):
        golden.learn([images[0], textured(seed=4).astype(np.uint8)])
    with pytest.raises(InputError, match="texture"):
        golden.learn(flat(100, 100))


def hostile(name: str) -> bytes | dict[str, np.ndarray]:
    good = {"schema": np.int64(1), "images": np.int64(2), "mean": np.zeros((4, 5), np.uint8)}
    good |= {"bright": np.zeros((4, 5), np.uint16), "dark": np.zeros((4, 5), np.uint16)}
    return {
        "empty": b"",
        "text": b"no zip at all",
        "torn": b"PK\x03\x04" + b"\0" * 40,
        "pickle": good | {"mean": np.array([{"a": 1}], dtype=object)},
        "other": {"a": np.zeros(3)},
        "newer": good | {"schema": np.int64(2)},
        "none": good | {"images": np.int64(0)},
        "shape": good | {"dark": np.zeros((4, 4), np.uint16)},
        "type": good | {"bright": np.zeros((4, 5))},
        "mean": good | {"mean": np.zeros((4, 5), np.int32)},
    }[name]


@pytest.mark.parametrize("name", ["empty", "text", "torn", "pickle", "other", "newer", "none", "shape", "type", "mean"])
def test_a_hostile_file_is_refused_in_one_line(tmp_path, name):
    path, content = tmp_path / "part.npz", hostile(name)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    with pytest.raises(InputError) as caught:
        golden.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_absent_or_no_picture_is_refused(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        golden.load(tmp_path / "part.npz")
    (tmp_path / "part.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(InputError, match="no picture"):
        golden.load(tmp_path / "part.png")
    with pytest.raises(InputError, match=r"part.npz"):
        golden.from_picture(np.zeros((2, 2), np.uint8)).save(tmp_path / "part.png")


def taught(tmp_path, scene: np.ndarray, **settings) -> ev.ChangeDetector:
    golden.from_picture(scene.astype(np.uint8)).save(tmp_path / "part.npz")
    return ev.ChangeDetector(ev.ChangeSettings(reference="golden", golden=tmp_path / "part.npz", **settings))


def shown(scene: np.ndarray, pose=Pose(), gain=1.0, seed=0) -> np.ndarray:  # noqa: B008
    return (warped(scene, pose) * gain + np.random.default_rng(seed).normal(0, 2, scene.shape)).clip(0, 255).astype(np.uint8)


def test_a_flaw_of_the_first_part_is_foreground_in_any_light_and_place(tmp_path):
    scene = textured()
    flawed = scene.copy()
    flawed[100:112, 150:165] += 45
    for pose in (Pose(), Pose(4.3, -2.6, 0.01)):
        change = taught(tmp_path, scene).update(shown(flawed, pose, gain=0.8))
        assert change.scene == Scene.NORMAL
        inside = warped((flawed - scene > 0).astype(np.float32), pose) > 0.9
        assert change.foreground[inside].mean() > 0.9
        assert change.foreground[~inside].mean() < 0.02
        assert change.golden is not None
        far = np.abs(change.golden.astype(float) - warped(scene, pose))[20:-20, 20:-20]
        assert far.mean() < 1.5


def test_a_flaw_that_stays_is_foreground_an_hour_of_frames_later(tmp_path):
    scene = textured(96, 128)
    detector = taught(tmp_path, scene)
    detector.update(shown(scene))
    flawed = scene.copy()
    flawed[40:52, 60:75] += 45
    frames = [shown(flawed, seed=k) for k in range(8)]
    for k in range(2000):
        change = detector.update(frames[k % 8])
    assert change.foreground[41:51, 61:74].mean() > 0.9
    assert detector.update(shown(scene)).foreground[40:52, 60:75].mean() < 0.05


def test_a_part_that_lies_too_far_off_is_misaligned_until_it_is_back(tmp_path):
    scene = textured()
    detector = taught(tmp_path, scene)
    assert detector.update(shown(scene, Pose(11, 0))).scene == Scene.MISALIGNED
    assert detector.update(shown(textured(seed=9))).scene == Scene.MISALIGNED
    assert detector.update(shown(scene, Pose(2, 1))).scene == Scene.NORMAL
    said, reason = verdict((), detector.update(shown(scene, Pose(11, 0))))
    assert (said, reason) == (Verdict.NOT_INSPECTED, "misaligned")


def test_a_reference_of_another_size_is_refused_with_the_remedy(tmp_path):
    detector = taught(tmp_path, textured())
    with pytest.raises(InputError, match=r"part.npz: is 320x240, gray, 8 bit, the camera gives .*reference learn"):
        detector.update(textured(120, 160).astype(np.uint8))
    with pytest.raises(InputError, match="align_px: 0"):
        taught(tmp_path, np.full((60, 80), 90.0)).update(np.full((60, 80), 90, np.uint8))
    flat_part = taught(tmp_path, np.full((60, 80), 90.0), align_px=0)
    assert flat_part.update(np.full((60, 80), 90, np.uint8)).scene == Scene.NORMAL
    config = tmp_path / "line.yaml"
    config.write_text("cameras: {cam: {source: {type: synthetic}, compare: {reference: golden, golden: absent.npz}}}")
    with pytest.raises(ConfigError, match=r"camera cam: compare.golden: .*absent.npz: No such file"):
        ev.Pipeline.from_config(config)
    with pytest.raises(ValueError, match="golden names no file"):
        ev.ChangeSettings(reference="golden")
