"""Pages: that they need nothing beside them, that words are words, that a file is written whole or not at all."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from edgevision.errors import InputError
from edgevision.study.report import Card, Section, check_page, figures, heat_over, listing, note, page, picture, table, write_whole

VOID = {"meta", "img", "br"}


class Nesting(HTMLParser):
    """Checks that tags close in the order in which they open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.open += [] if tag in VOID else [tag]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def everything() -> str:
    image = np.full((40, 60, 3), 90, np.uint8)
    parts = [
        figures(picture(image, "<script>")),
        table(["a", "b"], [["1", "x" * 40], ["<b>", "2"]], [0]),
        note("a & b", "poor"),
        listing("x: <y>"),
    ]
    return page("<title>", "sub & title", [Card("5 < 6", "words", "good")], [Section("head<ing", "explained", parts)])


def test_a_page_is_whole_and_needs_nothing_beside_it():
    text = everything()
    checker = Nesting()
    checker.feed(text)
    assert checker.open == []
    sources = re.findall(r'(?:src|href)\s*=\s*"([^"]*)"', text)
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?://|url\(|@import|<script", text)
    assert "<title>&lt;title&gt;</title>" in text


def test_a_marked_row_and_a_column_of_words_are_told_by_class():
    text = table(["a", "b"], [["1", "x" * 40], ["2", "y"]], [1])
    assert text.count('class="us"') == 1
    assert text.count('class="words"') == 3  # the head and both cells


def test_heat_leaves_a_place_without_any_gray():
    image = np.full((4, 4, 3), (10, 200, 60), np.uint8)
    heat = np.zeros((4, 4))
    heat[1, 1] = 1
    shown = heat_over(image, heat)
    assert len(set(shown[0, 0].tolist())) == 1
    assert shown[1, 1, 2] > shown[1, 1, 0] + 60


@pytest.mark.parametrize(("name", "words"), [("report.txt", "HTML"), ("none/report.html", "cannot be written")])
def test_a_page_that_could_not_be_written_is_refused_before_any_work(tmp_path, name, words):
    with pytest.raises(InputError, match=words):
        check_page(tmp_path / name)


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "line.yaml"
    path.write_text("old")
    path.chmod(0o640)
    write_whole(path, "new\r\n")
    assert path.read_bytes() == b"new\r\n"
    assert path.stat().st_mode & 0o777 == 0o640

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left"):
        write_whole(path, "newer")
    assert path.read_bytes() == b"new\r\n"
    assert [one.name for one in tmp_path.iterdir()] == ["line.yaml"]
