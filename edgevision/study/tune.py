"""`edgevision tune`: thresholds for one camera, from recordings of good and of bad parts. In: recordings, a configuration. Out: a report as
plain data and as one HTML file, and the thresholds in the configuration itself, all else of which stays as it is, byte for byte.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgevision.config import CameraConfig, builtin_registry, load
from edgevision.errors import ConfigError, InputError, UnsupportedNetwork
from edgevision.study.against import Teacher, largest_group
from edgevision.study.replay import pipeline_for
from edgevision.study.report import check_page, write_whole
from edgevision.study.tune_measure import Population, Seen, flicker, inspect, marks_of, place, read, see, teach
from edgevision.study.tune_propose import Proposal, propose
from edgevision.study.waiting import counting_bar
from edgevision.yaml_edit import edited

MOVING_SHARE = 0.002
MOST_MOVING = 0.2  # share of the frames with movement from which on parts are not at rest
SLOWEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class TuneTask:
    """What is asked for. `config` None: all defaults, and nothing is written but the report; `is_dry`: the same with a configuration."""

    camera: str
    good: Path
    bad: Path | None = None
    config: Path | None = None
    out: Path | None = None
    is_dry: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Tuned:
    """All that a report is made of. `false` and `missed` count what the proposed settings together do, of (held-out good, bad)."""

    task: TuneTask
    settings: CameraConfig
    proposed: CameraConfig
    good: Population
    bad: Population | None
    teacher: Teacher | None
    proposals: list[Proposal]
    is_stream: bool
    notes: list[str]
    written: Path | None = None
    backup: Path | None = None

    @property
    def held_out(self) -> list[Seen]:
        """Good pictures that the reference was not taught from."""
        return [seen for seen in self.good.seen if not seen.is_taught and seen.levels is not None]

    @property
    def bad_seen(self) -> list[Seen]:
        """Bad pictures, where there are any."""
        return self.bad.seen if self.bad is not None else []

    def differs(self, seen: Seen, settings: CameraConfig) -> bool:
        """Whether a picture shows foreground by these settings."""
        if self.teacher is None:
            return False
        return largest_group(marks_of(seen, self.teacher, settings.compare), settings.compare.min_area, 1) >= settings.compare.min_area

    def is_ng(self, seen: Seen, settings: CameraConfig) -> bool:
        """Whether the network's regions make it NG by these settings."""
        return seen.score(settings.judge.min_area_px) >= settings.judge.ng


def tune(task: TuneTask, is_quiet: bool = False) -> dict[str, Any]:
    """Measure, propose, write. The result has `text` for a person.

    Raises InputError, ConfigError or CameraError, one line each; the configuration is written whole or not at all.
    """
    began = time.perf_counter()
    out = task.out or Path(f"tune-{task.camera}.html")
    check_page(out)
    if task.config is not None and not task.is_dry and not os.access(task.config, os.W_OK):
        raise InputError(f"{task.config}: may not be written; change its rights, or add --dry-run")
    tuned = _measured(task, is_quiet)
    tuned = _written(tuned)
    from edgevision.study.tune_page import tune_page

    write_whole(out, tune_page(tuned))
    report = {**plain(tuned), "out": str(out), "seconds": round(time.perf_counter() - began, 1)}
    return {**report, "text": text_of(tuned, out)}


def _measured(task: TuneTask, is_quiet: bool) -> Tuned:
    camera = task.camera if task.config is not None else None
    pipeline = pipeline_for(task.good, task.config, camera)
    settings = pipeline.settings
    notes: list[str] = []
    with counting_bar(is_quiet) as bar:
        lines: dict[str, Any] = {}

        def told(what: str, number: int) -> None:
            if what not in lines:
                lines[what] = bar.add_task(what, total=None)
            bar.update(lines[what], completed=number)

        good = read(task.good, "good", settings.compare, told)
        bad = read(task.bad, "bad", settings.compare, told) if task.bad is not None else None
        if bad is not None:
            _refuse_other_size(good, bad)
        is_stream = task.good.is_file()
        if is_stream:
            flicker(good, settings.compare, told)
        teacher = _teacher(good, settings, is_stream, notes)
        see(good, teacher, told, has_taught=teacher is not None)
        place(good, settings.compare)
        if bad is not None:
            see(bad, teacher, told, has_taught=False)
        for population in (good, bad):
            if population is not None:
                pipeline.reset()
                _inspect(population, pipeline, told, notes)
    proposals = propose(settings, good, bad, is_stream)
    if settings.compare.reference != "golden" and any(
        one.is_new and one.path[1] in ("abs_threshold", "var_threshold") for one in proposals
    ):
        notes.append(
            "abs_threshold and var_threshold were measured against a reference taught from the good pictures: teach yours with `edgevision "
            "reference learn GOOD`, and set compare.reference: golden"
        )
    return Tuned(task, settings, _with(settings, proposals), good, bad, teacher, proposals, is_stream, notes)


def _refuse_other_size(good: Population, bad: Population) -> None:
    height, width = good.kept.frames[0].image.shape[:2]
    kept = [frame for frame in bad.kept.frames if frame.image.shape[:2] == (height, width)]
    if not kept:
        other_height, other_width = bad.kept.frames[0].image.shape[:2]
        raise InputError(
            f"--bad {bad.path}: its pictures are {other_width}x{other_height}, the good ones {width}x{height}; give "
            f"pictures of one camera and size"
        )
    bad.kept.frames = kept


def _teacher(good: Population, settings: CameraConfig, is_stream: bool, notes: list[str]) -> Teacher | None:
    """A reference from the good pictures, where they can teach one."""
    moving = float(np.mean(np.array(good.moving) > MOVING_SHARE)) if good.moving else 0.0
    if is_stream and moving > MOST_MOVING:
        notes.append(
            f"parts move on {moving:.0%} of the good frames, so they teach no reference: for abs_threshold and "
            f"var_threshold give a folder of "
            "pictures of good parts, all in the same place"
        )
        return None
    try:
        return teach(good, settings.compare)
    except InputError as error:
        notes.append(f"no reference could be taught from the good pictures: {error}")
        return None


def _inspect(population: Population, pipeline: Any, told: Any, notes: list[str]) -> None:
    try:
        inspect(population, pipeline, told)
    except (InputError, UnsupportedNetwork) as error:
        notes.append(f"the judge's thresholds stay as they are: {error}")


def _with(settings: CameraConfig, proposals: list[Proposal]) -> CameraConfig:
    """The camera's settings with every proposal in force."""
    for section in ("compare", "judge"):
        changes = {proposal.path[1]: proposal.value for proposal in proposals if proposal.path[0] == section}
        settings = settings.model_copy(update={section: getattr(settings, section).model_copy(update=changes)})
    return settings


def yaml_of(value: Any) -> str:
    """On one line, as it goes into the file."""
    return json.dumps(list(value)) if isinstance(value, tuple) else str(value) if isinstance(value, str) else json.dumps(value)


def snippet(tuned: Tuned) -> str:
    """The proposals as lines to be copied."""
    lines = ["cameras:", f"  {tuned.task.camera}:"]
    for section in ("compare", "judge"):
        chosen = [proposal for proposal in tuned.proposals if proposal.is_new and proposal.path[0] == section]
        if chosen:
            lines.append(f"    {section}:")
            lines += [f"      {proposal.path[1]}: {yaml_of(proposal.value)}    # was {yaml_of(proposal.now)}" for proposal in chosen]
    return "\n".join(lines) if len(lines) > 2 else ""


def _written(tuned: Tuned) -> Tuned:
    """The same with the configuration written, where there is anything to write."""
    task = tuned.task
    changes: dict[tuple[str, ...], str] = {
        ("cameras", task.camera, *proposal.path): yaml_of(proposal.value) for proposal in tuned.proposals if proposal.is_new
    }
    if task.config is None or task.is_dry or not changes:
        return tuned
    with open(task.config, encoding="utf-8", newline="") as file:
        before = file.read()
    after = edited(before, changes, str(task.config))
    backup = free_name(task.config)
    write_whole(backup, before)
    write_whole(task.config, after)
    notes = [*tuned.notes, *_not_in_force(tuned)]
    return Tuned(
        task,
        tuned.settings,
        tuned.proposed,
        tuned.good,
        tuned.bad,
        tuned.teacher,
        tuned.proposals,
        tuned.is_stream,
        notes,
        task.config,
        backup,
    )


def _not_in_force(tuned: Tuned) -> list[str]:
    """What is written but does not come to be, because the environment goes over the file."""
    try:
        loaded = load(tuned.task.config or Path(), registry=builtin_registry()).cameras[tuned.task.camera]
    except ConfigError as error:
        return [f"the file as written is refused: {error}"]
    return [
        f"{proposal.key} is written, but an environment variable goes over it: "
        f"{getattr(getattr(loaded, proposal.path[0]), proposal.path[1])}"
        for proposal in tuned.proposals
        if proposal.is_new and getattr(getattr(loaded, proposal.path[0]), proposal.path[1]) != proposal.value
    ]


def free_name(path: Path) -> Path:
    """A name for the file as it was, that nothing has yet."""
    names = (path.with_name(f"{path.name}.before-tune{'' if number == 1 else f'-{number}'}") for number in range(1, 10_000))
    return next(name for name in names if not name.exists())


def plain(tuned: Tuned) -> dict[str, Any]:
    """What `--json` prints."""
    good, bad, noise = tuned.good, tuned.bad, tuned.good.noise
    return {
        "camera": tuned.task.camera,
        "good": {"path": str(good.path), "frames": good.frames, "pictures": len(good.seen), "lost": good.lost_frames},
        "bad": None if bad is None else {"path": str(bad.path), "frames": bad.frames, "pictures": len(bad.seen), "lost": bad.lost_frames},
        "noise_levels": {"median": round(float(np.median(noise)), 3), "most": round(float(noise.max()), 3)},
        "drift": drift(good),
        "light_changes": good.light_changes,
        "proposals": [_plain_proposal(proposal) for proposal in tuned.proposals],
        "together": together(tuned),
        "written": None if tuned.written is None else str(tuned.written),
        "backup": None if tuned.backup is None else str(tuned.backup),
        "notes": tuned.notes,
    }


def _plain_proposal(proposal: Proposal) -> dict[str, Any]:
    return {
        "key": proposal.key,
        "now": proposal.now,
        "value": proposal.value,
        "is_new": proposal.is_new,
        "why": proposal.why,
        "margin_to_good": None if proposal.margins[0] is None else round(proposal.margins[0], 3),
        "margin_to_bad": None if proposal.margins[1] is None else round(proposal.margins[1], 3),
        "around": [
            {"value": one.value, "false": one.false, "missed": one.missed, "is_proposed": one.is_proposed} for one in proposal.around
        ],
    }


def drift(good: Population) -> dict[str, float]:
    """Of the mean gray level: how far it wanders, and its slope; of the light: the gains that were corrected."""
    ts, means = np.array(good.means).T
    slope = float(np.polyfit(ts - ts[0], means, 1)[0]) * SLOWEST_S if ts[-1] > ts[0] else 0.0
    gains = good.gains or [1.0]
    found = {"levels": float(np.ptp(means)), "levels_an_hour": slope, "gain_least": min(gains), "gain_most": max(gains)}
    return {key: round(value, 4) for key, value in found.items()}


def together(tuned: Tuned) -> dict[str, Any]:
    """What the settings in force and the proposed ones do to the pictures that were held out, and to the bad ones."""
    counts: dict[str, Any] = {"good": len(tuned.held_out), "bad": len(tuned.bad_seen), "inspected_good": len(tuned.good.seen)}
    for name, settings in (("now", tuned.settings), ("proposed", tuned.proposed)):
        counts[name] = {
            "foreground_false": sum(tuned.differs(seen, settings) for seen in tuned.held_out) if tuned.teacher else None,
            "foreground_missed": sum(not tuned.differs(seen, settings) for seen in tuned.bad_seen)
            if tuned.teacher and tuned.bad_seen
            else None,
            "ng_false": sum(tuned.is_ng(seen, settings) for seen in tuned.good.seen),
            "ng_missed": sum(not tuned.is_ng(seen, settings) for seen in tuned.bad_seen) if tuned.bad_seen else None,
        }
    return counts


def text_of(tuned: Tuned, out: Path) -> str:
    """For a person at the terminal."""
    counts = together(tuned)
    lines = [f"{'key':<24}{'in force':>16}{'proposed':>16}   why"]
    for proposal in tuned.proposals:
        new = yaml_of(proposal.value) if proposal.is_new else "stays"
        lines.append(f"{proposal.key:<24}{yaml_of(proposal.now):>16}{new:>16}   {proposal.why}")
    now, then = counts["now"], counts["proposed"]
    if tuned.teacher is not None:
        lines.append(
            f"false changes on {counts['good']} good pictures held out: {now['foreground_false']} now, "
            f"{then['foreground_false']} as proposed"
        )
    lines.append(f"good pictures called NG: {now['ng_false']} of {counts['inspected_good']} now, {then['ng_false']} as proposed")
    if tuned.bad_seen:
        lines.append(f"bad pictures not called NG: {now['ng_missed']} of {counts['bad']} now, {then['ng_missed']} as proposed")
    lines += tuned.notes
    if tuned.written is not None:
        lines.append(f"written: {tuned.written} (as it was: {tuned.backup})")
    return "\n".join([*lines, f"report: {out}"])
