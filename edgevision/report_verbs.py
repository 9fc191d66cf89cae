"""The verbs that look at a camera's pictures and tell what to do: `assess`, `tune`, `reference`, `explain`. In: the grammar. "
"Out: the same with these."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from edgevision.network_verbs import AddVerb, whole_number

_PICTURES = "a folder of pictures or a video"


def add_report_verbs(verbs: Any, add: AddVerb) -> None:
    """Add them to `verbs` with `add(verbs, name, function, text)`."""
    _add_assess(verbs, add)
    _add_tune(verbs, add)
    _add_explain(verbs, add)
    references = add(verbs, "reference", None, "teach, see and use a golden reference").add_subparsers(required=True, metavar="VERB")
    learn = add(references, "learn", _reference_learn, "teach a golden reference from pictures of good parts")
    learn.add_argument("pictures", type=Path, metavar="GOOD", help=f"{_PICTURES}; each is aligned with the first")
    learn.add_argument("--out", type=Path, metavar="FILE.npz", help="the reference (default ./reference.npz)")
    learn.add_argument("--frames", type=whole_number, default=200, metavar="N", help="at most so many pictures (default 200)")
    learn.add_argument("--strict", action="store_true", help="refuse a picture that does not fit the others instead of leaving it out")
    show = add(references, "show", _reference_show, "tell what a golden reference holds")
    show.add_argument("reference", type=Path, metavar="FILE", help="an .npz, or a picture")
    show.add_argument("--html", type=Path, metavar="FILE.html", help="write a page with its pictures")
    diff = add(references, "diff", _reference_diff, "hold pictures beside a golden reference")
    diff.add_argument("reference", type=Path, metavar="FILE", help="an .npz, or a picture")
    diff.add_argument("pictures", type=Path, metavar="PICTURES", help=f"a picture, {_PICTURES}")
    diff.add_argument("--html", type=Path, metavar="FILE.html", help="write a page with what differs")
    diff.add_argument("--frames", type=whole_number, default=1000, metavar="N", help="at most so many pictures (default 1000)")
    for verb in (learn, show, diff):
        verb.add_argument("--json", action="store_true", help="print one JSON object")
    for verb in (learn, diff):
        _add_camera(verb)


def _add_camera(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--config", type=Path, metavar="FILE", help="the YAML file whose settings are used (default: all defaults)")
    verb.add_argument("--camera", metavar="ID", help="which camera of the configuration")


def _add_assess(verbs: Any, add: AddVerb) -> None:
    assess = add(verbs, "assess", _assess, "tell from a recording what edgevision would save here, and whether its answer stays right")
    assess.add_argument("recording", type=Path, metavar="RECORDING", help=f"{_PICTURES}, as the camera would give them")
    assess.add_argument("--network", metavar="NET", help="an .onnx or .xml file, or `default` (default: the configuration's)")
    assess.add_argument("--int8", type=Path, metavar="FILE", help="the same network quantised, to be timed in OpenVINO beside it")
    assess.add_argument(
        "--reference", type=Path, metavar="GOLDEN", help="also hold every frame beside this reference: an .npz, or a picture"
    )
    assess.add_argument("--out", type=Path, metavar="FILE.html", help="the report (default ./assess-RECORDING.html)")
    assess.add_argument("--minutes", type=_positive, default=4.0, metavar="N", help="how long it may take, about (default 4)")
    assess.add_argument("--frames", type=whole_number, metavar="N", help="frames to run the network on (default: what the time allows)")
    assess.add_argument("--fps", type=_positive, metavar="F", help="frames a second that the camera gives (default: the recording's)")
    assess.add_argument("--watts", type=_positive, metavar="W", help="power of one busy core, for a PC that does not tell its energy")
    assess.add_argument("--price-kwh", type=_positive, metavar="P", help="your price of a kilowatt-hour")
    assess.add_argument("--price-pc", type=_positive, metavar="P", help="your price of one such PC")
    assess.add_argument("--currency", default="EUR", metavar="NAME", help="of the prices (default EUR)")
    assess.add_argument("--cameras", type=whole_number, default=10, metavar="N", help="how many such cameras you have (default 10)")
    assess.add_argument("--hours-a-day", type=_hours, default=24.0, metavar="H", help="for how long they run (default 24)")
    _add_camera(assess)
    assess.add_argument("--json", action="store_true", help="print one JSON object")


def _add_tune(verbs: Any, add: AddVerb) -> None:
    tune = add(verbs, "tune", _tune, "find a camera's thresholds from good and bad pictures, and write them into its configuration")
    tune.add_argument("camera", metavar="CAM", help="the camera's id in the configuration")
    tune.add_argument("--good", type=Path, required=True, metavar="DIR|VIDEO", help=f"{_PICTURES} on which nothing is wrong")
    tune.add_argument("--bad", type=Path, metavar="DIR|VIDEO", help="the same, each picture with something that must be found")
    tune.add_argument("--config", type=Path, metavar="FILE", help="the YAML file to tune (default: all defaults, and nothing is written)")
    tune.add_argument("--dry-run", action="store_true", help="leave the configuration as it is")
    tune.add_argument("--out", type=Path, metavar="FILE.html", help="the report (default ./tune-CAM.html)")
    tune.add_argument("--json", action="store_true", help="print one JSON object")


def _add_explain(verbs: Any, add: AddVerb) -> None:
    explain = add(verbs, "explain", _explain, "show over a frame which tokens of turbovit were recomputed, and which tokens they looked at")
    explain.add_argument("recording", type=Path, metavar="RECORDING", help=_PICTURES)
    explain.add_argument("--config", type=Path, required=True, metavar="FILE", help="the YAML file; recompute.network is turbovit in it")
    explain.add_argument("--camera", metavar="ID", help="which camera of the configuration")
    explain.add_argument("--frame", type=_from_zero, default=30, metavar="N", help="which frame, counted from 0 (default 30)")
    explain.add_argument("--out", type=Path, metavar="FILE.html", help="the page (default ./explain-RECORDING.html)")
    explain.add_argument("--json", action="store_true", help="print one JSON object")


def _explain(arguments: argparse.Namespace) -> int:
    from edgevision.study.explain import ExplainTask, explain

    report = explain(ExplainTask(arguments.recording, arguments.config, arguments.camera, arguments.frame, arguments.out))
    if arguments.json:
        print(json.dumps(report))
    else:
        for row in report["layers"]:
            shares = f"queries run {row['queries_run']:>8.2%}  keys kept {row['keys_kept']:>7.2%}"
            print(f"{row['name']:<28} {row['kind']:<12} {shares}  {row['note']}".rstrip())
        print(f"pictures: {report['out']}")
    return 0


def _assess(arguments: argparse.Namespace) -> int:
    from edgevision.study.assess import AssessTask, assess, default_out
    from edgevision.study.assess_cost import Prices

    prices = Prices(
        kwh=arguments.price_kwh,
        pc=arguments.price_pc,
        currency=arguments.currency,
        cameras=arguments.cameras,
        hours_a_day=arguments.hours_a_day,
        watts=arguments.watts,
    )
    task = AssessTask(
        recording=arguments.recording,
        network=arguments.network,
        reference=arguments.reference,
        out=arguments.out or default_out(arguments.recording, "assess"),
        config=arguments.config,
        camera=arguments.camera,
        int8=arguments.int8,
        fps=arguments.fps,
        frames=arguments.frames,
        minutes=arguments.minutes,
        prices=prices,
    )
    return _told(assess(task, is_quiet=arguments.json), arguments)


def _tune(arguments: argparse.Namespace) -> int:
    from edgevision.study.tune import TuneTask, tune

    task = TuneTask(arguments.camera, arguments.good, arguments.bad, arguments.config, arguments.out, arguments.dry_run)
    return _told(tune(task, is_quiet=arguments.json), arguments)


def _reference_learn(arguments: argparse.Namespace) -> int:
    from edgevision.study.reference import ReferenceTask, teach

    task = ReferenceTask(
        arguments.pictures,
        arguments.out or Path("reference.npz"),
        config=arguments.config,
        camera=arguments.camera,
        frames=arguments.frames,
        is_strict=arguments.strict,
    )
    return _told(teach(task, is_quiet=arguments.json), arguments)


def _reference_show(arguments: argparse.Namespace) -> int:
    from edgevision.study.reference import ReferenceTask, show

    return _told(show(ReferenceTask(None, arguments.reference, arguments.html)), arguments)


def _reference_diff(arguments: argparse.Namespace) -> int:
    from edgevision.study.reference import ReferenceTask, diff

    task = ReferenceTask(
        arguments.pictures, arguments.reference, arguments.html, arguments.config, arguments.camera, frames=arguments.frames
    )
    report = diff(task, is_quiet=arguments.json)
    _told(report, arguments)
    return 0 if not report["differing"] and not report["not_compared"] else 1


def _told(report: dict[str, Any], arguments: argparse.Namespace) -> int:
    text = report.pop("text")
    print(json.dumps(report) if arguments.json else text)
    return 0


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be above 0")
    return number


def _hours(text: str) -> float:
    number = float(text)
    if not 0 < number <= 24:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be above 0 and at most 24")
    return number


def _from_zero(text: str) -> int:
    """A whole number from 0 on, for argparse."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be 0 or more")
    return number
