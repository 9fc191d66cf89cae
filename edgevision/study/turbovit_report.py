"""What `bench turbovit` shows people: a table. In: its findings. Out: text. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.table import Table

from edgevision.study.attention_bench import Findings

PEERS: Mapping[str, str] = MappingProxyType({"openvino_f32": "x f32", "openvino_default": "x default", "torch": "x torch"})


def show(found: Findings, console: Console) -> None:
    """One row a contestant, ours in bold with how many times faster it is than each peer's median, then what was left out."""
    table = Table(title=found.title, box=None, header_style="bold", pad_edge=False)
    for name in ("attention", "engine"):
        table.add_column(name, no_wrap=True)
    peers = [row for row in found.rows if row["engine"] in PEERS]
    for name in ("changed", "gate", "p50 ms", "p99 ms", "off by", "GMAC", "MB", *(PEERS[row["engine"]] for row in peers)):
        table.add_column(name, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(*_cells(row, peers), style="bold" if row["engine"] == "ours" else None)
    console.print(table)
    for note in found.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _cells(row: Mapping[str, Any], peers: list[dict[str, Any]]) -> list[str]:
    times = [f"{peer['ms_p50'] / row['ms_p50']:.2f}" if row["engine"] == "ours" else "" for peer in peers]
    error = "-" if row["error_to_dense"] is None else f"{row['error_to_dense']:.2g}"
    mb = "-" if row["mb"] is None else f"{row['mb']:.0f}"
    figures = [f"{row['changed']:.3g}", f"{row['gate']:g}", f"{row['ms_p50']:.2f}", f"{row['ms_p99']:.2f}", error]
    return [row["method"], row["engine"], *figures, f"{row['macs'] / 1e9:.2f}", mb, *times]
