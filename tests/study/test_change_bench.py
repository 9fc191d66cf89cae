"""`bench compare`: right and wrong pixels by hand, rows of all methods, and what is refused."""

import json

import cv2
import numpy as np
import pytest

from edgevision.cli import main
from edgevision.errors import InputError
from edgevision.study.change_bench import ChangeTask, Score, bench
from edgevision.study.peers.change_methods import Difference

KEYS = {"method", "ms_p50", "precision", "recall", "f_measure", "live_fraction_median", "live_macs", "disagreement"}


@pytest.fixture
def clip(tmp_path):
    """A bright square that crosses a gray scene, and where it is; the truth of its last frame is not known."""
    random = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    (tmp_path / "truth").mkdir()
    for k in range(10):
        image = random.normal(90, 2, (96, 128, 3))
        truth = np.zeros((96, 128), np.uint8)
        if k > 2:
            image[40:60, 10 * k : 10 * k + 20] += 70
            truth[40:60, 10 * k : 10 * k + 20] = 255 if k < 9 else 170
        cv2.imwrite(str(tmp_path / "in" / f"in{k:04}.png"), image.clip(0, 255))
        cv2.imwrite(str(tmp_path / "truth" / f"gt{k:04}.png"), truth)
    return tmp_path


def test_right_and_wrong_pixels_by_hand():
    truth = np.zeros((9, 9), np.uint8)
    truth[:, :4], truth[:, 8] = 255, 85
    mask = np.zeros((9, 9), bool)
    mask[:, 2:6] = True
    score = Score()
    score.add(mask, truth)
    assert (score.hit, score.false, score.missed) == (18, 18, 18)
    assert score.f_measure == 0.5


def test_the_block_rule_by_hand():
    method = Difference(15, 64)
    still = np.full((128, 128), 100, np.uint8)
    assert method.apply(still)[1].all()
    moved = still.copy()
    moved[:10, :20] += 16  # 200 of 4096 pixels are less than 5 %
    assert not method.apply(moved)[1].any()
    moved = moved.copy()
    moved[70:80, 70:91] += 16  # 210 are more
    live = method.apply(moved)[1]
    assert live[64:, 64:].all()
    assert live.mean() == 0.25


def test_a_row_for_each_method_and_ours_finds_what_moves(clip, capsys):
    assert main(["bench", "compare", "--clip", str(clip / "in"), "--truth", str(clip / "truth"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(set(row) == KEYS for row in rows)
    names = [row["method"].split()[0] for row in rows]
    assert set(names) == {"edgevision", "MOG2", "KNN", "difference", "blocks"}
    assert rows[0]["f_measure"] > 0.9
    assert 0 < rows[0]["live_macs"] < 1
    assert main(["bench", "compare", "--clip", str(clip / "in"), "--frames", "8"]) == 0
    assert "edgevision" in capsys.readouterr().out


def test_what_does_not_fit_is_refused(clip, tmp_path):
    for task, words in (
        (ChangeTask(clip=tmp_path / "none"), "no such file"),
        (ChangeTask(truth=clip / "truth"), "give --clip"),
        (ChangeTask(clip=clip / "in", frames=3), "at least 6"),
        (ChangeTask(clip=clip / "in", truth=tmp_path / "none"), "is no folder"),
    ):
        with pytest.raises(InputError, match=words):
            bench(task)
    cv2.imwrite(str(clip / "truth" / "gt0004.png"), np.zeros((9, 9), np.uint8))
    with pytest.raises(InputError, match="of the frames' size, 128x96"):
        bench(ChangeTask(clip=clip / "in", truth=clip / "truth"))
