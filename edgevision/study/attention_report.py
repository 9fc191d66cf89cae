"""What `bench attention` shows people: a table for the terminal, a plot. In: its rows. Out: text, a PNG. Keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from edgevision.errors import InputError
from edgevision.study.attention_bench import Findings

Row = Mapping[str, Any]
_SIZE_IN = (9.0, 5.0)
_LEAST_ERROR = 1e-7  # where what is exact stands on a logarithmic axis


def best_ms(rows: Sequence[Row], precision: str) -> float | None:
    """The quickest dense peer, median: in f32 of OpenVINO and torch, or by OpenVINO's `default`."""
    peers = [
        row
        for row in rows
        if row["engine"] != "ours" and "queries" not in row
        and (precision in row["engine"] or (precision == "f32" and row["engine"] == "torch"))
    ]  # fmt: skip
    return min((float(row["ms_p50"]) for row in peers), default=None)


def show(found: Findings, console: Console) -> None:
    """The rows as a table, ours with how much faster they are than the best peer in f32 and by its own choice of precision."""
    table = Table(title=found.title, box=None, header_style="bold", pad_edge=False)
    table.add_column("method", no_wrap=True)
    table.add_column("engine", no_wrap=True)
    for name in ("changed", "gate", "p50", "p99 ms", "off by", "mean", "MMAC", "MB", "x f32", "x default"):
        table.add_column(name, justify="right", no_wrap=True)
    last = ""
    for row in found.rows:
        if row["method"] != last:
            table.add_section()
        last = row["method"]
        table.add_row(*_cells(row, found.rows), style="bold" if row["engine"] == "ours" else None)
    console.print(table)
    for note in found.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    ours = row["engine"] == "ours" and "queries" not in row
    factors = [f"{best / row['ms_p50']:.1f}" if ours and (best := best_ms(rows, precision)) else "" for precision in ("f32", "default")]
    return [
        row["method"], row["engine"], f"{row['changed']:.3g}", f"{row['gate']:.3g}" if ours else "", f"{row['ms_p50']:.2f}",
        f"{row['ms_p99']:.2f}", f"{row['error_to_dense']:.1e}", f"{row['error_mean']:.1e}", f"{row['macs'] / 1e6:.0f}",
        "" if row["mb"] is None else f"{row['mb']:.1f}", *factors,
    ]  # fmt: skip


def draw(found: Findings, path: Path) -> None:
    """How much faster each of ours is than the best f32 peer, over its mean error. Raises InputError where it cannot write."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    best = best_ms(found.rows, "f32")
    ours = [row for row in found.rows if row["engine"] == "ours" and "queries" not in row]
    if best is None or not ours:
        raise InputError(f"{path}: there is nothing to draw, because no peer or none of ours took part")
    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for method in dict.fromkeys(row["method"] for row in ours):
        rows = [row for row in ours if row["method"] == method]
        points = [(max(row["error_mean"], _LEAST_ERROR), best / row["ms_p50"]) for row in rows]
        (line,) = axes.plot(*zip(*points, strict=True), "-", linewidth=1, alpha=0.5, label=method)
        for row, point in zip(rows, points, strict=True):
            marker = "s" if row["changed"] == 1 else "o" if row["gate"] == 0 else "D"
            axes.plot(*point, marker, color=line.get_color(), markersize=6)
    axes.set(xscale="log", yscale="log", title=found.title, xlabel="mean difference from dense, share of its range")
    axes.set_ylabel("times faster than the best dense peer in f32 (p50)")
    axes.axhline(1, color="gray", linewidth=0.8)
    axes.grid(visible=True, which="both", alpha=0.25)
    axes.legend(title="square: all live; circle: changed, gate 0;\ndiamond: changed, gated", fontsize=9, title_fontsize=8)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file in a folder that is there and may be written") from error
