"""The hour of frames, its short version: `benchmarks/hour.py` is the long one. Drifts are shown every tenth frame, the change map is alone
with them: no keyframes."""

from __future__ import annotations

import numpy as np
import pytest

from edgevision.study import hour


@pytest.fixture(scope="module")
def seen():
    return hour.views()


def told(name, seen, numbers, check_every=10):
    settings = hour.camera()
    settings = settings.model_copy(update={"recompute": settings.recompute.model_copy(update={"keyframe_s": 0.0})})
    *_, last = hour.run(hour.Scene(name, seen), numbers, check_every, settings)
    return last


def test_a_defect_that_stays_is_said_on_every_frame_and_once(seen):
    found = told("stays", seen, range(240, 440))
    assert (found.wrong, found.differs, found.new, found.ended) == (0, 0, 1, 0)
    assert found.verdicts == {"OK": 10, "NG": 190}


@pytest.mark.parametrize("name", ["lamp, good part", "lamp, bad part"])
def test_a_lamp_that_drifts_moves_no_verdict(name, seen):
    found = told(name, seen, range(0, 3600, 40), 80)  # up by 30 gray levels and half of the way back
    assert (found.wrong, found.whole_runs) == (0, 1)


def test_what_grows_slowly_is_said_soon_after_the_whole_network_would(seen):
    found = told("fades in", seen, range(0, hour.Scene("fades in", seen).fade_frames, 10))
    (lag,) = found.lags
    assert abs(lag) <= 400  # four gray levels: half of what the change threshold of a single pixel is


def test_a_part_that_leaves_is_gone_in_the_next_frame(seen):
    found = told("leaves", seen, range(320))
    assert found.left >= 2
    assert (found.wrong, found.stayed) == (0, 0)


def test_the_views_differ_by_the_defect_alone(seen):
    apart = np.abs(seen.bad - seen.good).max(axis=2)
    x1, y1, x2, y2 = seen.box_px
    assert apart[y1 - 4 : y2 + 4, x1 - 4 : x2 + 4].max() > 20
    apart[y1 - 4 : y2 + 4, x1 - 4 : x2 + 4] = 0
    assert not apart.any()
