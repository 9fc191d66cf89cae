from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgevision.errors import BadFrame, InputError
from edgevision.study.sets import Labelled, cookie, magnetic_tile, neu_det, open_set

BOX = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"


def draw(path, mask=None, size_px=(8, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full(size_px, 90, np.uint8) if mask is None else mask)


@pytest.fixture
def tiles(tmp_path):
    for name, number in (("Crack", 100), ("Free", 650), ("Blowhole", 1250), ("Free", 1700)):
        draw(tmp_path / f"MT_{name}" / f"exp1_num_{number}.jpg")
    for name, number in (("Crack", 100), ("Blowhole", 1250)):
        mask = np.zeros((8, 10), np.uint8)
        mask[2:4, 3:6] = 255
        draw(tmp_path / f"MT_{name}" / f"exp1_num_{number}.png", mask)
    return tmp_path


def test_pictures_of_one_film_are_one_tile_whatever_they_are_filed_under(tiles):
    name, cases = open_set(tiles, ("neu_det", "magnetic_tile", "plain"))
    assert name == "magnetic_tile"
    assert [(case.name, case.group, case.is_bad) for case in cases] == [
        ("MT_Crack/exp1_num_100", "tile-000", True), ("MT_Free/exp1_num_650", "tile-000", False),
        ("MT_Blowhole/exp1_num_1250", "tile-001", True), ("MT_Free/exp1_num_1700", "tile-001", False),
    ]  # fmt: skip
    assert cases[0].true_mask().sum() == 6
    assert cases[1].true_mask() is None
    assert magnetic_tile.class_of(cases[2]) == "Blowhole"


def test_what_is_wrong_with_tiles_is_one_line(tiles):
    (tiles / "MT_Crack" / "exp1_num_100.png").unlink()
    with pytest.raises(InputError, match=r"exp1_num_100\.jpg: has no mask exp1_num_100\.png beside it; draw it, or move"):
        magnetic_tile.read(tiles)
    draw(tiles / "MT_Free" / "tile7.jpg")
    with pytest.raises(InputError, match=r"tile7\.jpg: its name must be expN_num_NUMBER"):
        magnetic_tile.read(tiles)
    (tiles / "MT_Scratch").mkdir()
    with pytest.raises(InputError, match="MT_Scratch: no class of this set; it must be MT_ and one of Free, Blowhole"):
        magnetic_tile.read(tiles)


@pytest.fixture
def strips(tmp_path):
    for number, boxes in ((1, BOX.format("inclusion", 3, 1, 5, 4) + BOX.format("inclusion", 1, 1, 10, 8)), (11, "")):
        draw(tmp_path / "images" / f"inclusion_{number}.jpg")
        path = tmp_path / "annotations" / f"inclusion_{number}.xml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"<annotation>{boxes}</annotation>")
    return tmp_path


def test_boxes_of_steel_count_from_one_and_end_inside(strips):
    first, second = neu_det.read(strips)
    assert first.boxes == (Labelled("inclusion", (2, 0, 5, 4)), Labelled("inclusion", (0, 0, 10, 8)))
    assert (first.group, first.is_bad) == ("inclusion-00", True)
    assert (second.group, second.is_bad, second.boxes) == ("inclusion-01", False, ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<annotation>", "cannot be read .ParseError.; it must be a Pascal VOC annotation"),
        ("<annotation><object><name>inclusion</name></object></annotation>", "a inclusion object has no whole box"),
        (f"<annotation>{BOX.format('rust', 1, 1, 5, 5)}</annotation>", "holds 'rust' at 1, 1, 5, 5; names must be of crazing"),
        (f"<annotation>{BOX.format('inclusion', 5, 1, 5, 5)}</annotation>", "boxes have an area"),
    ],
)
def test_annotations_that_make_no_sense_are_one_line(strips, text, said):
    (strips / "annotations" / "inclusion_1.xml").write_text(text)
    with pytest.raises(InputError, match=said):
        neu_det.read(strips)


def test_a_cookie_is_broken_wherever_its_mask_is_not_black(tmp_path):
    for name in ("normal-2", "normal-12", "anomaly-1"):
        draw(tmp_path / "images" / f"{name}.jpg")
    mask = np.zeros((8, 10, 3), np.uint8)
    mask[1:3, 1:6] = (54, 10, 3)
    draw(tmp_path / "masks" / "anomaly-1.png", mask)
    cases = cookie.read(tmp_path)
    assert [(case.name, case.group) for case in cases] == [
        ("normal-2", "normal-00"),
        ("normal-12", "normal-01"),
        ("anomaly-1", "anomaly-00"),
    ]
    assert cases[2].true_mask().sum() == 10
    draw(tmp_path / "masks" / "anomaly-1.png", mask[:4])
    with pytest.raises(BadFrame, match=r"anomaly-1\.png: is 10x4, its picture 10x8"):
        cases[2].true_mask()
    (tmp_path / "masks" / "anomaly-1.png").unlink()
    with pytest.raises(InputError, match=r"anomaly-1\.jpg: has no mask"):
        cookie.read(tmp_path)
