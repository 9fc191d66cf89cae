from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgevision.errors import BadFrame, InputError
from edgevision.study.sets import open_set


def write(path, size_px=(8, 8), level=100):
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = np.full(size_px, level, np.uint8)
    drawn[0, 0] = 255 - sum(path.parent.name.encode()) % 100  # no two pictures are the same
    cv2.imwrite(str(path), drawn)


@pytest.fixture
def folder(tmp_path):
    for number in (10, 2):
        write(tmp_path / "good" / f"{number}.png")
    write(tmp_path / "good" / "monday" / "a.png")
    write(tmp_path / "bad" / "b.png")
    write(tmp_path / "masks" / "b.png", level=255)
    return tmp_path


def test_cases_in_natural_order_with_groups_and_masks(folder):
    name, cases = open_set(folder, ("plain",))
    assert name == "plain"
    assert [(case.name, case.group, case.is_bad) for case in cases] == [
        ("good/2.png", "good", False), ("good/10.png", "good", False), ("good/monday/a.png", "monday", False), ("bad/b.png", "bad", True),
    ]  # fmt: skip
    assert cases[0].true_mask() is None
    assert cases[-1].true_mask().all()
    assert cases[-1].image().shape == (8, 8)


def test_a_mask_of_another_size_is_named(folder):
    write(folder / "masks" / "b.png", (9, 8))
    with pytest.raises(BadFrame, match=r"b\.png: is 8x9, its picture 8x8"):
        open_set(folder, ("plain",))[1][-1].true_mask()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: write(folder / "masks" / "c.png"), "c belongs to no picture in bad/"),
        (lambda folder: write(folder / "good" / "b.png"), "b is in good/ and in bad/; one of them is mislabelled"),
        (lambda folder: (folder / "bad" / "b.png").unlink() or (folder / "masks" / "b.png").unlink(), "bad: holds no picture"),
    ],
)
def test_what_is_mislabelled_is_one_line(folder, change, words):
    change(folder)
    with pytest.raises(InputError, match=words) as error:
        open_set(folder, ("plain",))
    assert "\n" not in str(error.value)


def test_an_unlabelled_folder_and_two_pictures_are_refused(tmp_path):
    write(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"is laid out as no set that is known; it must be one of plain \(good/ and bad/"):
        open_set(tmp_path, ("plain",))
    write(tmp_path / "good" / "a.png")
    with pytest.raises(InputError, match="no folder bad/"):
        open_set(tmp_path, ("plain",))
    write(tmp_path / "bad" / "b.png")
    with pytest.raises(InputError, match=r"2 picture\(s\); at least 3"):
        open_set(tmp_path, ("plain",))
    with pytest.raises(InputError, match="no such folder"):
        open_set(tmp_path / "none", ("plain",))
