"""With the gate and every threshold of the comparison at 0 nothing that is left out can change a verdict."""

from __future__ import annotations

from itertools import islice

import pytest

from edgevision.records import Verdict
from edgevision.study.evaluate import Line, camera_of
from edgevision.study.exact import Agreement, Difference, agreement, drawn, exact, template_of
from edgevision.study.init import sample_pictures
from edgevision.study.recipe import find_recipe, recipe_names
from edgevision.study.sets import layout_of

PICTURES = 7


@pytest.mark.parametrize("name", recipe_names())
def test_every_verdict_is_that_of_the_whole_network_on_the_raw_frame(name, tmp_path):
    recipe = find_recipe(name)
    camera, settings, registry = camera_of(recipe)
    cases = tuple(drawn(islice(sample_pictures(recipe), PICTURES), tmp_path, template_of(recipe)))
    is_ordered = layout_of(recipe.card.sets[0]).IS_ORDERED
    found = agreement(cases, Line(camera, exact(settings), registry, recipe.card.rank_threshold, is_ordered))
    assert (found.frames, found.not_inspected) == (len(cases), 0)
    assert found.differences == ()


def test_what_differs_is_counted_by_what_it_differs_from():
    lit = Difference("a", Verdict.OK, Verdict.OK, Verdict.WARN)
    missed = Difference("b", Verdict.OK, Verdict.NG, Verdict.NG)
    found = Agreement(3, 0, 0.1, (lit, missed))
    assert (found.from_whole, found.from_raw) == (1, 2)
