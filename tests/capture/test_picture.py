"""Pictures good and damaged: a decoder's patched-up picture must not pass."""

import cv2
import numpy as np
import pytest

from edgevision.capture.picture import in_colour, read_picture
from edgevision.errors import BadFrame

LIMIT = 10_000_000


@pytest.fixture
def scene() -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (9, 9), 3)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".webp", ".jpg"])
def test_colour_comes_as_bgr(tmp_path, scene, suffix):
    cv2.imwrite(str(tmp_path / f"a{suffix}"), scene)
    image = read_picture(tmp_path / f"a{suffix}", "auto", LIMIT)
    assert image.shape == (200, 300, 3)
    assert np.abs(image.astype(int) - scene).mean() < (4 if suffix in (".jpg", ".webp") else 1e-9)


def test_gray_stays_gray_unless_told(tmp_path, scene):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), scene[..., 0])
    assert read_picture(path, "auto", LIMIT).shape == (200, 300)
    assert read_picture(path, "bgr", LIMIT).shape == (200, 300, 3)
    cv2.imwrite(str(path), scene)
    assert read_picture(path, "gray", LIMIT).shape == (200, 300)


def test_sixteen_bits_stay(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8), 4000, np.uint16))
    assert read_picture(tmp_path / "a.png", "auto", LIMIT).dtype == np.uint16


def test_alpha_is_left_out(tmp_path, scene):
    cv2.imwrite(str(tmp_path / "a.png"), cv2.cvtColor(scene, cv2.COLOR_BGR2BGRA))
    assert read_picture(tmp_path / "a.png", "auto", LIMIT).shape == (200, 300, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("harm", ["empty", "head", "half", "bits", "zeros", "text"])
def test_a_damaged_picture_is_refused_by_name(tmp_path, scene, suffix, harm):
    packed = cv2.imencode(suffix, scene)[1].tobytes()
    noise = np.random.default_rng(1).integers(0, 256, 200, dtype=np.uint8).tobytes()
    harmed = {
        "empty": b"",
        "head": packed[:100],
        "half": packed[: len(packed) // 2],
        "bits": packed[:3000] + noise + packed[3200:],
        "zeros": bytes(5000),
        "text": b"<html>404</html>",
    }
    path = tmp_path / f"part7{suffix}"
    path.write_bytes(harmed[harm])
    with pytest.raises(BadFrame, match="part7") as caught:
        read_picture(path, "auto", LIMIT)
    assert "\n" not in str(caught.value)


def test_missing_large_and_odd_ones_are_refused(tmp_path, scene):
    with pytest.raises(BadFrame, match="No such file"):
        read_picture(tmp_path / "none.png", "auto", LIMIT)
    cv2.imwrite(str(tmp_path / "a.png"), scene)
    with pytest.raises(BadFrame, match="the limit is 100"):
        read_picture(tmp_path / "a.png", "auto", 100)
    with pytest.raises(BadFrame, match="float32"):
        in_colour(np.zeros((2, 2), np.float32), "auto", "a.tiff")
