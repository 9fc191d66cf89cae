"""Plots as SVG: where points come to lie, which ticks stand at the side, that words cannot break the markup."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.study.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Mark, Series, chart, linear_ticks, number, share

ROWS = {"x": Axis("x", number), "y": Axis("y", number)}


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (-3, 3, [-2, 0, 2]), (112, 123, [115, 120])],
)
def test_ticks_are_round(low, high, ticks):
    assert linear_ticks(low, high) == pytest.approx(ticks)


def test_ends_of_the_data_lie_on_the_frame():
    drawing = parsed(chart([Series("", [(0, 0), (10, 5)], "dots")], **ROWS))
    places = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in drawing.iter("circle")]
    assert places == [(LEFT, HEIGHT - BOTTOM), (WIDTH - RIGHT, TOP)]


def test_a_logarithmic_axis_has_equal_steps_for_equal_factors_and_takes_zero_to_its_end():
    axis = Axis("x", number, is_log=True, ends=(0.01, 100))
    drawing = parsed(chart([Series("", [(0, 1), (0.01, 1), (1, 1), (100, 1)], "dots")], axis, ROWS["y"]))
    columns = [float(dot.get("cx")) for dot in drawing.iter("circle")]
    assert columns == pytest.approx([LEFT, LEFT, (LEFT + WIDTH - RIGHT) / 2, WIDTH - RIGHT], abs=0.06)


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=8),
    kind=st.sampled_from(["line", "dots", "bars", "area"]),
    is_log=st.booleans(),
)
def test_whatever_is_drawn_lies_inside(points, kind, is_log):
    axes = Axis("x", number, is_log), Axis("y", number, is_log)
    drawing = parsed(chart([Series("a", points, kind), Series("b", points, "dots")], *axes, [Mark("here", x=points[0][0])]))
    for dot in drawing.iter("circle"):
        assert LEFT - 0.1 <= float(dot.get("cx")) <= WIDTH - RIGHT + 0.1
        assert TOP - 0.1 <= float(dot.get("cy")) <= HEIGHT - BOTTOM + 0.1


def test_words_are_escaped():
    drawing = parsed(chart([Series("<b>&", [(0, 1)]), Series("other", [(1, 2)])], Axis('"<i>"', number), ROWS["y"], [Mark("a<b", y=1)]))
    assert {"<b>&", '"<i>"', "a<b"} <= {text.text for text in drawing.iter("text")}


@pytest.mark.parametrize(("value", "text"), [(0, "0 %"), (0.5, "50 %"), (0.0123, "1.2 %"), (0.00001, "0.001 %"), (1, "100 %")])
def test_shares_are_written_as_short_as_they_may_be(value, text):
    assert share(value) == text
