"""A simulated line: defects on rigid parts, seen with noise, dropouts, breaks, and false blobs above and below the parts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from edgevision.records import Defect, Region, Verdict

FPS = 30.0


def square(
    x: float, y: float, size: int = 12, score: float = 0.9, level: Verdict = Verdict.NG, label: str = "stain", area_px: int | None = None
) -> Defect:
    """A square defect with its middle at (x, y)."""
    x1, y1 = round(x - size / 2), round(y - size / 2)
    box = (x1, y1, x1 + size, y1 + size)
    polygon = ((x1, y1), (x1 + size - 1, y1), (x1 + size - 1, y1 + size - 1), (x1, y1 + size - 1))
    return Defect(Region(label, score, box, area_px or size * size, polygon, (x, y)), level, 0.7, "area_score", "station")


class Flicker:
    """Unseen for a frame or two, then seen for at least two."""

    def __init__(self, rate: float, generator: random.Random):
        self._rate, self._generator, self._hidden, self._shown = rate, generator, 0, 0

    def is_seen(self) -> bool:
        if not self._hidden and not self._shown and self._generator.random() < self._rate:
            self._hidden = self._generator.randint(1, 2)
            self._shown = 2
        if self._hidden:
            self._hidden -= 1
            return False
        self._shown = max(0, self._shown - 1)
        return True


@dataclass(frozen=True)
class Line:
    """Parts move one pitch, then stand; each carries defects at offsets from its middle. Defects count only inside `zone_x`."""

    defects: dict[int, list[tuple[float, float]]]  # by part number
    move_frames: int = 30
    stand_frames: int = 36
    pitch_px: float = 560.0
    station_px: float = 640.0
    zone_x: tuple[float, float] = (340.0, 940.0)
    is_abrupt: bool = False
    every: int = 1  # only each n-th frame is seen
    dropout: float = 0.1
    noise_px: float = 1.0
    false_rate: float = 0.0
    split_rate: float = 0.0

    def way(self, frame: int) -> float:
        """Pitches made by the belt."""
        cycle, since = divmod(frame, self.move_frames + self.stand_frames)
        share = min(1.0, since / self.move_frames)
        if not self.is_abrupt:
            share = share * share * (3 - 2 * share)
        return cycle + share

    def frames(self, generator: random.Random) -> Iterator[tuple[float, list[Defect]]]:
        """(ts, defects) of each frame until the last part has left."""
        flickers = {
            (part, index): Flicker(self.dropout, generator) for part, offsets in self.defects.items() for index in range(len(offsets))
        }
        for frame in range(0, (max(self.defects, default=0) + 4) * (self.move_frames + self.stand_frames), self.every):
            seen: list[Defect] = []
            for part, offsets in self.defects.items():
                middle = self.station_px + (self.way(frame) - part - 1) * self.pitch_px
                for index, (x, y) in enumerate(offsets):
                    if flickers[part, index].is_seen() and self.zone_x[0] <= middle + x <= self.zone_x[1]:
                        seen += self._shown(middle + x, 360 + y, generator)
            if generator.random() < self.false_rate:
                seen.append(square(generator.uniform(*self.zone_x), generator.choice((225, 240, 480, 495)), score=0.55))
            generator.shuffle(seen)
            yield frame / FPS, seen

    def _shown(self, x: float, y: float, generator: random.Random) -> list[Defect]:
        x, y = x + generator.gauss(0, self.noise_px), y + generator.gauss(0, self.noise_px)
        score = generator.uniform(0.5, 0.95)
        if generator.random() < self.split_rate:
            return [square(x - 7, y, 8, score), square(x + 7, y, 8, score - 0.1)]
        return [square(x, y, 20, score)]


@pytest.fixture(scope="session")
def line_class() -> type[Line]:
    """The simulated line, for tests that build their own."""
    return Line
