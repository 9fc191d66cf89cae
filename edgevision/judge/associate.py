"""Which observation of this frame belongs to which track. In: expectations, observations. Out: pairs. Keeps nothing.

Parts are rigid: all that is seen of one part moves alike. So a common motion is looked for first (the one that explains most), and only
under a motion is each observation given to the nearest track. Two defects on one part then stay apart even where the part moves as far as
they are distant, and however many others come or go in the same frame.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from edgevision.records import Box, Defect, Polygon, Verdict

Point = tuple[float, float]
Pair = tuple[int, int]

BACK_SHARE = 0.4  # of its reach: how far a moving defect's middle may seem to go back
MAX_STEPS = 200  # common steps tried for one frame


@dataclass(frozen=True, slots=True)
class Observation:
    """One physical defect as this frame shows it: `defect` is it, or its pieces joined; `polygons` are those of the pieces."""

    defect: Defect
    polygons: tuple[Polygon, ...]

    @property
    def point(self) -> Point:
        """Its middle in frame pixels."""
        return self.defect.region.centroid_px

    def holds(self, point: Point, margin_px: float) -> bool:
        """Does the point lie in a piece, or within the margin of one?"""
        if not _is_near(self.defect.region.box_px, (*point, *point), margin_px):
            return False
        return any(_comes_near((point,), polygon, margin_px) for polygon in self.polygons)


@dataclass(frozen=True, slots=True)
class Expectation:
    """A track before it is given its observation.

    `point`: where it was seen last; `place`: where it was in the last frame, reckoned if it was not seen; `step`: its motion since then, if
    it keeps its speed; `end`: how far it may have come if it sped up; `reach_px`: how far it may be off the way from `point` to `end`;
    `is_told`: it was reported, and is no noise; `is_resting`: it stood still when it was seen last.
    """

    point: Point
    place: Point
    step: Point
    end: Point
    reach_px: float
    is_told: bool = False
    is_resting: bool = False

    def at(self, step: Point) -> Point:
        """Where it is now, had it made this step."""
        return self.place[0] + step[0], self.place[1] + step[1]

    def reaches(self, point: Point) -> bool:
        """Can it be there? It may have stopped anywhere on its way, but a moving defect does not go back."""
        x, y = point[0] - self.point[0], point[1] - self.point[1]
        way_x, way_y = self.end[0] - self.point[0], self.end[1] - self.point[1]
        if abs(x) > abs(way_x) + self.reach_px + 1.0 or abs(y) > abs(way_y) + self.reach_px + 1.0:  # most are, and it is soon seen
            return False
        length = way_x * way_x + way_y * way_y
        share = (x * way_x + y * way_y) / length if length else 0.0
        if share < 0 and not self.is_resting:
            return math.hypot(x, y) <= BACK_SHARE * self.reach_px
        share = min(1.0, max(0.0, share))
        return math.hypot(x - share * way_x, y - share * way_y) <= self.reach_px


def strength(defect: Defect) -> tuple[bool, float, int]:
    """Orders defects from weak to strong: level, then score, then area."""
    return defect.level is Verdict.NG, defect.region.score, defect.region.area_px


def observe(defects: Iterable[Defect], gap_px: float) -> list[Observation]:
    """Join the defects that are closer than `gap_px`. The order of `defects` does not matter."""
    rest = sorted(defects, key=lambda defect: (defect.region.box_px, defect.region.label, defect.region.score, defect.rule))
    found = []
    while rest:
        pieces = [rest.pop(0)]
        for piece in pieces:  # grows while it is walked
            near = [other for other in rest if _is_near(piece.region.box_px, other.region.box_px, gap_px) and _touch(piece, other, gap_px)]
            if near:
                pieces += near
                rest = [other for other in rest if other not in near]
        found.append(_joined(pieces))
    return found


def _joined(pieces: Sequence[Defect]) -> Observation:
    """The pieces as one defect: the level and label of the strongest, the box and hull of all."""
    if len(pieces) == 1:
        return Observation(pieces[0], (pieces[0].region.polygon,))
    main = max(pieces, key=strength)
    regions = list(dict.fromkeys(piece.region for piece in pieces))  # two rules may name one region
    polygons = tuple(region.polygon for region in regions)
    if len(regions) == 1:
        return Observation(main, polygons)
    weights = np.array([max(1, region.area_px) for region in regions], float)
    x, y = weights @ np.array([region.centroid_px for region in regions]) / weights.sum()
    boxes = np.array([region.box_px for region in regions])
    (x1, y1), (x2, y2) = boxes[:, :2].min(axis=0).tolist(), boxes[:, 2:].max(axis=0).tolist()
    hull = cv2.convexHull(np.array([corner for polygon in polygons for corner in polygon], np.int32)).reshape(-1, 2).tolist()
    region = replace(
        main.region,
        score=max(region.score for region in regions),
        box_px=(x1, y1, x2, y2),
        area_px=sum(region.area_px for region in regions),
        polygon=tuple((x, y) for x, y in hull),
        centroid_px=(float(x), float(y)),
    )
    return Observation(replace(main, region=region), polygons)


def associate(expected: Sequence[Expectation], points: Sequence[Point], gate_px: float) -> list[Pair]:
    """Pairs (expectation, point), each used at most once; what stays unpaired has come or gone."""
    pairs: list[Pair] = []
    tracks, seen = set(range(len(expected))), set(range(len(points)))
    while tracks and seen:
        best = _best_step(expected, points, sorted(tracks), sorted(seen), gate_px)
        if not best:
            break
        pairs += best
        tracks -= {track for track, _ in best}
        seen -= {point for _, point in best}
    return pairs


def _best_step(expected: Sequence[Expectation], points: Sequence[Point], tracks: list[int], seen: list[int], gate_px: float) -> list[Pair]:
    """The pairs under the motion that explains most: every track its own step, none, or the step that one pair suggests."""
    best = _nearest([(track, expected[track].at(expected[track].step)) for track in tracks], expected, points, seen, gate_px)
    if len(best) == len(seen):
        return best
    worth = _worth(best, expected)
    known, suggested = _steps(expected, points, tracks, seen)
    for step in dict.fromkeys([*known, *suggested]):
        places = [(track, expected[track].at(step)) for track in tracks]
        pairs = _nearest(places, expected, points, seen, gate_px)
        pairs = [(track, point) for track, point in pairs if expected[track].reaches(points[point])]
        if step not in known:
            pairs = _without_lone_jump(pairs, expected)
        if _worth(pairs, expected) > worth:
            best, worth = pairs, _worth(pairs, expected)
    return best


def _without_lone_jump(pairs: list[Pair], expected: Sequence[Expectation]) -> list[Pair]:
    """Noise beside a defect that flickers looks like a start; two that start alike are a part. `Tracks` rejoins a lone one later."""
    if sum(expected[track].is_told for track, _ in pairs) != 1:
        return pairs
    return [(track, point) for track, point in pairs if not (expected[track].is_told and expected[track].is_resting)]


def _steps(expected: Sequence[Expectation], points: Sequence[Point], tracks: list[int], seen: list[int]) -> tuple[list[Point], list[Point]]:
    """Common steps worth a try: rest and what is expected of any track; then what a pair suggests, short before long."""
    known = [(0.0, 0.0), *(expected[track].step for track in tracks)]
    suggested = []
    for track in tracks:
        place = expected[track].place
        for point in seen:
            if expected[track].reaches(points[point]):
                step = (points[point][0] - place[0], points[point][1] - place[1])
                suggested.append((math.hypot(*step), step))
    return known, [step for _, step in sorted(suggested)[:MAX_STEPS]]


def _nearest(
    places: list[tuple[int, Point]], expected: Sequence[Expectation], points: Sequence[Point], seen: list[int], gate_px: float
) -> list[Pair]:
    """Greedy: told tracks first, then the closest pair; nothing used twice, nothing farther than the gate."""
    near, there = [], [(point, *points[point]) for point in seen]
    for track, (x, y) in places:
        for point, other_x, other_y in there:
            if abs(other_x - x) > gate_px:
                continue
            distance = math.dist((x, y), (other_x, other_y))
            if distance <= gate_px:
                near.append((not expected[track].is_told, distance, track, point))
    pairs: dict[int, int] = {}
    used: set[int] = set()
    for _, _, track, point in sorted(near):
        if track not in pairs and point not in used:
            pairs[track] = point
            used.add(point)
    return list(pairs.items())


def _worth(pairs: list[Pair], expected: Sequence[Expectation]) -> int:
    return sum(2 if expected[track].is_told else 1 for track, _ in pairs)


def _gap(one: Box, other: Box | tuple[float, float, float, float]) -> float:
    """Distance between two boxes, 0 where they meet."""
    x = max(one[0] - other[2], other[0] - one[2], 0)
    y = max(one[1] - other[3], other[1] - one[3], 0)
    return math.hypot(x, y)


def _is_near(one: Box, other: Box | tuple[float, float, float, float], gap_px: float) -> bool:
    """Whether two boxes come closer than the gap; of most, one side says that they do not."""
    if one[0] - other[2] > gap_px or other[0] - one[2] > gap_px or one[1] - other[3] > gap_px or other[1] - one[3] > gap_px:
        return False
    return _gap(one, other) <= gap_px


def _touch(one: Defect, other: Defect, gap_px: float) -> bool:
    """Do the outlines come closer than the gap? Boxes alone would join a slanting scratch with whatever lies beside it."""
    first, second = one.region.polygon, other.region.polygon
    return _comes_near(first, second, gap_px) or _comes_near(second, first, gap_px)


def _comes_near(points: Iterable[Point], polygon: Polygon, gap_px: float) -> bool:
    """Does any of the points lie in the polygon, or within the gap of it?"""
    if not polygon:
        return False
    outline = np.asarray(polygon, np.float32)
    return any(-cv2.pointPolygonTest(outline, point, True) <= gap_px for point in points)
