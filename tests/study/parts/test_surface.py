from __future__ import annotations

import numpy as np
import pytest

from edgevision.study.parts.surface import GROUNDS, LABELS, STANDING, SurfaceStyle, good_surface, make, sequence
from edgevision.study.parts.surface_defects import draw_defect


def test_the_same_seed_draws_the_same():
    first, second = (make(np.random.default_rng(5), (64, 80)) for _ in range(2))
    assert first.image.shape == (64, 80, 3)
    assert np.array_equal(first.image, second.image)
    assert np.array_equal(first.marks, second.marks)
    assert not np.array_equal(first.image, make(np.random.default_rng(6), (64, 80)).image)


def test_only_a_bad_surface_is_marked():
    assert not any(make(np.random.default_rng(seed), (64, 64), is_bad=False).marks.any() for seed in range(6))
    bad = [make(np.random.default_rng(seed), (96, 96), is_bad=True).marks for seed in range(12)]
    assert sum(marks.any() for marks in bad) >= 11  # a line thinner than a pixel may miss the part
    assert max(marks.max() for marks in bad) <= len(LABELS)


@pytest.mark.parametrize("ground", GROUNDS)
@pytest.mark.parametrize("label", LABELS)
def test_a_defect_is_drawn_on_the_part_and_marked_where_it_shows(ground, label):
    style = SurfaceStyle(ground=ground, lightness=120, contrast=0.05, fills=False, is_upright=True, tint=(1.0, 1.0, 1.0))
    rng = np.random.default_rng(11)
    surface, part = good_surface(rng, style, (128, 128))
    before, marks = surface.copy(), np.zeros((128, 128), np.uint8)
    assert draw_defect(surface, part, marks, rng, label) == label
    changed = np.abs(surface - before)
    assert set(np.unique(marks)) == {0, 1 + LABELS.index(label)}
    assert not marks[~part].any()
    assert np.array_equal(surface[~part], before[~part])
    assert changed[marks > 0].mean() > 3 * changed[part & (marks == 0)].mean()
    assert surface.min() >= 0 or before.min() < 0


def test_a_sequence_is_good_then_pitted_then_cracked_then_exchanged():
    seen = list(sequence(np.random.default_rng(0), (96, 128)))
    assert len(seen) == 4 * STANDING
    labels = [set(np.unique(sample.marks[sample.marks > 0])) for sample in seen[::STANDING]]
    assert labels == [set(), {1 + LABELS.index("pit")}, {1 + LABELS.index("pit"), 1 + LABELS.index("crack")}, set()]
    still, moved = (np.abs(seen[i].image.astype(int) - seen[0].image).mean() for i in (1, 3 * STANDING))
    assert still < 4 < moved
