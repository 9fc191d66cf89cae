"""The status page as HTML and as JSON. In: a NodeView. Out: text, in which all that came from outside is escaped. Keeps nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from html import escape
from types import MappingProxyType
from typing import Any

from edgevision.records import Snapshot
from edgevision.web.view import NodeView

LATE_S = 60.0
NONE: Mapping[str, str] = MappingProxyType({})
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{node} - edgevision</title><link rel="stylesheet" href="/static/page.css">
<noscript><meta http-equiv="refresh" content="5"></noscript></head>
<body><main id="now">{now}</main><script src="/static/page.js"></script></body></html>
"""


def page_html(view: NodeView, pictures: Mapping[str, str] = NONE, now_s: float | None = None) -> str:
    """The whole page. `pictures` names the newest picture of each camera that has one."""
    return PAGE.format(node=escape(view.node), now=now_html(view, pictures, now_s))


def now_html(view: NodeView, pictures: Mapping[str, str] = NONE, now_s: float | None = None) -> str:
    """The part of the page that changes."""
    now_s = time.time() if now_s is None else now_s
    refused = "" if view.is_config_ok else ", a newer one was refused"
    cards = "".join(_card(snapshot, pictures.get(snapshot.camera), now_s) for snapshot in view.cameras.values())
    return (
        f'<header><h1>{escape(view.node)}</h1><p class="sub">edgevision {escape(view.version)}, up {_span(now_s - view.since_ts)},'
        f" configuration <code>{escape(view.config_sha256[:12])}</code>{refused}</p></header>{_alarms(view)}"
        f'<section class="tiles">{_tiles(view)}</section><section class="cards">{cards}</section>'
        f'<footer>{_time(now_s)} &middot; <a href="/metrics">metrics</a> &middot; <a href="/status.json">status.json</a></footer>'
    )


def _alarms(view: NodeView) -> str:
    if not view.alarms:
        return ""
    lines = "".join(f"<li>{escape(alarm)}</li>" for alarm in view.alarms)
    return f'<section class="alarms"><h2>Needs a person</h2><ul>{lines}</ul></section>'


def _tiles(view: NodeView) -> str:
    wanted = [snapshot for snapshot in view.cameras.values() if snapshot.availability != "disabled"]
    online = sum(snapshot.availability == "online" for snapshot in wanted)
    lost = sum(view.dropped.values())
    tiles = (
        ("Cameras", f"{online} of {len(wanted)}", "online", online == len(wanted)),
        ("Broker", "connected" if view.is_connected else "away", escape(view.broker), view.is_connected),
        ("Waiting", f"{view.waiting:,}", f"messages, the oldest for {_span(view.oldest_s)}", view.oldest_s < LATE_S),
        (
            "Delivered",
            f"{view.published.get('accepted', 0):,}",
            f"{view.set_aside:,} set aside, {lost:,} dropped",
            not view.set_aside + lost,
        ),
    )
    return "".join(_tile(*tile) for tile in tiles)


def status_json(view: NodeView) -> dict[str, Any]:
    """The same for programs."""
    plain = asdict(view)
    plain["cameras"] = {name: _plain(snapshot) for name, snapshot in view.cameras.items()}
    return plain


def _plain(snapshot: Snapshot) -> dict[str, Any]:
    last = snapshot.last
    return {
        "availability": snapshot.availability,
        "trouble": snapshot.trouble,
        "warnings": [*snapshot.warnings, *snapshot.notices.values()],
        "last": None
        if last is None
        else {"ts": last.ts, "verdict": last.verdict.value, "reason": last.reason, "part_id": last.part_id, "scene": last.scene.value},
        "counters": dict(snapshot.counters),
        "figures": dict(snapshot.figures),
        "verdicts": dict(snapshot.verdicts),
        "drops": dict(snapshot.drops),
        "reconnects": dict(snapshot.reconnects),
        "full_runs": dict(snapshot.full_runs),
    }


def _card(snapshot: Snapshot, picture: str | None, now_s: float) -> str:
    last, figures = snapshot.last, snapshot.figures
    verdict = last.verdict.value if last and snapshot.availability == "online" else "NONE"
    said = f"{escape(last.verdict.value)} {_span(now_s - last.ts)} ago" if last else "no verdict yet"
    rows = [
        ("verdicts", ", ".join(f"{count:,} {name}" for name, count in sorted(snapshot.verdicts.items())) or "none"),
        ("frames", f"{int(snapshot.counters.get('frames', 0)):,}{_drops(snapshot)}"),
        ("inspection", _ms(figures)),
        ("recomputed", f"{figures['live_fraction_mean']:.1%} of the picture" if "live_fraction_mean" in figures else "-"),
        ("scene", escape(last.scene.value.replace("_", " ")) if last else "-"),
    ]
    if last and last.part_id:
        rows.append(("part", escape(last.part_id)))
    table = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows)
    notes = [note for note in (snapshot.trouble, last.reason if last else None, *snapshot.warnings, *snapshot.notices.values()) if note]
    camera = escape(snapshot.camera)
    return (
        f'<article class="card {escape(snapshot.availability)} v-{verdict}"><h2>{camera}<span>{escape(snapshot.availability)}</span></h2>'
        f'<p class="said">{said}</p>{"".join(f"<p class=note>{escape(note)}</p>" for note in notes)}<table>{table}</table>'
        f"{_picture(snapshot.camera, picture)}</article>"
    )


def _picture(camera: str, name: str | None) -> str:
    if name is None:
        return ""
    place = escape(f"/pictures/{camera}/{name}")
    shown = f'<a href="{place}"><img src="{place}" alt="newest picture of {escape(camera)}"></a>'
    return f'{shown}<p class="sub">newest picture: {escape(_caption(name))}</p>'


def _caption(name: str) -> str:
    """Verdict and time, as the name of a picture tells them; the name itself where it tells neither."""
    found = re.fullmatch(r"(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)\d{3}Z-([A-Z_]+)-.*", name)
    if found is None:
        return name
    year, month, day, hour, minute, second, verdict = found.groups()
    return f"{verdict}, {year}-{month}-{day} {hour}:{minute}:{second} UTC"


def _tile(name: str, value: str, text: str, is_fine: bool) -> str:
    return f'<div class="tile {"" if is_fine else "bad"}"><h3>{name}</h3><p class="value">{value}</p><p class="sub">{text}</p></div>'


def _drops(snapshot: Snapshot) -> str:
    dropped = sum(snapshot.drops.values())
    if not dropped:
        return ""
    reasons = ", ".join(f"{count:,} {escape(reason)}" for reason, count in sorted(snapshot.drops.items()))
    return f", {dropped:,} dropped ({reasons})"


def _ms(figures: Any) -> str:
    if "total_ms_p50" not in figures:
        return "-"
    return f"{figures['total_ms_p50']:.1f} ms, p99 {figures['total_ms_p99']:.1f} ms"


def _span(seconds: float) -> str:
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _time(ts: float) -> str:
    return datetime.fromtimestamp(ts, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
