"""Many cameras, one disk."""

from __future__ import annotations

import threading

import pytest

from edgevision.daemon.committer import Committer
from edgevision.errors import InputError, Unavailable
from edgevision.records import Draft

WAIT_S = 10.0


def draft(name, rank="ok"):
    return Draft(name, "cam", "t", {}, rank)


class Disk:
    """Holds the first write until it is let go; refuses drafts of rank `bad`."""

    def __init__(self):
        self.writes, self.has_begun, self.may_go = [], threading.Event(), threading.Event()

    def __call__(self, drafts):
        if not self.has_begun.is_set():
            self.has_begun.set()
            assert self.may_go.wait(WAIT_S)
        self.writes.append([one.event_id for one in drafts])
        if any(one.rank == "bad" for one in drafts):
            raise InputError("no such rank")


def run_all(committer, disk, batches):
    """The first batch holds the disk while the others come."""
    outcome = {}

    def commit(drafts):
        try:
            committer.commit(drafts)
            outcome[drafts[0].event_id] = None
        except (InputError, Unavailable) as error:
            outcome[drafts[0].event_id] = type(error)

    threads = [threading.Thread(target=commit, args=(drafts,)) for drafts in batches]
    threads[0].start()
    assert disk.has_begun.wait(WAIT_S)
    for thread in threads[1:]:
        thread.start()
    while len(committer._waiting) < len(batches) - 1:
        pass
    disk.may_go.set()
    for thread in threads:
        thread.join(WAIT_S)
    return outcome


def test_who_comes_during_a_write_goes_with_the_next():
    disk = Disk()
    outcome = run_all(Committer(disk), disk, [[draft(name)] for name in "abcd"])
    assert outcome == dict.fromkeys("abcd")
    assert disk.writes[0] == ["a"]
    assert sorted(disk.writes[1]) == ["b", "c", "d"]


def test_a_bad_draft_stops_no_other():
    disk = Disk()
    outcome = run_all(Committer(disk), disk, [[draft("a")], [draft("b", "bad")], [draft("c")]])
    assert outcome == {"a": None, "b": InputError, "c": None}


def test_a_surprise_is_never_taken_for_done():
    def broken(drafts):
        raise OSError("a fault of ours")

    committer = Committer(broken)
    for _ in range(2):
        with pytest.raises(Unavailable, match="a fault of ours"):
            committer.commit([draft("a")])
