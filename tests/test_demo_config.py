"""configs/demo.yaml speaks of the places that the synthetic line has."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgevision.capture.line.line import Line
from edgevision.config import CameraConfig, load


@pytest.fixture(scope="module")
def camera() -> CameraConfig:
    return load(Path(__file__).parents[1] / "configs" / "demo.yaml", env={}).cameras["line"]


@pytest.fixture(scope="module")
def line(camera) -> Line:
    return Line(camera.source.settings)


def covers(polygon, box) -> bool:
    x1, y1, x2, y2 = box
    corners = ((x1, y1), (x2 - 1, y1), (x2 - 1, y2 - 1), (x1, y2 - 1))
    return all(cv2.pointPolygonTest(np.array(polygon, np.float32), (float(x), float(y)), False) >= 0 for x, y in corners)


def test_the_clock_is_ignored(camera, line):
    assert covers(camera.compare.ignore[0], line.clock_px)


def test_the_zone_is_the_station(camera, line):
    x1, y1, x2, y2 = line.station_px
    assert camera.judge.zones == {"station": ((x1, y1), (x2, y1), (x2, y2), (x1, y2))}


def test_the_station_is_looked_at_and_little_more(camera, line):
    assert covers(camera.compare.roi, line.station_px)
    x1, y1, x2, y2 = line.station_px
    assert cv2.contourArea(np.array(camera.compare.roi, np.float32)) < 1.7 * (x2 - x1) * (y2 - y1)
