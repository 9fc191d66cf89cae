"""Events as they are published, for a person at a terminal or a script. In: the broker. Out: a line an event on standard output."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console
from rich.markup import escape

from edgevision.config import load
from edgevision.publish.connection import MqttSettings
from edgevision.publish.mqtt import tail

COLOURS = MappingProxyType({"OK": "green", "NG": "red", "WARN": "yellow", "NOT_INSPECTED": "magenta"})


def tail_events(config: Path | None, count: int | None, as_json: bool) -> None:
    """Print events and results until `count` were seen or the user stops. Raises Unavailable when the broker cannot be reached."""
    if config is None:
        settings, node = MqttSettings(), "+"
    else:
        loaded = load(config)
        settings, node = loaded.mqtt, loaded.node.id
    console = Console(soft_wrap=True)
    filters = [f"{settings.base}/{node}/+/event", f"{settings.base}/{node}/+/result"]
    seen = 0

    def show(topic: str, payload: bytes) -> None:
        nonlocal seen
        if count is not None and seen >= count:
            return
        seen += 1
        if as_json:
            print(payload.decode(errors="replace"), flush=True)
        else:
            console.print(as_line(topic, payload))

    tail(settings, filters, show, lambda: count is not None and seen >= count)


def as_line(topic: str, payload: bytes) -> str:
    """One event as a person reads it."""
    try:
        body: dict[str, Any] = json.loads(payload)
        if body["type"] == "gap":
            lost = ", ".join(f"{count} {rank}" for rank, count in body["lost"].items())
            text = f"messages {body['first_seq']} to {body['last_seq']} will never come ({lost or 'number not known'}): {body['reason']}"
            return f"{escape(str(body['ts_result']))}  {escape(str(body['camera'])):12} [red]GAP[/]  {escape(text)}"
        verdict = str(body["verdict"])
        if body["type"] == "notice":
            head = f"{escape(str(body['ts_capture']))}  {escape(str(body['camera'])):12}"
            return f"{head} [{COLOURS.get(verdict, 'white')}]{escape(f'{verdict:4}')}[/] {escape(str(body['text']))}"
        part = f"part {body['part_id']}  " if body.get("part_id") else ""
        defects = ", ".join(f"{defect['label']} {defect['score']:.2f} at {defect['box_px']}" for defect in body["defects"])
        why = body.get("reason") or ""
        what = escape(f"{body['type']:6} {part}{defects}{f' ({why})' if defects and why else why}".rstrip())
        colour = COLOURS.get(verdict, "white")
        return f"{escape(str(body['ts_capture']))}  {escape(str(body['camera'])):12} [{colour}]{escape(f'{verdict:4}')}[/] {what}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return escape(f"{topic}  {payload[:200]!r}")
