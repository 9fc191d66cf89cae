"""`edgevision outbox ...`: look at the outbox and act on it, whether or not the service runs. In: a configuration. Out: reports, lines."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from edgevision.config import load
from edgevision.errors import Unavailable
from edgevision.publish.drain import drain
from edgevision.publish.ledger import Ledger, is_in_use
from edgevision.publish.orders import leave_retry
from edgevision.publish.outbox import Outbox
from edgevision.publish.topics import Topics

log = logging.getLogger("edgevision")

WAIT_S = 10.0
LOOK_S = 0.1


def outbox_path(given: Path) -> Path:
    """The outbox that a configuration names, or the file itself. Raises ConfigError."""
    return load(given).node.state_dir / "outbox.sqlite" if given.suffix in (".yaml", ".yml") else given


def stats_report(given: Path) -> dict[str, Any]:
    """The numbers of `outbox stats`. Raises Unavailable when there is no outbox."""
    with Ledger(outbox_path(given)) as ledger:
        return ledger.stats(time.time())


def stats_text(stats: dict[str, Any]) -> str:
    """The same for a person."""
    pending, aside, acked, totals = stats["pending"], stats["aside"], stats["acked"], stats["totals"]
    use = "open in a running service" if stats["is_in_use"] else "no service has it open"
    lines = [
        f"{stats['path']}: {use}",
        f"waiting    {pending['messages']} messages, {_size(pending['bytes'])}, the oldest for {stats['oldest_age_s']:g} s",
        f"set aside  {aside['messages']} messages, {_size(aside['bytes'])}",
        f"history    {acked['messages']} delivered messages, {_size(acked['bytes'])}",
    ]
    lines += [f"  {lane['camera'] or 'node'} {lane['lane']}: {lane['messages']} from {lane['first_seq']} on" for lane in stats["lanes"]]
    if totals:
        dropped = ", ".join(f"{totals[f'dropped_{rank}']} {rank}" for rank in ("health", "ok", "warn", "ng"))
        lines.append(f"since ever {totals['committed']} committed, {totals['acked']} delivered, dropped: {dropped}")
    lines.append(f"gaps       {stats['gaps']} on record" + (" (`edgevision outbox list --state gaps`)" if stats["gaps"] else ""))
    lines += [f"broken     {name} was set aside" for name in stats["broken_files"]]
    return "\n".join(lines)


def list_messages(given: Path, state: str, limit: int) -> Iterator[dict[str, Any]]:
    """What `outbox list` and `outbox export` show: messages of a state, oldest first, or the gaps on record."""
    with Ledger(outbox_path(given)) as ledger:
        if state == "gaps":
            yield from ledger.gaps()[-limit if limit >= 0 else None :]
        else:
            yield from ledger.messages(state, limit)


def as_line(message: dict[str, Any]) -> str:
    """One message or gap as a person reads it."""
    if "lost" in message:
        span = f"{message['first_seq']} to {message['last_seq']}"
        lost = f"{message['lost']} {message['rank']}" if message["lost"] else "number not known"
        return f"{_time(message['noted_s'])}  {message['camera'] or 'node'}  messages {span} ({lost}): {message['reason']}"
    body = message["body"] if isinstance(message["body"], dict) else {}
    what = " ".join(str(body[name]) for name in ("type", "verdict", "part_id") if body.get(name))
    why = f"  ({message['reason']})" if message["reason"] else ""
    where = f"{message['lane']:7}  {message['rank']:6}  {message['topic']}"
    return f"{message['seq']:>8}  {_time(message['committed_s'])}  {where}  {what}{why}"


def verify_report(given: Path) -> dict[str, Any]:
    """What `outbox verify` found."""
    with Ledger(outbox_path(given)) as ledger:
        findings = ledger.verify()
        return {"path": str(ledger.path), "ok": not findings, "findings": findings}


def retry_aside(given: Path) -> int:
    """Send again what was set aside: by the running service, or else at its next start. How many messages.

    Raises Unavailable when the service does not take it up.
    """
    path = outbox_path(given)
    with Ledger(path) as ledger:
        count: int = ledger.stats(time.time())["aside"]["messages"]
    if not is_in_use(path):
        outbox = Outbox(path, tell=_tell)
        try:
            return outbox.retry()
        finally:
            outbox.close()
    order = leave_retry(path)
    if not _comes_true(lambda: not order.exists(), WAIT_S):
        raise Unavailable(f"outbox {path}: the service did not take this up within {WAIT_S:g} s; see its log")
    return count


def drain_outbox(given: Path, patience_s: float, is_quiet: bool) -> int:
    """Send what waits: wait for the running service to do so, or do it here. How many messages went.

    Raises Unavailable when nothing moves for `patience_s`.
    """
    config = load(given)
    path = config.node.state_dir / "outbox.sqlite"
    if not is_in_use(path):
        outbox = Outbox(path, config.outbox, tell=_tell)
        try:
            with _bar(outbox.stats().pending, is_quiet) as progress:
                return drain(config.mqtt, Topics(config.mqtt.base, config.node.id), outbox, patience_s, progress)
        finally:
            outbox.close()
    with Ledger(path) as ledger, _bar(_waiting(ledger), is_quiet) as progress:
        return _watch(ledger, patience_s, progress)


def _watch(ledger: Ledger, patience_s: float, progress: Callable[[int], object]) -> int:
    """Wait until the service has sent everything; how many messages there were."""
    total = least = _waiting(ledger)
    moved_s = time.monotonic()
    while waiting := _waiting(ledger):
        progress(waiting)
        if waiting < least:
            least, moved_s = waiting, time.monotonic()
        if time.monotonic() - moved_s > patience_s:
            raise Unavailable(f"{ledger.path}: {waiting} messages wait, and none went for {patience_s:g} s; `edgevision doctor` says why")
        time.sleep(LOOK_S)
    return total


def _waiting(ledger: Ledger) -> int:
    count: int = ledger.stats(time.time())["pending"]["messages"]
    return count


def _comes_true(condition: Callable[[], bool], timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(LOOK_S)
    return True


@contextmanager
def _bar(total: int, is_quiet: bool) -> Iterator[Callable[[int], object]]:
    """Yields a function that is told how many messages are left; draws on a terminal only."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("sending"), BarColumn(), MofNCompleteColumn(), console=console, transient=True,
        disable=is_quiet or not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("sending", total=total)
        yield lambda left: bar.update(task, completed=max(0, total - left))


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _time(ts: float) -> str:
    return datetime.fromtimestamp(ts, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _tell(level: str, text: str) -> None:
    log.log(logging.getLevelNamesMapping()[level.upper()], "%s", text)


def write_export(messages: Iterator[dict[str, Any]], out: Callable[[str], object]) -> int:
    """One line of JSON a message; how many."""
    count = 0
    for message in messages:
        out(json.dumps(message) + "\n")
        count += 1
    return count
