"""Bars on the terminal: while a network is made ready, as its kernels are compiled at the first start; while something is measured.

Silent in a pipe.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def loading_bar(what: str) -> Iterator[Callable[[int, int], object]]:
    """Yields what `load` wants for `progress`: called with the steps that are ready and how many there are."""
    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda ready, steps: progress.update(task, completed=ready, total=steps)


def counting_bar(is_quiet: bool = False) -> Progress:
    """A bar that counts, on a terminal; nothing in a pipe. To be entered and given tasks, of which the total need not be known."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    return Progress(*columns, console=console, disable=is_quiet or not console.is_terminal, transient=True)


@contextmanager
def telling(is_quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yields what is called with a line that says what is being done."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=is_quiet or not console.is_terminal, transient=True) as bar:
        line = bar.add_task("", total=None)
        yield lambda text: bar.update(line, description=text)
