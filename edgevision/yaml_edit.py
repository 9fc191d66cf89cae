"""Values set in a YAML file without touching anything else of it: comments, order, quotes, blank lines stay, byte for byte.

In: the file's text, values by path. Out: the new text. Keeps nothing. A value that is there is replaced where it '
'stands; a key that is not is
added behind the last one of its section. What cannot be done so (a value shared by an anchor) is refused, and nothing is changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from edgevision.errors import ConfigError

Path = tuple[str, ...]
STEP = 2  # columns by which a new section is indented


def edited(text: str, changes: Mapping[Path, str], where: str) -> str:
    """The text with each path's value set; values are YAML on one line. `where` names the file in complaints.

    Raises ConfigError where a value cannot be set without changing others; then nothing is.
    """
    new = text
    for path, value in changes.items():
        new = _set(new, path, value, where)
    _check(text, new, changes, where)
    return new


def _set(text: str, path: Path, value: str, where: str) -> str:
    node: Any = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(node, yaml.MappingNode):
        raise ConfigError(f"{where}:1:1: the file holds no sections; it must be a configuration")
    for depth, key in enumerate(path):
        pair = next((pair for pair in node.value if pair[0].value == key), None)
        if pair is None:
            return _added(text, node, path[depth:], value)
        _refuse_shared(text, pair, path[: depth + 1], where)
        key_node, below = pair
        is_last = depth + 1 == len(path)
        if not is_last and not isinstance(below, yaml.MappingNode):
            if below.value != "" or not isinstance(below, yaml.ScalarNode):
                raise ConfigError(f"{_at(below, where)}: {'.'.join(path[: depth + 1])} holds no keys; write it as a section")
            return _begun(text, key_node, path[depth + 1 :], value)
        node = below
    return _replaced(text, node, value)


def _replaced(text: str, node: Any, value: str) -> str:
    start, stop = node.start_mark.index, _end(node)
    if start == stop:  # an empty value: the mark is behind the colon
        return f"{text[:start]} {value}{text[start:]}" if not text[:start].endswith(" ") else f"{text[:start]}{value}{text[start:]}"
    return text[:start] + value + text[stop:]


def _added(text: str, node: Any, path: Path, value: str) -> str:
    """The mapping with one more key at its end."""
    if node.flow_style:
        stop = _end(node.value[-1][1]) if node.value else node.start_mark.index + 1
        inner = "".join(f"{{{key}: " for key in path[1:]) + value + "}" * (len(path) - 1)
        return f"{text[:stop]}{', ' if node.value else ''}{path[0]}: {inner}{text[stop:]}"
    return _inserted(text, _end(node), node.value[0][0].start_mark.column, path, value)


def _begun(text: str, key_node: Any, path: Path, value: str) -> str:
    """A section whose keys are all commented out, or that is empty, with its first key."""
    return _inserted(text, key_node.end_mark.index, key_node.start_mark.column + STEP, path, value)


def _inserted(text: str, behind: int, column: int, path: Path, value: str) -> str:
    """Lines below the one in which `behind` lies."""
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = [" " * (column + STEP * depth) + f"{key}:" for depth, key in enumerate(path)]
    lines[-1] += f" {value}"
    is_at_start = behind > 0 and text[behind - 1] == "\n"  # behind a block of text
    stop = behind if is_at_start else text.find("\n", behind) + 1
    if stop == 0:
        return f"{text}{newline}{newline.join(lines)}{newline}"
    return text[:stop] + newline.join(lines) + newline + text[stop:]


def _end(node: Any) -> int:
    """Behind the last character of a value. A block's own end mark lies behind the comments that follow it."""
    if isinstance(node, yaml.MappingNode) and not node.flow_style and node.value:
        key, value = node.value[-1]
        return max(_end(value), int(key.end_mark.index))
    if isinstance(node, yaml.SequenceNode) and not node.flow_style and node.value:
        return _end(node.value[-1])
    return int(node.end_mark.index)


def _refuse_shared(text: str, pair: Any, path: Path, where: str) -> None:
    """Raises ConfigError where the value is an alias, or has an anchor or a tag: others may stand for it."""
    behind = text[pair[0].end_mark.index :]
    found = re.match(r"\s*:\s*([*&!]\S*)", behind)
    if found:
        raise ConfigError(
            f"{_at(pair[0], where)}: {'.'.join(path)} is shared by {found[1]}; write it out there, so that only this "
            f"camera changes, and try again"
        )


def _at(node: Any, where: str) -> str:
    return f"{where}:{node.start_mark.line + 1}:{node.start_mark.column + 1}"


def _check(old: str, new: str, changes: Mapping[Path, str], where: str) -> None:
    """Raises ConfigError unless the new text says what the old one said, but for the changes."""
    wanted = _plain(old)
    for path, value in changes.items():
        place = wanted
        for key in path[:-1]:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place[path[-1]] = _plain(value)
    try:
        found = _plain(new)
    except yaml.YAMLError:
        found = None
    if found != wanted:
        raise ConfigError(f"{where}:1:1: this file is written in a way that cannot be edited safely; put the values in by hand")


def _plain(text: str) -> Any:
    return yaml.load(text, Loader=yaml.BaseLoader)  # text, lists and mappings, nothing else
