"""Generated boards: the same from the same seed, edges that jitter, defects that are what they are called."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgevision.study.parts import pcb
from edgevision.study.parts.pcb_defects import LABELS, draw_defects

SIZE = (320, 320)


def made(seed: int, defects: int = 8) -> pcb.Sample:
    return pcb.make(np.random.default_rng(seed), SIZE, defects)


def test_the_same_seed_gives_the_same_board():
    one, other = made(3), made(3)
    assert (one.image == other.image).all()
    assert (one.template == other.template).all()
    assert one.defects == other.defects
    assert (made(4).template != one.template).any()


def test_without_defects_a_board_differs_from_its_template_at_edges_only():
    for seed in range(4):
        sample = made(seed, defects=0)
        copper = sample.template < 128
        near_edge = cv2.dilate(
            cv2.morphologyEx(copper.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)), np.ones((7, 7), np.uint8)
        )
        differs = copper != (sample.image < 128)
        assert not sample.defects
        assert (differs & (near_edge == 0)).sum() <= 0.0005 * differs.size


def test_a_defect_lies_in_its_box_and_is_darker_or_lighter_as_its_label_says():
    seen = set()
    for seed in range(6):
        board = np.where(pcb.random_copper(np.random.default_rng(seed), SIZE) > 0.5, 0, 255).astype(np.uint8)
        before = board.copy()
        for label, box, changed in draw_defects(np.random.default_rng(seed), board, 10):
            x1, y1, x2, y2 = changed
            far = board[y1:y2, x1:x2].astype(int) - before[y1:y2, x1:x2]
            assert far.any()
            assert (far <= 0).all() if label in ("short", "spur", "copper") else (far >= 0).all()
            assert box[0] <= max(0, x1 - 4) or box[0] == 0
            assert box[2] - box[0] >= x2 - x1
            seen.add(label)
    assert seen == set(LABELS)


@pytest.mark.parametrize(("label", "pieces"), [("open", 2), ("mousebite", 1), ("pin-hole", 1)])
def test_one_trace_by_hand(label, pieces):
    """A trace 20 px wide across a bare board: what is left of it hangs together, or does not."""
    found = 0
    for seed in range(30):
        board = np.full((160, 160), 255, np.uint8)
        board[70:90] = 0
        drawn = draw_defects(np.random.default_rng(seed), board, 1)
        if [one.label for one in drawn] == [label]:
            found += 1
            missing = np.zeros(board.shape, np.uint8)
            missing[70:90] = board[70:90] > 127
            whole = cv2.morphologyEx(missing, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))  # some are drawn with gaps
            trace = np.zeros(board.shape, np.uint8)
            trace[70:90] = 1 - whole[70:90]
            count, _, sizes, _ = cv2.connectedComponentsWithStats(trace)
            assert sum(sizes[k][cv2.CC_STAT_AREA] > 100 for k in range(1, count)) == pieces
    assert found >= 2


def test_defects_keep_off_what_they_are_beside():
    board = np.full((200, 200), 255, np.uint8)
    for _, _, (x1, _y1, x2, _y2) in draw_defects(np.random.default_rng(0), board, 20, beside=((0, 0, 100, 200),)):
        assert x2 > 100
        assert x1 >= 60
    assert (board[:, :94] == 255).all()


def test_the_sample_is_made_after_the_template_that_lies_in_the_recipe():
    from pathlib import Path

    shipped = cv2.imread(str(Path(__file__).parents[3] / "plugins" / "recipe_pcb" / "template.png"), cv2.IMREAD_GRAYSCALE)
    assert (pcb.sample_template(np.random.default_rng(0))[1] == shipped).all()
