"""From two populations to thresholds: where each limit should lie, by what margin, and what the values around it would do. In: what
`tune_measure` found. Out: `Proposal`s. Keeps nothing, measures nothing.

A limit lies between the strongest good picture and the faintest bad one, as far from both; without bad pictures it lies a margin above the
good ones. Where the two overlap, a miss counts as much as MISS_WEIGHT false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from edgevision.compare.settings import ChangeSettings
from edgevision.config import CameraConfig
from edgevision.judge.rules import JudgeSettings
from edgevision.study.tune_measure import STEPS, Population, Seen

MISS_WEIGHT = 5
ALONE_MARGIN = 1.5  # above good pictures, where no bad ones were given
SAME = 1.15  # a proposal that lies this close to what is in force leaves it
FLICKER_SHARE = 0.01
LEAST_SIGMAS = 4.0
MOST_NG = 0.95
LOCATED_SHARE = 0.9
LEAST_HELD_OUT = 4
RATIO_STEPS = (0.5, 0.7, 1.0, 1.4, 2.0)
SCORE_STEPS = (-0.2, -0.1, 0.0, 0.1, 0.2)


@dataclass(frozen=True, slots=True)
class Around:
    """What one value of a limit would do: false ones among the good, missed ones among the bad; None where that is not known."""

    value: str
    false: int | None
    missed: int | None
    is_proposed: bool = False


@dataclass(frozen=True, slots=True)
class Proposal:
    """One key: what is in force, what should be, and why. `margins` are how many times the strongest good picture lies below it and the
    faintest bad one above; None where there is none. A key that stays has `value` equal to `now`.
    """

    path: tuple[str, str]
    now: Any
    value: Any
    why: str
    margins: tuple[float | None, float | None] = (None, None)
    around: tuple[Around, ...] = field(default=())

    @property
    def key(self) -> str:
        """As people write it."""
        return ".".join(self.path)

    @property
    def is_new(self) -> bool:
        """Whether there is anything to change."""
        return bool(self.value != self.now)


def between(good: Sequence[float], bad: Sequence[float], least: float) -> tuple[float, tuple[float | None, float | None]]:
    """The limit and its margins, as factors. A value passes a limit by being above it."""
    strongest = max([least, *good])
    if not bad:
        value = max(least, ALONE_MARGIN * float(np.percentile([least, *good], 99)))
        return value, (value / strongest, None)
    faintest = min(bad)
    if faintest > strongest:
        value = math.sqrt(strongest * faintest)
    else:
        candidates = sorted({least, *(one * 1.02 for one in good if one > 0), *(one * 0.98 for one in bad if one > 0)})
        lowest = min(cost_of(limit, good, bad) for limit in candidates)
        best = [limit for limit in candidates if cost_of(limit, good, bad) == lowest]
        middle = math.sqrt(best[0] * best[-1])
        value = middle if cost_of(middle, good, bad) == lowest else best[0]
    return value, (value / strongest, faintest / value)


def cost_of(limit: float, good: Sequence[float], bad: Sequence[float]) -> float:
    """False alarms and misses as one number."""
    return sum(one > limit for one in good) + MISS_WEIGHT * sum(one <= limit for one in bad)


def counted(limit: float, good: Sequence[float], bad: Sequence[float], value: str, is_proposed: bool) -> Around:
    """How many of each are on the wrong side of a limit."""
    return Around(value, sum(one > limit for one in good) if good else None, sum(one <= limit for one in bad) if bad else None, is_proposed)


def propose(settings: CameraConfig, good: Population, bad: Population | None, is_stream: bool) -> list[Proposal]:
    """Every threshold of compare and judge, in the order of the configuration."""
    compare, judge = settings.compare, settings.judge
    bad_seen = bad.seen if bad is not None else []
    found = [_pixel_threshold(compare, good, bad_seen, is_stream), _min_area(compare, good), _vibration(compare, good, is_stream)]
    found.append(_global_fraction(compare, good, is_stream))
    held_out = [seen for seen in good.seen if not seen.is_taught and seen.levels is not None]
    found += _foreground(compare, held_out, [seen for seen in bad_seen if seen.levels is not None])
    return [*found, *propose_judge(judge, good.seen, bad_seen)]


def _pixel_threshold(compare: ChangeSettings, good: Population, bad: Sequence[Seen], is_stream: bool) -> Proposal:
    """Above the flicker of a still picture, and well below the faintest defect."""
    path, now = ("compare", "pixel_threshold"), compare.pixel_threshold
    faint = [seen.change for seen in bad if seen.change is not None]
    if not is_stream or not good.flicker:
        why = "single pictures say nothing of a camera's noise from frame to frame; give a video with --good to tune it"
        return Proposal(path, now, now, why)
    sigma = float(np.median(good.noise))
    usual = next(flicker for flicker in good.flicker if flicker.threshold == now)
    quiet = [flicker.levels for flicker in good.flicker if flicker.frames <= FLICKER_SHARE * good.frames]
    floor = max(min(quiet, default=good.flicker[-1].levels), LEAST_SIGMAS * sigma)
    value = floor * 1.25 if not faint else floor if min(faint) <= floor else min(math.sqrt(floor * min(faint)), max(floor, min(faint) / 2))
    margins = (value / floor, min(faint) / value if faint else None)
    around = tuple(
        Around(
            _threshold_text(flicker.threshold, flicker.levels),
            flicker.frames,
            sum(one <= flicker.levels for one in faint) if faint else None,
            flicker is usual,
        )
        for flicker in good.flicker
    )
    if max(value / usual.levels, usual.levels / value) <= SAME or not quiet:
        why = f"what is in force, {usual.levels:.1f} gray levels here, lies within {SAME:.2f} times of what was measured"
        why = why if quiet else "even the highest value tried flickers; look for a lamp, a fan, or a camera that sets its own exposure"
        return Proposal(path, now, now, why, margins, around)
    chosen: float | str = (
        round(value, 1) if isinstance(now, float | int) else f"{value / (usual.levels / _sigmas(now, usual.levels, sigma)):.1f} sigma"
    )
    return Proposal(path, now, chosen, f"{value:.1f} gray levels: noise alone stays below {floor:.1f}", margins, around)


def _sigmas(now: float | str, levels: float, sigma: float) -> float:
    """How many sigmas the threshold in force is at the commonest gray level."""
    from edgevision.compare import measure

    if isinstance(now, str) and now != "auto":
        return measure.sigmas_of(now)
    return max(measure.AUTO_SIGMAS if levels > measure.AUTO_LEAST_LEVELS else levels / max(sigma, 1e-6), 1e-6)


def _threshold_text(threshold: float | str, levels: float) -> str:
    return f"{threshold} ({levels:.1f} levels)" if isinstance(threshold, str) else f"{threshold:g}"


def _min_area(compare: ChangeSettings, good: Population) -> Proposal:
    path, now = ("compare", "min_area"), compare.min_area
    usual = next((flicker for flicker in good.flicker if flicker.threshold == compare.pixel_threshold), None)
    if usual is None or usual.frames <= FLICKER_SHARE * max(1, good.frames):
        return Proposal(path, now, now, "false changes of a still picture are rare; a smaller one would not be believed as it is")
    why = (
        f"false changes of up to {usual.largest_px} pixels were seen, which is more than noise: a higher "
        "pixel_threshold is the remedy, not this"
    )
    return Proposal(path, now, now, why)


def _vibration(compare: ChangeSettings, good: Population, is_stream: bool) -> Proposal:
    path, now = ("compare", "vibration_px"), compare.vibration_px
    poses = [seen.pose for seen in good.seen if seen.pose is not None]
    if len(poses) < max(LEAST_HELD_OUT, LOCATED_SHARE * len(good.seen)) or not is_stream:
        return Proposal(path, now, now, "how far the camera shakes could not be measured: too few places in the picture can be followed")
    x, y = np.array([pose.dx for pose in poses]), np.array([pose.dy for pose in poses])
    shake = float(np.percentile(np.hypot(x - np.median(x), y - np.median(y)), 99))
    value = min(8.0, max(0.5, math.ceil(shake * 12) / 10))
    if value <= now * SAME:
        return Proposal(
            path, now, now, f"the picture moves by {shake:.2f} pixels at most, which is forgiven already", (now / max(shake, 0.01), None)
        )
    return Proposal(path, now, value, f"the picture moves by up to {shake:.2f} pixels", (value / max(shake, 0.01), None))


def _global_fraction(compare: ChangeSettings, good: Population, is_stream: bool) -> Proposal:
    path, now = ("compare", "global_fraction"), compare.global_fraction
    share = max((share for share in good.moving if share < 1.0), default=0.0) if is_stream else 0.0
    margins = (now / share if share > 0 else None, None)
    if not is_stream or share * 1.3 <= now:
        why = f"at most {share:.0%} of the picture moved at once" if is_stream else "single pictures do not show how much moves at once"
        return Proposal(path, now, now, why, margins)
    value = round(min(0.95, 1.3 * share), 2)
    return Proposal(path, now, value, f"up to {share:.0%} of the picture moves at once in normal work", (value / share, None))


def _foreground(compare: ChangeSettings, good: Sequence[Seen], bad: Sequence[Seen]) -> list[Proposal]:
    """abs_threshold and var_threshold. A pixel must pass both, so only the one that tells good from bad better is moved."""
    by_level, by_spread = (_pair(compare, key, good, bad) for key in ("abs_threshold", "var_threshold"))
    if not (by_level.is_new and by_spread.is_new):
        return [by_level, by_spread]
    kept, moved = (by_spread, by_level) if _worth(by_level) >= _worth(by_spread) else (by_level, by_spread)
    stays = replace(kept, value=kept.now, why=f"{moved.path[1]} tells good from bad better; a pixel must pass both")
    return [stays, moved] if kept is by_level else [moved, stays]


def _worth(proposal: Proposal) -> tuple[float, float]:
    """Few errors first, then a wide margin."""
    chosen = next((one for one in proposal.around if one.is_proposed), None)
    wrong = 0 if chosen is None else (chosen.false or 0) + MISS_WEIGHT * (chosen.missed or 0)
    return -wrong, min(margin for margin in (*proposal.margins, 99.0) if margin is not None)


def _pair(compare: ChangeSettings, key: str, good: Sequence[Seen], bad: Sequence[Seen]) -> Proposal:
    """A [brighter, darker] limit of the foreground: both moved together, each in proportion to the good pictures' own strongest."""
    is_level = key == "abs_threshold"
    path, now = ("compare", key), getattr(compare, key)
    if len(good) < LEAST_HELD_OUT:
        return Proposal(path, now, now, "fewer than four good pictures could be compared with the others; give more, of parts at rest")
    least = 4.0 if is_level else 2.0
    strengths = [[(seen.levels if is_level else seen.spreads) or (0.0, 0.0) for seen in group] for group in (good, bad)]
    ends = [max(least, float(np.percentile([one[sign] for one in strengths[0]], 99))) for sign in (0, 1)]
    ratios = [[max(one[sign] / ends[sign] for sign in (0, 1)) for one in group] for group in strengths]
    factor, margins = between(ratios[0], ratios[1], 1.0)
    top = 255.0 if is_level else 100.0
    value = tuple(min(top, round(end * factor, 1)) for end in ends)
    rows = [
        counted(
            factor * step,
            ratios[0],
            ratios[1],
            f"[{min(top, ends[0] * factor * step):.1f}, {min(top, ends[1] * factor * step):.1f}]",
            step == 1.0,
        )
        for step in RATIO_STEPS
    ]
    unit = "gray levels" if is_level else "times the spread of good parts"
    if all(max(new / old if old else 9, old / new if new else 9) <= SAME for new, old in zip(value, now, strict=True)):
        return Proposal(path, now, now, f"what is in force lies close to what was measured, {list(value)}", margins, tuple(rows))
    return Proposal(path, now, value, f"good pictures reach {ends[0]:.1f} brighter and {ends[1]:.1f} darker ({unit})", margins, tuple(rows))


def propose_judge(judge: JudgeSettings, good: Sequence[Seen], bad: Sequence[Seen]) -> list[Proposal]:
    """warn, ng and the least area, from the network's regions."""
    scores = [[seen.score(judge.min_area_px) for seen in group] for group in (good, bad)]
    strongest, faintest = max(scores[0], default=0.0), min(scores[1], default=1.0)
    ng, why, margins = _ng(judge, scores[0], scores[1])
    is_kept = strongest < judge.warn <= ng or (ng == judge.ng and strongest >= ng)
    warn = judge.warn if is_kept else round(min(ng, max(0.05, (strongest + ng) / 2)), 2)
    around = tuple(
        counted(min(0.999, max(0.0, ng + step)) - 1e-9, scores[0], scores[1], f"{min(1.0, max(0.0, ng + step)):.2f}", step == 0.0)
        for step in SCORE_STEPS
    )
    because = (
        f"halfway between the highest score of a good picture ({strongest:.2f}) and ng" if warn != judge.warn else _unmoved(strongest, warn)
    )
    areas = [[float(seen.area(warn)) for seen in group] for group in (good, bad)]
    found = [
        Proposal(
            ("judge", "warn"),
            judge.warn,
            warn,
            because,
            (warn / strongest if strongest else None, faintest / warn if bad and warn else None),
        ),
        Proposal(("judge", "ng"), judge.ng, ng, why, margins, around),
    ]
    return [*found, _least_area(judge, areas[0], areas[1])]


def _unmoved(strongest: float, warn: float) -> str:
    return "no good picture reaches it" if strongest < warn else "good pictures reach ng too: see there"


def _ng(judge: JudgeSettings, good: Sequence[float], bad: Sequence[float]) -> tuple[float, str, tuple[float | None, float | None]]:
    strongest, faintest = max(good, default=0.0), min(bad, default=0.0)
    if bad and faintest > strongest:
        value = round((strongest + faintest) / 2, 2)
        why = f"halfway between good ({strongest:.2f} at most) and bad ({faintest:.2f} at least)"
    elif bad:
        limits = [round(0.05 * step, 2) for step in range(1, 20)]
        value = min(limits, key=lambda limit: (cost_of(limit - 1e-9, good, bad), abs(limit - judge.ng)))
        unseen = sum(one == 0 for one in bad)
        nothing = f", and the network finds nothing in {unseen} of {len(bad)} bad ones" if unseen else ""
        why = f"good and bad overlap: good reach {strongest:.2f}, bad begin at {faintest:.2f}{nothing}"
    elif strongest < judge.ng:
        value, why = judge.ng, "no good picture reaches it"
    else:
        value, why = round(strongest + 0.5 * (1 - strongest), 2), f"a good picture scores {strongest:.2f}"
    if value > MOST_NG:
        wrong = sum(one >= judge.ng for one in good)
        value, why = (
            judge.ng,
            f"{wrong} of {len(good)} good pictures are NG by up to {strongest:.2f}, which no threshold mends: train the network for them",
        )
    if abs(value - judge.ng) <= 0.03:
        value = judge.ng
    return value, why, (value / strongest if strongest else None, faintest / value if bad and value else None)


def _least_area(judge: JudgeSettings, good: Sequence[float], bad: Sequence[float]) -> Proposal:
    path, now = ("judge", "min_area_px"), judge.min_area_px
    seen = [area for area in bad if area > 0]
    strongest = max(good, default=0.0)
    if strongest == 0:
        return Proposal(path, now, now, "no good picture shows a region that counts", (None, min(seen) / now if seen and now else None))
    if not seen or min(seen) <= strongest:
        return Proposal(path, now, now, f"areas do not tell good from bad here (good reach {strongest:.0f} pixels)")
    value = round(math.sqrt(strongest * min(seen)))
    rows = tuple(counted(value * step, good, seen, f"{value * step:.0f}", step == 1.0) for step in STEPS)
    return Proposal(
        path,
        now,
        value,
        f"good reach {strongest:.0f} pixels, bad have {min(seen):.0f} at least",
        (value / strongest, min(seen) / value),
        rows,
    )
