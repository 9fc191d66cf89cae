"""A candidate beside the active pipeline: who judges which part, what is compared, and every way back."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest

from edgevision.candidate import CandidateSettings
from edgevision.daemon.rollout import Page, Rollout, is_chosen
from edgevision.daemon.rollout_book import RolloutBook
from edgevision.daemon.understudy import Understudy
from edgevision.records import Frame, Inspection, Scene, Verdict

IMAGE = np.zeros((8, 8, 3), np.uint8)


class Candidate:
    """Says what it is told to; raises what is an error; waits for what can be waited for."""

    def __init__(self, *answers):
        self.answers, self.seen = list(answers), []

    def prepare(self, image):
        pass

    def look(self, frame):
        self.seen.append(frame.part_id)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, threading.Event):
            answer.wait(20)
            answer = Verdict.OK
        found = Inspection.not_made("cam", None, frame.ts, 0.5, part_id=frame.part_id, frame_seq=frame.seq)
        return replace(found, verdict=answer, mode="partial") if isinstance(answer, Verdict) else answer(found)


def frame(k):
    return Frame(IMAGE, float(k), k, part_id=f"part-{k}")


class Bench:
    def __init__(self, folder, candidate, page=None, **settings):
        self.compared = []
        self.candidate = candidate
        self.settings = CandidateSettings(enabled=True, **{"patience_ms": 2_000, "every": 1, **settings})
        self.understudy = Understudy(lambda: candidate)
        page = page or Page("cam", "one", "boot", compared=self.compared.append)
        book = RolloutBook(folder)
        book.read()
        self.rollout = Rollout(self.settings, self.understudy, book, page)
        self.load()

    def load(self):
        self.rollout.begin(frame(-1))
        thread = self.understudy._thread
        while thread is not None and thread.is_alive() and not self.understudy.is_ready:
            thread.join(0.001)

    def show(self, k, verdict=Verdict.OK):
        """One part; in full before the next."""
        active = replace(Inspection.not_made("cam", None, float(k), 0.7, part_id=f"part-{k}", frame_seq=k), verdict=verdict, mode="partial")
        self.rollout.begin(frame(k))
        told = self.rollout.choose(frame(k), active)
        with self.understudy._moved:
            self.understudy._moved.wait_for(lambda: not self.understudy._is_busy, 5)
        return told


def test_while_it_looks_on_the_active_one_judges_and_both_are_compared(tmp_path):
    bench = Bench(tmp_path, Candidate(Verdict.OK, Verdict.NG, Verdict.OK), every=2)
    told = [bench.show(k) for k in range(7)]
    assert {(one.judged_by, one.verdict, one.threshold) for one in told} == {("active", Verdict.OK, 0.7)}
    assert bench.candidate.seen == ["part-1", "part-3", "part-5"]
    assert bench.compared == ["agree", "OK to NG", "agree"]
    (kept,) = bench.rollout.book.state.differences
    assert (kept["part_id"], kept["active"], kept["candidate"]) == ("part-3", "OK", "NG")
    assert (tmp_path / "00000003-OK-NG.jpg").stat().st_size > 100
    assert not bench.rollout.is_out  # it judged nothing: that is what looking on is for


def test_a_share_of_the_parts_is_judged_by_it_the_same_ones_each_time(tmp_path):
    chosen = [is_chosen(frame(k), 0.25) for k in range(2000)]
    assert 0.22 < np.mean(chosen) < 0.28
    assert all(is_chosen(frame(k), 0.5) for k in range(2000) if chosen[k])
    assert is_chosen(Frame(IMAGE, 0.0, 0), 1.0)
    bench = Bench(tmp_path, Candidate(Verdict.OK), share=0.25)
    told = [bench.show(k) for k in range(40)]
    assert [one.judged_by == "candidate" for one in told] == chosen[:40]
    assert {one.threshold for one in told if one.judged_by == "candidate"} == {0.5}
    assert bench.rollout.book.state.judged == sum(chosen[:40])


def test_of_another_mind_too_often_it_is_sent_back_at_once_and_says_so(tmp_path):
    bench = Bench(tmp_path, Candidate(Verdict.NG), share=1.0, limit=0.02, window=100)
    told = [bench.show(k) for k in range(5)]
    assert [one.judged_by for one in told] == ["candidate", "candidate", "active", "active", "active"]
    (notice,) = [notice for one in told for notice in one.notices]
    assert (notice.kind, notice.is_over) == ("rollout", False)
    assert "judged 3 of the last 3 parts otherwise, the limit is 2 of 100" in notice.text
    assert bench.rollout.take_way_back() is not None
    assert bench.rollout.take_way_back() is None


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_one_that_crashes_costs_no_part_its_verdict(tmp_path, share):
    bench = Bench(tmp_path, Candidate(ZeroDivisionError("by zero")), share=share, failures=3)
    told = [bench.show(k) for k in range(8)]
    assert {(one.judged_by, one.verdict) for one in told} == {("active", Verdict.OK)}
    assert bench.compared == ["failed"] * 3
    assert "by zero" in bench.rollout.book.state.out
    assert len(bench.candidate.seen) in (3, 4)


def test_one_that_is_slow_or_hangs_costs_its_patience_and_no_more(tmp_path):
    hung = threading.Event()
    bench = Bench(tmp_path, Candidate(hung), share=1.0, patience_ms=1, failures=2)
    bench.rollout.begin(frame(0))
    active = replace(Inspection.not_made("cam", None, 0.0, 0.7, frame_seq=0), verdict=Verdict.OK)
    assert bench.rollout.choose(frame(0), active).judged_by == "active"
    bench.rollout.begin(frame(1))  # it is still busy
    told = bench.rollout.choose(frame(1), active)
    assert "late for 2" in told.notices[0].text
    hung.set()


def test_one_that_cannot_be_loaded_or_whose_audits_fail_is_out(tmp_path):
    def build():
        raise OSError("no such network")

    bench = Bench(tmp_path / "a", Candidate(Verdict.OK))
    bench.rollout.understudy = bench.understudy = Understudy(build)
    bench.load()
    bench.show(0)
    assert bench.rollout.book.state.out == "it cannot be loaded: OSError: no such network"
    distrusted = Candidate(lambda found: replace(found, verdict=Verdict.OK, mode="full", scene=Scene.FALLBACK_DENSE))
    dense = Bench(tmp_path / "b", distrusted, share=1)
    assert dense.show(0).judged_by == "active"
    assert dense.rollout.book.state.out == "its audits failed"


def test_what_is_known_outlives_a_restart_and_a_new_share_forgives(tmp_path):
    bench = Bench(tmp_path, Candidate(Verdict.NG), share=1.0, limit=0.0)
    bench.show(0)
    assert bench.rollout.book.state.running == "boot"
    bench.rollout.close()
    state = RolloutBook(tmp_path).read()
    assert (state.running, state.results, state.share) == (None, {"OK to NG": 1}, 1.0)
    again = Bench(tmp_path, Candidate(Verdict.OK), share=0.0)
    assert again.rollout.is_out
    assert again.show(1).judged_by == "active"
    again.rollout.book.begin("one", 0.3)
    assert not again.rollout.is_out
    (tmp_path / "state.json").write_text('{"schema": 1, "share": [')
    assert RolloutBook(tmp_path).read().results == {}
