"""The page that `edgevision tune` writes: what to set and how sure that is, then pictures of the closest cases, then every limit with the
values around it. In: a Tuned. Out: HTML. Keeps nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edgevision.errors import InputError
from edgevision.records import Image, Mask
from edgevision.study import chart
from edgevision.study.chart import Axis, Mark, Series
from edgevision.study.picture import colour, write_on
from edgevision.study.report import Card, Level, Section, figures, heat_over, listing, note, page, picture, plot, steps, table, tables
from edgevision.study.tune import Tuned, drift, snippet, together, yaml_of
from edgevision.study.tune_measure import Seen, marks_of
from edgevision.study.tune_next import has_wrong_network, is_flickering, next_steps
from edgevision.study.tune_propose import Proposal

BINS = 24
NARROW = 1.2  # a margin below which a few more pictures may turn it over
SHOWN_REGIONS = 8


def tune_page(tuned: Tuned) -> str:
    """The whole page."""
    height, width = tuned.good.kept.frames[0].image.shape[:2]
    bad = f", {len(tuned.bad_seen)} pictures of bad parts ({tuned.bad.path.name})" if tuned.bad is not None else ", no bad ones"
    subtitle = f"{len(tuned.good.seen)} pictures of good parts ({tuned.good.path.name}){bad}; {width} x {height} pixels"
    advice = Section("What to do next", "In this order; a command is for a terminal on this PC.", [steps(next_steps(tuned))])
    sections = [_pictures(tuned), _short(tuned), advice, _populations(tuned), _limits(tuned), _camera(tuned), _method(tuned)]
    return page(f"Thresholds for camera {tuned.task.camera}", subtitle, _cards(tuned), [one for one in sections if one is not None])


def _cards(tuned: Tuned) -> list[Card]:
    counts = together(tuned)
    then, cards = counts["proposed"], []
    new = sum(proposal.is_new for proposal in tuned.proposals)
    where = ": written into the configuration" if tuned.written is not None else ": proposed; the configuration is as it was" if new else ""
    cards.append(Card(f"{new} of {len(tuned.proposals)}", f"thresholds should change{where}"))
    if tuned.bad_seen:
        missed = then["ng_missed"]
        cards.append(
            Card(
                f"{missed} of {counts['bad']}",
                "bad pictures are not called NG with what is proposed",
                "plain" if has_wrong_network(tuned) and not missed else _level(missed, counts["bad"]),
            )
        )
    cards.append(
        Card(
            f"{then['ng_false']} of {counts['inspected_good']}",
            "good pictures are called NG with what is proposed",
            _level(then["ng_false"], counts["inspected_good"]),
        )
    )
    if then["foreground_false"] is not None:
        words = "good pictures differ from the reference more than is allowed; it was taught from others"
        cards.append(Card(f"{then['foreground_false']} of {counts['good']}", words, _level(then["foreground_false"], counts["good"])))
    cards.append(
        Card(
            f"{float(np.median(tuned.good.noise)):.1f} levels",
            "is the camera's noise, of 256 gray levels" if tuned.is_stream else "lie between one picture and the next, of 256 gray levels",
        )
    )
    return cards


def _level(wrong: int, of: int) -> Level:
    return "good" if wrong == 0 else "fair" if wrong <= max(1, 0.02 * of) else "poor"


def _short(tuned: Tuned) -> Section:
    parts = [note(text, level) for text, level in _points(tuned)]
    lines = snippet(tuned)
    if lines:
        told = (
            f"This stands in {tuned.written.name} now; the file as it was is {tuned.backup.name if tuned.backup else ''}."
            if tuned.written
            else "Put this into the configuration:"
        )
        parts += [note(told), listing(lines)]
    elif together(tuned)["proposed"]["ng_false"] or is_flickering(tuned):
        parts.append(note("No threshold is proposed: what is wrong here, no threshold mends.", "fair"))
    else:
        parts.append(note("Nothing needs to change: what is in force fits what was measured.", "good"))
    explanation = (
        "A threshold must lie above everything that good parts show and below the faintest thing that must be found. "
        "The farther from both, "
        "the safer. This page shows how far that is, and what would happen at the values around each threshold."
    )
    return Section("In short", explanation, parts)


def _points(tuned: Tuned) -> list[tuple[str, Level]]:
    counts = together(tuned)
    points: list[tuple[str, Level]] = []
    then = counts["proposed"]
    if not tuned.bad_seen:
        points.append(
            ("No bad parts were shown, so nothing here says what would be missed: collect some, and run it again with --bad.", "fair")
        )
    elif then["ng_missed"]:
        unseen = sum(seen.score(0) == 0 for seen in tuned.bad_seen)
        why = (
            f" In {unseen} of them the network finds nothing at all, which no threshold mends: it must be trained for these parts."
            if unseen
            else ""
        )
        points.append((f"{then['ng_missed']} of {counts['bad']} bad pictures are not called NG.{why}", "poor"))
    if then["ng_false"]:
        doubt = " Is it the right network for these parts?" if then["ng_false"] > 0.2 * counts["inspected_good"] else ""
        points.append(
            (
                f"{then['ng_false']} of {counts['inspected_good']} good pictures are called NG.{doubt}",
                "poor" if then["ng_false"] > 1 else "fair",
            )
        )
    if tuned.bad_seen and then["foreground_missed"] is not None:
        aligned = [seen for seen in tuned.bad_seen if seen.levels is not None]
        found = counts["bad"] - then["foreground_missed"]
        words = (
            f"Against the reference taught from the good pictures, {found} of {len(aligned)} bad ones differ, and "
            f"{then['foreground_false']} of {counts['good']} good ones."
        )
        points.append((words, "good" if found == len(aligned) and not then["foreground_false"] else "fair"))
        if len(aligned) < counts["bad"]:
            why = next(seen.problem for seen in tuned.bad_seen if seen.levels is None)
            points.append(
                (f"{counts['bad'] - len(aligned)} bad pictures do not lie on the reference and would be NOT_INSPECTED: {why}.", "fair")
            )
    light = drift(tuned.good)
    if is_flickering(tuned):
        points.append(("On good frames, where nothing moves, the picture still changes by more than every threshold tried.", "poor"))
    if tuned.good.light_changes:
        points.append((f"The light of the whole picture changed at once {tuned.good.light_changes} times.", "fair"))
    if light["gain_most"] / max(light["gain_least"], 1e-6) > 1.1:
        points.append(
            (f"The light wanders: it was corrected by a factor of {light['gain_least']:.2f} to {light['gain_most']:.2f}.", "fair")
        )
    for proposal in tuned.proposals:
        margins = [margin for margin in proposal.margins if margin is not None]
        if proposal.is_new and tuned.bad_seen and margins and min(margins) < NARROW:
            words = f"The gap around {proposal.key} is narrow: good and bad pictures lie within {min(margins):.2f} times of it. "
            points.append((f"{words}Give more pictures before you trust it.", "fair"))
    points += [(f"{text if '_' in text.split()[0] else text[0].upper() + text[1:]}.", "fair") for text in tuned.notes]
    lost = tuned.good.lost_frames + (tuned.bad.lost_frames if tuned.bad is not None else 0)
    if lost:
        reason = (tuned.good.lost or (tuned.bad.lost if tuned.bad is not None else []))[0]
        points.append((f"{lost} pictures could not be used, for instance: {reason}.", "fair"))
    return points


def _pictures(tuned: Tuned) -> Section | None:
    """The cases that decide: closest to the limit on either side, and what is on the wrong side."""
    shown = []
    flicker = max(
        tuned.good.flicker, key=lambda one: (one.threshold == tuned.settings.compare.pixel_threshold, one.largest_px), default=None
    )
    if flicker is not None and flicker.worst is not None:
        shown.append(
            picture(
                _outlined(flicker.worst[1], flicker.worst[2]),
                f"The worst false change on a good recording: {flicker.worst[0]} pixels, at the threshold in force "
                f"({flicker.levels:.1f} gray levels).",
            )
        )
    if tuned.held_out and tuned.teacher is not None:
        worst = max(tuned.held_out, key=lambda seen: _nearness(seen, tuned))
        shown.append(_against(worst, tuned, f"The good picture that differs most from the reference ({worst.name})"))
    bad = [seen for seen in tuned.bad_seen if seen.levels is not None]
    found = [seen for seen in bad if tuned.differs(seen, tuned.proposed)]
    if found:
        faintest = min(found, key=lambda seen: _nearness(seen, tuned))
        shown.append(_against(faintest, tuned, f"The faintest bad picture that still differs enough ({faintest.name})"))
    for seen in [seen for seen in bad if seen not in found][:2]:
        shown.append(_against(seen, tuned, f"A bad picture that differs too little ({seen.name})"))
    shown += _scored(tuned)
    if not shown:
        return None
    return Section(
        "The cases that decide",
        "Outlined in red: what counts as different with the proposed thresholds. Look here first: are these right?",
        [figures(*shown)],
    )


def _scored(tuned: Tuned) -> list[str]:
    """The network's own closest cases."""
    area, shown = tuned.proposed.judge.min_area_px, []
    best = max(tuned.good.seen, key=lambda seen: seen.score(area), default=None)
    if best is not None and best.score(area) > 0:
        shown.append(
            picture(
                _regions(best),
                f"The good picture that the network doubts most ({best.name}): score {best.score(area):.2f}, NG from "
                f"{tuned.proposed.judge.ng:g}.",
            )
        )
    found = [seen for seen in tuned.bad_seen if tuned.is_ng(seen, tuned.proposed)]
    if found:
        faintest = min(found, key=lambda seen: seen.score(area))
        shown.append(
            picture(_regions(faintest), f"The bad picture that is only just NG ({faintest.name}): score {faintest.score(area):.2f}.")
        )
    return shown


def _nearness(seen: Seen, tuned: Tuned) -> float:
    """How many times a picture passes the proposed limits, of level and of spread together."""
    levels, spreads, compare = seen.levels or (0.0, 0.0), seen.spreads or (0.0, 0.0), tuned.proposed.compare
    pairs = [
        (levels[sign] / max(compare.abs_threshold[sign], 1e-6), spreads[sign] / max(compare.var_threshold[sign], 1e-6)) for sign in (0, 1)
    ]
    return max(min(pair) for pair in pairs)


def _against(seen: Seen, tuned: Tuned, caption: str) -> str:
    if tuned.teacher is None:
        return picture(seen.image, caption)
    marks = marks_of(seen, tuned.teacher, tuned.proposed.compare)
    try:
        away = tuned.teacher.away(seen.image)
    except InputError:
        return picture(seen.image, caption)
    heat = (
        np.maximum(
            away.brighter / max(tuned.proposed.compare.abs_threshold[0], 1), away.darker / max(tuned.proposed.compare.abs_threshold[1], 1)
        )
        / 2
    )
    times = _nearness(seen, tuned)
    return picture(_outlined(heat_over(seen.image, np.minimum(heat, 1.0)), marks), f"{caption}: {times:.1f} times the limit.")


def _outlined(image: Image, marks: Mask) -> Image:
    shown = colour(image)
    contours, _ = cv2.findContours(np.ascontiguousarray(marks).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        x, y, width, height = cv2.boundingRect(contour)
        cv2.drawContours(shown, [contour], -1, (40, 40, 230), 1)
        if len(contours) <= 12:
            cv2.rectangle(shown, (x - 5, y - 5), (x + width + 5, y + height + 5), (40, 40, 230), 2)
    return shown


def _regions(seen: Seen) -> Image:
    shown = colour(seen.image)
    for region in sorted(seen.regions, key=lambda region: -region.score)[:SHOWN_REGIONS]:
        x1, y1, x2, y2 = region.box_px
        cv2.rectangle(shown, (x1 - 3, y1 - 3), (x2 + 3, y2 + 3), (40, 40, 230), 2)
        write_on(shown, f"{region.label} {region.score:.2f}", (x1, y1), (90, 90, 250), max(0.5, shown.shape[1] / 1200))
    return shown


def _populations(tuned: Tuned) -> Section | None:
    """Good and bad on one axis, with the limit between them."""
    shown = []
    if tuned.held_out:
        marks = [Mark("limit", x=1.0)]
        good, bad = (
            [max(_nearness(seen, tuned), 0.02) for seen in group if seen.levels is not None] for group in (tuned.held_out, tuned.bad_seen)
        )
        axis = Axis("difference from the reference, times the proposed limit", chart.number, is_log=True)
        shown.append(
            plot(
                _histogram(good, bad, axis, marks),
                "Pictures by how much they differ from the taught reference. Good ones belong left of the line, bad ones right of it.",
            )
        )
    area = tuned.proposed.judge.min_area_px
    scores = [[seen.score(area) for seen in group] for group in (tuned.good.seen, tuned.bad_seen)]
    if any(scores[0]) or any(scores[1]):
        marks = [Mark("warn", x=tuned.proposed.judge.warn, colour=chart.ORANGE), Mark("ng", x=tuned.proposed.judge.ng)]
        axis = Axis("the network's score", chart.number, ends=(0.0, 1.0))
        shown.append(
            plot(
                _histogram(scores[0], scores[1], axis, marks),
                "Pictures by the highest score that the network gives in them; 0: it finds nothing. Good ones belong left, bad ones right.",
            )
        )
    if not shown:
        return None
    return Section(
        "Good and bad side by side", "The wider the gap between the two colours, the safer any threshold in it.", [figures(*shown)]
    )


def _histogram(good: Sequence[float], bad: Sequence[float], axis: Axis, marks: Sequence[Mark]) -> str:
    values = [*good, *bad]
    if axis.is_log:
        edges = np.geomspace(0.95 * min([*values, 0.5]), max([*values, 2.0]) * 1.05, BINS + 1)
        middles = np.sqrt(edges[1:] * edges[:-1])
    else:
        low, high = axis.ends or (min(values), max(values))
        edges = np.linspace(low, high + 1e-9, BINS + 1)
        middles = (edges[1:] + edges[:-1]) / 2
    series = []
    for name, group, tint in (("good", good, chart.GREEN), ("bad", bad, chart.RED)):
        if group:
            counts = np.histogram(group, edges)[0] / len(group)
            series.append(Series(f"{name} ({len(group)})", list(zip(middles.tolist(), counts.tolist(), strict=True)), "bars", tint))
    return chart.chart(series, axis, Axis("share of the pictures", chart.share), marks)


def _limits(tuned: Tuned) -> Section:
    head = ["key", "in force", "proposed", "good lie below by", "bad lie above by", "why"]
    rows = [
        [
            proposal.key,
            yaml_of(proposal.now),
            yaml_of(proposal.value) if proposal.is_new else "stays",
            _margin(proposal.margins[0]),
            _margin(proposal.margins[1]),
            proposal.why,
        ]
        for proposal in tuned.proposals
    ]
    marked = [place for place, proposal in enumerate(tuned.proposals) if proposal.is_new]
    around = [_around(proposal) for proposal in tuned.proposals if proposal.around]
    explanation = (
        "Each threshold with its margins: 2 times below means that the strongest good picture reaches half of it. Below 1 they overlap."
    )
    return Section("Every threshold", explanation, [table(head, rows, marked), tables(*around)])


def _margin(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f} times" if value < 2 else f"{value:.1f} times"


def _around(proposal: Proposal) -> str:
    head = [f"{proposal.key}", "false, of the good", "missed, of the bad"]
    rows = [[one.value, *("-" if count is None else str(count) for count in (one.false, one.missed))] for one in proposal.around]
    marked = [place for place, one in enumerate(proposal.around) if one.is_proposed]
    return table(head, rows, marked)


def _camera(tuned: Tuned) -> Section:
    good = tuned.good
    noise = [(float(level), float(good.noise[level])) for level in range(4, 256, 4)]
    shown = [
        plot(
            chart.chart(
                [Series("", noise)],
                Axis("gray level", chart.number, ends=(0, 255)),
                Axis("noise, gray levels", chart.number, ends=(0.0, 1.2 * float(good.noise.max()))),
            ),
            "Noise from frame to frame (one sigma), by how bright a place is.",
        )
    ]
    ts = np.array([ts for ts, _ in good.means])
    means = [level for _, level in good.means]
    step = max(1, len(means) // 300)
    points = [(float(at), level) for at, level in zip((ts - ts[0])[::step], means[::step], strict=True)]
    span = max(2.0, float(np.ptp(means)))
    middle = float(np.mean(means))
    if not tuned.is_stream:
        shown = []
    axis = Axis("seconds" if tuned.is_stream else "picture", chart.number)
    shown.append(
        plot(
            chart.chart([Series("", points)], axis, Axis("mean gray level", chart.number, ends=(middle - span, middle + span))),
            "Brightness of the whole picture over the good recording: drift of lamp or camera.",
        )
    )
    light = drift(good)
    explanation = (
        f"Brightness wanders by {light['levels']:.1f} gray levels over the recording; its light was "
        f"corrected by factors of {light['gain_least']:.3f} to {light['gain_most']:.3f}."
    )
    return Section("The camera itself", explanation, [figures(*shown)])


def _method(tuned: Tuned) -> Section:
    good, lines = tuned.good, []
    lines.append(
        f"{good.frames:,} good frames were read{' (no more are)' if good.is_cut_short else ''}; {len(good.seen)} of "
        f"them, spread evenly, were compared and inspected."
    )
    if tuned.teacher is not None:
        lines.append(
            f"The reference was taught from {tuned.teacher.golden.images} of them; false changes are counted on the "
            f"{len(tuned.held_out)} others."
        )
    if tuned.is_stream:
        lines.append("A false change is one where nothing moves: where within half a second and 25 pixels nothing passed 40 gray levels.")
    if tuned.bad is not None:
        lines.append(
            f"Every one of the {len(tuned.bad_seen)} pictures in {tuned.bad.path.name} was taken to show something that must be found."
        )
    lines.append("In numbers of the tables, one picture counts once, however much is wrong in it.")
    return Section("How this was measured", "For those who want to check it.", ["".join(f"<p>{line}</p>" for line in lines)])
