"""What a benchmark shows people: a table for the terminal, a plot. In: its rows and laps. Out: text, a PNG. Keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from edgevision.errors import InputError
from edgevision.study.bench import Result
from edgevision.study.lanes import OURS

Row = Mapping[str, Any]
COLOURS = MappingProxyType({
    "openvino_f32": "tab:blue", "openvino_default": "tab:orange", "openvino_int8": "tab:green", "onnxruntime": "tab:purple",
})  # fmt: skip
_SIZE_IN = (6.4, 5.2)
_LEAST_SHARE = 1e-4  # where nothing live is drawn on a logarithmic axis


def rivals(row: Row, rows: Sequence[Row]) -> list[Row]:
    """The peers on the same scene with as many threads."""
    return [other for other in rows if other["engine"] != OURS and _place(other) == _place(row)]


def best_rival(row: Row, rows: Sequence[Row]) -> Row | None:
    """The quickest peer that works in the row's precision; None where none took part."""
    same = [other for other in rivals(row, rows) if other["precision"] == row["precision"]]
    return min(same, key=lambda other: float(other["ms_p50"]), default=None)


def _place(row: Row) -> tuple[Any, ...]:
    return row["threads"], row["live_input"]


def show(result: Result, console: Console) -> None:
    """The rows as a table, ours with how much faster they are than the best peer of their precision, then what was left out."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("engine", "in"):
        table.add_column(name, no_wrap=True)
    for name in ("thr.", "live", "work", "mean", "p50", "p99 ms", "first", "off by", "MB", "x best"):
        table.add_column(name, justify="right", no_wrap=True)
    last: tuple[Any, ...] | None = None
    for row in sorted(result.rows, key=lambda row: _place(row)[0]):
        if last not in (None, _place(row)):
            table.add_section()
        last = _place(row)
        table.add_row(*_cells(row, result.rows), style="bold" if row["engine"] == OURS else None)
    console.print(table)
    for note in result.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def _cells(row: Row, rows: Sequence[Row]) -> Iterator[str]:
    best = best_rival(row, rows) if row["engine"] == OURS else None
    yield from (row["engine"], row["precision"], str(row["threads"]))
    yield from (f"{row[key]:.2%}" for key in ("live_input", "live_macs"))
    yield from (f"{row[key]:.2f}" for key in ("ms_mean", "ms_p50", "ms_p99", "first_ms"))
    yield "-" if row["disagreement"] is None else f"{row['disagreement']:.1e}"
    yield "-" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
    yield "" if best is None else f"{best['ms_p50'] / row['ms_p50']:.2f}"


def draw(result: Result, path: Path) -> None:
    """Speed-up of ours over each peer against the live share of the work, a panel for each thread count and precision of ours.

    On a clip, where there is one scene, every frame is a point, over the live share of its input. Raises InputError where it cannot write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    ours = [place for place, row in enumerate(result.rows) if row["engine"] == OURS]
    panels = list(dict.fromkeys((result.rows[place]["threads"], result.rows[place]["precision"]) for place in ours))
    if not panels:
        raise InputError(f"{path}: there is nothing to draw, because none of ours took part")
    figure = Figure(figsize=(_SIZE_IN[0] * len(panels), _SIZE_IN[1]), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(result.title)
    is_clip = len({row["live_input"] for row in result.rows}) == 1 and len(set(result.live[ours[0]])) > 1
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels), sharey=True)), panels, strict=True):
        places = [place for place in ours if (result.rows[place]["threads"], result.rows[place]["precision"]) == panel]
        _points_by_frame(axes, result, places[0]) if is_clip else _lines_by_share(axes, result, places)
        _dress(axes)
        axes.set_title(f"ours in {panel[1]}, {panel[0]} thread{'s' if panel[0] > 1 else ''}", fontsize=10)
    figure.axes[0].set_ylabel("times faster than the peer (p50)" if not is_clip else "times faster than the peer's p50")
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file in a folder that is there and may be written") from error


def _lines_by_share(axes: Any, result: Result, places: Sequence[int]) -> None:
    """A line for each peer. Where nothing was live has no place on a logarithmic axis: those points stand apart, at its left end."""
    rows = sorted((result.rows[place] for place in places), key=lambda row: float(row["live_macs"]))
    least = min((row["live_macs"] for row in rows if row["live_macs"] > 0), default=1.0)
    apart = least / 4
    for engine, colour in COLOURS.items():
        peers = [next((peer for peer in rivals(row, result.rows) if peer["engine"] == engine), None) for row in rows]
        ratios = [(row["live_macs"], peer["ms_p50"] / row["ms_p50"]) for row, peer in zip(rows, peers, strict=True) if peer is not None]
        if not ratios:
            continue
        label = f"{engine.replace('_', ' ')} ({next(peer['precision'] for peer in peers if peer)})"
        moving, still = [point for point in ratios if point[0] > 0], [(apart, ratio) for share, ratio in ratios if share == 0]
        axes.plot(*np.reshape(moving, (-1, 2)).T, "o-", color=colour, markersize=4, label=label)
        axes.plot(*np.reshape(still, (-1, 2)).T, "D", color=colour, markersize=5)
    if any(row["live_macs"] == 0 for row in rows):
        axes.annotate("nothing live", (apart, 1), textcoords="offset points", xytext=(8, 6), fontsize=8, color="dimgray", rotation=90)
    ends = np.array([least, 1.0])
    axes.plot(ends, 1 / ends, "--", color="gray", linewidth=1, label="proportional")
    axes.plot(ends, 0.8 / ends, ":", color="gray", linewidth=1, label="80 % of it")
    axes.set_xlim(apart / 1.6, 1.25)
    axes.set_xlabel("live share of the work (multiply-accumulates)")


def _points_by_frame(axes: Any, result: Result, place: int) -> None:
    row = result.rows[place]
    shares, ours = np.maximum(_LEAST_SHARE, result.live[place]), np.asarray(result.laps[place])
    for peer in rivals(row, result.rows):
        label = f"{peer['engine'].replace('_', ' ')} ({peer['precision']})"
        axes.plot(shares, peer["ms_p50"] / ours, ".", color=COLOURS[peer["engine"]], markersize=4, alpha=0.6, label=label)
    axes.set_xlim(_LEAST_SHARE * 0.8, 1.25)
    axes.set_xlabel("live share of the input, frame by frame (nothing live: at the left end)")


def _dress(axes: Any) -> None:
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.grid(True, which="major", color="whitesmoke")
    axes.legend(loc="best", frameon=False, fontsize=8)
