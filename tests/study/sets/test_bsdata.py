from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.study.sets import open_set


def label(path, points, size_px=(8, 8), text="Pitting"):
    found = {"shapes": [{"label": text, "points": points}], "imageHeight": size_px[0], "imageWidth": size_px[1]}
    path.write_text(json.dumps(found))


@pytest.fixture
def folder(tmp_path):
    for spindle in ("b_1", "a_1"):
        (tmp_path / spindle).mkdir()
        for time in ("200901000000", "200828000000"):
            cv2.imwrite(str(tmp_path / spindle / f"01_{time}_{spindle}_crop_2.jpg"), np.full((8, 8, 3), 90, np.uint8))
    label(tmp_path / "a_1" / "01_200901000000_a_1_crop_2.json", [[1, 1], [5, 1], [5, 4], [1, 4]])
    return tmp_path


def test_spindle_by_spindle_in_the_order_of_time(folder):
    name, cases = open_set(folder, ("plain", "bsdata"))
    assert name == "bsdata"
    assert [case.group for case in cases] == ["a_1", "a_1", "b_1", "b_1"]
    assert "200828" in cases[0].name
    assert [case.is_bad for case in cases] == [False, True, False, False]
    assert cases[1].boxes == (("pitting", (1, 1, 6, 5)),)
    assert cases[1].true_mask()[2, 3]
    assert np.count_nonzero(cases[1].true_mask()) == 20
    assert not cases[0].true_mask().any()


def test_polygons_follow_a_picture_of_another_size(folder):
    label(folder / "a_1" / "01_200901000000_a_1_crop_2.json", [[2, 2], [10, 2], [10, 8], [2, 8]], (16, 16))
    mask = open_set(folder, ("bsdata",))[1][1].true_mask()
    assert mask[2, 3]
    assert np.count_nonzero(mask) == 20


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda folder: (folder / "a_1" / "01_200901000000_a_1_crop_2.json").unlink(), "4 pictures and no labelme .json beside any"),
        (lambda folder: (folder / "a_1" / "x.json").write_text("{}"), "x.json: its picture is missing"),
        (lambda folder: (folder / "a_1" / "01_200901000000_a_1_crop_2.json").write_text("{"), "is no labelme file"),
        (lambda folder: label(folder / "a_1" / "01_200901000000_a_1_crop_2.json", [[1, 1], [2, 2]]), "a polygon of 2 corners"),
        (lambda folder: label(folder / "a_1" / "01_200901000000_a_1_crop_2.json", [[1, 1]] * 3, text="rust"), "is labelled rust"),
    ],
)
def test_what_is_unlabelled_or_mislabelled_is_one_line(folder, write, words):
    write(folder)
    with pytest.raises(InputError, match=words) as error:
        open_set(folder, ("bsdata",))
    assert "\n" not in str(error.value)


def test_a_folder_in_another_layout_says_so(folder):
    with pytest.raises(InputError, match=r"is laid out as bsdata; it must be one of plain \(good/"):
        open_set(folder, ("plain",))
