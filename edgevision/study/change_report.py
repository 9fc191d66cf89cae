"""What `bench compare` shows people: a table. In: its rows. Out: text. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.table import Table

FORMATS = MappingProxyType({
    "ms_p50": "{:.2f}", "precision": "{:.3f}", "recall": "{:.3f}", "f_measure": "{:.3f}", "live_fraction_median": "{:.3%}",
    "live_macs": "{:.2%}", "disagreement": "{:.4f}",
})  # fmt: skip


def show(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """One row a method; ours is bold. `disagreement` is that of the default network with its answer on the whole raw frame."""
    table = Table(title="change maps, one thread")
    table.add_column("method (its two thresholds)")
    for name in FORMATS:
        table.add_column(name, justify="right")
    for row in rows:
        cells = ("-" if row[name] is None else form.format(row[name]) for name, form in FORMATS.items())
        table.add_row(row["method"], *cells, style="bold" if row["method"].startswith("edgevision") else None)
    console.print(table)
