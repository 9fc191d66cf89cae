"""The change detector: what is live, what is foreground, what is refused."""

import numpy as np
import pytest

import edgevision as ev
from edgevision.errors import BadFrame, InputError
from edgevision.records import Scene


def textured(height=120, width=160, seed=0) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    gray = 90 + 40 * np.sin(rows / 17) + 30 * np.cos(columns / 23)
    return np.stack([gray, gray + 10, gray - 10], axis=2)


def camera(scene: np.ndarray, random: np.random.Generator, gain=1.0, offset=0.0, sigma=2.0) -> np.ndarray:
    return np.clip(np.rint(scene * gain + offset + random.normal(0, sigma, scene.shape)), 0, 255).astype(np.uint8)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def settled(detector: ev.ChangeDetector, scene: np.ndarray, random: np.random.Generator, frames=12) -> None:
    for _ in range(frames):
        detector.update(camera(scene, random))


def test_first_frame_is_live_all_over():
    change = ev.ChangeDetector().update(np.full((20, 30, 3), 100, np.uint8))
    assert change.live.all()
    assert (change.fraction, change.full_reason, change.scene) == (1.0, "first", Scene.NORMAL)
    assert not change.foreground.any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3)])
def test_the_same_frame_again_is_still(dtype, shape):
    image = (np.arange(np.prod(shape)).reshape(shape) % 90 + 60).astype(dtype) * (1 if dtype == np.uint8 else 257)
    detector = ev.ChangeDetector()
    detector.update(image)
    before = detector._open().used.copy()
    change = detector.update(image)
    assert not change.live.any()
    assert change.fraction == 0
    assert (detector._open().used == before).all()


def test_noise_is_still_and_soon_known(random):
    detector, scene = ev.ChangeDetector(), textured()
    shares = [detector.update(camera(scene, random)).fraction for _ in range(30)]
    assert max(shares[1:]) < 0.003
    assert detector._open().noise[90] == pytest.approx(2.0, rel=0.2)


def test_a_part_that_leaves_is_live_in_the_next_frame_and_gone_from_what_was_used(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    with_part = scene.copy()
    with_part[40:60, 50:80] += 60
    assert detector.update(camera(with_part, random)).live[40:60, 50:80].all()
    assert not detector.update(camera(with_part, random)).live[42:58, 52:78].any()
    change = detector.update(camera(scene, random))
    assert change.live[40:60, 50:80].all()
    used = detector._open().used.reshape(scene.shape)[40:60, 50:80]
    assert abs(used - scene[40:60, 50:80]).max() < 14


@pytest.mark.parametrize("contrast", [12, -12, 20])
def test_a_small_faint_defect_is_live(random, contrast):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random, 20)
    for place in range(10, 100, 10):
        flawed = scene.copy()
        flawed[place : place + 3, place : place + 4] += contrast
        change = detector.measure(camera(flawed, random))
        assert change.live[place : place + 3, place : place + 4].any()


def test_what_was_not_committed_stays_live(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    scene[30:50, 30:50] += 50
    change = detector.measure(camera(scene, random))
    chosen = change.live.copy()
    chosen[30:40] = False
    detector.commit(change, chosen)
    for _ in range(3):
        change = detector.measure(camera(scene, random))
        detector.commit(change, np.zeros_like(chosen))
        assert change.live[30:40, 30:50].all()
        assert not change.live[42:50, 30:50].any()


def test_a_lamp_that_dims_is_corrected(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    shares = []
    for k in range(60):
        change = detector.update(camera(scene, random, gain=1 - 0.004 * k))
        shares.append(change.fraction)
    assert max(shares) < 0.02
    assert change.scene == Scene.NORMAL
    assert change.gain == pytest.approx(1 / (1 - 0.004 * 59), rel=0.03)
    change = detector.measure(camera(scene, random, gain=0.76))
    detector.complete(change, np.ones_like(change.live))
    assert abs(change.corrected.astype(int) - scene).mean() < 4


def test_no_correction_when_it_is_turned_off(random):
    detector, scene = ev.ChangeDetector(ev.ChangeSettings(photometric="none")), textured()
    settled(detector, scene, random)
    change = detector.update(camera(scene, random, gain=1.3))
    assert (change.gain, change.offset) == (1.0, 0.0)
    assert change.live.any()


def test_a_slow_drift_of_one_place_is_live_before_it_is_large(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random, 20)
    seen = None
    for k in range(0, 2000, 25):
        drifted = scene.copy()
        drifted[50:70, 50:70] += 0.01 * k
        if detector.update(camera(drifted, random)).live[50:70, 50:70].mean() > 0.1:
            seen = 0.01 * k
            break
    assert seen is not None
    assert seen < 12


def test_another_scene_is_one_dense_run(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    other = 250 - scene
    change = detector.update(camera(other, random))
    assert (change.full_reason, change.scene, change.fraction) == ("global_change", Scene.LIGHT_CHANGE, 1.0)
    after = [detector.update(camera(other, random)) for _ in range(5)]
    assert all(one.full_reason is None and one.fraction < 0.01 for one in after)


def test_ignored_and_outside_roi_are_never_live_nor_foreground(random):
    settings = ev.ChangeSettings(ignore=[[[0, 0], [60, 0], [60, 15], [0, 15]]], roi=[[0, 0], [120, 0], [120, 119], [0, 119]])
    detector, scene = ev.ChangeDetector(settings), textured()
    settled(detector, scene, random)
    scene[2:12, 2:50] += 80
    scene[60:90, 130:155] += 80
    change = detector.update(camera(scene, random))
    assert not change.live.any()
    assert not change.foreground.any()
    forced = detector.measure(camera(scene, random), force_rows=slice(0, 30))
    assert not forced.live[:15, :60].any()
    assert forced.live[16:30, :120].all()


def test_forced_rows_are_live_and_become_used(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    image = camera(scene, random)
    change = detector.measure(image, force_rows=slice(10, 14))
    assert change.live[10:14].all()
    assert change.fraction >= 4 / 120
    detector.commit(change, change.live)
    used = detector._open().used.reshape(scene.shape)
    assert (used[10:14] == change.corrected[10:14]).all()


def test_foreground_stays_until_learnt_and_never_under_protection(random):
    detector, scene = ev.ChangeDetector(ev.ChangeSettings(reference_frames=64)), textured()
    settled(detector, scene, random, 40)
    flawed = scene.copy()
    flawed[20:30, 20:30] += 40
    flawed[80:90, 80:90] += 40
    protect = np.zeros(scene.shape[:2], bool)
    protect[18:32, 18:32] = True
    change = detector.measure(camera(flawed, random))
    detector.commit(change, change.live, protect)
    assert change.foreground[20:30, 20:30].all()
    assert change.foreground[80:90, 80:90].all()
    for _ in range(400):
        change = detector.measure(camera(flawed, random))
        detector.commit(change, change.live, protect)
    assert change.foreground[20:30, 20:30].all()
    assert not change.foreground[80:90, 80:90].any()


def test_masks_stay_as_they_are_while_they_are_held(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    changes, copies = [], []
    for k in range(8):
        moved = scene.copy()
        moved[10 * k : 10 * k + 10, 20:40] += 60
        change = detector.update(camera(moved, random))
        changes.append(change)
        copies.append((change.live.copy(), change.foreground.copy()))
    for change, (live, foreground) in zip(changes, copies, strict=True):
        assert (change.live == live).all()
        assert (change.foreground == foreground).all()
        assert not change.live.flags.writeable
        assert not change.foreground.flags.writeable
        assert not change.corrected.flags.writeable


def test_the_image_of_the_caller_is_left_alone(random):
    image = camera(textured(), random)
    before = image.copy()
    detector = ev.ChangeDetector()
    detector.update(image)
    detector.update(image)
    assert image.flags.writeable
    assert (image == before).all()


def test_two_cameras_do_not_meet(random):
    one, other = ev.ChangeDetector(), ev.ChangeDetector()
    scene = textured()
    settled(one, scene, random)
    assert other.update(camera(scene, random)).full_reason == "first"


def test_reset_begins_anew(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    detector.reset()
    assert detector.update(camera(scene, random)).full_reason == "first"
    assert detector.update(camera(scene, random)).fraction < 0.01


def test_hold_and_confirm(random):
    scene = textured()
    moved = scene.copy()
    moved[40:60, 40:60] += 60
    held = ev.ChangeDetector(ev.ChangeSettings(hold_frames=2))
    settled(held, scene, random)
    assert [held.update(camera(moved, random)).live[45:55, 45:55].all() for _ in range(4)] == [True, True, True, False]
    sure = ev.ChangeDetector(ev.ChangeSettings(confirm_frames=3))
    settled(sure, scene, random)
    assert [sure.update(camera(moved, random)).live[45:55, 45:55].all() for _ in range(4)] == [False, False, True, False]


def test_a_first_frame_left_uncommitted_is_first_again():
    detector = ev.ChangeDetector()
    image = np.full((20, 30, 3), 100, np.uint8)
    detector.measure(image)
    assert detector.update(image).full_reason == "first"


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "uint8 or uint16"),
        ([[1, 2]], "numpy array"),
        (np.zeros((4, 4, 2), np.uint8), r"\(H, W\) or \(H, W, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"\(H, W\) or \(H, W, 3\)"),
    ],
)
def test_what_is_no_image_is_refused(image, words):
    with pytest.raises(InputError, match=words) as caught:
        ev.ChangeDetector().update(image)
    assert "\n" not in str(caught.value)


def test_another_size_is_a_bad_frame_and_changes_nothing(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    with pytest.raises(BadFrame, match="set the camera back"):
        detector.update(camera(scene, random)[:60])
    assert detector.update(camera(scene, random)).fraction < 0.01


@pytest.mark.parametrize(("value", "word"), [(0, "black"), (255, "saturated")])
def test_a_blind_camera_is_not_inspected(random, value, word):
    blind = np.full((120, 160, 3), value, np.uint8)
    with pytest.raises(BadFrame, match=word):
        ev.ChangeDetector().update(blind)
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    with pytest.raises(BadFrame, match=word):
        detector.update(blind)
    assert detector.update(camera(scene, random)).fraction < 0.01


def test_a_change_is_committed_once_and_in_order():
    detector, image = ev.ChangeDetector(), np.full((20, 30), 100, np.uint8)
    change = detector.update(image)
    with pytest.raises(InputError, match="once"):
        detector.commit(change, change.live)
    later = detector.measure(image)
    with pytest.raises(InputError, match="bool"):
        detector.commit(later, np.zeros((3, 3), bool))


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"roi": [[500, 500], [600, 500], [600, 600]]}, "compare.roi"),
        ({"ignore": [[[0, 0], [99, 0], [99, 99], [0, 99]]]}, "compare.ignore"),
    ],
)
def test_a_mask_that_leaves_nothing_is_refused(keywords, words):
    with pytest.raises(InputError, match=words):
        ev.ChangeDetector(ev.ChangeSettings(**keywords)).update(np.full((40, 50), 100, np.uint8))


@pytest.mark.parametrize("name", ["roi", "ignore"])
def test_a_polygon_that_crosses_itself_is_refused(name):
    bow = [[0, 0], [20, 20], [20, 0], [0, 20]]
    with pytest.raises(ValueError, match="sides 1 and 3 cross"):
        ev.ChangeSettings(**{name: bow if name == "roi" else [bow]})
    ell = [[0, 0], [20, 0], [20, 10], [10, 10], [10, 20], [0, 20]]
    assert ev.ChangeSettings(roi=ell).roi is not None


def test_a_frame_that_is_blown_out_is_refused_until_the_exposure_is_back_or_stays_so(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    blown = camera(scene * 2 + 100, random)
    for _ in range(30):
        with pytest.raises(BadFrame, match="just become saturated"):
            detector.update(blown)
    change = detector.update(blown)
    assert (change.full_reason, change.scene) == ("global_change", Scene.LIGHT_CHANGE)
    assert detector.update(blown).full_reason is None


def test_a_small_faint_stain_in_one_colour_channel_s_noise_is_live(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    stained = scene.copy()
    stained[60:64, 70:74] += 7  # under four sigmas, under every pixel's threshold
    assert detector.measure(camera(stained, random)).live[60:64, 70:74].any()
    blind = ev.ChangeDetector(ev.ChangeSettings(faint_sigmas=0))
    settled(blind, scene, random)
    assert not blind.measure(camera(stained, random)).live[60:64, 70:74].any()


def test_a_shaken_frame_is_moved_back(random):
    rows, columns = np.mgrid[:160, :200]
    scene = np.repeat((90 + 60 * ((rows // 12 + columns // 14) % 2))[..., None], 3, axis=2).astype(float)
    shares = {}
    for steady in (0.0, 3.0):
        detector = ev.ChangeDetector(ev.ChangeSettings(steady_px=steady))
        settled(detector, scene, random)
        shares[steady] = np.mean(
            [detector.update(camera(np.roll(scene, (k % 3 - 1, (k + 1) % 3 - 1), (0, 1)), random)).fraction for k in range(6)]
        )
    assert shares[3.0] < 0.05
    assert shares[0.0] > 4 * shares[3.0]


def test_prepare_compiles_and_forgets_nothing(random):
    detector, scene = ev.ChangeDetector(), textured()
    settled(detector, scene, random)
    detector.prepare(camera(scene, random))
    assert detector.update(camera(scene, random)).full_reason is None


@pytest.mark.parametrize("wrong", ["twelve", "0 sigma", -3, 300, "sigma"])
def test_a_threshold_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match="pixel_threshold"):
        ev.ChangeSettings(pixel_threshold=wrong)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_first_frame_that_waits_is_a_first_frame(random, dtype):
    """Nothing is worked out before a second one comes; then all is as if it had been (a ROI of the whole picture does not wait)."""
    scene = textured()
    frames = [camera(scene, random).astype(dtype) * (1 if dtype == np.uint8 else 257) for _ in range(6)]
    frames[3][30:60, 40:80] = frames[3].max()
    whole = ev.ChangeSettings(roi=((0, 0), (159, 0), (159, 119), (0, 119)))
    waits, draws = ev.ChangeDetector(), ev.ChangeDetector(whole)
    for frame in frames:
        ours, theirs = waits.update(frame), draws.update(frame)
        assert (ours.live == theirs.live).all()
        assert (ours.foreground == theirs.foreground).all()
        assert (ours.corrected[ours.live] == theirs.corrected[theirs.live]).all()
        assert (ours.gain, ours.offset, ours.full_reason) == (theirs.gain, theirs.offset, theirs.full_reason)
    assert ours.fraction < 1


@pytest.mark.parametrize("level", [0, 255])
def test_a_blind_first_frame_is_refused_and_forgotten(level):
    detector = ev.ChangeDetector()
    with pytest.raises(BadFrame, match=r"100\.0% of its samples"):
        detector.update(np.full((40, 50, 3), level, np.uint8))
    assert detector.update(np.full((30, 50), 100, np.uint8)).full_reason == "first"


def test_a_frame_that_is_passed_by_leaves_what_was_used(random):
    scene = textured()
    detector = ev.ChangeDetector()
    settled(detector, scene, random)
    used = detector._open().used.copy()
    part = camera(scene, random)
    part[30:60, 40:80] = 250
    for _ in range(2):
        change = detector.measure(part)
        assert change.live[32:58, 42:78].all()
        detector.pass_by(change)
        assert (detector._open().used == used).all()
    with pytest.raises(InputError, match="is not the one last measured"):
        detector.pass_by(change)


def test_where_all_is_taken_nothing_is_looked_for_and_looking_again_is_right(random):
    scene = textured()
    forced, looking = (ev.ChangeDetector(ev.ChangeSettings(global_fraction=1.0)) for _ in range(2))
    frames = [camera(scene, random) for _ in range(8)]
    for frame in frames[:4]:
        change = forced.measure(frame, force_rows=slice(0, 120))
        assert change.live.all()
        assert change.fraction == 1.0
        forced.commit(change, change.live)
        other = looking.measure(frame)
        looking.commit(other, np.ones_like(other.live))
    for frame in frames[4:]:
        frame[30:60, 40:80] = 250
        assert (forced.update(frame).live == looking.update(frame).live).all()


def test_at_threshold_0_every_difference_is_live(random):
    zeros = {"hysteresis": 1, "faint_sigmas": 0, "despeckle": 1, "min_area": 1, "grow_px": 0, "vibration_px": 0, "steady_px": 0}
    detector = ev.ChangeDetector(ev.ChangeSettings(pixel_threshold=0, photometric="none", settle_frames=0, global_fraction=1, **zeros))
    scene = camera(textured(), random)
    detector.update(scene)
    for share in (0.001, 0.3, 0.99):
        frame = scene.copy()
        frame[random.random(scene.shape[:2]) < share] += 1
        assert (detector.update(frame).live == (frame != scene).reshape(*scene.shape[:2], -1).any(axis=2)).all()
        scene = frame
