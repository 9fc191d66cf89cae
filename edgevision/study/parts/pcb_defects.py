"""The six ways in which a board is etched wrongly, drawn on its picture. In: a picture, a random generator. Out: Drawn. Keeps nothing.

A defect's kind is what it does to the copper around it, whatever its shape. Copper that is missing inside copper is a pin-hole, at an edge
a mousebite, right across an open circuit; copper too much beside everything is copper, at an edge a spur, from one edge to another a short.
So each is drawn where one of its kind is likely, and is kept only if copper really hangs together as its kind says.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.records import Box

Bytes = NDArray[np.uint8]
LABELS = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
_KINDS = {"open": (False, "across"), "short": (True, "across"), "mousebite": (False, "edge"), "spur": (True, "edge")} | {
    "copper": (True, "inside"),
    "pin-hole": (False, "inside"),
}
TRIES = 40  # at placing one defect
AROUND_PX = 14  # within which copper hangs together or does not
CLEAR_PX = 3  # that lie between an inside defect and the next edge; and how long it must touch an edge, or reach beyond one
WIDEST_PX = 36  # half of what an open or a short crosses
MARGIN_PX, MARGIN_SPREAD_PX, MARGIN_MOST_PX = 10.5, 3.0, 20.0  # between a defect and the box that is drawn around it
LEAST_BOX_PX = 24
APART_PX = 6  # between two defects
LONG_SHARE, CHORD_SHARE = 0.2, 0.4  # of blobs that are long and thin, and run along an edge; of what crosses, at any angle
CORNER_SHARE, CORNER_SOLID = 0.25, 0.36  # of what crosses, across a corner; what of CORNER_PX about one is solid at most
CORNER_PX, CUT_PX, LONGEST_CUT_PX = 13, (6.0, 30.0), 60  # ...; how far from its tip it is cut off; and the cut's half at most
NOTCH_SHARE, SCRAWL_SHARE = 0.25, 0.15  # of what starts at an edge and ends inside; of what wanders about inside


class Drawn(NamedTuple):
    """One defect: its label, the box around it (x2, y2 exclusive), and that of the pixels that really differ."""

    label: str
    box_px: Box
    changed_px: Box


def draw_defects(rng: np.random.Generator, board: Bytes, count: int, beside: tuple[Box, ...] = ()) -> tuple[Drawn, ...]:
    """Draw up to `count` defects on a board's picture (H, W), 0 copper and 255 none, in place, and not on the boxes that it is `beside`.

    Fewer where there is no room for them.
    """
    taken = np.zeros(board.shape, np.bool_)
    for x1, y1, x2, y2 in beside:
        taken[y1:y2, x1:x2] = True
    drawn: list[Drawn] = []
    depths = {is_added: _depth(board, is_added) for is_added in (False, True)}
    for _ in range(count):
        label = LABELS[int(rng.integers(len(LABELS)))]
        is_added, relation = _KINDS[label]
        for _ in range(TRIES):
            shape = _proposed(rng, *depths[is_added], relation)
            if shape is None or not _is_kind(board, shape, is_added, relation, taken):
                continue
            (x, y), mask = shape[0], _torn(rng, shape[1])
            height, width = mask.shape
            board[y : y + height, x : x + width][mask] = 0 if is_added else 255
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            changed = (x + int(columns[0]), y + int(rows[0]), x + int(columns[-1]) + 1, y + int(rows[-1]) + 1)
            box = _as_drawn(rng, changed, board.shape)
            taken[max(0, changed[1] - APART_PX) : changed[3] + APART_PX, max(0, changed[0] - APART_PX) : changed[2] + APART_PX] = True
            drawn.append(Drawn(label, box, changed))
            break
    return tuple(drawn)


Shape = tuple[tuple[int, int], NDArray[np.bool_]]  # where its corner lies (x, y), and its pixels


def _depth(board: Bytes, is_added: bool) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """How deep each pixel lies in what a defect changes, copper or what is bare, and the nearest pixel (x, y) outside."""
    solid = ((board > 127) == is_added).astype(np.uint8)
    depth, names = cv2.distanceTransformWithLabels(solid, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    places = np.zeros((int(names.max()) + 1, 2), np.int32)
    rows, columns = np.nonzero(solid == 0)
    places[names[rows, columns]] = np.stack([columns, rows], axis=1)
    return np.asarray(depth, np.float32), places[names]


def _proposed(rng: np.random.Generator, depth: NDArray[np.float32], nearest: NDArray[np.int32], relation: str) -> Shape | None:
    """A shape where one of its kind may be; None where this draw found no such place."""
    height, width = depth.shape
    x, y = int(rng.integers(6, width - 6)), int(rng.integers(6, height - 6))
    deep = float(depth[y, x])
    if relation == "inside":
        if deep > 3 + CLEAR_PX and rng.random() < SCRAWL_SHARE:
            return _scrawl(rng, (x, y))
        return _blob(rng, (x, y), float(rng.uniform(3, min(16.0, deep - CLEAR_PX)))) if deep > 3 + CLEAR_PX else None
    if relation == "edge":
        if not 1 < deep < 60:
            return None
        foot = nearest[y, x].astype(float)
        inward = (np.array([x, y]) - foot) / max(deep, 1e-3)
        kind = rng.random()
        if kind < LONG_SHARE:
            return _comb(rng, foot, inward)
        if kind < LONG_SHARE + NOTCH_SHARE:
            return _notch(rng, foot, inward)
        radius = float(rng.uniform(3.5, 11) if rng.random() < 0.7 else rng.uniform(8, 22))
        middle = foot + inward * radius * float(rng.uniform(0.0, 0.8))
        return _blob(rng, (int(middle[0]), int(middle[1])), radius)
    kind = rng.random()
    if kind < CHORD_SHARE:
        return _chord(rng, (x, y), deep) if 2 < deep < WIDEST_PX else None
    if kind < CHORD_SHARE + CORNER_SHARE:
        return _corner_cut(rng, (x, y), depth)
    y0, x0 = max(0, y - WIDEST_PX), max(0, x - WIDEST_PX)
    window = depth[y0 : y + WIDEST_PX, x0 : x + WIDEST_PX]
    ridge = window >= cv2.dilate(window, np.ones((5, 5), np.uint8)) - 0.5
    places = np.argwhere(ridge & (window > 2.5) & (window < WIDEST_PX))
    if not len(places):
        return None
    row, column = places[int(rng.integers(len(places)))]
    return _stroke(rng, np.array([x0 + column, y0 + row], float), nearest[y0 + row, x0 + column].astype(float))


def _blob(rng: np.random.Generator, middle: tuple[int, int], radius: float) -> Shape:
    """A ragged spot, or a scribble, of that reach; long and thin ones, too."""
    angle, slim = float(rng.uniform(0, np.pi)), float(rng.uniform(0.25, 1))
    if rng.random() < LONG_SHARE:
        radius, slim = float(rng.uniform(1, 3)) * radius, slim / 3
    side = int(radius) + 4
    mask = np.zeros((2 * side + 1, 2 * side + 1), np.uint8)
    turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    if rng.random() < 0.5:
        corners = int(rng.integers(5, 12))
        angles = np.arange(corners) * 2 * np.pi / corners
        around = np.stack([np.cos(angles), slim * np.sin(angles)], axis=1) * (radius * rng.uniform(0.5, 1.0, corners))[:, None]
        cv2.fillPoly(mask, [np.rint(side + around @ turned).astype(np.int32)], 1)
    else:
        points = rng.uniform(-radius, radius, (int(rng.integers(2, 6)), 2)) * (1, slim)
        cv2.polylines(mask, [np.rint(side + points @ turned).astype(np.int32)], False, 1, int(rng.integers(2, 7)))
    return (middle[0] - side, middle[1] - side), mask.astype(bool)


def _comb(rng: np.random.Generator, foot: NDArray[np.float64], inward: NDArray[np.float64]) -> Shape:
    """A line that runs along an edge, to and fro; of some, along both edges of what is narrow."""
    along, teeth = np.array([-inward[1], inward[0]]), int(rng.integers(3, 14) if rng.random() < 0.7 else rng.integers(12, 30))
    ways = np.cumsum(rng.uniform(1.5, 7, teeth))
    ways -= float(rng.uniform(0.2, 0.8)) * ways[-1]
    behind = 1.0 if rng.random() < 0.75 else float(rng.uniform(8, 30))
    points = foot + ways[:, None] * along + rng.uniform(-behind, 10, teeth)[:, None] * inward
    return _line(points, int(rng.integers(2, 5)))


def _notch(rng: np.random.Generator, foot: NDArray[np.float64], inward: NDArray[np.float64]) -> Shape:
    """A line from an edge inward, askew and bent, that ends before it comes to another."""
    angle, long = float(rng.normal(0, 0.6)), float(rng.uniform(7, 45))
    way = np.array([inward[0] * np.cos(angle) - inward[1] * np.sin(angle), inward[0] * np.sin(angle) + inward[1] * np.cos(angle)])
    points = foot - 2 * inward + way * long * np.array([[0.0], [0.55], [1.0]]) + rng.normal(0, 0.08 * long, (3, 2)) * [[0], [1], [1]]
    return _line(points, int(rng.integers(2, 9)))


def _scrawl(rng: np.random.Generator, middle: tuple[int, int]) -> Shape:
    """A line that wanders, up to 120 px long."""
    turn = float(rng.uniform(0, 2 * np.pi)) + np.cumsum(rng.normal(0, 0.6, int(rng.integers(3, 9))))
    steps = rng.uniform(4, 16, len(turn))[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points = np.cumsum(steps, axis=0)
    return _line(np.array(middle) + points - points.mean(axis=0), int(rng.integers(2, 5)))


def _chord(rng: np.random.Generator, middle: tuple[int, int], deep: float) -> Shape:
    """A line through a place at any angle, that deep inside: where it cuts off a corner, or crosses several traces, that is open, too."""
    angle, half = float(rng.uniform(0, np.pi)), deep + float(rng.uniform(4, 30))
    reach = half * np.array([np.cos(angle), np.sin(angle)])
    points = np.array(middle) + np.stack([-reach, rng.normal(0, 0.1 * half, 2), reach])
    return _line(points, int(rng.integers(2, 8)))


def _corner_cut(rng: np.random.Generator, near: tuple[int, int], depth: NDArray[np.float32]) -> Shape | None:
    """A line across a corner that lies near, of a pad or where a trace turns, from edge to edge: what is left of the corner is cut off."""
    x0, y0 = (max(0, place - WIDEST_PX) for place in near)
    window = depth[y0 : y0 + 2 * WIDEST_PX, x0 : x0 + 2 * WIDEST_PX]
    solid = (window > 0).astype(np.float32)
    share = cv2.boxFilter(solid, -1, (CORNER_PX, CORNER_PX), borderType=cv2.BORDER_REPLICATE)
    tips = np.argwhere((window > 0) & (window < 2) & (share < CORNER_SOLID))
    if not len(tips):
        return None
    tip = tips[int(rng.integers(len(tips)))]
    around = np.argwhere(solid > 0) - tip
    inward = around[np.hypot(*around.T) < CORNER_PX].mean(axis=0)[::-1]
    inward /= max(float(np.hypot(*inward)), 1e-3)
    middle = tip[::-1] + (x0, y0) + inward * float(rng.uniform(*CUT_PX))
    angle = float(rng.normal(0, 0.25)) + np.pi / 2
    way = np.array([inward[0] * np.cos(angle) - inward[1] * np.sin(angle), inward[0] * np.sin(angle) + inward[1] * np.cos(angle)])
    ends = [_leaving(depth, middle, sign * way) for sign in (-1, 1)]
    if ends[0] is None or ends[1] is None:
        return None
    bent = middle + rng.normal(0, 0.06 * float(np.hypot(*(ends[1] - ends[0]))), 2)
    return _line(np.stack([ends[0], bent, ends[1]]), int(rng.integers(2, 9)))


def _leaving(depth: NDArray[np.float32], place: NDArray[np.float64], way: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """A little beyond where a straight way leaves what is solid; None where it does not, or goes off the picture."""
    height, width = depth.shape
    for step in range(LONGEST_CUT_PX):
        x, y = (round(at) for at in place + step * way)
        if not (0 <= x < width and 0 <= y < height):
            return None
        if depth[y, x] == 0:
            return np.asarray(place + (step + 2) * way) if step else None
    return None


def _line(points: NDArray[np.float64], wide: int) -> Shape:
    """Through these points (n, 2)."""
    corner = np.floor(points.min(axis=0)).astype(int) - wide - 1
    size = np.ceil(points.max(axis=0)).astype(int) + wide + 2 - corner
    mask = np.zeros((int(size[1]), int(size[0])), np.uint8)
    cv2.polylines(mask, [np.rint(points - corner).astype(np.int32)], False, 1, wide)
    return (int(corner[0]), int(corner[1])), mask.astype(bool)


def _torn(rng: np.random.Generator, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a shape, of some with gaps, as a threshold leaves them: an open one that is not clean through is still called so."""
    if rng.random() < 0.7:
        return mask
    grain = cv2.GaussianBlur(rng.normal(0, 1, mask.shape).astype(np.float32), (0, 0), 0.7)
    torn = mask & (grain > -0.25)
    return torn if _is_thick(torn) else mask


def _is_thick(mask: NDArray[np.bool_]) -> bool:
    """Whether it is three pixels thick somewhere: what is thinner everywhere, the jitter of edges is, too."""
    return bool(cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).any())


def _stroke(rng: np.random.Generator, middle: NDArray[np.float64], foot: NDArray[np.float64]) -> Shape:
    """A line across: from the nearest edge's foot through the middle to as far beyond, a little askew, bent, or doubled."""
    half = (foot - middle) * (1 + float(rng.uniform(1, 5)) / max(float(np.hypot(*(foot - middle))), 1.0))
    angle = float(rng.normal(0, 0.35))
    turned = np.array([half[0] * np.cos(angle) - half[1] * np.sin(angle), half[0] * np.sin(angle) + half[1] * np.cos(angle)])
    turned = turned / max(np.cos(angle), 0.6)
    ends = np.stack([middle - turned, middle + rng.normal(0, 2, 2), middle + turned])
    wide = int(rng.integers(2, 10))
    corner = np.floor(ends.min(axis=0)).astype(int) - 12
    size = np.ceil(ends.max(axis=0)).astype(int) + 13 - corner
    mask = np.zeros((int(size[1]), int(size[0])), np.uint8)
    for _ in range(int(rng.integers(1, 3))):
        bent = ends - corner + rng.normal(0, 1.5, ends.shape)
        cv2.polylines(mask, [np.rint(bent).astype(np.int32)], False, 1, wide)
    return (int(corner[0]), int(corner[1])), mask.astype(bool)


def _is_kind(board: Bytes, shape: Shape, is_added: bool, relation: str, taken: NDArray[np.bool_]) -> bool:
    """Whether drawing the shape would do to the copper around it what its kind says. Holds the shape to what it changes, in place."""
    (x, y), mask = shape
    height, width = mask.shape
    if x < 0 or y < 0 or x + width > board.shape[1] or y + height > board.shape[0]:
        return False
    top, left = min(y, AROUND_PX), min(x, AROUND_PX)
    window = (slice(y - top, y + height + AROUND_PX), slice(x - left, x + width + AROUND_PX))
    solid = (board[window] > 127) == is_added  # what the defect takes away from
    changed = np.zeros(solid.shape, np.bool_)
    own = changed[top : top + height, left : left + width]
    own[:] = mask & solid[top : top + height, left : left + width]
    if not _is_thick(changed) or (taken[window] & changed).any():
        return False
    mask &= own
    near = cv2.dilate(changed.astype(np.uint8), np.ones((2 * CLEAR_PX + 1, 2 * CLEAR_PX + 1), np.uint8)).astype(bool)
    if relation == "inside":
        return bool(solid[near].all())
    touched = cv2.dilate(changed.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    if (touched & ~solid).sum() < CLEAR_PX:
        return False
    if cv2.distanceTransform(np.pad(solid, 1, mode="edge").astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1][changed].max() < CLEAR_PX:
        return False
    # copper: what is joined by a short (before it), what is left by an open (after it)
    copper = ~solid if is_added else solid & ~changed
    pieces = _pieces(copper, touched)
    before = 1 if is_added else _pieces(solid, touched)
    return pieces >= 2 * before if relation == "across" else pieces == before == 1


def _pieces(copper: NDArray[np.bool_], touched: NDArray[np.bool_]) -> int:
    """How many pieces of copper are touched, each by a few pixels."""
    _, names = cv2.connectedComponents(copper.astype(np.uint8))
    counts = np.bincount(names[touched & copper])
    return int((counts[1:] >= CLEAR_PX).sum())


def _as_drawn(rng: np.random.Generator, changed: Box, shape: tuple[int, ...]) -> Box:
    """The box that somebody draws around what changed: by eye, with some room."""
    margins = rng.normal(MARGIN_PX, MARGIN_SPREAD_PX, 4).clip(4, MARGIN_MOST_PX)
    x1, y1, x2, y2 = (edge + sign * margin for edge, sign, margin in zip(changed, (-1, -1, 1, 1), margins, strict=True))
    more_x, more_y = (max(0.0, LEAST_BOX_PX - side) / 2 for side in (x2 - x1, y2 - y1))
    height, width = shape
    return max(0, round(x1 - more_x)), max(0, round(y1 - more_y)), min(width, round(x2 + more_x)), min(height, round(y2 + more_y))
