"""Boards as the network of recipe `pcb` will see them, cut into crops. In: boards with templates. Out: crops. Keeps a pool of boards.

In service the network is given a patchwork: only pixels that differ from the template beyond the jitter of edges are the board's own. A
dense run sees all of the board. It is taught both, so that both say the same. More defects are drawn on real boards than are on them, and
boards that nobody etched stand beside them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.compare.background import ChangeDetector
from edgevision.compare.settings import ChangeSettings
from edgevision.errors import BadFrame
from edgevision.study.parts import pcb
from edgevision.study.parts.pcb_defects import draw_defects

Bytes = NDArray[np.uint8]
Boxes = NDArray[np.float32]  # (n, 5): place of the label in LABELS, x1, y1, x2, y2
CROP_PX = 96
COMPARE = ChangeSettings(
    pixel_threshold=80.0,
    vibration_px=1.0,
    despeckle=8,
    min_area=12,
    grow_px=3,
    settle_frames=0,
    photometric="none",
    blind_fraction=1.0,
)
GENERATED_POOL, DRAWN_POOL = 160, 96
FIRST_BOARDS = 24  # of each, before the first step
SHARES = (0.45, 0.3, 0.25)  # of real boards, real ones with more defects, generated ones, where there are all three
NEAR_DEFECT = 0.8  # share of the crops that are cut about a defect
REACH_PX = 26  # how far it may lie off their middle
OFF_SHARE, OFF_PX = 0.33, 2  # of real boards with more defects, how many have their template moved, and how far


@dataclass(frozen=True, slots=True)
class Board:
    """One pair: the board as it is, as the selective engine leaves it, its template, (H, W) uint8 each; and what is wrong with it."""

    raw: Bytes
    used: Bytes
    template: Bytes
    boxes: Boxes


def board_of(image: Bytes, template: Bytes, boxes: Sequence[tuple[str, tuple[int, int, int, int]]]) -> Board:
    """A pair, with what a line of such boards would hand to the network."""
    rows = np.array([(pcb.LABELS.index(label), *box) for label, box in boxes], np.float32).reshape(-1, 5)
    return Board(image, patchwork(image, template), template, rows)


def patchwork(image: Bytes, template: Bytes, settings: ChangeSettings = COMPARE) -> Bytes:
    """The template, and the board's own pixels where it differs from it."""
    detector = ChangeDetector(settings)
    try:
        first = detector.measure(template)
        detector.commit(first, first.live)
        change = detector.measure(image)
    except BadFrame:
        return image
    return np.where(change.live, change.corrected, template)


def generated(rng: np.random.Generator) -> Board:
    """A board that nobody etched."""
    sample = pcb.make(rng, defects=int(rng.integers(4, 24)))
    return board_of(sample.image, sample.template, [(d.label, d.box_px) for d in sample.defects])


def with_more(rng: np.random.Generator, board: Board) -> Board:
    """A real board with more defects beside its own, of some beside a template that lies a pixel or two off."""
    image = board.raw.copy()
    own = [(pcb.LABELS[int(label)], (int(x1), int(y1), int(x2), int(y2))) for label, x1, y1, x2, y2 in board.boxes]
    drawn = draw_defects(rng, image, int(rng.integers(6, 18)), tuple(box for _, box in own))
    return board_of(image, _off(rng, board.template), [*own, *((d.label, d.box_px) for d in drawn)])


def _off(rng: np.random.Generator, template: Bytes) -> Bytes:
    """Moved by whole pixels, one in three."""
    if rng.random() > OFF_SHARE:
        return template
    x, y = (float(way) for way in rng.integers(-OFF_PX, OFF_PX + 1, 2))
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float64)
    moved = cv2.warpAffine(template, matrix, template.shape[::-1], flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


class Pool:
    """The boards in memory. `real` ones stay; the others make room for new ones, one at a time."""

    def __init__(self, real: Sequence[Board], seed: int) -> None:
        self._real = list(real)
        self._drawn: deque[Board] = deque(maxlen=DRAWN_POOL)
        self._generated: deque[Board] = deque(maxlen=GENERATED_POOL)
        for number in range(FIRST_BOARDS):
            self.renew(np.random.default_rng((seed, 7, number)))

    def renew(self, rng: np.random.Generator) -> None:
        """Draw one more board of each kind."""
        self._generated.append(generated(rng))
        if self._real:
            self._drawn.append(with_more(rng, self._real[int(rng.integers(len(self._real)))]))

    def crop(self, rng: np.random.Generator) -> tuple[Bytes, Boxes, NDArray[np.bool_]]:
        """A random crop, turned and lit at random: (CROP, CROP, 3), its boxes, and for left, top, right, bottom: is it the board's edge."""
        kind = int(rng.choice(3, p=SHARES)) if self._real else 2
        boards: Sequence[Board] = (self._real, self._drawn, self._generated)[kind]
        board = boards[int(rng.integers(len(boards)))]
        (x, y), boxes = _corner(rng, board), board.boxes.copy()
        place = (slice(y, y + CROP_PX), slice(x, x + CROP_PX))
        source = board.used if rng.random() < 0.6 else board.raw
        boxes[:, 1:] -= (x, y, x, y)
        height, width = board.raw.shape
        edges = np.array([x == 0, y == 0, x == width - CROP_PX, y == height - CROP_PX])
        pair, boxes, edges = _turned(rng, np.dstack([source[place], board.template[place]]), boxes, edges)
        return beside(*_lit(rng, pair)), boxes, edges


def beside(image: Bytes, template: Bytes) -> Bytes:
    """(H, W, 3): the board, its template, and how far they are apart, as the pipeline shows them to a network."""
    return np.dstack([image, template, cv2.absdiff(image, template)])


def _corner(rng: np.random.Generator, board: Board) -> tuple[int, int]:
    """Where to cut, in whole cells of the grid: about a defect, or anywhere."""
    height, width = board.raw.shape
    middle = rng.uniform((0, 0), (width, height))
    if len(board.boxes) and rng.random() < NEAR_DEFECT:
        _, x1, y1, x2, y2 = board.boxes[int(rng.integers(len(board.boxes)))]
        middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2]) + rng.uniform(-REACH_PX, REACH_PX, 2)
    x, y = (int(np.clip(m - CROP_PX / 2, 0, side - CROP_PX)) for m, side in zip(middle, (width, height), strict=True))
    return x, y


def _turned(rng: np.random.Generator, picture: Bytes, boxes: Boxes, edges: NDArray[np.bool_]) -> tuple[Bytes, Boxes, NDArray[np.bool_]]:
    """One of the eight ways to lay a square down."""
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
        boxes = boxes[:, [0, 3, 2, 1, 4]]
        boxes[:, [1, 3]] = CROP_PX - boxes[:, [1, 3]]
        edges = edges[[2, 1, 0, 3]]
    if rng.random() < 0.5:
        picture = picture[::-1]
        boxes = boxes[:, [0, 1, 4, 3, 2]]
        boxes[:, [2, 4]] = CROP_PX - boxes[:, [2, 4]]
        edges = edges[[0, 3, 2, 1]]
    if rng.random() < 0.5:
        picture, boxes, edges = picture.transpose(1, 0, 2), boxes[:, [0, 2, 1, 4, 3]], edges[[1, 0, 3, 2]]
    return picture, boxes, edges


def _lit(rng: np.random.Generator, pair: Bytes) -> tuple[Bytes, Bytes]:
    """Half of the crops as they are; the others gray, blurred, noisy, and not quite in the same light."""
    if rng.random() < 0.5:
        return np.ascontiguousarray(pair[..., 0]), np.ascontiguousarray(pair[..., 1])
    dark = rng.uniform(0, 110)
    light = rng.uniform(dark + 90, 255)
    blur, noise = rng.uniform(0, 1.1), rng.uniform(0, 6) if rng.random() < 0.5 else 0.0
    shown = []
    for number in (0, 1):
        lit = dark + (light - dark) * pair[..., number].astype(np.float32) / 255
        lit = cv2.GaussianBlur(lit, (0, 0), blur) if blur > 0.3 else lit
        lit = lit * (1 + rng.uniform(-0.04, 0.04)) + rng.uniform(-4, 4) + (rng.normal(0, noise, lit.shape) if noise else 0)
        shown.append(np.clip(np.rint(lit), 0, 255).astype(np.uint8))
    return shown[0], shown[1]
