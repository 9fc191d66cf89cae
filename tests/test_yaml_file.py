"""Reading YAML: places, limits, and what YAML would bend."""

from __future__ import annotations

import os

import pytest

from edgevision.config import load
from edgevision.errors import ConfigError
from edgevision.yaml_file import MAX_BYTES, read_file, read_value


def read(tmp_path, text):
    path = tmp_path / "line.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems = []
    return read_file(path, problems), [str(problem).removeprefix(f"{tmp_path}/") for problem in problems]


def refused(tmp_path, text):
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_values_know_their_place(tmp_path):
    tree, problems = read(tmp_path, "node:\n  id: press-1\n  list: [1, 2.5, yes]\n")
    node = tree.value["node"]
    assert problems == []
    assert node.value["id"].where.endswith("line.yaml:2:7")
    assert node.key_where["list"].endswith("line.yaml:3:3")
    assert [item.value for item in node.value["list"].value] == [1, 2.5, True]
    assert node.value["list"].value[2].name == "node.list.2"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5), ("-3", -3), ("1.5e3", 1500.0), ("~", None), ("", None), ("true", True), ("'5'", "5"), ("off", False), ("text", "text"),
        ("010", "010"), ("1:30", "1:30"), ("1_000", "1_000"), ("0x10", "0x10"), (".inf", ".inf"), ("1e999", "1e999"),
        ("2026-11-24", "2026-11-24"), ("9" * 40, 1e40), (".", "."), ("=", "="),
    ],
)  # fmt: skip
def test_plain_values(tmp_path, text, value):
    found = read_value(text, "environment X", ("x",), []).value
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "line.yaml:2:1: a is given twice (first at "),
        ("a:\n\tb: 1\n", "line.yaml:2:1: a tab indents this line"),
        ("cameras:\n  no: {}\n", 'line.yaml:2:3: no unquoted is not a name in YAML; write "no" in quotes'),
        ("a: !!python/object:os.system x\n", "line.yaml:1:4: the tag "),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", "line.yaml:3:3: merging with << is not understood"),
        ("a: 1\n---\nb: 2\n", "line.yaml:2:1: a second document starts here"),
        ('a: "\\x01"\n', "line.yaml:1:4: this text holds a control character"),
        ('a: "\\ud800"\n', "line.yaml:1:7: not YAML: found invalid Unicode"),
        ("? [1, 2]\n: 3\n", "line.yaml:1:3: a mapping or list stands where a name is meant"),
    ],
)
def test_what_is_noted(tmp_path, text, message):
    try:
        _, problems = read(tmp_path, text)
    except ConfigError as error:
        problems = str(error).replace(f"{tmp_path}/", "").splitlines()
    assert any(problem.startswith(message) for problem in problems), problems


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line.yaml:1:1: the file is empty"),
        ("# only a comment\n", "line.yaml:1:1: the file is empty"),
        ("- a\n- b\n", "line.yaml:1:1: the file holds a list of 2"),
        ("just text", "line.yaml:1:1: the file holds just text"),
        ("a: [1, 2\n", "line.yaml:2:1: not YAML: "),
        ("a: b: c\n", "line.yaml:1:5: not YAML: "),
        ("a: *b\n", "line.yaml:1:4: *b stands for nothing defined above it"),
        ("a: &a [*a]\n", "line.yaml:1:8: *a stands for nothing defined above it"),
        (b"a: \xff\n", "line.yaml:1:4: byte 0xff is not UTF-8"),
        (b"a: \x00\n", "line.yaml"),
        ("a: " + "[" * 200, "line.yaml:1:28: nested deeper than 24 levels"),
        ("a: " + "[" * 5000, "line.yaml:1:"),  # newer PyYAML stops at a depth of its own before we are asked
        ("x" * (MAX_BYTES + 1), f"line.yaml: has more than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_refused(tmp_path, text, message):
    said = refused(tmp_path, text)
    assert said.startswith(message)
    assert len(said.splitlines()) == 1


def test_an_alias_bomb_is_refused(tmp_path):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "counting each alias in full" in refused(tmp_path, "\n".join(rows))


def test_an_honest_alias_is_taken(tmp_path):
    tree, problems = read(tmp_path, "a: &x {b: 1}\nc: *x\n")
    assert problems == []
    assert tree.value["c"].value["b"].value == 1


def test_a_bom_is_passed_over(tmp_path):
    assert read(tmp_path, b"\xef\xbb\xbfa: 1\n")[0].value["a"].value == 1


def test_no_file_no_folder_no_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("nothing", "No such file"), ("", "not a regular file"), ("pipe", "not a regular file"), ("a\0b", "null")):
        with pytest.raises(ConfigError, match=reason):
            read_file(tmp_path / name, [])


HOSTILE = (
    "? " * 400_000, "- " * 400_000, "{a: " * 200_000, '"' + "x" * 900_000, "&a " * 300_000, "a" * 999_000 + ": 1",
    "".join(f"k{n}: 1\n" for n in range(60_000)), "!" * 900_000, "|\n " * 200_000, "%" * 900_000,
)  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_files_are_refused_soon(tmp_path, text):
    path = tmp_path / "line.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path, env={})
    assert len(str(caught.value)) < 20_000
    assert len(str(caught.value).splitlines()) <= 51
