"""The picture of a gate search: what each set of gates costs and what it leaves of the answer. In: a report. Out: a PNG. Keeps nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgevision.errors import InputError, Unavailable

_SIZE_IN = (12.0, 5.2)
_LEAST = 1e-6  # where the exact answer is drawn on a logarithmic axis


def check_plot(path: Path) -> None:
    """Raises InputError for a name that is no PNG or cannot be written, Unavailable where matplotlib is not installed."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path}: the plot is a PNG; name it FILE.png")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written; name a file in a folder that is there and may be written")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise Unavailable("a plot needs matplotlib: pip install 'edgevision[bench]', or leave --plot out") from error


def draw(report: Mapping[str, Any], path: Path) -> None:
    """Disagreement over work and over time: uniform gates as one line, the tuned gates, scaled up and down, as another."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{Path(report['network']).name} on {report['clip']}: {report['frames_held_out']} frames that were not searched on")
    panels = (("macs_share", 100.0, "share of the multiply-accumulates, %"), ("ms_mean", 1.0, "network, ms a frame (mean)"))
    for axes, (key, factor, label) in zip(figure.subplots(1, 2, sharey=True), panels, strict=True):
        _panel(axes, report, key, factor)
        axes.set_xlabel(label)
    figure.axes[0].set_ylabel("disagreement with the exact network")
    figure.axes[0].legend(loc="best", frameon=False)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a file in a folder that is there and may be written") from error


def _panel(axes: Any, report: Mapping[str, Any], key: str, factor: float) -> None:
    rows, tuned = report["uniform"], {"scale": 1.0, **report["tuned"]}
    scaled = sorted([*report["scaled"], tuned], key=lambda row: float(row["scale"]))
    axes.plot(*_line(rows, key, factor), "o-", color="tab:gray", markersize=5, label="one gate for all steps")
    for row in rows:
        axes.annotate(
            f"{row['gate']:g}" if row["gate"] else "exact",
            _place(row, key, factor),
            textcoords="offset points",
            xytext=(6, 4),
            fontsize=8,
            color="dimgray",
        )
    axes.plot(*_line(scaled, key, factor), "s-", color="tab:blue", markersize=5, label="tuned by step, scaled ¼ to 4")
    axes.plot(*_place(tuned, key, factor), "*", color="tab:red", markersize=17, zorder=5, label="operating point")
    axes.axhline(report["limit"], color="tab:red", linewidth=1, linestyle="--")
    axes.annotate(
        f"limit {report['limit']:g}", (1, report["limit"]), xycoords=("axes fraction", "data"), textcoords="offset points",
        xytext=(-4, -4), ha="right", va="top", fontsize=8, color="tab:red",
    )  # fmt: skip
    axes.axhline(report["frozen"], color="black", linewidth=1, linestyle=":")
    axes.annotate(
        "an answer that never changes", (1, report["frozen"]), xycoords=("axes fraction", "data"), textcoords="offset points",
        xytext=(-4, 4), ha="right", fontsize=8,
    )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlim(0, 1.12 * max(float(row[key]) * factor for row in (*rows, *scaled)))
    axes.grid(True, which="major", alpha=0.3)


def _line(rows: Sequence[Mapping[str, Any]], key: str, factor: float) -> tuple[list[float], list[float]]:
    places = [_place(row, key, factor) for row in rows]
    return [x for x, _ in places], [y for _, y in places]


def _place(row: Mapping[str, Any], key: str, factor: float) -> tuple[float, float]:
    return float(row[key]) * factor, max(float(row["disagreement"]), _LEAST)
