from __future__ import annotations

from edgevision.capture.parts import PartRequest
from edgevision.daemon.part_book import PartBook
from edgevision.records import Draft


def result(part_id, kind="result"):
    return Draft("id", "cam", "t", {"type": kind, "part_id": part_id}, "ok")


def test_a_part_is_owed_until_its_result_is_committed():
    book = PartBook()
    first, second = PartRequest("A", 1.0), PartRequest("B", 2.0, "job")
    assert book.add(first)
    assert not book.add(first)
    assert book.add(second)
    book.settle([result("A", "new"), result(None), result("C")])
    assert len(book) == 2
    book.settle([result("A")])
    assert book.take_all() == (second,)
    assert book.take_all() == ()


def test_a_part_may_come_again_once_it_was_told():
    book = PartBook()
    book.add(PartRequest("A", 1.0))
    book.settle([result("A")])
    assert book.add(PartRequest("A", 9.0))
    assert book.drop(PartRequest("A", 9.0))
    assert not book.drop(PartRequest("A", 9.0))
    assert len(book) == 0
