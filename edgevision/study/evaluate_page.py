"""What `edgevision evaluate --out` shows: figures first, then pictures of hits, misses and false alarms. In: answers as they come.

Out: one HTML page. Keeps the pictures that it will show, few of each kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Image, Inspection, Verdict
from edgevision.study.picture import COLOURS, colour, write_on
from edgevision.study.report import Card, Level, Section, figures, note, page, picture, plot, table
from edgevision.study.sets import Case

KEPT = 6  # pictures of a kind
TRUE_COLOUR = (90, 200, 60)
KINDS = (
    ("missed", "Bad pictures that were called OK", "Outlined in green: what the set says is there."),
    ("false", "Good pictures with an alarm", "Outlined in red or orange: what was reported."),
    ("found", "Bad pictures that were found", "Green: what the set says; red or orange: what was reported."),
    ("unseen", "Pictures that were not inspected", "The reason stands below each."),
)


@dataclass(slots=True)
class Album:
    """Pictures to show, by kind, the first of each, and how many there were."""

    pictures: dict[str, list[tuple[NDArray[np.uint8], str]]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, case: Case, inspection: Inspection, image: Image) -> None:
        """Take in one answer."""
        kind = _kind_of(case, inspection)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        kept = self.pictures.setdefault(kind, [])
        if kind != "good" and len(kept) < KEPT:
            reason = f": {inspection.reason}" if inspection.reason else ""
            kept.append((_drawn(case, inspection, image), f"{case.name}: {inspection.verdict.value}{reason}"))


def page_of(report: dict[str, Any], album: Album, plots: Sequence[tuple[str, str]]) -> str:
    """The whole page."""
    sections = []
    if plots:
        markup = [figures(*(plot(svg, caption) for svg, caption in plots))]
        sections.append(Section("How it grows", "What the set's people labelled and what was found, picture by picture.", markup))
    for kind, heading, words in KINDS:
        shown = album.pictures.get(kind, [])
        if shown:
            count = f"{heading} ({album.counts[kind]})"
            sections.append(Section(count, words, [figures(*(picture(image, caption) for image, caption in shown))]))
    sections.append(Section("Every figure", "As --json gives them.", [_every(report)]))
    subtitle = f"recipe {report['recipe']} on {report['data']} ({report['layout']}), network {report['weights']}"
    return page(f"How good is {report['recipe']} here?", subtitle, _cards(report), sections)


def _kind_of(case: Case, inspection: Inspection) -> str:
    if inspection.verdict is Verdict.NOT_INSPECTED:
        return "unseen"
    if case.is_bad:
        return "found" if inspection.defects else "missed"
    return "false" if inspection.defects else "good"


def _drawn(case: Case, inspection: Inspection, image: Image) -> NDArray[np.uint8]:
    shown = colour(image)
    truth = case.true_mask() if case.is_bad else None
    if truth is not None:
        outlines, _ = cv2.findContours(truth.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(shown, outlines, -1, TRUE_COLOUR, 1, cv2.LINE_AA)
    elif case.boxes:
        for _, (x1, y1, x2, y2) in case.boxes:
            cv2.rectangle(shown, (x1, y1), (x2 - 1, y2 - 1), TRUE_COLOUR, 1)
    for defect in inspection.defects:
        x1, y1, x2, y2 = defect.region.box_px
        tint = COLOURS.get(defect.level, (200, 200, 200))
        cv2.rectangle(shown, (x1 - 3, y1 - 3), (x2 + 2, y2 + 2), tint, 1)
        said = f"{defect.region.label} {defect.region.score:.2f}"
        write_on(shown, said, (x1, y1), tint)
    return shown


def _cards(report: dict[str, Any]) -> list[Card]:
    found, alarmed = report["bad_found"], report["good_alarmed"]
    cards = []
    if report["bad"]:
        cards.append(Card(f"{found} of {report['bad']}", "bad ones found", "good" if found == report["bad"] else "poor"))
    if report["good"]:
        cards.append(Card(f"{alarmed} of {report['good']}", "good ones alarmed", "poor" if alarmed else "good"))
    for name, words in (("map", "mean average precision"), ("image_auroc", "image AUROC"), ("iou", "defect IoU"), ("f_score", "F-score")):
        if name in report:
            cards.append(Card(f"{report[name]:.3f}", words))
    if report.get("found_within") is not None:
        level: Level = "good" if report["found_within"] <= 3 else "poor"
        cards.append(Card(f"{report['found_within']:+d}", "pictures after the first label, at worst, until it was found", level))
    if "false_alarms" in report:
        cards.append(Card(str(report["false_alarms"]), "events where nothing was labelled", "poor" if report["false_alarms"] else "good"))
    faster: float | None = report["times_faster"]
    if faster is not None:
        words = f"the speed of the whole network in OpenVINO ({report['precision']})"
        cards.append(Card(f"{faster:.1f}x", words, "plain" if faster >= 1 else "poor"))
    differences = report["verdict_differences"]
    cards.append(
        Card(str(differences), f"of {report['frames']} verdicts other than the whole network's", "poor" if differences else "good")
    )
    return cards


def _every(report: dict[str, Any]) -> str:
    shown = {key: value for key, value in report.items() if key not in ("courses", "classes", "text") and value not in (None, [], {})}
    rows = [(key, _shown(value)) for key, value in shown.items()]
    rows += [(f"average precision of {label}", f"{value:.3f}") for label, value in report.get("classes", {}).items()]
    return table(("figure", "value"), rows) if rows else note("nothing was measured")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_shown(each)} {name}" for name, each in value.items())
    if isinstance(value, list):
        return "; ".join(map(_shown, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
