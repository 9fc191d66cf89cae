"""The verbs about a running or stopped service: `outbox ...`, `rollout`, `doctor`. In: the command line's grammar. Out: it with these."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgevision.errors import InputError

AddVerb = Callable[[Any, str, Callable[[argparse.Namespace], int] | None, str], argparse.ArgumentParser]
STATES = ("pending", "aside", "acked", "gaps")
STEPS = ("status", "share", "back", "commit")
_WHICH = "the YAML file that the service runs, or an outbox file"


def add_service_verbs(verbs: Any, add: AddVerb) -> None:
    """Add them to `verbs` with `add(verbs, name, function, text)`."""
    outbox = add(verbs, "outbox", None, "look at the messages that wait on disk, and act on them").add_subparsers(
        required=True, metavar="VERB"
    )
    stats = add(outbox, "stats", _stats, "print how much waits, was set aside, delivered and dropped")
    listed = add(outbox, "list", _list, "print messages, oldest first, or the gaps on record")
    verify = add(outbox, "verify", _verify, "check the file page by page and message by message; exit 1 when something is wrong")
    export = add(outbox, "export", _export, "write messages as lines of JSON")
    drain = add(outbox, "drain", _drain, "send what waits, also while no service runs")
    retry = add(outbox, "retry", _retry, "send again what was set aside because the broker would never take it")
    for verb in (stats, listed, verify, export, retry):
        verb.add_argument("config", type=Path, metavar="CONFIG", help=_WHICH)
    for verb in (listed, export):
        verb.add_argument("--state", choices=STATES, default="pending", help="which (default pending: what waits; acked is the history)")
    listed.add_argument("--limit", type=int, default=100, metavar="N", help="at most N (default 100; -1: all)")
    export.add_argument("--out", type=Path, metavar="FILE.jsonl", help="a file (default: standard output)")
    drain.add_argument("config", type=Path, metavar="CONFIG", help="the YAML file that the service runs")
    drain.add_argument("--patience", type=float, default=30.0, metavar="S", help="give up when nothing goes for so long (default 30)")
    rollout = add(verbs, "rollout", _rollout, "let a candidate judge a share of the parts, then all, or none; see how it does")
    rollout.add_argument("config", type=Path, metavar="CONFIG", help="the YAML file that the service runs")
    steps = "status: how it compares; share X: it judges that share; back: none; commit: write it into the file"
    rollout.add_argument("step", choices=STEPS, help=steps)
    rollout.add_argument("share", type=float, nargs="?", metavar="X", help="with share: from 0 to 1")
    rollout.add_argument("--camera", metavar="ID", help="which camera; not needed where there is only one")
    rollout.add_argument("--anyway", action="store_true", help="with share: although it judged too many parts otherwise")
    doctor = add(verbs, "doctor", _doctor, "look at what stands in the way: broker and its rights, clock, cameras, CPU, disk, outbox")
    doctor.add_argument("config", type=Path, nargs="?", metavar="CONFIG", help="the YAML file; without it, only the computer is looked at")
    for verb in (stats, listed, verify, drain, retry, rollout, doctor):
        verb.add_argument("--json", action="store_true", help="print JSON")


def _stats(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.outbox_verbs import stats_report, stats_text

    report = stats_report(arguments.config)
    print(json.dumps(report) if arguments.json else stats_text(report))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.outbox_verbs import as_line, list_messages

    for message in list_messages(arguments.config, arguments.state, arguments.limit):
        print(json.dumps(message) if arguments.json else as_line(message))
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.outbox_verbs import verify_report

    report = verify_report(arguments.config)
    if arguments.json:
        print(json.dumps(report))
    else:
        print("\n".join(report["findings"]) or f"{report['path']}: sound")
    return 0 if report["ok"] else 1


def _export(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.outbox_verbs import list_messages, write_export

    messages = list_messages(arguments.config, arguments.state, -1)
    if arguments.out is None:
        write_export(messages, sys.stdout.write)
        return 0
    try:
        with arguments.out.open("x", encoding="utf-8") as file:
            count = write_export(messages, file.write)
    except OSError as error:
        raise InputError(f"{arguments.out}: {error.strerror}; name a new file in a folder that can be written, with --out") from error
    print(f"{count} messages in {arguments.out}", file=sys.stderr)
    return 0


def _drain(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.outbox_verbs import drain_outbox

    count = drain_outbox(arguments.config, arguments.patience, is_quiet=arguments.json)
    print(json.dumps({"sent": count}) if arguments.json else f"{count} messages sent, none waits")
    return 0


def _retry(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.outbox_verbs import retry_aside

    count = retry_aside(arguments.config)
    print(json.dumps({"queued": count}) if arguments.json else f"{count} messages that were set aside will be sent again")
    return 0


def _rollout(arguments: argparse.Namespace) -> int:
    from edgevision.daemon import rollout_verbs

    config, camera, step = arguments.config, arguments.camera, arguments.step
    if (step == "share") != (arguments.share is not None):
        raise InputError("a share goes with the step `share`, which needs one: edgevision rollout CONFIG share 0.2")
    if arguments.share is not None and not 0 <= arguments.share <= 1:
        raise InputError(f"share is {arguments.share:g}; it must be from 0 to 1")
    if step == "status":
        report = rollout_verbs.status(config, camera)
        print(json.dumps(report) if arguments.json else rollout_verbs.status_text(report))
        return 0
    if step == "commit":
        report = rollout_verbs.commit(config, camera)
        said = [f"{path}: {value}" for path, value in report["written"].items()] + ([report["note"]] if "note" in report else [])
    else:
        report = (
            rollout_verbs.back(config, camera) if step == "back" else rollout_verbs.share(config, camera, arguments.share, arguments.anyway)
        )
        said = [f"{report['camera']}: the candidate judges {report['share']:.0%} of the parts"]
    print(json.dumps(report) if arguments.json else "\n".join(said))
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.doctor import doctor, report_lines

    report = doctor(arguments.config)
    print(json.dumps(report) if arguments.json else "\n".join(report_lines(report)))
    return int(report["exit_code"])
