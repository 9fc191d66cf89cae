"""Plots as SVG text that stands inside a page: no library, no file beside it, sharp on any screen. In: series. Out: markup. Keeps nothing.

A chart is `WIDTH` x `HEIGHT` units whatever the data, so that its letters stay readable when a page shows it on a telephone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np

WIDTH, HEIGHT = 460, 290
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 14, 46
LEGEND_ROW = 18
CHARACTER = 6.3  # about how wide a letter of the legend is
BLUE, ORANGE, GREEN, RED, GRAY, PURPLE = "#1f5fbf", "#c8741a", "#2e8b57", "#c62828", "#7a8594", "#7b4fa3"
TICKS = 5
_GRID, _INK = "#e4e8ee", "#3b4654"

Point = tuple[float, float]
Form = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Axis:
    """What runs along one side. `ends` None: as the data asks. `form` writes a tick."""

    label: str
    form: Form
    is_log: bool = False
    ends: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Points in a row, drawn as a `line`, as `dots`, as `bars` from the bottom, or as an `area` under a line."""

    name: str
    points: Sequence[Point]
    kind: Literal["line", "dots", "bars", "area"] = "line"
    colour: str = BLUE


@dataclass(frozen=True, slots=True)
class Mark:
    """A dashed line across the chart with a word beside it: upright at `x`, or level at `y`."""

    text: str
    x: float | None = None
    y: float | None = None
    colour: str = RED


def share(value: float) -> str:
    """A share as a percentage, with as many digits as it needs."""
    percent = value * 100
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def number(value: float) -> str:
    """A number as people write it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:g}" if abs(value) < 1e-3 else f"{value:.3g}"


def chart(series: Sequence[Series], x: Axis, y: Axis, marks: Sequence[Mark] = ()) -> str:
    """The SVG. On a logarithmic axis a point that is not above 0 stands at its lower end."""
    legend, rows = _legend([one for one in series if one.name])
    top = TOP + LEGEND_ROW * rows
    columns = _Scale(x, [*(point[0] for one in series for point in one.points), *_room(series, x.is_log)], (LEFT, WIDTH - RIGHT))
    levels = _Scale(y, [point[1] for one in series for point in one.points], (HEIGHT - BOTTOM, top))
    parts = [legend, *_grid(columns, levels, top)]
    parts += [_drawn(one, columns, levels) for one in series if one.points]
    parts += [_marked(mark, columns, levels, top + 14 * place) for place, mark in enumerate(marks)]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x.label, "middle"))
    middle = (top + HEIGHT - BOTTOM) / 2
    parts.append(f'<text transform="translate(13 {middle:.1f}) rotate(-90)" text-anchor="middle" fill="{_INK}">{escape(y.label)}</text>')
    label = escape(f"{y.label} over {x.label}", quote=True)
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" font-size="12" font-family="inherit">{body}</svg>'


def _room(series: Sequence[Series], is_log: bool) -> list[float]:
    """Half a bar's room beside the first and the last bar."""
    places = sorted({point[0] for one in series if one.kind == "bars" for point in one.points})
    if len(places) < 2:
        return []
    if is_log:
        return [places[0] ** 1.5 / places[1] ** 0.5, places[-1] ** 1.5 / places[-2] ** 0.5] if places[0] > 0 else []
    return [1.5 * places[0] - 0.5 * places[1], 1.5 * places[-1] - 0.5 * places[-2]]


class _Scale:
    """From an axis' values to places in the drawing."""

    def __init__(self, axis: Axis, values: Sequence[float], pixels: tuple[float, float]) -> None:
        self.axis, self._pixels = axis, pixels
        finite = [value for value in values if math.isfinite(value) and (value > 0 or not axis.is_log)]
        low, high = axis.ends or (min(finite, default=0.0), max(finite, default=1.0))
        if axis.is_log:
            low = max(low, high * 1e-9) if high > 0 else 1e-3
            high = max(high, low * 1.5)
        elif axis.ends is None:
            low = 0.0 if low > 0 and low < 0.6 * high else low
            high = high if high > low else low + max(1.0, abs(low) * 0.1)
        self.low, self.high = low, high
        self._ends = (math.log10(low), math.log10(high)) if axis.is_log else (low, high)

    def at(self, value: float) -> float:
        """Where a value lies; what is beyond an end lies on it."""
        value = min(max(value, self.low), self.high) if math.isfinite(value) else self.high
        value = math.log10(value) if self.axis.is_log else value
        share_of = (value - self._ends[0]) / (self._ends[1] - self._ends[0])
        return self._pixels[0] + share_of * (self._pixels[1] - self._pixels[0])

    def ticks(self) -> list[float]:
        """Round values inside the ends."""
        if not self.axis.is_log:
            return linear_ticks(self.low, self.high)
        first, last = math.ceil(self._ends[0] - 1e-9), math.floor(self._ends[1] + 1e-9)
        decades = [10.0**k for k in range(first, last + 1)]
        if len(decades) > 2:
            return decades[:: 1 + len(decades) // 7]
        steps = [factor * 10.0**k for k in range(first - 1, last + 1) for factor in (1, 2, 3, 5)]
        return [step for step in steps if self.low <= step <= self.high]


def linear_ticks(low: float, high: float) -> list[float]:
    """About TICKS values of 1, 2 or 5 times a power of ten between two ends."""
    rough = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _legend(series: Sequence[Series]) -> tuple[str, int]:
    """The names in rows above the plot, and how many rows; none for a single series."""
    if len(series) < 2:
        return "", 0
    parts, left, row = [], float(LEFT), 0
    for one in series:
        width = 20 + CHARACTER * len(one.name) + 12
        if left + width > WIDTH and left > LEFT:
            left, row = float(LEFT), row + 1
        top = 5 + LEGEND_ROW * row
        parts.append(f'<rect x="{left:.0f}" y="{top}" width="12" height="8" rx="2" fill="{one.colour}"/>')
        parts.append(_text(left + 17, top + 8.5, one.name))
        left += width
    return "".join(parts), row + 1


def _grid(columns: _Scale, levels: _Scale, top: float) -> list[str]:
    parts = []
    for tick in levels.ticks():
        level = levels.at(tick)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}" stroke="{_GRID}"/>')
        parts.append(_text(LEFT - 6, level + 4, levels.axis.form(tick), "end"))
    for tick in columns.ticks():
        column = columns.at(tick)
        parts.append(f'<line x1="{column:.1f}" x2="{column:.1f}" y1="{top}" y2="{HEIGHT - BOTTOM}" stroke="{_GRID}"/>')
        parts.append(_text(column, HEIGHT - BOTTOM + 16, columns.axis.form(tick), "middle"))
    parts.append(f'<path d="M{LEFT} {top}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="{_INK}"/>')
    return parts


def _drawn(series: Series, columns: _Scale, levels: _Scale) -> str:
    places = [(columns.at(a), levels.at(b)) for a, b in series.points]
    bottom = HEIGHT - BOTTOM
    if series.kind == "dots":
        return "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{series.colour}" fill-opacity="0.75"/>' for a, b in places)
    if series.kind == "bars":
        gaps = np.diff(sorted({round(a, 2) for a, _ in places}))
        width = min(40.0, 0.86 * float(gaps.min())) if gaps.size else 24.0
        return "".join(
            f'<rect x="{a - width / 2:.1f}" y="{b:.1f}" width="{width:.1f}" height="{max(0.0, bottom - b):.1f}" fill="{series.colour}"'
            ' fill-opacity="0.8"/>'
            for a, b in places
        )
    path = "L".join(f"{a:.1f} {b:.1f}" for a, b in places)
    if series.kind == "area":
        closed = f"M{places[0][0]:.1f} {bottom}L{path}L{places[-1][0]:.1f} {bottom}Z"
        return f'<path d="{closed}" fill="{series.colour}" fill-opacity="0.35" stroke="{series.colour}" stroke-width="1"/>'
    dots = "".join(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{series.colour}"/>' for a, b in places) if len(places) <= 24 else ""
    return f'<path d="M{path}" fill="none" stroke="{series.colour}" stroke-width="2" stroke-linejoin="round"/>{dots}'


def _marked(mark: Mark, columns: _Scale, levels: _Scale, top: float) -> str:
    style = f'stroke="{mark.colour}" stroke-width="1.5" stroke-dasharray="5 4"'
    if mark.x is not None:
        column = columns.at(mark.x)
        is_right = column > (LEFT + WIDTH) * 0.6
        word = _text(column + (-5 if is_right else 5), top + 12, mark.text, "end" if is_right else "start", mark.colour)
        return f'<line x1="{column:.1f}" x2="{column:.1f}" y1="{top:.0f}" y2="{HEIGHT - BOTTOM}" {style}/>{word}'
    level = levels.at(mark.y or 0.0)
    word = _text(WIDTH - RIGHT - 4, level - 5 if level > top + 16 else level + 14, mark.text, "end", mark.colour)
    return f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" y2="{level:.1f}" {style}/>{word}'


def _text(x: float, y: float, words: str, anchor: str = "start", colour: str = _INK) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'
