"""The command line: one function a verb, each a few lines over `daemon/` or `study/`.

Exit codes: 0 ok, 1 failed, 2 usage, 69 a dependency is unavailable, 78 bad configuration. An error is one line on standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edgevision import __version__
from edgevision.errors import EdgevisionError
from edgevision.learn_verbs import add_learn_verbs, writable_folder
from edgevision.network_verbs import add_network_verbs, names
from edgevision.recipe_verbs import add_recipe_verbs
from edgevision.report_verbs import add_report_verbs
from edgevision.service_verbs import add_service_verbs

Verbs = Any  # argparse keeps the class of what add_subparsers returns to itself


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # of a picture that is damaged a line tells, with what to do
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.verb(arguments))
    except EdgevisionError as error:
        print(f"edgevision: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # nobody reads on, as behind `head`; and nothing may be written any more, at the end of the program neither
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser() -> argparse.ArgumentParser:
    """The whole grammar of the command line."""
    root = argparse.ArgumentParser(
        prog="edgevision",
        description="Watches fixed cameras, recomputes its neural network only where the picture changed, reports defects over MQTT.",
        epilog="Exit: 0 ok, 1 failed, 2 usage, 69 a dependency is unavailable, 78 bad configuration.",
    )
    verbs = root.add_subparsers(title="verbs", required=True, metavar="VERB")
    _add_demo(verbs)
    run = _verb(verbs, "run", _run, "inspect the cameras of a configuration until stopped")
    run.add_argument("config", type=Path, help="the YAML file")
    check = _verb(verbs, "check", _check, "say whether a configuration is sound, every problem with its place")
    check.add_argument("config", type=Path, help="the YAML file")
    check.add_argument("--probe", action="store_true", help="also open each camera and the broker")
    check.add_argument("--json", action="store_true", help="print one JSON object")
    _add_replay(verbs)
    events = _verb(verbs, "events", None, "see what is reported").add_subparsers(required=True, metavar="VERB")
    tail = _verb(events, "tail", _events_tail, "print events as they are published")
    tail.add_argument("config", type=Path, nargs="?", help="the YAML file that names the broker; without it, the one on localhost:1883")
    tail.add_argument("--count", type=count, metavar="N", help="stop after N events")
    tail.add_argument("--json", action="store_true", help="print each event's payload as one line of JSON")
    add_recipe_verbs(verbs, _verb)
    add_network_verbs(verbs, _verb)
    add_report_verbs(verbs, _verb)
    add_service_verbs(verbs, _verb)
    _add_gates(verbs)
    add_learn_verbs(verbs, _verb)
    version = _verb(verbs, "version", _version, "print the version and what it runs on")
    version.add_argument("--json", action="store_true", help="print one JSON object")
    return root


def _verb(verbs: Verbs, name: str, function: Callable[[argparse.Namespace], int] | None, text: str) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
    if function is not None:
        verb.set_defaults(verb=function)
    return verb


def _add_demo(verbs: Verbs) -> None:
    demo = _verb(verbs, "demo", _demo, "run the synthetic line end to end and compare truth with what was found")
    demo.add_argument("--seconds", type=positive, default=30.0, metavar="N", help="seconds of line time (default 30)")
    demo.add_argument("--seed", type=int, default=0, metavar="S", help="which line (default 0)")
    demo.add_argument("--config", type=Path, metavar="FILE", help="another demo configuration than the one that ships")
    demo.add_argument("--out", type=Path, metavar="DIR", help="where the pictures of events go (default ./demo-SEED)")
    demo.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def _add_replay(verbs: Verbs) -> None:
    replay = _verb(verbs, "replay", _replay, "inspect a recording, every frame once and in order")
    replay.add_argument("recording", type=Path, help="a video file or a folder of images")
    replay.add_argument("--config", type=Path, metavar="FILE", help="the YAML file whose settings are used (default: all defaults)")
    replay.add_argument("--camera", metavar="ID", help="which camera of the configuration")
    replay.add_argument("--out", type=Path, metavar="FILE", help="write one line of JSON a frame")
    replay.add_argument("--keys", type=names, default=(), metavar="A,B", help="write only these keys; what a golden file lacks may differ")
    replay.add_argument("--expect", type=Path, metavar="GOLDEN", help="compare with such a file; exit 1 when a frame differs")
    replay.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def _add_gates(verbs: Verbs) -> None:
    gates = _verb(verbs, "gates", _gates, "find a gate for each step of a network: the least work for a limit of disagreement")
    gates.add_argument("network", metavar="NET", help="an .onnx or .xml file, an .npz of turbovit, `default`, or `turbovit` with --config")
    gates.add_argument("--clip", type=Path, required=True, metavar="VIDEO", help="a video file or a folder of images of the scene")
    gates.add_argument("--limit", type=float, default=0.005, metavar="DISAGREEMENT", help="mean over frames, as a share (default 0.005)")
    gates.add_argument(
        "--frames", type=count, default=240, metavar="N", help="how many frames of the clip; half of them are held out (default 240)"
    )
    gates.add_argument("--out", type=Path, metavar="FILE", help="the gate file, for recompute.gate (default ./NET.gates.json)")
    gates.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the curve")
    gates.add_argument(
        "--truth", type=Path, metavar="FILE", help="what each frame shows, a label a line or a folder of masks: adds accuracy"
    )
    gates.add_argument("--points", type=float, default=1.0, metavar="N", help="with --truth: how much of it a gate may lose (default 1)")
    gates.add_argument("--config", type=Path, metavar="FILE", help="the YAML file whose compare settings are used (default: all defaults)")
    gates.add_argument("--camera", metavar="ID", help="which camera of the configuration")
    gates.add_argument("--json", action="store_true", help="print one JSON object")


def _demo(arguments: argparse.Namespace) -> int:
    from edgevision.study.demo import DemoSettings, run_demo

    out = writable_folder(arguments.out or Path(f"demo-{arguments.seed}"))
    settings = DemoSettings(seconds=arguments.seconds, seed=arguments.seed, config=arguments.config, out=out)
    report = run_demo(settings, is_quiet=arguments.json)
    if arguments.json:
        print(json.dumps(report))
    return 0 if report["missed"] == 0 and report["events_acked"] == report["events_committed"] else 1


def _run(arguments: argparse.Namespace) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # while loading nothing is under way yet
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    from edgevision.daemon.build import build

    supervisor = build(arguments.config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGHUP, lambda *_: supervisor.reload())
    return supervisor.run()


def _check(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.check import check

    report = check(arguments.config, has_probe=arguments.probe)
    if arguments.json:
        print(json.dumps(report))
    else:
        print("\n".join(report["lines"]), file=sys.stdout if report["ok"] else sys.stderr)
    return int(report["exit_code"])


def _replay(arguments: argparse.Namespace) -> int:
    from edgevision.study.replay import LineFile, replay

    out = LineFile(arguments.out, arguments.keys)
    summary = replay(arguments.recording, arguments.config, arguments.camera, out, arguments.expect, is_quiet=arguments.json)
    print(json.dumps(summary) if arguments.json else summary.pop("text"))
    is_blind = arguments.expect is None and summary["bad_frames"] == summary["frames"]  # nothing was inspected: that is no success
    return 0 if summary["differences"] == 0 and not is_blind else 1


def _events_tail(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.tail import tail_events

    tail_events(arguments.config, arguments.count, as_json=arguments.json)
    return 0


def _gates(arguments: argparse.Namespace) -> int:
    from edgevision.study.gates import GateTask, find

    out = arguments.out or Path(f"{Path(arguments.network).stem}.gates.json")
    task = GateTask(
        arguments.network,
        arguments.clip,
        arguments.limit,
        arguments.frames,
        out,
        arguments.plot,
        arguments.config,
        arguments.camera,
        arguments.truth,
        arguments.points / 100,
    )
    report = find(task, is_quiet=arguments.json)
    text = report.pop("text")
    print(json.dumps(report) if arguments.json else text)
    return 0 if report["is_within_limit"] else 1


def _version(arguments: argparse.Namespace) -> int:
    from edgevision.daemon.build import versions

    found = {"edgevision": __version__, **versions()}
    print(json.dumps(found) if arguments.json else "\n".join(f"{name} {version}" for name, version in found.items()))
    return 0


def positive(text: str) -> float:
    """A number above 0, for argparse."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be above 0")
    return number


def count(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be 1 or more")
    return number
