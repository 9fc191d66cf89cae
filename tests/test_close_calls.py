"""Close calls in a pipeline: looked at closer, settled by the whole network, or left and said so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.close_calls import BURST, CloseCalls, Judging, together
from edgevision.judge.rules import AreaScoreRule, JudgeSettings
from edgevision.recompute.settle_settings import SettleSettings
from edgevision.records import Candidate, ChangeMap, Costs, Frame, Region, Scene, Verdict

SHAPE = (60, 80)
SPOT = Region("hole", 0.7, (10, 10, 20, 20), 100, ((10, 10), (19, 10), (19, 19)), (15.0, 15.0))
ALL = np.ones(SHAPE, np.bool_)


def judging(ts=0.0, live=None, part_id=None, is_deferred=False):
    still = np.zeros(SHAPE, np.bool_) if live is None else live
    frame = Frame(np.zeros(SHAPE, np.uint8), ts, 0, part_id)
    change = ChangeMap(still, still, 0.0, 1.0, 0.0, Scene.NORMAL, frame.image)
    return Judging((AreaScoreRule(JudgeSettings()),), frame, change, lambda regions: regions, is_deferred)


def test_close_places_are_taken_anew_with_their_reach_and_only_where_changes_count():
    calls, left = CloseCalls(SettleSettings(reach_px=5)), ALL.copy()
    left[:, 18:] = False
    taken = calls.nearer((Candidate(SPOT, 0.5),), (SPOT,), judging(), left)
    wanted = np.zeros(SHAPE, np.bool_)
    wanted[5:25, 5:18] = True
    assert np.array_equal(taken, wanted)
    assert calls.outcome == "nearer"


def test_nothing_is_taken_where_nothing_is_close_deferred_or_switched_off():
    sure = replace(SPOT, score=0.999)
    assert CloseCalls(SettleSettings()).nearer((Candidate(sure, 6.0),), (sure,), judging(), ALL) is None
    assert CloseCalls(SettleSettings()).nearer((), (), judging(), ALL) is None
    near = ((Candidate(SPOT, 0.5),), (SPOT,))
    assert CloseCalls(SettleSettings()).nearer(*near, judging(is_deferred=True), ALL) is None
    assert CloseCalls(SettleSettings(enabled=False)).nearer(*near, judging(), ALL) is None


def test_what_covers_most_of_the_frame_is_left_to_the_whole_network():
    assert CloseCalls(SettleSettings(reach_px=60)).nearer((Candidate(SPOT, 0.5),), (SPOT,), judging(), ALL) is None


def test_a_defect_that_vanished_is_looked_for_where_it_was():
    calls = CloseCalls(SettleSettings(reach_px=0))
    calls.note(Verdict.NG, (SPOT,))
    taken = calls.nearer((), (), judging(), ALL)
    assert taken is not None
    assert taken[10:20, 10:20].all()


def test_what_rests_since_it_was_taken_anew_is_taken_again_only_if_very_close():
    calls, near = CloseCalls(SettleSettings(reach_px=5)), replace(SPOT, score=0.8)
    shown = ((Candidate(near, 1.4),), (near,))
    assert calls.nearer(*shown, judging(), ALL) is not None
    assert calls.nearer(*shown, judging(), ALL) is None
    assert calls.nearer(*shown, judging(live=ALL), ALL) is not None
    assert calls.nearer((Candidate(SPOT, 1.4),), (SPOT,), judging(), ALL) is not None


def test_the_whole_network_is_asked_as_often_as_may_be_and_for_each_part():
    calls, near = CloseCalls(SettleSettings(whole_per_s=1.0)), (Candidate(SPOT, 0.5),)

    def wants(ts, **how):
        calls.begin()
        return calls.wants_whole(near, judging(ts, **how), Verdict.NG, is_late=False)

    assert [wants(0.0) for _ in range(BURST + 1)] == [True] * BURST + [False]
    assert calls.outcome == "left"
    assert wants(0.0, part_id="A7")
    assert not wants(0.5)
    assert wants(1.5)
    assert not calls.wants_whole(near, judging(9.0), Verdict.NG, is_late=True)
    assert calls.outcome == "left"


def test_two_runs_on_a_frame_cost_both():
    one, other = Costs(0.1, 10, 100, "cached"), Costs(0.2, 30, 100, "partial")
    both = together(one, other)
    assert (both.macs, both.mode, both.live_fraction) == (40, "partial", pytest.approx(0.3))


@pytest.fixture(scope="module")
def standing():
    """A part with a faint hole comes to a stand in the last of these."""
    line = Line(SyntheticSettings(seed=7, width=640, height=368, defect_rate=0.5, contrast=(26.0, 40.0)))
    return [line.frame(k)[0] for k in range(4200, 4216)]


def pipeline(tmp_path, settle):
    path = tmp_path / "line.yaml"
    path.write_text(
        f"cameras:\n  cam:\n    source: {{type: synthetic}}\n    recompute: {{settle: {settle}, foreign: never}}\n"
        "    judge: {warn: 0.8, ng: 0.9, min_area_px: 12}\n"
    )
    return ev.Pipeline.from_config(path)


def test_what_is_taken_anew_brings_the_answer_to_that_of_the_whole_network(tmp_path, standing):
    """Here what is left out while the part moves costs a hole its score."""

    def verdicts(settle):
        pipe = pipeline(tmp_path, settle)
        found = [pipe.inspect(Frame(image, 1000.0 + k / 30, k)) for k, image in enumerate(standing)]
        assert pipe.network is not None
        assert pipe.network.verify() == {}
        return found

    loose, settled = verdicts("{enabled: false}"), verdicts("{whole_margin: 0}")
    dense = pipeline(tmp_path, "{enabled: false}, policy: {type: all}")
    whole = [dense.inspect(Frame(image, 1000.0 + k / 30, k)) for k, image in enumerate(standing)]
    assert {one.close_call for one in settled} == {None, "nearer"}
    assert all(one.close_call is None for one in loose)
    off = [sum(one.verdict is not other.verdict for one, other in zip(found, whole, strict=True)) for found in (settled, loose)]
    assert off[0] < off[1]


def test_what_the_whole_network_settles_is_its_answer_on_the_raw_frame(tmp_path, standing):
    pipe = pipeline(tmp_path, "{margin: 0, whole_margin: 2.5, whole_per_s: 1000}")
    for k, image in enumerate(standing):
        found = pipe.inspect(Frame(image, 1000.0 + k / 30, k))
        if found.close_call == "whole":
            break
    assert (found.close_call, found.full_reason, found.mode) == ("whole", "close_call", "full")
    assert pipe.network is not None
    twin = pipe.network.sibling(has_foreign=False)
    for name, value in twin.first(image).items():
        assert np.array_equal(value, pipe.outputs[name])
