"""What an owner reads first: the figures to take away, the recommendation with its reasons, what to set. In: Findings. Out: markup."""

from __future__ import annotations

import math

import numpy as np

from edgevision.study import chart
from edgevision.study.assess import GOOD_AGREEMENT, UNTELLING, Findings, curve_of, grade
from edgevision.study.assess_cost import Cost
from edgevision.study.report import Card, Level, Section, listing, note

CHEAPER = 0.85  # a higher threshold is worth naming where it costs at most this part


def cards_of(findings: Findings) -> list[Card]:
    """What a reader takes away."""
    ours, rival, right = findings.ours, findings.rival, findings.operating
    agreement = findings.agreement(right)
    saving_level: Level = "good" if findings.saving >= 2 else "fair" if findings.saving > 1.15 else "poor"
    right_level: Level = "good" if findings.is_right and not right.too_mild else "fair" if agreement > 0.97 else "poor"
    if right_level == "good" and not findings.is_telling:
        right_level = "fair"
    same = f"; the verdict was the same on {sum(right.verdicts)} of {len(right.verdicts)}" if right.verdicts else ""
    fits: Level = "good" if findings.is_in_time else "poor"
    slowest = float(np.percentile(findings.frame_ms(findings.race.ours), 99))
    of_cpu = "of CPU time " if findings.is_disturbed else ""
    cards = [
        Card(
            _times(findings.saving),
            f"CPU time than the whole network on every frame takes at its cheapest here ({rival.name})",
            saving_level,
        ),
        Card(f"{percent(agreement)} same", f"answer as the whole network, on {len(right.errors)} frames compared{same}", right_level),
        Card(f"{cameras(ours)} cameras", f"like this one on this PC; {cameras(rival)} with the whole network", saving_level),
        Card(
            milliseconds(slowest),
            f"{of_cpu}for the slowest frame in a hundred; a new frame comes every {milliseconds(1e3 / findings.scene.fps)}",
            fits,
        ),
    ]
    return [*cards, *_money_cards(findings)]


def _money_cards(findings: Findings) -> list[Card]:
    ours, rival, prices = findings.ours, findings.rival, findings.task.prices
    if ours.money_year is None or rival.money_year is None:
        return []
    saved = rival.money_year - ours.money_year
    words = f"of electricity saved a year by {prices.cameras} such cameras ({rival.kwh_year - ours.kwh_year:,.0f} kWh)"
    cards = [Card(f"{saved:,.0f} {prices.currency}", words, "good" if saved > 0 else "poor")]
    if ours.money_once is not None and rival.money_once is not None:
        less = rival.money_once - ours.money_once
        cards.append(
            Card(f"{less:,.0f} {prices.currency}", f"of PCs saved once: {ours.pcs} instead of {rival.pcs}", "good" if less > 0 else "plain")
        )
    return cards


def short(findings: Findings, pictures: str) -> Section:
    """The recommendation, what the camera shows, the reasons, what to set."""
    verdict = grade(findings)
    level: Level = "good" if verdict == "yes" else "fair" if verdict == "maybe" else "poor"
    words = {
        "yes": "Worth it here: much less work, and the answer stays what the whole network says.",
        "maybe": "Worth a closer look: read the points below before you decide.",
        "no": "Not worth it here as it stands: the reasons are below, and after them what to do.",
    }[verdict]
    points = "".join(note(text, kind) for text, kind in _points(findings))
    explanation = (
        "A neural network usually works through every pixel of every frame. edgevision works only where the picture changed since it last "
        "looked there. What that saves depends on how much moves in front of your camera; this page measured it on your recording."
    )
    return Section("In short", explanation, [note(words, level), pictures, points, _settings(findings)])


def _points(findings: Findings) -> list[tuple[str, Level]]:
    """What speaks for and against, one sentence each."""
    watched, rival = findings.watched, findings.rival
    points: list[tuple[str, Level]] = []
    if findings.saving < 2:
        how = f"{findings.saving:.1f} times less" if findings.saving >= 1 else f"{1 / findings.saving:.1f} times more"
        points.append((f"It takes {how} CPU time than {rival.name}: on this recording a large part of the picture moves.", "fair"))
    if not findings.is_telling:
        points.append((f"{UNTELLING[0].upper()}{UNTELLING[1:]}.", "fair"))
    if findings.operating.too_mild:
        points.append((f"On {findings.operating.too_mild} compared frames the verdict was milder than the whole network's.", "poor"))
    if not findings.is_right:
        different = 1 - findings.agreement(findings.operating)
        points.append(
            (f"The answer differs from the whole network's by {percent(different)} on the mean frame; see the curve below.", "poor")
        )
    if findings.restlessness > 1 - GOOD_AGREEMENT:
        words = "is restless here: without anything moving its answer changes from one frame to the next by"
        points.append((f"The network {words} {percent(findings.restlessness)}. Is it trained for what this camera shows?", "fair"))
    whole = next(tally for tally in findings.race.dense if tally.name == rival.name)
    slow = float(np.mean(findings.frame_ms(findings.race.ours) > np.median(findings.frame_ms(whole))))
    if slow > 0.01:
        points.append((f"On {percent(slow)} of the frames so much moved that the whole network would have been quicker.", "fair"))
    if watched.whole:
        points.append(
            (f"{watched.whole} times the light of the whole picture changed at once; each costs one whole run and a warning.", "fair")
        )
    if watched.lost_frames:
        points.append((f"{watched.lost_frames} frames could not be used: {watched.lost[0]}.", "poor"))
    if findings.locality is not None and findings.locality.culprit is not None:
        words = "makes every pixel of the answer depend on every pixel of the picture, so any change costs a whole run from there on"
        points.append((f"Step {findings.locality.culprit} of the network {words}; see recompute.engine: splice.", "poor"))
    if verdicts_of(findings)[:1] == [("NG", len(findings.operating.errors))]:
        points.append(("The whole network calls every frame NG by your settings: is it the right network for this camera?", "fair"))
    if findings.is_disturbed:
        points.append(
            (
                "Other programs kept this PC busy meanwhile: the milliseconds are too long; CPU time and what follows from it are not.",
                "fair",
            )
        )
    if not findings.is_in_time:
        points.append(("The slowest frames take longer than the time until the next one: some frames would be passed over.", "poor"))
    return points


def _settings(findings: Findings) -> str:
    """What to put into the configuration."""
    compare, rows = findings.settings.compare, curve_of(findings)
    now = next(row for row in rows if row["is_operating_point"])
    lower = [row for row in rows if row["levels"] < now["levels"] and row["agreement"] >= GOOD_AGREEMENT and not row["too_mild"]]
    higher = [row for row in rows if row["levels"] > now["levels"] and row["agreement"] >= now["agreement"] - 5e-4 and not row["too_mild"]]
    chosen, why = None, "Leave the thresholds as they are; this is what was in force:"
    if now["agreement"] < GOOD_AGREEMENT and lower:
        chosen, why = lower[-1], "A lower change threshold follows the whole network more closely. Try this:"
    elif findings.is_telling and higher and higher[-1]["ms_mean"] < CHEAPER * now["ms_mean"]:
        chosen, why = higher[-1], "A higher change threshold gave the same answers for less work. Try this, and watch the next days:"
    value = compare.pixel_threshold if chosen is None else chosen["pixel_threshold"]
    comment = "" if value != "auto" else f"  # here {findings.watched.levels:.1f} gray levels\n"
    if chosen is not None:
        comment = f"  # here {chosen['levels']:.1f} gray levels; {compare.pixel_threshold} was in force\n"
    text = f"compare:\n{comment}  pixel_threshold: {value}"
    return f"{note(why)}{listing(text)}"


def verdicts_of(findings: Findings) -> list[tuple[str, int]]:
    """What the whole network said, commonest first."""
    return sorted(findings.race.verdicts.items(), key=lambda pair: -pair[1])


def _times(saving: float) -> str:
    if not math.isfinite(saving):
        return "no measurable"
    return f"{saving:.1f} times less" if saving >= 1 else f"{1 / saving:.1f} times more"


def cameras(cost: Cost) -> str:
    """How many this PC carries: whole ones, or the part of one."""
    return f"{math.floor(cost.cameras):,}" if cost.cameras >= 1 else f"{cost.cameras:.1f}"


def milliseconds(value: float) -> str:
    """With its unit."""
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def percent(value: float) -> str:
    """A share; one close to all of it with more digits."""
    if math.isnan(value):
        return "-"
    digits = 2 if value > 0.99 else 1
    return f"{value:.{digits}%}".replace("%", " %") if 0.9 < value < 1 else chart.share(value)
