"""Worked by hand, then laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.study.scores import MaskTally, Scored, area_under, auroc, average_precisions, best_f_score, f_score_at, overlap
from edgevision.study.sets import Labelled

HERE, SHIFTED, THERE = (0, 0, 10, 10), (0, 5, 10, 15), (50, 50, 60, 60)


def test_overlap_by_hand():
    assert overlap(HERE, HERE) == 1.0
    assert overlap(HERE, SHIFTED) == pytest.approx(50 / 150)
    assert overlap(HERE, THERE) == 0.0
    assert overlap(HERE, (10, 0, 20, 10)) == 0.0  # they touch


def test_average_precision_by_hand():
    # two true ones; answers hit, miss, hit: precision 1, 1/2, 2/3; made falling 1, 2/3, 2/3
    truth = [[Labelled("pit", HERE)], [Labelled("pit", THERE)]]
    found = [[Scored("pit", 0.9, HERE), Scored("pit", 0.8, THERE)], [Scored("pit", 0.7, THERE)]]
    assert average_precisions(found, truth, 0.5) == {"pit": pytest.approx((1 + 2 / 3) / 2)}


def test_a_true_box_is_hit_once():
    truth = [[Labelled("pit", HERE)]]
    found = [[Scored("pit", 0.9, HERE), Scored("pit", 0.8, HERE)]]
    assert average_precisions(found, truth, 0.5) == {"pit": 1.0}
    assert f_score_at(found, truth, 0.5, 0.0)[:3] == (pytest.approx(2 / 3), 0.5, 1.0)
    assert best_f_score(found, truth, 0.5)[:] == (1.0, 1.0, 1.0, 0.9)


def test_the_label_must_be_right_and_what_is_missed_counts():
    truth = [[Labelled("pit", HERE), Labelled("scratch", THERE)]]
    found = [[Scored("scratch", 0.9, HERE)]]
    assert average_precisions(found, truth, 0.5) == {"pit": 0.0, "scratch": 0.0}
    assert f_score_at(found, truth, 0.5, 0.0).f_score == 0.0


def test_the_limit_of_overlap_decides():
    truth, found = [[Labelled("pit", HERE)]], [[Scored("pit", 0.9, SHIFTED)]]
    assert average_precisions(found, truth, 0.33) == {"pit": 1.0}
    assert average_precisions(found, truth, 0.34) == {"pit": 0.0}


def test_equal_scores_stand_or_fall_together():
    truth = [[Labelled("pit", HERE)]]
    found = [[Scored("pit", 0.5, HERE), Scored("pit", 0.5, THERE)]]
    assert best_f_score(found, truth, 0.5) == pytest.approx((2 / 3, 0.5, 1.0, 0.5))


def test_nothing_found_and_nothing_true():
    assert average_precisions([[]], [[]], 0.5) == {}
    assert best_f_score([[]], [[Labelled("pit", HERE)]], 0.5).f_score == 0.0
    assert area_under(np.zeros(0, bool), 3) == 0.0


def test_auroc_by_hand_with_ties():
    assert auroc([0.1, 0.2], [0.3, 0.4]) == 1.0
    assert auroc([0.3], [0.1, 0.3]) == 0.25  # one loss, one tie
    assert auroc([], [0.3]) is None


def test_iou_of_all_pictures_as_one():
    tally = MaskTally()
    assert tally.iou is None
    tally.add(np.array([[True, True]]), np.array([[True, False]]))
    tally.add(np.array([[False, False]]), np.array([[True, True]]))
    assert tally.iou == 1 / 4


scores = st.lists(st.integers(0, 5).map(float), min_size=1, max_size=8)


@settings(max_examples=50)
@given(scores, scores)
def test_auroc_is_the_share_of_pairs_and_turns_round(good, bad):
    pairs = [1.0 if b > g else 0.5 if b == g else 0.0 for g in good for b in bad]
    assert auroc(good, bad) == pytest.approx(sum(pairs) / len(pairs))
    assert auroc(good, bad) + auroc(bad, good) == pytest.approx(1)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=8))
def test_no_threshold_beats_the_best(picks):
    places = [(20 * k, 0, 20 * k + 10, 10) for k in range(len(picks) + 1)]
    truth = [[Labelled("pit", place) for place in places]]
    found = [
        [Scored("pit", score / 10, place if is_hit else (0, 90, 9, 99)) for (is_hit, score), place in zip(picks, places, strict=False)]
    ]
    best = best_f_score(found, truth, 0.5).f_score
    assert best == max([f_score_at(found, truth, 0.5, level / 10).f_score for level in range(11)], default=0)
