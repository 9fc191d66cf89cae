"""The outbox's file as others read it: while it is written, when it is broken, and what `verify` finds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from edgevision.errors import Unavailable
from edgevision.publish.ledger import Ledger, is_in_use
from edgevision.publish.orders import heed, leave_retry
from edgevision.publish.outbox import Outbox, OutboxSettings
from edgevision.records import Draft


def drafts(count, filling=0):
    body = {"type": "new", "filling": "x" * filling}
    return [Draft(f"m{number}", "cam", "b/n/cam/event", body, "ng") for number in range(count)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox.sqlite"


def test_it_is_read_while_it_is_written(path):
    outbox = Outbox(path)
    outbox.commit(drafts(4))
    outbox.acked([1])
    outbox.set_aside(2, "too large")
    with Ledger(path) as ledger:
        assert ledger.is_in_use
        stats = ledger.stats(0.0)
        assert [stats[state]["messages"] for state in ("pending", "aside", "acked")] == [2, 1, 1]
        assert stats["lanes"] == [{"camera": "cam", "lane": "live", "messages": 2, "first_seq": 3}]
        assert (stats["last_seq"], stats["totals"]["acked"], stats["oldest_age_s"]) == (4, 1, pytest.approx(0.0, abs=5.0))
        assert [message["seq"] for message in ledger.messages()] == [3, 4]
        (aside,) = ledger.messages("aside")
        assert (aside["reason"], aside["body"]["type"]) == ("too large", "new")
        outbox.commit(drafts(6)[4:])
        assert [message["seq"] for message in ledger.messages(limit=3)] == [3, 4, 5]
        assert ledger.verify() == []
    outbox.close()
    assert not is_in_use(path)


def test_drops_are_on_record(path):
    outbox = Outbox(path, OutboxSettings(limit_mb=0.01))
    for draft in drafts(5, filling=3000):
        outbox.commit([draft])
    outbox.close()
    with Ledger(path) as ledger:
        gaps = ledger.gaps()
        assert sum(gap["lost"] for gap in gaps) == ledger.stats(0.0)["totals"]["dropped_ng"] > 0
        assert {gap["reason"] for gap in gaps} == {"the outbox was full"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("UPDATE tally SET messages = 9 WHERE state = 'pending'", "pending: 9 messages"),
        ("UPDATE message SET body = 'x' WHERE seq = 2", "message 2: its body is no JSON object"),
        ("UPDATE message SET body = '{\"seq\": 7}' WHERE seq = 2", "message 2: its body says seq 7"),
        ("UPDATE number SET value = 1 WHERE name = 'last_seq'", "message 2: its number was never given out"),
    ],
)
def test_verify_names_what_is_wrong(path, damage, words):
    outbox = Outbox(path)
    outbox.commit(drafts(2))
    outbox.close()
    with sqlite3.connect(path) as raw:
        raw.execute(damage)
    raw.close()
    with Ledger(path) as ledger:
        assert words in ledger.verify()[0]


def test_damaged_pages_are_found(path):
    outbox = Outbox(path)
    outbox.commit(drafts(50, filling=3000))
    outbox.close()
    content = bytearray(path.read_bytes())
    content[4096 * 30 : 4096 * 34] = b"\x77" * 4096 * 4
    path.write_bytes(content)
    with Ledger(path) as ledger:
        assert ledger.verify()


@pytest.mark.parametrize("content", [None, b"", b"nonsense" * 1000])
def test_what_is_no_outbox_is_one_line(path, content):
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Unavailable, match=r"no such file|nothing of it can be read|no such table"):
        Ledger(path)


def test_an_order_is_carried_out_once(path):
    outbox = Outbox(path)
    outbox.commit(drafts(2))
    outbox.set_aside(1, "too large")
    assert heed(outbox) == 0
    order = leave_retry(path)
    assert heed(outbox) == 1
    assert not order.exists()
    assert heed(outbox) == 0
    outbox.close()
    with pytest.raises(Unavailable, match="as root"):
        leave_retry(Path("/nonexistent/outbox.sqlite"))
