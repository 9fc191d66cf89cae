"""Values set in a YAML file: what they replace, where they are added, and that nothing else of the file moves by a byte."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edgevision.errors import ConfigError
from edgevision.yaml_edit import edited

ROOT = Path(__file__).parents[1]
CAMERA = ("cameras", "camera-1")


def test_a_value_is_replaced_where_it_stands():
    text = (
        "# top\ncameras:\n  camera-1:   # the first\n    judge: {warn: 0.5, ng: 0.70}   # limits\n    compare:\n   "
        "   min_area: 8  # pixels\n"
    )
    new = edited(text, {(*CAMERA, "judge", "ng"): "0.8", (*CAMERA, "compare", "min_area"): "12"}, "line.yaml")
    assert new == text.replace("0.70", "0.8").replace("min_area: 8", "min_area: 12")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("c:\n  a: 1  # one\n\n# end\n", "c:\n  a: 1  # one\n  b: 2\n\n# end\n"),
        ("c:\n  a: {x: 1}\n", "c:\n  a: {x: 1}\n  b: 2\n"),
        ("c:\n  a:\n    - 1\n    - 2  # two\nd: 3\n", "c:\n  a:\n    - 1\n    - 2  # two\n  b: 2\nd: 3\n"),
        ("c: {a: 1}  # flow\n", "c: {a: 1, b: 2}  # flow\n"),
        ("c: {}\n", "c: {b: 2}\n"),
        ("c:  # all of it\n  # b: 7\nd: 3\n", "c:  # all of it\n  b: 2\n  # b: 7\nd: 3\n"),
        ("c:\n  b:    # empty\n", "c:\n  b: 2    # empty\n"),
        ("c:\n  a: |\n    text\n    more\nd: 3\n", "c:\n  a: |\n    text\n    more\n  b: 2\nd: 3\n"),
        ("d: 3", "d: 3\nc:\n  b: 2\n"),
        ("c:\r\n  a: 1\r\nd: 3\r\n", "c:\r\n  a: 1\r\n  b: 2\r\nd: 3\r\n"),
        ("c:\n  b:\n    - 8\n    - 9\n  a: 1\n", "c:\n  b:\n    2\n  a: 1\n"),
        ('c: {b: "7"}\n', "c: {b: 2}\n"),
    ],
)
def test_a_key_goes_behind_its_section_s_last(before, after):
    assert edited(before, {("c", "b"): "2"}, "line.yaml") == after


@pytest.mark.parametrize("text", ["x: &one {a: 1}\nc: *one\n", "x: &n 5\nc:\n  b: *n\n", "c:\n  b: &n 5\nx: *n\n"])
def test_what_is_shared_is_refused_with_its_place(text):
    with pytest.raises(ConfigError, match=r"line\.yaml:\d+:\d+: .*shared by [*&]"):
        edited(text, {("c", "b"): "2"}, "line.yaml")


def test_a_section_that_is_no_mapping_is_refused():
    with pytest.raises(ConfigError, match=r"line\.yaml:1:4: c holds no keys"):
        edited("c: 5\n", {("c", "b"): "2"}, "line.yaml")


KEYS = ("pixel_threshold", "min_area", "abs_threshold", "hysteresis")


@settings(max_examples=40, deadline=None)
@given(
    shipped=st.sampled_from(["one-camera.yaml", "reference.yaml", "demo.yaml"]),
    keys=st.lists(st.sampled_from(KEYS), unique=True, min_size=1),
    number=st.integers(1, 99),
)
def test_nothing_else_of_a_shipped_file_moves_by_a_byte(shipped, keys, number):
    text = (ROOT / "configs" / shipped).read_text()
    camera = next(iter(yaml.safe_load(text)["cameras"]))
    changes = {("cameras", camera, "compare", key): f"[{number}, {number}]" if key == "abs_threshold" else str(number) for key in keys}
    new = edited(text, changes, shipped)
    old_lines, new_lines = text.splitlines(), new.splitlines()
    added = [line for line in new_lines if line not in old_lines or new_lines.count(line) > old_lines.count(line)]
    left = list(new_lines)
    for line in added:
        left.remove(line)
    kept = [line for line in old_lines if line in left]
    assert left == kept, "the lines that stay are in their order"
    assert len(old_lines) - len(kept) <= len(keys), "at most the lines of the values themselves are gone"
    assert yaml.safe_load(new)["cameras"][camera]["compare"] | {} == {
        **(yaml.safe_load(text)["cameras"][camera].get("compare") or {}),
        **{path[-1]: yaml.safe_load(value) for path, value in changes.items()},
    }
