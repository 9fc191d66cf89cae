"""The page that `edgevision assess` hands to an owner: the answer first, then pictures and curves, then tables. In: Findings. Out: HTML."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edgevision.records import Image
from edgevision.study import chart
from edgevision.study.assess import UNTELLING, Findings, curve_of, layers_of
from edgevision.study.assess_cost import USABLE, energy_words
from edgevision.study.assess_next import next_steps
from edgevision.study.assess_short import cameras, cards_of, percent, short, verdicts_of
from edgevision.study.assess_watch import Beside
from edgevision.study.chart import Axis, Mark, Series
from edgevision.study.report import Level, Section, figures, heat_over, note, page, picture, plot, steps, table

BINS = 120
LEAST_SHARE = 1e-5
COLOURS = (chart.BLUE, chart.ORANGE, chart.GREEN, chart.PURPLE)


def assess_page(findings: Findings) -> str:
    """The whole page."""
    watched, task = findings.watched, findings.task
    height, width = watched.picture.shape[:2]
    subtitle = (
        f"{task.recording.name}: {width} x {height} pixels, {findings.scene.fps:.3g} frames a second, network {_network(findings)}, "
        f"on this PC ({_processor()}, {findings.scene.cores} cores)"
    )
    advice = Section("What to do next", "In this order; a command is for a terminal on this PC.", [steps(next_steps(findings))])
    sections = [
        short(findings, _pictures(findings)),
        advice,
        _changes(findings),
        _speed(findings),
        _cost(findings),
        _right(findings),
        _spread(findings),
    ]
    if findings.beside is not None:
        sections.insert(3, _reference(findings.beside, findings))
    return page("What edgevision would save on this camera", subtitle, cards_of(findings), [*sections, _method(findings)])


def _pictures(findings: Findings) -> str:
    """Heat map and busiest frame."""
    watched = findings.watched
    peak = float(watched.heat.max()) or 1.0
    shown = [
        picture(
            heat_over(watched.picture, np.sqrt(watched.heat / peak)),
            f"Where it changes: red changed on {percent(peak)} of the frames, yellow seldom, gray never.",
        )
    ]
    if watched.busiest is not None:
        share, image, live = watched.busiest
        shown.append(picture(_outlined(image, live), f"The busiest frame: {percent(share)} of it changed (outlined in red)."))
    return figures(*shown)


def _changes(findings: Findings) -> Section:
    """Over time, and as a distribution."""
    watched = findings.watched
    shares = np.array(watched.shares)
    medians = f"On a median frame {percent(float(np.median(shares)))} of the picture changed, on the busiest in a hundred "
    explanation = (
        f"{medians}{percent(float(np.percentile(shares, 99)))}; on {percent(float(np.mean(shares == 0)))} of the frames nothing did. "
        f"A pixel counts as changed when it moves by more than {watched.levels:.1f} of 256 gray levels, well above this camera's noise "
        f"(about {watched.noise_levels:.1f})."
    )
    return Section("How much of the picture changes", explanation, [figures(_over_time(findings), _distribution(shares))])


def _over_time(findings: Findings) -> str:
    ts, shares = np.array(findings.watched.ts), np.array(findings.watched.shares)
    ts = (ts - ts[0]) * (findings.watched.fps / findings.scene.fps)
    unit, scale = ("minutes", 60.0) if ts[-1] > 300 else ("seconds", 1.0)
    parts = np.array_split(np.arange(len(ts)), min(BINS, len(ts)))
    most = [(float(ts[part].mean()) / scale, float(shares[part].max())) for part in parts]
    mean = [(float(ts[part].mean()) / scale, float(shares[part].mean())) for part in parts]
    series = (
        [Series("most", most, "area", "#9db9e4"), Series("mean", mean, "area", chart.BLUE)]
        if len(ts) > BINS
        else [Series("", mean, "area")]
    )
    drawing = chart.chart(series, Axis(unit, chart.number), Axis("changed share", chart.share))
    return plot(drawing, f"Changed share of the picture over time; each of {len(parts)} steps holds about {len(ts) // len(parts)} frames.")


def _distribution(shares: np.ndarray[tuple[int], np.dtype[np.float64]]) -> str:
    ordered = np.sort(np.maximum(shares, LEAST_SHARE))
    chosen = np.unique(np.linspace(0, len(ordered) - 1, 200).round().astype(int))
    points = [(float(ordered[place]), (place + 1) / len(ordered)) for place in chosen]
    points = [(LEAST_SHARE, points[0][1] if points[0][0] <= LEAST_SHARE else 0.0), *points, (1.0, 1.0)]
    drawing = chart.chart(
        [Series("", points, "area")],
        Axis("changed share of the picture", chart.share, is_log=True, ends=(LEAST_SHARE, 1.0)),
        Axis("share of frames below", chart.share, ends=(0.0, 1.0)),
        [
            Mark("median", x=float(np.median(np.maximum(shares, LEAST_SHARE)))),
            Mark("99 in 100", x=float(np.percentile(np.maximum(shares, LEAST_SHARE), 99))),
        ],
    )
    return plot(drawing, "Read: so many of the frames changed by at most so much. The farther left the curve rises, the more is saved.")


def _speed(findings: Findings) -> Section:
    race = findings.race
    series = []
    for tally, colour in zip((race.ours, *race.dense), COLOURS, strict=False):
        levels = np.concatenate([np.linspace(0, 95, 60), np.linspace(95.5, 100, 10)])
        series.append(Series(tally.name, [(float(q), float(np.percentile(tally.ms, q))) for q in levels], "line", colour))
    series = [Series(one.name, one.points, "line", one.colour) for one in series]
    drawing = chart.chart(
        series,
        Axis("frames, from the quickest to the slowest, %", chart.number, ends=(0, 100)),
        Axis("milliseconds a frame", chart.number, is_log=True),
    )
    rows = [
        [cost.name, cost.precision, *(f"{value:.2f}" for value in (cost.ms_mean, cost.ms_p50, cost.ms_p99, cost.ms_worst))]
        for cost in findings.costs
    ]
    head = ["milliseconds a frame", "arithmetic", "mean", "median", "slowest in 100", "worst"]
    whole = float(np.median(race.whole_ms))
    explanation = (
        "The whole network takes the same time on every frame; edgevision takes as long as much has changed. The "
        "worst that can happen to it is a "
        f"frame on which everything changed, as when the light is switched on: {whole:.1f} ms here."
    )
    slowest = float(np.percentile(np.array(race.ours.cpu_s) * 1e3, 99))
    words = "Other programs kept this PC busy, so all of these are too long: of CPU time, edgevision's slowest frame in 100 took"
    busy = f"{words} {slowest:.1f} ms."
    disturbed = [note(busy, "fair")] if findings.is_disturbed else []
    return Section(
        "How long a frame takes",
        explanation,
        [
            figures(plot(drawing, "Every frame's time, sorted: where our line lies below the others, edgevision is quicker.")),
            table(head, rows, [0]),
            *disturbed,
        ],
    )


def _cost(findings: Findings) -> Section:
    prices, scene = findings.task.prices, findings.scene
    head = [
        "",
        "CPU seconds, 1,000 frames",
        "Wh, 1,000 frames",
        "cameras on this PC",
        f"kWh a year, {prices.cameras} cameras",
        f"PCs for {prices.cameras} cameras",
    ]
    if prices.kwh is not None:
        head.append(f"electricity a year, {prices.currency}")
    if prices.pc is not None:
        head.append(f"PCs, {prices.currency}")
    rows = []
    for cost in findings.costs:
        row = [cost.name, f"{cost.cpu_s:.2f}", f"{cost.wh:.3f}", cameras(cost), f"{cost.kwh_year:,.0f}", str(cost.pcs)]
        row += [f"{money:,.0f}" for money in (cost.money_year, cost.money_once) if money is not None]
        rows.append(row)
    explanation = (
        f"A camera gives {scene.fps:.3g} frames a second, {prices.hours_a_day:g} hours a day. Cameras on this PC: "
        f"{percent(USABLE)} of its {scene.cores} cores' "
        f"time may be used, the rest is kept for peaks. Decoding the video takes {scene.decode_s * 1e3:.2f} ms of CPU "
        f"a frame whatever inspects it; it is in the "
        "cameras, the PCs and the electricity, not in the first two columns."
    )
    notes = [note(energy_words((findings.race.ours, *findings.race.dense), prices))]
    if prices.kwh is None or prices.pc is None:
        notes.append(note("For money, run it again with your own prices: --price-kwh 0.25 --price-pc 900 --cameras 10 --hours-a-day 16."))
    return Section("What it costs to run", explanation, [table(head, rows, [0]), *notes])


def _right(findings: Findings) -> Section:
    rows = curve_of(findings)
    now = next(row for row in rows if row["is_operating_point"])
    levels = Axis("change threshold, gray levels", chart.number, is_log=True)
    mark = [Mark("in force", x=now["levels"])]
    differing = [(row["levels"], max(0.0, 1 - row["agreement"])) for row in rows]
    frozen = max(0.0, 1 - findings.agreement(findings.race.frozen))
    series = [
        Series("differs from the whole network", differing, "line", chart.RED),
        Series("an answer that never changes", [(rows[0]["levels"], frozen), (rows[-1]["levels"], frozen)], "line", chart.GRAY),
    ]
    left = chart.chart(series, levels, Axis("answer that differs", chart.share), mark)
    right = chart.chart(
        [Series("", [(row["levels"], row["ms_mean"]) for row in rows])], levels, Axis("milliseconds a frame, mean", chart.number), mark
    )
    cells = [
        [
            f"{row['levels']:.1f}{' (in force)' if row['is_operating_point'] else ''}",
            percent(row["agreement"]),
            percent(row["agreement_worst"]),
            "-" if row["same_verdict"] is None else percent(row["same_verdict"]),
            "-" if row["too_mild"] is None else str(row["too_mild"]),
            percent(row["macs_share"]),
            f"{row['ms_mean']:.2f}",
        ]
        for row in rows
    ]
    head = [
        "change threshold, gray levels",
        "same answer, mean",
        "same answer, worst frame",
        "same verdict",
        "verdicts too mild",
        "of the whole network's work",
        "ms a frame",
    ]
    explanation = (
        f"On {len(findings.operating.errors)} frames the whole network was run on the raw picture and its answer "
        f"compared, pixel by pixel, with ours. A higher threshold "
        "overlooks more and costs less; a lower one follows every flicker. The answer differs by how far its values "
        "are off plus the share of "
        "its decisions (defect or not, which class) that came out otherwise."
    )
    marked = [place for place, row in enumerate(rows) if row["is_operating_point"]]
    warnings = [] if findings.is_telling else [note(f"{UNTELLING[0].upper()}{UNTELLING[1:]}.", "fair")]
    said = ", ".join(f"{count} {name}" for name, count in verdicts_of(findings))
    if said:
        warnings.append(note(f"The whole network's verdicts on these frames, by your settings: {said}."))
    captions = (
        "How wrong it gets. The gray line is what an answer would be off by that stays as it was on the first frame.",
        "What each threshold costs.",
    )
    return Section(
        "Is the answer still right",
        explanation,
        [*warnings, figures(plot(left, captions[0]), plot(right, captions[1])), table(head, cells, marked)],
    )


def _spread(findings: Findings) -> Section:
    layers = [layer for layer in layers_of(findings) if layer["macs_share"] > 0 or layer["how"] != "selective"]
    race, where = findings.race, findings.locality
    start, work = float(np.mean(race.live_input)), float(np.mean(race.macs_share))
    explanation = (
        f"Each step of a network looks at a neighbourhood, so a change grows on its way through: {percent(start)} of "
        f"the picture changed on the mean frame, "
        f"and {percent(work)} of the network's multiplications had to be done again."
    )
    parts: list[str] = []
    if where is not None:
        rows, columns = where.reach_px
        if where.culprit is None:
            level: Level = "good" if where.share < 0.25 else "fair"
            words = (
                "local enough: what happens in one corner leaves the rest alone"
                if where.share < 0.25
                else "not very local: most changes reach far"
            )
            text = (
                f"One changed pixel can move the answer in a part of {columns} x {rows} pixels of the picture as the network sees it, "
                f"{percent(where.share)} of the picture: {words}."
            )
            parts.append(note(text, level))
        else:
            parts.append(
                note(
                    f"From step {where.culprit} on, everything depends on the whole picture: this task is not local for this network.",
                    "poor",
                )
            )
    if layers:
        points = [(0.0, start), *((float(place + 1), layer["live"]) for place, layer in enumerate(layers))]
        drawing = chart.chart(
            [Series("", points, "bars")],
            Axis("step that multiplies (0: the picture)", chart.number),
            Axis("live share, mean", chart.share, ends=(0.0, min(1.0, 1.15 * max(y for _, y in points) or 1.0))),
        )
        parts.append(figures(plot(drawing, "Share of each step's pixels that had to be computed again, on the mean frame.")))
        rows_of = [[layer["name"], layer["how"], percent(layer["live"]), percent(layer["macs_share"])] for layer in layers]
        parts.append(
            f"<details><summary>Step by step</summary>{table(['step', 'runs', 'computed again', 'of the work'], rows_of)}</details>"
        )
    return Section("How far a change spreads", explanation, parts)


def _reference(held: Beside, findings: Findings) -> Section:
    peak = float(held.heat.max())
    shares = [share for _, share in held.shares]
    heat = np.sqrt(held.heat / peak) if peak else held.heat
    shown = picture(
        heat_over(findings.watched.picture, heat), f"Where it differs from the reference: red on {percent(peak)} of the frames."
    )
    points = [(float(number), share) for number, share in held.shares]
    drawing = chart.chart(
        [Series("", points, "line", chart.PURPLE)], Axis("frame", chart.number), Axis("differs from the reference", chart.share)
    )
    name = findings.task.reference.name if findings.task.reference is not None else ""
    parts = [figures(shown, plot(drawing, "Share of the picture that differs from the reference, on frames spread over the recording."))]
    if held.misaligned:
        parts.append(note(f"{held.misaligned} frames do not lie on the reference and would be NOT_INSPECTED: {held.problem}.", "poor"))
    mean = percent(float(np.mean(shares))) if shares else "-"
    return Section("Against the reference", f"{len(shares)} frames beside {name}: {mean} of the picture differs on the mean frame.", parts)


def _method(findings: Findings) -> Section:
    watched, race = findings.watched, findings.race
    lines = [
        f"{watched.frames:,} frames went through the change "
        f"map{', then the time set with --minutes was up' if watched.is_cut_short else ', all that the recording has'}."
    ]
    run, counted = len(race.chosen.numbers), len(race.ours.ms)
    spread = "all of them" if run == watched.frames else "stretches of consecutive frames, spread evenly over what was read"
    lines.append(f"{run:,} frames went through the network ({spread}); {counted:,} count, frames after a gap do not.")
    lines.append(
        "Times are of this PC as busy as it was; every engine ran one after another on the same frames with as many "
        "threads. Ours holds the change map, the network and its regular self-checks."
    )
    lines.append("The whole network's time is OpenVINO's inference alone, its input made ready for it.")
    return Section(
        "How this was measured",
        "For those who want to check it, or to repeat it.",
        ["".join(f"<p>{line}</p>" for line in lines), *(note(text) for text in race.notes)],
    )


def _outlined(image: Image, live: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Image:
    from edgevision.study.picture import colour

    shown = colour(image)
    contours, _ = cv2.findContours(np.ascontiguousarray(live).view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(shown, contours, -1, (40, 40, 230), max(1, shown.shape[1] // 400))
    return shown


def _network(findings: Findings) -> str:
    named = findings.settings.recompute.network
    return "that ships with edgevision" if named == "default" else Path(named).name


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")
