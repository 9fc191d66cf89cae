"""Close calls in a pipeline: looked at closer, settled by the whole network, or left and said so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.close_calls import BURST, Asked, CloseCalls, Judging, together
from edgevision.judge.close import hangs_on
from edgevision.judge.rules import AreaScoreRule, JudgeSettings
from edgevision.recompute.settle_settings import SettleSettings
from edgevision.records import Candidate, ChangeMap, Costs, Defect, Frame, Region, Scene, Verdict
from edgevision.segment.decoders import decoder_for
from edgevision.stages import facts_of

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


def test_what_rests_since_it_was_taken_anew_is_not_taken_again():
    calls, shown = CloseCalls(SettleSettings(reach_px=5)), ((Candidate(SPOT, 1.4),), (SPOT,))
    assert calls.nearer(*shown, judging(), ALL) is not None
    assert calls.nearer(*shown, judging(), ALL) is None
    assert calls.nearer(*shown, judging(live=ALL), ALL) is not None


@pytest.mark.parametrize(("sight_px", "wanted"), [(0, (2, 28)), (4, (0, 32)), (30, None), (None, None)])
def test_what_is_run_beside_is_all_that_the_network_sees_or_all_where_that_is_most(sight_px, wanted):
    asked = CloseCalls(SettleSettings()).asks((Candidate(SPOT, 0.5),), (SPOT,), judging(), sight_px)
    assert asked is not None
    if wanted is None:
        assert (asked.places, asked.price) == (None, 1.0)
        return
    mask = np.zeros(SHAPE, np.bool_)
    mask[slice(*wanted), slice(*wanted)] = True
    assert asked.places is not None
    assert np.array_equal(asked.places, mask)  # the hole's box, what is seen, and 8 px
    assert asked.price == mask.sum() / mask.size


def test_nothing_is_run_beside_where_nothing_is_close_deferred_or_switched_off():
    sure = replace(SPOT, score=0.999)
    near = ((Candidate(SPOT, 0.5),), (SPOT,))
    assert CloseCalls(SettleSettings()).asks((Candidate(sure, 6.0),), (sure,), judging(), 4) is None
    assert CloseCalls(SettleSettings()).asks(*near, judging(is_deferred=True), 4) is None
    assert CloseCalls(SettleSettings(whole_margin=0)).asks(*near, judging(), 4) is None
    assert CloseCalls(SettleSettings(enabled=False)).asks(*near, judging(), 4) is None


def test_at_the_near_places_the_answer_beside_stands_and_elsewhere_the_one_in_use():
    here, moved = replace(SPOT, score=0.8), replace(SPOT, box_px=(12, 26, 22, 30))
    far, alien = replace(SPOT, box_px=(60, 5, 70, 15)), replace(SPOT, box_px=(60, 30, 70, 40))
    asked = Asked(ALL, (SPOT,))
    assert asked.settled((far, SPOT), (here, alien)) == (far, here)
    assert asked.settled((far, SPOT), (moved,)) == (far, moved)
    assert asked.settled((SPOT,), ()) == ()
    assert Asked(None, (SPOT,)).settled((far, SPOT), (alien,)) == (alien,)


def test_a_region_that_reaches_beyond_the_places_where_it_is_right_is_run_with_all_that_is_seen_from_it():
    asked = Asked.of((SPOT,), 2, SHAPE)
    assert asked.wider((replace(SPOT, box_px=(6, 6, 26, 26)), replace(SPOT, box_px=(60, 5, 70, 15)))) == (asked, True)
    long = replace(SPOT, box_px=(14, 12, 34, 18))
    wider, is_known = asked.wider((long,))
    assert not is_known
    assert wider.near == (SPOT, long)
    assert wider.places is not None
    assert wider.places[2:28, 4:44].all()
    assert wider.wider((long,)) == (wider, True)
    most, is_known = asked.wider((replace(SPOT, box_px=(0, 0, 80, 50)),))
    assert (most.places, is_known) == (None, False)


def test_runs_beside_are_made_as_often_as_may_be_and_for_each_part():
    calls, whole = CloseCalls(SettleSettings(whole_per_s=1.0)), Asked(None, (SPOT,))
    tenth = Asked(np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) % 10 == 0, (SPOT,))

    def may(ts, asked=whole, is_late=False, part_id=None):
        return calls.may(asked, judging(ts, part_id=part_id).frame, is_late)

    assert [may(0.0) for _ in range(round(BURST) + 1)] == [True] * round(BURST) + [False]
    assert calls.outcome == "left"
    assert may(0.0, part_id="A7")
    assert calls.outcome == "whole"
    assert not may(0.5)
    assert [may(0.5, tenth) for _ in range(6)] == [True] * 5 + [False]
    assert may(1.5)
    assert not may(9.0, is_late=True)


class Missing:
    """A rule of somebody else: two must be there."""

    name = "missing"

    def judge(self, regions, frame, change):
        sure = sum(one.score >= 0.6 for one in regions)
        return () if sure >= 2 else (Defect(SPOT, Verdict.WARN, 2.0, self.name),)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.3, 0.55, 0.66, 0.72, 0.8, 0.97]), st.sampled_from([14, 19, 21, 60]), st.integers(-1, 3)), max_size=4
    ),
    st.sampled_from([0.3, 0.9]),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_single_regions_never_hide_what_judging_all_of_them_anew_would_find(drawn, margin, has_other):
    rules = (AreaScoreRule(JudgeSettings()), *((Missing(),) if has_other else ()))
    regions = [
        replace(SPOT, score=score, area_px=area_px, box_px=(10 * k, 10, 10 * k + 8, 20)) for k, (score, area_px, _) in enumerate(drawn)
    ]
    candidates = tuple(Candidate(region, 0.5 * excess) for region, (_, _, excess) in zip(regions, drawn, strict=True))
    shown = tuple(one.region for one in candidates if one.excess >= 0)
    frame, change = judging().frame, judging().change
    asked = Judging(rules, frame, change, lambda placed: placed, False)
    found = hangs_on(candidates, asked(shown)[0], asked, margin)
    assert asked.near(candidates, shown, margin) == found
    if asked.is_plain(tuple(one for one in candidates if one.excess >= 0), shown, margin):
        assert found == ()


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


def test_what_is_run_beside_is_the_answer_of_the_whole_network_on_the_raw_frame(tmp_path, standing):
    pipe = pipeline(tmp_path, "{margin: 0, whole_margin: 2.5, whole_per_s: 1000}, audit_every: 5")  # audits run beside, too
    outcomes = []
    for k, image in enumerate(standing):
        found = pipe.inspect(Frame(image, 1000.0 + k / 30, k))
        outcomes.append(found.close_call)
        if found.close_call is None:
            continue
        assert (found.full_reason, found.mode == "full") == (("close_call", True) if found.close_call == "whole" else (None, False))
        assert pipe.network is not None
        twin = pipe.network.sibling(has_foreign=False)
        decoder = decoder_for(pipe.settings.segment, image.shape[:2], facts_of(pipe.network, *image.shape[:2]))
        whole = decoder.decode(twin.first(image), {})
        best = max(whole, key=lambda one: one.score)
        assert any((one.label, one.score) == (best.label, pytest.approx(best.score, abs=0.002)) for one in found.regions)
    assert {"whole", "beside"} <= set(outcomes)
