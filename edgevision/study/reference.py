"""`edgevision reference`: teach a golden reference, look at one, hold pictures beside one. In: pictures, a reference file. Out: reports.

The reference itself, and how it is taught, is `compare.golden`; how far a picture lies from it, `against`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgevision.capture.picture import SUFFIXES, read_picture
from edgevision.compare.align import Limits
from edgevision.compare.background import ChangeDetector, allowed_pixels
from edgevision.compare.golden import Golden, learn, load
from edgevision.compare.settings import ChangeSettings
from edgevision.errors import BadFrame, InputError
from edgevision.records import Frame, Image
from edgevision.study import chart
from edgevision.study.against import UNIT, Away, Teacher
from edgevision.study.chart import Axis, Series
from edgevision.study.recording import read_frames
from edgevision.study.replay import pipeline_for
from edgevision.study.report import Card, Level, Section, check_page, figures, heat_over, note, page, picture, plot, table, write_whole
from edgevision.study.waiting import counting_bar

MOST_BYTES = 400_000_000
MOST_TAUGHT = 200
SHOWN = 8
LEAST_FIT = 2  # where others had to be left out
TOLD = 4
FULL_LEVELS = 20.0  # a spread so wide is drawn in full red


@dataclass(frozen=True, slots=True)
class ReferenceTask:
    """What is asked for: pictures (a folder, a video, or one picture), a reference, settings of a configuration's camera."""

    pictures: Path | None
    reference: Path
    out: Path | None = None
    config: Path | None = None
    camera: str | None = None
    frames: int = MOST_TAUGHT
    is_strict: bool = False


@dataclass(slots=True)
class Difference:
    """One picture beside the reference; `problem` says why it could not be compared."""

    name: str
    share: float = 0.0
    groups: int = 0
    largest_px: int = 0
    brightest: float = 0.0
    darkest: float = 0.0
    problem: str = ""
    markup: str = field(default="", repr=False)


def teach(task: ReferenceTask, is_quiet: bool = False) -> dict[str, Any]:
    """Learn a reference and write it. The result has `text` for a person.

    A picture that does not fit the first is left out and named; with `is_strict` it is refused. Raises InputError, ConfigError or
    CameraError.
    """
    if task.pictures is None:
        raise InputError("name a folder or a video of good parts to learn from")
    settings = _settings(task)
    limits = Limits(settings.align_px, settings.align_degrees)
    left_out: list[str] = []
    with counting_bar(is_quiet) as bar:
        line = bar.add_task("learning", total=None)

        def fitting() -> Iterator[Image]:
            first: Image | None = None
            for number, frame in enumerate(_frames(task.pictures, task.frames, left_out), 1):
                bar.update(line, completed=number)
                problem = _blindness(settings, frame.image) or ("" if first is None else _unfit(first, frame.image, limits))
                first = frame.image if first is None and not problem else first
                if not problem:
                    yield frame.image
                elif task.is_strict:
                    raise InputError(f"{task.pictures}: {_name(frame)} {problem}")
                else:
                    left_out.append(f"{_name(frame)} {problem}")

        pictures = fitting()
        first = next(pictures, None)
        golden = None if first is None else learn(chain([first], pictures), limits)
    fit = 0 if golden is None else golden.images
    if golden is None or (left_out and fit < LEAST_FIT):
        why = left_out[0] if left_out else "it holds none"
        raise InputError(
            f"{task.pictures}: {fit} of {fit + len(left_out)} pictures can be learnt from, at least {LEAST_FIT} are needed: {why}"
        )
    golden.save(task.reference)
    report = {**facts(golden), "reference": str(task.reference), "left_out": left_out}
    lines = [
        f"{task.reference}: taught from {golden.images} pictures, {golden.mean.shape[1]}x{golden.mean.shape[0]}",
        _spread_words(golden),
    ]
    lines += [f"left out: {text}" for text in few(left_out)]
    if golden.images < 5:
        lines.append("so few pictures say little of how good parts differ; give 10 or more")
    return {**report, "text": "\n".join([*lines, "use it with compare.reference: golden and compare.golden: FILE"])}


def _blindness(settings: ChangeSettings, image: Image) -> str:
    """Why nothing is seen in a picture, black or saturated as it is; empty when something is."""
    try:
        ChangeDetector(settings.model_copy(update={"reference": "running", "golden": None})).measure(image)
    except BadFrame as error:
        return str(error)
    return ""


def _unfit(first: Image, image: Image, limits: Limits) -> str:
    """Why a picture cannot be learnt from beside the first one; empty when it can."""
    try:
        learn([first, image], limits)
    except InputError as error:
        return str(error).removeprefix("image 2 ")
    return ""


def show(task: ReferenceTask) -> dict[str, Any]:
    """What a reference holds, and with `out` a page with its pictures. The result has `text`."""
    golden = load(task.reference)
    if task.out is not None:
        check_page(task.out)
        write_whole(task.out, _page_of(golden, task))
    report = {**facts(golden), "reference": str(task.reference), "out": None if task.out is None else str(task.out)}
    size = f"{golden.mean.shape[1]}x{golden.mean.shape[0]}, {'colour' if golden.mean.ndim == 3 else 'gray'}, {8 * golden.mean.itemsize} bit"
    lines = [f"{task.reference}: {size}, taught from {golden.images} pictures", _spread_words(golden), f"sha256 {golden.sha256}"]
    return {**report, "text": "\n".join([*lines, *([f"page: {task.out}"] if task.out is not None else [])])}


def facts(golden: Golden) -> dict[str, Any]:
    """What `--json` prints of a reference."""
    spreads = {name: float(np.median(part)) / UNIT for name, part in (("brighter", golden.bright), ("darker", golden.dark))}
    return {
        "size_px": [golden.mean.shape[1], golden.mean.shape[0]],
        "channels": 1 if golden.mean.ndim == 2 else golden.mean.shape[2],
        "bits": 8 * golden.mean.itemsize,
        "images": golden.images,
        "sha256": golden.sha256,
        "spread_levels_median": {name: round(value, 3) for name, value in spreads.items()},
        "spread_levels_p99": {
            name: round(float(np.percentile(part, 99)) / UNIT, 3) for name, part in (("brighter", golden.bright), ("darker", golden.dark))
        },
    }


def _spread_words(golden: Golden) -> str:
    found = facts(golden)
    if golden.images == 1:
        return (
            "one picture says nothing of how good parts differ: only abs_threshold counts; teach it from several "
            "with `edgevision reference learn`"
        )
    middle, most = found["spread_levels_median"], found["spread_levels_p99"]
    return (
        f"good parts differ by {middle['brighter']:.1f} gray levels (one sigma) at a median place, by {most['brighter']:.1f} brighter and "
        f"{most['darker']:.1f} darker at the worst hundredth"
    )


def diff(task: ReferenceTask, is_quiet: bool = False) -> dict[str, Any]:
    """Hold pictures beside the reference; `differing` counts those with foreground. The result has `text`."""
    if task.pictures is None:
        raise InputError("name a picture, a folder or a video to hold beside the reference")
    if task.out is not None:
        check_page(task.out)
    golden, settings = load(task.reference), _settings(task)
    teacher = Teacher(golden, settings, allowed_pixels(settings, *golden.mean.shape[:2]))
    lost: list[str] = []
    with counting_bar(is_quiet) as bar:
        line = bar.add_task("comparing", total=None)
        rows = []
        for number, frame in enumerate(_frames(task.pictures, task.frames, lost), 1):
            rows.append(_difference(frame, teacher, has_picture=task.out is not None and number <= 4 * SHOWN))
            bar.update(line, completed=number)
    if not rows:
        raise InputError(
            f"{task.pictures}: no picture could be read{': ' + lost[0] if lost else ''}; give pictures of the reference's size"
        )
    if task.out is not None:
        write_whole(task.out, _diff_page(rows, lost, golden, task))
    return _diff_report(rows, lost, task)


def _diff_report(rows: list[Difference], lost: list[str], task: ReferenceTask) -> dict[str, Any]:
    plain = [
        {"name": row.name, "share": round(row.share, 6), "groups": row.groups, "largest_px": row.largest_px,
         "brightest": round(row.brightest, 1), "darkest": round(row.darkest, 1), "problem": row.problem or None}
        for row in rows
    ]  # fmt: skip
    differing, unfit = sum(row.groups > 0 for row in rows), sum(bool(row.problem) for row in rows)
    lines = [f"{'picture':<40}{'differs':>10}{'groups':>8}{'largest px':>12}{'brighter':>10}{'darker':>8}"]
    for row in rows:
        numbers = f"{row.share:>10.3%}{row.groups:>8}{row.largest_px:>12}{row.brightest:>10.0f}{row.darkest:>8.0f}"
        lines.append(f"{row.name[-39:]:<40}{numbers if not row.problem else '  not compared: ' + row.problem}")
    lines += [f"not read: {text}" for text in few(lost)]
    lines.append(f"{differing} of {len(rows)} differ, {unfit} could not be compared{f'; page: {task.out}' if task.out is not None else ''}")
    return {
        "reference": str(task.reference),
        "pictures": plain,
        "differing": differing,
        "not_compared": unfit,
        "lost": lost,
        "text": "\n".join(lines),
    }


def _difference(frame: Frame, teacher: Teacher, has_picture: bool) -> Difference:
    row = Difference(_name(frame))
    try:
        away = teacher.away(frame.image)
    except InputError as error:
        row.problem = str(error).replace("image 2", "it").replace("the first", "the reference")
        return row
    marks = away.foreground(teacher.settings)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(marks.view(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= teacher.settings.min_area
    large[0] = False
    marks = large[labels]
    row.share, row.groups = float(marks.mean()), int(large.sum())
    row.largest_px = int(stats[1:count, cv2.CC_STAT_AREA].max(initial=0)) if row.groups else 0
    row.brightest, row.darkest = float(away.brighter[marks].max(initial=0)), float(away.darker[marks].max(initial=0))
    if has_picture:
        row.markup = _pictured(frame.image, away, marks, row)
    return row


def _pictured(image: Image, away: Away, marks: Any, row: Difference) -> str:
    shown = heat_over(image, np.where(marks, np.minimum(1.0, 0.3 + np.maximum(away.brighter, away.darker) / 128), 0))
    contours, _ = cv2.findContours(marks.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in sorted(contours, key=cv2.contourArea, reverse=True)[:SHOWN]:
        x, y, width, height = cv2.boundingRect(contour)
        cv2.rectangle(shown, (x - 5, y - 5), (x + width + 5, y + height + 5), (40, 40, 230), 2)
    return picture(shown, f"{row.name}: {row.groups} places differ, the largest of {row.largest_px} pixels.")


def _diff_page(rows: list[Difference], lost: list[str], golden: Golden, task: ReferenceTask) -> str:
    differing, unfit = sum(row.groups > 0 for row in rows), sum(bool(row.problem) for row in rows)
    cards = [Card(f"{differing} of {len(rows)}", "pictures differ from the reference", "good" if not differing else "fair")]
    cards.append(Card(f"{unfit}", "could not be compared and would be NOT_INSPECTED", "good" if not unfit else "poor"))
    worst = sorted((row for row in rows if row.markup), key=lambda row: -row.share)[:SHOWN]
    cells = [
        [
            row.name,
            row.problem or "-",
            f"{row.share:.3%}",
            str(row.groups),
            str(row.largest_px),
            f"{row.brightest:.0f}",
            f"{row.darkest:.0f}",
        ]
        for row in rows
    ]
    head = ["picture", "not compared because", "differs", "places", "largest, pixels", "brighter by, gray levels", "darker by"]
    explanation = (
        "Marked is what is brighter or darker than good parts ever were, by more than the thresholds allow; the larger ones are boxed."
    )
    points = [(float(place), row.share) for place, row in enumerate(rows, 1) if not row.problem]
    over = chart.chart([Series("", points)], Axis("picture, in the order read", chart.number), Axis("share that differs", chart.share))
    trend = plot(over, "How much of each picture differs. A slow rise is wear, or a lamp that ages; one high point is one bad picture.")
    sections = [
        Section(
            "What differs most",
            explanation,
            [figures(picture(golden.mean, f"The reference, from {golden.images} pictures."), *(row.markup for row in worst))],
        ),
        Section(
            "Every picture",
            "In the order in which they were read.",
            [figures(trend), table(head, cells), *(note(text, "fair") for text in few(lost))],
        ),
    ]
    return page("Pictures beside the reference", f"{task.pictures and task.pictures.name} against {task.reference.name}", cards, sections)


def _page_of(golden: Golden, task: ReferenceTask) -> str:
    level: Level = "good" if golden.images >= 10 else "fair"
    cards = [Card(str(golden.images), "pictures of good parts taught it", level)]
    cards.append(
        Card(
            f"{facts(golden)['spread_levels_median']['brighter']:.1f} levels", "is how much good parts differ at a median place (one sigma)"
        )
    )
    shown = [picture(golden.mean, "How a good part looks: the mean of all pictures, aligned and brought to one light.")]
    for part, word in ((golden.bright, "brighter"), (golden.dark, "darker")):
        spread = (part if part.ndim == 2 else part.max(axis=2)) / UNIT
        shown.append(
            picture(
                heat_over(golden.mean, spread / FULL_LEVELS),
                f"Where good parts are at times {word}: red by {FULL_LEVELS:g} gray levels and more.",
            )
        )
    text = (
        "A place where good parts differ much is judged mildly. A red place where defects are to be found needs "
        "better light, or parts laid more alike."
    )
    return page(
        "A golden reference",
        f"{task.reference.name}, {golden.mean.shape[1]} x {golden.mean.shape[0]} pixels",
        cards,
        [Section("What it holds", text, [figures(*shown)])],
    )


def _settings(task: ReferenceTask) -> ChangeSettings:
    if task.config is None:
        return ChangeSettings()
    return pipeline_for(task.pictures or task.reference, task.config, task.camera).settings.compare


def _frames(pictures: Path | None, count: int, lost: list[str]) -> Iterator[Frame]:
    """Of a folder, a video, or one picture."""
    if pictures is None or not pictures.exists():
        raise InputError(f"{pictures}: no such file or folder; give a picture, a folder of pictures, or a video")

    def lose(error: BadFrame) -> None:
        lost.append(str(error))

    if pictures.is_file() and pictures.suffix.lower() in SUFFIXES:
        yield Frame(read_picture(pictures, "auto", MOST_BYTES), 0.0, 0, part_id=pictures.stem)
        return
    yield from read_frames(pictures, count, lose)


def few(texts: list[str]) -> list[str]:
    """The first ones, and how many more there are."""
    return texts if len(texts) <= TOLD else [*texts[: TOLD - 1], f"{len(texts) - TOLD + 1} more"]


def _name(frame: Frame) -> str:
    return frame.part_id or f"frame {frame.seq}"
