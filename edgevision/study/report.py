"""A report as one HTML file that needs nothing beside it: what stands on it, in which order, in which dress. In: text, plots, pictures.

Out: markup, and the file. Keeps nothing. All words are escaped here; what is called markup in a name has been.
"""

from __future__ import annotations

import base64
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision import __version__
from edgevision.errors import InputError
from edgevision.records import Image
from edgevision.study.picture import colour

WIDEST_PX = 900
JPEG_QUALITY = 82
LEAST_HEAT = 0.04
LONG_CELL = 30
Level = Literal["good", "fair", "poor", "plain"]

_STYLE = """
:root{color-scheme:light}*{box-sizing:border-box}
body{margin:0;background:#f4f6f9;color:#1d2733;font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
main{max-width:1040px;margin:0 auto;padding:20px 16px 48px}
header p,.foot{color:#56616f}h1{font-size:1.65rem;line-height:1.2;margin:.2em 0}h2{font-size:1.2rem;margin:0 0 .4em}
section{background:#fff;border:1px solid #e0e5ec;border-radius:10px;padding:16px 18px;margin:16px 0}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(200px,1fr));gap:12px;margin:16px 0}
.card{background:#fff;border:1px solid #e0e5ec;border-left:6px solid #9aa5b3;border-radius:10px;padding:12px 14px}
.card b{display:block;font-size:1.55rem;line-height:1.2}.card span{color:#56616f;font-size:.92rem}
.good{border-left-color:#2e8b57}.fair{border-left-color:#d99a1c}.poor{border-left-color:#c62828}
.note{border-left:5px solid #9aa5b3;background:#f7f9fb;border-radius:6px;padding:8px 12px;margin:10px 0}
.note.good{border-color:#2e8b57}.note.fair{border-color:#d99a1c}.note.poor{border-color:#c62828}
.steps{margin:10px 0;padding-left:1.6em}.steps li{margin:8px 0}.steps pre{margin:4px 0}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));gap:16px;margin-top:10px}
figure{margin:0;min-width:0;max-width:560px}figure svg,figure img{width:100%;height:auto;display:block}figure img{border-radius:6px}
figcaption{color:#56616f;font-size:.9rem;margin-top:4px}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.93rem;margin:8px 0}
th,td{padding:5px 10px;text-align:right;border-bottom:1px solid #e8ecf1;white-space:nowrap}
th:first-child,td:first-child{text-align:left;white-space:normal;min-width:9em}
th{color:#56616f;font-weight:600;vertical-align:bottom;white-space:normal}
td.words,th.words{text-align:left;white-space:normal;min-width:16em}
tr.us td{font-weight:700;background:#eef4fc}
pre{background:#f1f4f8;border-radius:6px;padding:10px 12px;font-size:.88rem;
white-space:pre-wrap;overflow-wrap:anywhere}
code{background:#f1f4f8;padding:0 .25em}
pre code{padding:0}
"""


@dataclass(frozen=True, slots=True)
class Card:
    """One figure that a reader takes away, and what it says."""

    figure: str
    words: str
    level: Level = "plain"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, one sentence on what is to be seen, and markup in order."""

    heading: str
    explanation: str
    markup: Sequence[str]


def page(title: str, subtitle: str, cards: Sequence[Card], sections: Sequence[Section]) -> str:
    """The whole file."""
    body = "".join(_section(one) for one in sections)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>"
        f'<div class="cards">{"".join(_card(one) for one in cards)}</div>{body}'
        f'<p class="foot">Made by edgevision {escape(__version__)}. This file needs no internet and can be sent as it is.</p>'
        "</main></body></html>\n"
    )


def _card(card: Card) -> str:
    return f'<div class="card {card.level}"><b>{escape(card.figure)}</b><span>{escape(card.words)}</span></div>'


def _section(section: Section) -> str:
    return f"<section><h2>{escape(section.heading)}</h2><p>{escape(section.explanation)}</p>{''.join(section.markup)}</section>"


def note(words: str, level: Level = "plain") -> str:
    """A sentence that stands out."""
    return f'<p class="note {level}">{escape(words)}</p>'


def steps(what: Sequence[tuple[str, str]]) -> str:
    """What to do, in order: words, and a command or lines to be copied with them, or none."""
    items = "".join(f"<li>{escape(words)}{listing(lines) if lines else ''}</li>" for words, lines in what)
    return f'<ol class="steps">{items}</ol>'


def listing(lines: str) -> str:
    """Text to be copied, as it is."""
    return f"<pre><code>{escape(lines)}</code></pre>"


def figures(*markup: str) -> str:
    """Figures side by side where there is room."""
    return f'<div class="figures">{"".join(markup)}</div>'


def plot(svg_markup: str, caption: str) -> str:
    """A chart with what it shows."""
    return f"<figure>{svg_markup}<figcaption>{escape(caption)}</figcaption></figure>"


def picture(image: Image, caption: str) -> str:
    """A picture (H, W[, 3]), made small enough and put into the page itself."""
    shown = colour(image)
    if shown.shape[1] > WIDEST_PX:
        height = round(shown.shape[0] * WIDEST_PX / shown.shape[1])
        shown = np.asarray(cv2.resize(shown, (WIDEST_PX, height), interpolation=cv2.INTER_AREA), np.uint8)
    _, packed = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    source = base64.b64encode(packed.tobytes()).decode()
    alt = escape(caption, quote=True)
    return f'<figure><img src="data:image/jpeg;base64,{source}" alt="{alt}"><figcaption>{escape(caption)}</figcaption></figure>'


def tables(*markup: str) -> str:
    """Small tables side by side where there is room."""
    return figures(*(f"<figure>{one}</figure>" for one in markup))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], marked: Sequence[int] = ()) -> str:
    """Rows under a head; the marked ones stand out."""
    wide = [' class="words"' if any(len(row[column]) > LONG_CELL for row in rows) else "" for column in range(len(head))]
    lines = [f"<tr>{''.join(f'<th{kind}>{escape(cell)}</th>' for kind, cell in zip(wide, head, strict=True))}</tr>"]
    for place, row in enumerate(rows):
        marking = ' class="us"' if place in marked else ""
        lines.append(f"<tr{marking}>{''.join(f'<td{kind}>{escape(cell)}</td>' for kind, cell in zip(wide, row, strict=True))}</tr>")
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def heat_over(image: Image, heat: NDArray[Any]) -> NDArray[np.uint8]:
    """The picture (H, W[, C]) in gray with `heat` (H, W), from 0 to 1, laid over it from yellow to red, ever denser."""
    gray = cv2.cvtColor(cv2.cvtColor(colour(image), cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR).astype(np.float32)
    strength = np.clip(np.asarray(heat, np.float32), 0, 1)
    tint = np.zeros_like(gray)
    tint[..., 1] = 220 * (1 - strength)
    tint[..., 2] = 255 - 35 * strength
    weight = np.where(strength > LEAST_HEAT, 0.15 + 0.65 * strength, 0)[..., None]
    return np.asarray(gray * (1 - weight) + tint * weight, np.uint8)


def check_page(path: Path) -> None:
    """Raises InputError, before any work is done for it, where the report could not be written."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: the report is an HTML file; name it FILE.html, with --out")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path}: cannot be written; name a file in a folder that is there and may be written, with --out")


def write_whole(path: Path, text: str) -> None:
    """The file whole or not at all: what was there stays until the new one is on disk. Raises InputError when it cannot be written."""
    draft: Path | None = None
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            draft = Path(file.name)
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    except OSError as error:
        if draft is not None:
            draft.unlink(missing_ok=True)
        raise InputError(f"{path}: {error.strerror}; make room, or name a file in a folder that may be written") from error
