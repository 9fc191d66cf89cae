"""Where a frame lies against its reference: found to a fraction of a pixel, whatever the light, or not at all."""

import cv2
import numpy as np
import pytest

from edgevision.compare.align import Landmarks, Limits, Pose, agreed, warped

LIMITS = Limits(12.0, 2.0)


def textured(height=240, width=320, seed=0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, (height, width)).astype(np.float32)
    return np.clip(cv2.GaussianBlur(noise, (0, 0), 3) * 350 + 110, 0, 255)


def test_a_pose_moves_and_turns_about_the_middle():
    assert (Pose(2, 3, 0).matrix((5, 9)) @ [4, 2, 1]).tolist() == [6, 5]
    assert (Pose(0, 0, np.pi / 2).matrix((5, 9)) @ [5, 2, 1]).round(9).tolist() == [4, 3]


@pytest.mark.parametrize("pose", [Pose(), Pose(0.3, -0.7), Pose(5.25, -3.1, 0.01), Pose(-9, 7, -0.02)])
@pytest.mark.parametrize("colour", [False, True])
def test_a_pose_is_found_to_a_twentieth_of_a_pixel_in_another_light(pose, colour):
    scene = textured()
    frame = warped(scene, pose) * 0.6 + 20 + np.random.default_rng(1).normal(0, 2, scene.shape)
    reference, frame = scene.astype(np.uint8), frame.clip(0, 255).astype(np.uint8)
    if colour:
        reference, frame = (np.repeat(one[..., None], 3, axis=2) for one in (reference, frame))
    found = Landmarks(reference, None, LIMITS).locate(frame, Pose())
    assert found is not None
    assert found[:2] == pytest.approx(pose[:2], abs=0.05)
    assert found.angle == pytest.approx(pose.angle, abs=0.0005)


def test_a_third_of_the_landmarks_may_be_hidden():
    scene = textured()
    frame = scene.astype(np.uint8)
    frame[:80] = 30
    found = Landmarks(scene.astype(np.uint8), None, LIMITS).locate(frame, Pose())
    assert found is not None
    assert tuple(found) == pytest.approx((0, 0, 0), abs=0.1)


def test_another_scene_has_no_pose_and_neither_has_one_without_texture():
    landmarks = Landmarks(textured().astype(np.uint8), None, LIMITS)
    assert landmarks.locate(textured(seed=5).astype(np.uint8), Pose()) is None
    assert len(Landmarks(np.full((240, 320), 90, np.uint8), None, LIMITS)) == 0


def test_what_most_agree_on_is_the_pose():
    homes = np.array([[10.0, 10], [90, 10], [10, 90], [90, 90], [50, 50]])
    places = homes + np.array([3, 1])
    places[4] += 20
    found = agreed(homes, places, np.ones(5, bool), (101, 101))
    assert found is not None
    assert tuple(found) == pytest.approx((3, 1, 0), abs=1e-9)
    assert agreed(homes, places, np.array([True, True, False, False, False]), (101, 101)) is None
