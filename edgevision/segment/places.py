"""Where regions lie: the pixels about them, and how they lie once their picture has moved. Keeps nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from edgevision.records import Mask, Region

Off = Callable[[float, float], tuple[int, int]]  # of a place (x, y) of a picture: how far (down, right) of it its frame shows it


def around(regions: Iterable[Region], margin_px: int, shape: tuple[int, int]) -> Mask:
    """The pixels (H, W) of the regions' boxes with a margin."""
    mask = np.zeros(shape, np.bool_)
    for region in regions:
        x1, y1, x2, y2 = region.box_px
        mask[max(0, y1 - margin_px) : y2 + margin_px, max(0, x1 - margin_px) : x2 + margin_px] = True
    return mask


def displaced(regions: tuple[Region, ...], off_px: tuple[int, int], shape: tuple[int, int]) -> tuple[Region, ...]:
    """Regions of a picture that lies (down, right) off its frame, as they lie in the frame; without those that have left it."""
    if off_px == (0, 0):
        return regions
    (down, right), (height, width) = off_px, shape
    moved = []
    for region in regions:
        x1, y1, x2, y2 = region.box_px
        box = max(0, x1 + right), max(0, y1 + down), min(width, x2 + right), min(height, y2 + down)
        if box[0] >= box[2] or box[1] >= box[3]:
            continue
        polygon = tuple([(min(max(x + right, 0), width), min(max(y + down, 0), height)) for x, y in region.polygon])
        centroid = region.centroid_px[0] + right, region.centroid_px[1] + down
        moved.append(Region(region.label, region.score, box, region.area_px, polygon, centroid))
    return tuple(moved)


def placed(regions: tuple[Region, ...], off_px: Off, shape: tuple[int, int]) -> tuple[Region, ...]:
    """Regions of a picture whose places lie off its frame, each by its own way, as they lie in the frame; without those that left it."""
    ways = [off_px(*region.centroid_px) for region in regions]
    if ways.count((0, 0)) == len(ways):
        return regions
    return tuple([moved for region, way in zip(regions, ways, strict=True) for moved in displaced((region,), way, shape)])
