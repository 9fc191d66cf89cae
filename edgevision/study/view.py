"""The demo's terminal: what is happening now, and at the end truth against found. In: inspections, a report. Keeps the last events."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from edgevision.records import Inspection
from edgevision.study.timings import Timings
from edgevision.study.truth import Score

REFRESH_S = 0.2
BARS = "▁▂▃▄▅▆▇█"
COLOURS = MappingProxyType({"OK": "green", "NG": "red", "WARN": "yellow", "NOT_INSPECTED": "magenta"})


class DemoView:
    """Draws while the demo runs. On a pipe it prints one line every five seconds of line time; when quiet it draws nothing."""

    def __init__(self, console: Console | None, live: Live | None):
        self._console = console
        self._live = live
        self._events: deque[str] = deque(maxlen=8)
        self._due_s = 0.0

    @classmethod
    @contextmanager
    def opened(cls, is_quiet: bool) -> Iterator[Self]:
        """The view for the length of a run."""
        if is_quiet:
            yield cls(None, None)
            return
        console = Console()
        with Live(console=console, refresh_per_second=5, transient=True) as live:
            yield cls(console, live if console.is_terminal else None)

    def show(self, frames: int, inspection: Inspection, timings: Timings, stats: Any) -> None:
        """Draw the state after one inspection, a few times a second."""
        for event in inspection.events:
            what = f"{event.phase:6} {event.defect.region.label} {event.defect.region.score:.2f}  {event.reason or ''}"
            self._events.append(f"[{COLOURS[event.verdict]}]{inspection.frame_seq:6d}  {what}[/]")
        now_s = time.monotonic()
        if self._console is None or now_s < self._due_s:
            return
        self._due_s = now_s + (REFRESH_S if self._live else 5.0)
        if self._live:
            self._live.update(self._drawing(frames, inspection, timings, stats))
        else:
            self._console.print(f"frame {inspection.frame_seq + 1} of {frames}, {stats.committed} messages, {stats.acked} acked")

    def _drawing(self, frames: int, inspection: Inspection, timings: Timings, stats: Any) -> Panel:
        done = inspection.frame_seq + 1
        state = Table.grid(padding=(0, 2))
        state.add_row("frames", ProgressBar(total=frames, completed=done, width=40), f"{done} of {frames}")
        state.add_row("verdict", Text(inspection.verdict, style=f"bold {COLOURS[inspection.verdict]}"), inspection.reason or "")
        state.add_row("live share", f"{inspection.live_fraction:.2%}", sparkline(timings.live[-40:]))
        state.add_row("stages", " ".join(f"{stage} {lap:.1f}" for stage, lap in inspection.timing_ms.items()), "ms")
        state.add_row("compare + recompute", f"{np.mean(timings.selective):.1f} ms mean" if timings.selective else "", "")
        state.add_row("dense OpenVINO", *speeds(timings))
        state.add_row("outbox", f"{stats.committed} committed, {stats.acked} acknowledged", "")
        return Panel(Group(state, Text("events", style="dim"), *map(Text.from_markup, self._events)), title="edgevision demo")

    def finish(self, report: Mapping[str, Any], score: Score, out: Path) -> None:
        """Print truth against found, and the figures of the run."""
        if self._console is None:
            return
        self._console.print(truth_table(score))
        self._console.print(
            f"{report['frames']} frames, {report['false_alarms']} false alarms, {report['repeated']} repeated; "
            f"{report['events_committed']} messages committed, {report['events_acked']} acknowledged\n"
            f"live share {report['live_fraction_mean']:.2%} mean, {report['live_fraction_median']:.2%} median; "
            f"compare + recompute {report['selective_ms_mean']:.2f} ms mean over all frames "
            f"(p50 {report['selective_ms_p50']:.2f}, p99 {report['selective_ms_p99']:.2f}), {report['threads']} thread(s)\n"
            f"dense OpenVINO f32 {report['dense_f32_ms_p50']:.1f} ms: [bold]{report['speedup_f32']:.1f}x[/], "
            f"its default precision {report['dense_default_ms_p50']:.1f} ms: [bold]{report['speedup_default']:.1f}x[/]\n"
            f"pictures of the events: {out}"
        )


def speeds(timings: Timings) -> tuple[str, str]:
    """The reference's times and how many times faster the mean frame is."""
    if not timings.dense_f32:
        return "", ""
    mean_ms = float(np.mean(timings.selective))
    f32_ms, default_ms = float(np.median(timings.dense_f32)), float(np.median(timings.dense_default))
    return f"f32 {f32_ms:.1f} ms, default {default_ms:.1f} ms", f"{f32_ms / mean_ms:.1f}x and {default_ms / mean_ms:.1f}x faster"


def sparkline(values: list[float]) -> str:
    """A line of block characters, the highest value full."""
    top = max(values, default=0.0) or 1.0
    return "".join(BARS[min(7, int(value / top * 7.99))] for value in values)


def truth_table(score: Score) -> Table:
    """A row a label: how many there were, found, missed, their sizes and contrasts."""
    table = Table(title="truth against found")
    for column in ("defect", "truth", "found", "missed", "area px (min-max)", "contrast (min-max)"):
        table.add_column(column, justify="left" if column == "defect" else "right")
    found = {defect.id for defect in score.found}
    for label in sorted({defect.label for defect in score.truth}):
        of_label = [defect for defect in score.truth if defect.label == label]
        hits = sum(defect.id in found for defect in of_label)
        areas, contrasts = [defect.area_px for defect in of_label], [defect.contrast for defect in of_label]
        table.add_row(
            label,
            str(len(of_label)),
            str(hits),
            str(len(of_label) - hits),
            f"{min(areas)}-{max(areas)}",
            f"{min(contrasts):.0f}-{max(contrasts):.0f}",
        )
    for defect in score.missed:
        table.add_row(f"missed {defect.id}", "", "", "", str(defect.area_px), f"{defect.contrast:.0f}", style="red")
    return table
