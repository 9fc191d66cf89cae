"""DeepPCB's layout: what is read, and what is refused in one line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.study.sets import Labelled, deeppcb, open_set

DATA = Path(__file__).parents[4] / "shared" / "data" / "deeppcb"


def written(folder: Path, ids: tuple[str, ...] = ("7001", "7002", "7003"), labels: str = "20 20 40 40 5\n50,50,70,70,6\n") -> Path:
    """A group of pairs, each with copper too much at 30, 30 and a pin-hole at 60, 60."""
    pictures, notes = folder / "group7" / "7000", folder / "group7" / "7000_not"
    for made in (pictures, notes):
        made.mkdir(parents=True)
    template = np.full((96, 96), 255, np.uint8)
    template[45:] = 0
    board = template.copy()
    board[27:33, 27:33], board[57:63, 57:63] = 0, 255
    for name in ids:
        cv2.imwrite(str(pictures / f"{name}_temp.jpg"), template)
        cv2.imwrite(str(pictures / f"{name}_test.jpg"), board)
        (notes / f"{name}.txt").write_text(labels)
    return folder


def test_pairs_with_their_boxes(tmp_path):
    name, cases = open_set(written(tmp_path), ("deeppcb",))
    assert name == "deeppcb"
    assert [(case.name, case.group, case.is_bad) for case in cases] == [(name, "group7", True) for name in ("7001", "7002", "7003")]
    assert cases[0].boxes == (Labelled("copper", (20, 20, 40, 40)), Labelled("pin-hole", (50, 50, 70, 70)))
    assert cases[0].image().shape == cases[0].template_image().shape == (96, 96)
    assert deeppcb.fits(tmp_path / "group7")
    assert not deeppcb.fits(tmp_path / "group7" / "7000")


def test_an_exchanged_pair_is_refused(tmp_path):
    written(tmp_path)
    board, template = (tmp_path / "group7" / "7000" / f"7002_{what}.jpg" for what in ("test", "temp"))
    kept = board.read_bytes()
    board.write_bytes(template.read_bytes())
    template.write_bytes(kept)
    with pytest.raises(InputError, match=r"7002_test\.jpg: 2 of its 2 labels say the opposite .* exchanged\?"):
        deeppcb.read(tmp_path)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("20 20 40 40 9", r"7001\.txt:1: type is 9; it must be one of 1 open, .* 6 pin-hole"),
        ("20 20 40 40 5\n20 20 40", r"7001\.txt:2: is '20 20 40'; it must be five whole numbers"),
        ("40 20 20 40 5", r"7001\.txt:1: the box is 40 20 20 40; it must be x1 y1 x2 y2"),
        ("20 20 400 40 5", r"7001_test\.jpg: is 96x96, but a box of copper reaches to 400 40"),
    ],
)
def test_labels_without_sense_are_named(tmp_path, labels, said):
    with pytest.raises(InputError, match=said):
        deeppcb.read(written(tmp_path, labels=labels))


def test_what_is_missing_is_named(tmp_path):
    folder = written(tmp_path) / "group7"
    (folder / "7000_not" / "7002.txt").rename(tmp_path / "kept")
    with pytest.raises(InputError, match=r"7002_test\.jpg: has no labels; write .*7002\.txt, empty where nothing is wrong"):
        deeppcb.read(tmp_path)
    (tmp_path / "kept").rename(folder / "7000_not" / "7002.txt")
    (folder / "7000" / "7003_temp.jpg").unlink()
    with pytest.raises(InputError, match=r"7003_test\.jpg: there is no template 7003_temp\.jpg beside it"):
        deeppcb.read(tmp_path)
    (folder / "7000" / "7003_test.jpg").unlink()
    with pytest.raises(InputError, match=r"7003\.txt: there is no picture .*7003_test\.jpg for it"):
        deeppcb.read(tmp_path)


def test_a_template_of_another_board_is_named(tmp_path):
    other = written(tmp_path) / "group7" / "7000" / "7002_temp.jpg"
    cv2.imwrite(str(other), 255 - cv2.imread(str(other), cv2.IMREAD_GRAYSCALE)[:, ::-1])
    with pytest.raises(InputError, match=r"7002_test\.jpg: 9\d% of it differ from 7002_temp\.jpg, 30% are the most; .* another board"):
        deeppcb.read(tmp_path)


def test_labels_of_another_picture_are_named(tmp_path):
    with pytest.raises(InputError, match=r"7001_test\.jpg: at 3 of its 4 labels it is as its template; are they of another picture\?"):
        deeppcb.read(written(tmp_path, labels="20 20 40 40 5\n70 0 90 20 5\n0 0 10 10 2\n70 70 90 90 6\n"))


def test_pairs_without_any_label_are_named(tmp_path):
    for notes in (written(tmp_path) / "group7" / "7000_not").iterdir():
        notes.unlink()
    with pytest.raises(InputError, match=r"group7/7000: its boards have no labels; write .*7000_not/ID\.txt"):
        open_set(tmp_path, ("deeppcb",))


def test_two_pictures_are_too_few(tmp_path):
    with pytest.raises(InputError, match=r"2 picture\(s\); at least 3 are needed"):
        open_set(written(tmp_path, ids=("1", "2")), ("deeppcb",))


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data/deeppcb is not here")
def test_the_public_set_is_read():
    cases = deeppcb.read(DATA / "group50600")
    assert len(cases) == 79
    assert {label for case in cases for label, _ in case.boxes or ()} == set(deeppcb.LABELS)
