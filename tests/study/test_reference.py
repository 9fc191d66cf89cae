"""`reference learn`, `show`, `diff`: taught, seen, used; and what does not fit is named."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from edgevision.cli import main
from edgevision.compare.golden import load
from edgevision.errors import InputError
from edgevision.study.reference import ReferenceTask, teach

GROUND = cv2.resize(np.random.default_rng(3).integers(50, 200, (12, 16, 3)).astype(np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)


def part(number: int, spot: int = 0, shift: int = 0) -> np.ndarray:
    noisy = np.roll(GROUND, shift, axis=1) + np.random.default_rng(number).normal(0, 1.5, GROUND.shape)
    noisy[50:60, 70:82] += spot
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    good = tmp_path / "good"
    good.mkdir()
    for number in range(6):
        cv2.imwrite(str(good / f"part-{number}.png"), part(number))
    cv2.imwrite(str(good / "shifted.png"), part(9, shift=40))
    return good


def test_learn_show_and_diff(folder, tmp_path, capsys):
    reference = tmp_path / "part.npz"
    assert main(["reference", "learn", str(folder), "--out", str(reference), "--json"]) == 0
    learnt = json.loads(capsys.readouterr().out)
    assert learnt["images"] == 6
    assert len(learnt["left_out"]) == 1
    assert learnt["left_out"][0].startswith("shifted ")
    assert load(reference).sha256 == learnt["sha256"]
    assert 0.5 < learnt["spread_levels_median"]["brighter"] < 3
    page = tmp_path / "show.html"
    assert main(["reference", "show", str(reference), "--html", str(page)]) == 0
    assert "taught from 6 pictures" in capsys.readouterr().out
    assert page.read_text().count("data:image/jpeg") == 3

    new = tmp_path / "new"
    new.mkdir()
    for name, picture in (("a-good", part(50)), ("b-spot", part(51, spot=60)), ("c-shifted", part(52, shift=40))):
        cv2.imwrite(str(new / f"{name}.png"), picture)
    page = tmp_path / "diff.html"
    assert main(["reference", "diff", str(reference), str(new), "--html", str(page), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    good, spot, shifted = found["pictures"]
    assert good["groups"] == 0
    assert spot["groups"] == 1
    assert 80 <= spot["largest_px"] <= 160
    assert spot["brightest"] == pytest.approx(60, abs=12)
    assert "align" in shifted["problem"] or "lies" in shifted["problem"]
    assert (found["differing"], found["not_compared"]) == (1, 1)
    assert "b-spot" in page.read_text()
    assert main(["reference", "diff", str(reference), str(new / "a-good.png")]) == 0
    assert "0 of 1 differ" in capsys.readouterr().out


def test_a_strict_lesson_refuses_what_does_not_fit(folder, tmp_path, capsys):
    assert main(["reference", "learn", str(folder), "--out", str(tmp_path / "part.npz"), "--strict"]) == 2
    errors = capsys.readouterr().err
    assert "shifted" in errors
    assert len(errors.strip().splitlines()) == 1
    assert not (tmp_path / "part.npz").exists()


def test_a_picture_of_another_size_is_named_with_both_sizes(folder, tmp_path, capsys):
    assert main(["reference", "learn", str(folder), "--out", str(tmp_path / "part.npz")]) == 0
    capsys.readouterr()
    cv2.imwrite(str(tmp_path / "wide.png"), np.full((120, 200, 3), 80, np.uint8))
    assert main(["reference", "diff", str(tmp_path / "part.npz"), str(tmp_path / "wide.png")]) == 1
    said = capsys.readouterr().out
    assert "(120, 200, 3)" in said
    assert "(120, 160, 3)" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["learn", "none"], "no such file"),
        (["show", "none.npz"], "none.npz"),
        (["learn", "good", "--out", "part.png"], "part.npz"),
        (["show", "part.txt"], "no golden reference"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(folder, arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part.txt").write_text("words")
    assert main(["reference", *arguments]) == 2
    errors = capsys.readouterr().err
    assert words in errors
    assert len(errors.strip().splitlines()) == 1


def test_a_reference_is_not_taught_from_what_shows_nothing(tmp_path):
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((60, 80, 3), np.uint8))
    with pytest.raises(InputError, match=r"0 of 3 pictures can be learnt from, at least 2 are needed: .*black"):
        teach(ReferenceTask(tmp_path, tmp_path / "r.npz"), is_quiet=True)
    for name in ("a", "b", "c"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.random.default_rng(ord(name)).integers(0, 255, (60, 80, 3), np.uint8))
    with pytest.raises(InputError, match=r"1 of 3 pictures .* cannot be aligned"):
        teach(ReferenceTask(tmp_path, tmp_path / "r.npz"), is_quiet=True)
    assert not (tmp_path / "r.npz").exists()
