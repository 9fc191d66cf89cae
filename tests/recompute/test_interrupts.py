"""A call that is interrupted anywhere leaves a Memory that counts as empty, or one that is right for its input in use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgevision
from edgevision.errors import InputError
from edgevision.recompute.engine import SelectiveNetwork
from tests.recompute.test_engine import patches, picture, same_bits, same_memory
from tests.recompute.test_motion import moved

_OURS = str(Path(edgevision.__file__).parent)


class Interrupt:
    """Raises KeyboardInterrupt before the n-th line of our own code that is run inside `with`; counts them."""

    def __init__(self, after: int) -> None:
        self.left = after

    def __enter__(self) -> Interrupt:
        sys.settrace(self._enter)
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        sys.settrace(None)
        return kind is KeyboardInterrupt

    def _enter(self, frame: Any, event: str, argument: Any) -> Any:
        return self._line if frame.f_code.co_filename.startswith(_OURS) else None

    def _line(self, frame: Any, event: str, argument: Any) -> Any:
        self.left -= event == "line"
        if self.left == 0:
            raise KeyboardInterrupt
        return self._line


def write(writer, path: Path) -> Path:
    """Two strides, and an answer whose numbers lie in another order than the picture's, so that it is copied."""
    g = writer((1, 3, 24, 32))
    x = g.conv(g.conv(g.conv("image", 3, 8, stride=2), 8, 8), 8, 3, stride=2)
    return g.save(path, g.node("Reshape", x, g.constant(np.array([1, -1]))), x)


def interrupted_everywhere(
    net: SelectiveNetwork, call: Callable[[], object], follow_up: Callable[[], Any], restore: Callable[[], Any]
) -> tuple[int, int]:
    """At each line in turn: how many follow-ups were refused (Memory is then filled by `restore`), and the call's lines."""
    twin, refused = net.sibling(), 0
    restore()
    call()  # what is worked out once is there
    for after in range(1, 5000):
        restore()
        with Interrupt(after) as interrupt:
            call()
        try:
            answer = follow_up()
        except InputError:
            refused += 1
            answer = restore()
        wanted = twin.first(net.used())
        assert same_memory(net, twin), f"interrupted before line {after}"
        assert all(same_bits(answer[name], wanted[name]) for name in wanted), f"interrupted before line {after}"
        if interrupt.left > 0:
            return refused, after
    raise AssertionError("the call never ended")


@pytest.mark.parametrize("kind", ["next", "first", "moved"])
def test_wherever_a_call_is_interrupted_memory_is_right_or_empty(writer, tmp_path, random, kind):
    net = SelectiveNetwork.load(write(writer, tmp_path / "net.onnx"), threads=2, may_move=kind == "moved")
    x, y = (picture(random, net) for _ in range(2))
    live, still = patches(random, net.input_shape[2:]), np.zeros(net.input_shape[2:], bool)

    def move() -> None:
        net.shift(4, -8)
        net.next(moved(x, 4, -8, random), live)

    calls = {"next": lambda: net.next(y, live), "first": lambda: net.first(y), "moved": move}
    refused, lines = interrupted_everywhere(net, calls[kind], lambda: net.next(y, still), lambda: net.first(x))
    assert 10 < refused < lines
