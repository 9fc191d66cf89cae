"""Pictures in another light: worked by hand, and what they do to a Case."""

import cv2
import numpy as np
import pytest

from edgevision.study.lights import LIGHTS, in_light, lit
from edgevision.study.sets import Case


def test_twice_the_light_ends_at_white():
    assert lit(np.array([[10, 200]], np.uint8), "double").tolist() == [[20, 255]]
    assert lit(np.array([[10, 40_000]], np.uint16), "double").tolist() == [[20, 65_535]]
    assert lit(np.array([[11, 200]], np.uint8), "half").tolist() == [[6, 100]]


def test_light_from_one_side_and_a_tint():
    colour = np.full((2, 3, 3), 100, np.uint8)
    assert lit(colour, "from one side")[0, :, 0].tolist() == [65, 100, 135]
    assert lit(colour, "tinted")[0, 0].tolist() == [85, 100, 115]
    assert lit(colour[..., 0], "tinted").tolist() == colour[..., 0].tolist()


@pytest.mark.parametrize("light", LIGHTS)
def test_a_case_is_lit_after_it_was_brought_into_view_and_its_template_is_not(light, tmp_path):
    path = tmp_path / "part.png"
    cv2.imwrite(str(path), np.full((4, 6), 100, np.uint8))
    case = Case("part", "board", path, False, template=path, brought=lambda image: image[:2], colour="gray")
    (found,) = in_light((case,), light)
    assert found.image().tolist() == lit(case.image(), light).tolist()
    assert found.template_image().tolist() == case.template_image().tolist()
