"""The bar of loading: nothing in a pipe, steps on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from edgevision.study import waiting


@pytest.mark.parametrize("is_terminal", [True, False])
def test_the_bar_is_drawn_on_a_terminal_only(monkeypatch, is_terminal):
    written = io.StringIO()
    monkeypatch.setattr(waiting, "Console", lambda **_: Console(file=written, force_terminal=is_terminal, width=80))
    with waiting.loading_bar("loading the network") as progress:
        for ready in range(1, 13):
            progress(ready, 12)
    assert ("12/12" in written.getvalue()) is is_terminal
    assert is_terminal or not written.getvalue()


@pytest.mark.parametrize("total", [None, 3])
def test_what_is_counted_may_have_no_known_end(monkeypatch, total):
    written = io.StringIO()
    monkeypatch.setattr(waiting, "Console", lambda **_: Console(file=written, force_terminal=True, width=80))
    with waiting.counting_bar() as bar:
        line = bar.add_task("reading", total=total)
        bar.update(line, completed=2)
        bar.refresh()
    assert f"2/{total or '?'}" in written.getvalue()
