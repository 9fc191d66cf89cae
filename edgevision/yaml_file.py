"""A YAML file as a tree of values that know where they stand, so that every complaint can name file, line and column.

In: a path, or the text of one environment variable. Out: Node trees and a list of Problems. Keeps nothing. Names are names: a key is
always taken as text, and the words YAML 1.1 turns into truth values (on, no, yes, off) are refused where a name is meant.
"""

from __future__ import annotations

import math
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edgevision.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_DEPTH = 24
MAX_PROBLEMS = 50
MAX_NAME = 80
MAX_NODES = 50_000  # an alias counts as all that it stands for

_TRUE = frozenset({"true", "yes", "on"})
_FALSE = frozenset({"false", "no", "off"})
_NULL = frozenset({"", "~", "null"})
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Problem:
    """One complaint: where it is, what is wrong, the limit and the remedy."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass(slots=True)
class Node:
    """One value of the file: a scalar, a `dict[str, Node]` or a `list[Node]`. `path` are the keys that lead to it in its own file."""

    value: Any
    where: str
    path: tuple[str, ...]
    text: str = ""
    is_plain: bool = False
    key_where: dict[str, str] = field(default_factory=dict)
    size: int = 1

    @property
    def name(self) -> str:
        """The dotted path, as a person would write it."""
        return ".".join(part if len(part) <= MAX_NAME else f"{part[:MAX_NAME]}..." for part in self.path)


def refusal(problems: list[Problem]) -> ConfigError:
    """One ConfigError with a line for each problem, each said once, in the order of the file; the last line counts those left out."""
    lines = list(dict.fromkeys(str(problem) for problem in sorted(problems, key=_place)))
    if len(lines) > MAX_PROBLEMS:
        lines[MAX_PROBLEMS:] = [f"{problems[0].where.split(':')[0]}: {len(lines) - MAX_PROBLEMS} problems more; mend these first"]
    return ConfigError("\n".join(lines))


def _place(problem: Problem) -> tuple[str, int, int]:
    found = re.fullmatch(r"(.*):([0-9]+):([0-9]+)", problem.where, re.DOTALL)
    return (found[1], int(found[2]), int(found[3])) if found else (problem.where, 0, 0)


def read_file(path: Path, problems: list[Problem]) -> Node:
    """The tree of the file, as `read_tree` makes it. Raises ConfigError for a file that cannot be read, too."""
    return read_tree(read_text(path), path, problems)


def read_tree(text: str, path: Path, problems: list[Problem]) -> Node:
    """The tree of a file's text. Adds what is wrong but leaves a tree; raises ConfigError where there is none to be had."""
    _note_tabs(text, str(path), problems)
    tree = _compose(text, str(path), (), problems)
    if tree is None:
        hint = "the file is empty; it needs at least `cameras:`; `edgevision init` writes one to start from"
        raise refusal([*problems, Problem(f"{path}:1:1", hint)])
    if not isinstance(tree.value, dict):
        raise refusal([*problems, Problem(tree.where, f"the file holds {shown(tree)}; it must hold sections such as `cameras:`")])
    return tree


def read_value(text: str, where: str, path: tuple[str, ...], problems: list[Problem]) -> Node:
    """The tree of one environment variable's text; `where` names the variable in complaints."""
    node = _compose(text, where, path, problems, is_file=False)
    return Node(None, where, path) if node is None else node


def shown(node: Node) -> str:
    """A value as it may be shown: short, and never a secret."""
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return f"a list of {len(node.value)}"
    if node.value is None:
        return "empty"
    text = node.text if node.is_plain else repr(node.text)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read_text(path: Path) -> str:
    """What is in the file. Raises ConfigError where it is no readable text of at most `MAX_BYTES`."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would hang a blocking open
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{path}: {reason}; name a readable YAML file; `edgevision init` writes one to start from") from error
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise ConfigError(f"{path}: is not a regular file; name a YAML file")
        with open(handle, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    finally:
        os.close(handle)
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{path}: has more than {MAX_BYTES} bytes; a configuration is smaller; is this the right file?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ConfigError(f"{path}:{line}:{column}: byte 0x{content[error.start]:02x} is not UTF-8; save the file as UTF-8") from error


def _note_tabs(text: str, where: str, problems: list[Problem]) -> None:
    for number, line in enumerate(text.splitlines(), 1):
        column = len(line) - len(line.lstrip(" \t"))
        if "\t" in line[:column] and line[column : column + 1] not in ("", "#"):
            at = f"{where}:{number}:{line.index(chr(9)) + 1}"
            problems.append(Problem(at, "a tab indents this line; YAML takes spaces only; replace it"))


def _compose(text: str, where: str, path: tuple[str, ...], problems: list[Problem], is_file: bool = True) -> Node | None:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    composer = _Composer(where, is_file, problems)
    try:
        return composer.document(yaml.parse(text, Loader=loader), path)
    except yaml.YAMLError as error:
        raise refusal([*problems, _syntax_problem(error, where, is_file)]) from error


def _syntax_problem(error: yaml.YAMLError, where: str, is_file: bool) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if is_file and mark is not None:
        where = f"{where}:{mark.line + 1}:{mark.column + 1}"
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "cannot be read"
    return Problem(where, f"not YAML: {problem}; check the indentation, colons and quotes here and in the line above")


class _Composer:
    """Events to Nodes. PyYAML's own composer has no limits on depth and aliases, and forgets where a key stood."""

    def __init__(self, where: str, is_file: bool, problems: list[Problem]):
        self._where = where
        self._is_file = is_file
        self._problems = problems
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def document(self, events: Iterator[Any], path: tuple[str, ...]) -> Node | None:
        """The one document of the stream, None when it is empty."""
        tree: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and tree is not None:
                self._problems.append(Problem(self._at(event), "a second document starts here; a configuration is one; remove the `---`"))
                return tree
            if isinstance(event, yaml.NodeEvent):
                tree = self._node(event, events, path, 0)
        return None if tree is not None and tree.value is None and not tree.text else tree

    def _at(self, event: Any) -> str:
        mark = event.start_mark
        return f"{self._where}:{mark.line + 1}:{mark.column + 1}" if self._is_file else self._where

    def _stop(self, event: Any, text: str) -> ConfigError:
        return refusal([*self._problems, Problem(self._at(event), text)])

    def _node(self, event: Any, events: Iterator[Any], path: tuple[str, ...], depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            node = self._alias(event)
        else:
            self._refuse_tag(event)
            if depth > MAX_DEPTH:
                raise self._stop(event, f"nested deeper than {MAX_DEPTH} levels; a configuration is flatter; check the brackets")
            if isinstance(event, yaml.ScalarEvent):
                node = self._scalar(event, path)
            elif isinstance(event, yaml.SequenceStartEvent):
                node = self._sequence(event, events, path, depth)
            else:
                node = self._mapping(event, events, path, depth)
            if event.anchor is not None:
                self._anchors[event.anchor] = node
        self._count += node.size if isinstance(event, yaml.AliasEvent) else 1
        if self._count > MAX_NODES:
            raise self._stop(event, f"more than {MAX_NODES} values, counting each alias in full; a configuration has fewer")
        return node

    def _alias(self, event: Any) -> Node:
        if event.anchor not in self._anchors:
            raise self._stop(event, f"*{event.anchor} stands for nothing defined above it; define it with &{event.anchor}")
        return self._anchors[event.anchor]

    def _refuse_tag(self, event: Any) -> None:
        if event.tag is not None and event.tag != "!":
            self._problems.append(Problem(self._at(event), f"the tag {event.tag[:60]} is not understood; remove it"))

    def _scalar(self, event: Any, path: tuple[str, ...]) -> Node:
        if _UNPRINTABLE.search(event.value):
            self._problems.append(Problem(self._at(event), "this text holds a control character or half a character; type it anew"))
            return Node(None, self._at(event), path)
        is_plain = event.style is None or event.style == ""
        value = _plain_value(event.value) if is_plain else event.value
        return Node(value, self._at(event), path, event.value, is_plain)

    def _sequence(self, event: Any, events: Iterator[Any], path: tuple[str, ...], depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(item := next(events), yaml.SequenceEndEvent):
            items.append(self._node(item, events, (*path, str(len(items))), depth + 1))
        return Node(items, self._at(event), path, size=1 + sum(item.size for item in items))

    def _mapping(self, event: Any, events: Iterator[Any], path: tuple[str, ...], depth: int) -> Node:
        node = Node({}, self._at(event), path)
        while not isinstance(item := next(events), yaml.MappingEndEvent):
            at = self._at(item)
            key = self._key(item, events, path, depth)
            value = self._node(next(events), events, (*path, key), depth + 1)
            if key in node.value:
                first = node.key_where[key]
                self._problems.append(Problem(at, f"{value.name} is given twice (first at {first}); keep one"))
                continue
            node.value[key] = value
            node.key_where[key] = at
            node.size += 1 + value.size
        return node

    def _key(self, event: Any, events: Iterator[Any], path: tuple[str, ...], depth: int) -> str:
        """The key's text; names that YAML would turn into something else, and keys that are no names, are noted."""
        at = self._at(event)
        node = self._node(event, events, path, depth + 1)
        if isinstance(node.value, dict | list):
            self._problems.append(Problem(at, "a mapping or list stands where a name is meant; check the brackets"))
            return "?"
        if node.text == "<<" and node.is_plain:
            self._problems.append(Problem(at, "merging with << is not understood; put shared values under `defaults:`"))
        elif node.is_plain and (isinstance(node.value, bool) or node.value is None):
            word = node.text or "(nothing)"
            self._problems.append(Problem(at, f'{word} unquoted is not a name in YAML; write "{node.text}" in quotes or another name'))
        return node.text


def _plain_value(text: str) -> Any:
    """YAML 1.2's numbers, YAML 1.1's truth words. All else is text, also 010, 1_000 and 1:30, which readers of YAML disagree about."""
    word = text.lower()
    if word in _NULL:
        return None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and not re.match(r"[-+]?0[0-9]", text) and math.isfinite(float(text)):
        return float(text)
    return text
