"""A moving belt, followed and not: share of the default network's work, live share, and the change map's time a frame.

    python benchmarks/belt.py [--frames 60] [--speeds 3,8,13.7] [--clip VIDEO --axis y] [--json]

The synthetic belt is textured, carries parts that differ, and runs evenly, also by fractions of a pixel; sensor noise of 2 levels. `edges`:
besides, a tenth of the picture is a machine frame that stands still, outside the ROI or not. The pipeline is the whole one, keyframes
included, audits left out. `noise`: told (equally sensitive) or measured, which takes a belt that is not followed for a noisy camera.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

import edgevision as ev
from edgevision.compare.settings import ChangeSettings
from edgevision.config import CameraConfig, builtin_registry
from edgevision.interfaces import Policy
from edgevision.judge.rules import AreaScoreRule
from edgevision.recompute.settings import RecomputeSettings
from edgevision.registry import Chosen

HEIGHT, WIDTH = 480, 640


def strip(length: int, random: np.random.Generator) -> np.ndarray:
    """The belt from end to end, with a part every 200 px or so."""
    grain = sum(
        cv2.resize(random.normal(0, 9, (HEIGHT // size, length // size + 1)).astype(np.float32), (length, HEIGHT)) for size in (1, 3, 12)
    )
    belt = np.repeat((95 + grain)[..., None], 3, axis=2)
    for x in range(60, length - 60, 200):
        centre = (x + int(random.integers(-30, 30)), int(random.integers(100, HEIGHT - 100)))
        colour = tuple(float(level) for level in random.integers(60, 240, 3))
        cv2.circle(belt, centre, int(random.integers(25, 70)), colour, -1)
        cv2.circle(belt, (centre[0] + 8, centre[1] - 6), int(random.integers(3, 9)), (20, 20, 20), -1)
    return belt


def belt_frames(speed: float, count: int, has_edges: bool) -> Iterator[np.ndarray]:
    random = np.random.default_rng(7)
    belt = strip(WIDTH + round(abs(speed) * count) + 2, random)
    edge = random.integers(30, 220, (HEIGHT // 20, WIDTH, 3))
    for k in range(count):
        start = speed * (count - k)
        whole, part = int(start), start - int(start)
        shown = belt[:, whole : whole + WIDTH] * (1 - part) + belt[:, whole + 1 : whole + 1 + WIDTH] * part
        if has_edges:
            shown[: len(edge)], shown[-len(edge) :] = edge, edge
        yield np.clip(shown + random.normal(0, 2, shown.shape), 0, 255).astype(np.uint8)


def clip_frames(path: Path, count: int) -> Iterator[np.ndarray]:
    reader = cv2.VideoCapture(str(path))
    for _ in range(count):
        found, frame = reader.read()
        if not found:
            return
        yield frame


def pipeline(motion: str, axis: str, **compare: object) -> ev.Pipeline:
    settings = CameraConfig(
        source=Chosen("synthetic"),
        compare=ChangeSettings(motion=motion, motion_axis=axis, **compare),
        recompute=RecomputeSettings(foreign="never", audit_every=0, audit_engine_every=0),
    )
    policy: Policy = builtin_registry().build("policy", settings.recompute.policy.type, settings.recompute.policy.settings)
    return ev.Pipeline("belt", settings, policy, (AreaScoreRule(settings.judge),))


def row(name: str, pipe: ev.Pipeline, frames: Iterator[np.ndarray]) -> dict[str, object]:
    work, live, compare, total, whole = [], [], [], [], 0
    settings = pipe.settings.compare
    for k, frame in enumerate(frames):
        found = pipe.inspect(ev.Frame(frame, 1000.0 + k / 30, k))
        if k < 10 or found.costs is None:
            continue
        work.append(found.costs.macs / found.costs.dense_macs)
        live.append(found.live_fraction)
        compare.append(found.timing_ms["compare"])
        total.append(found.timing_ms["total"])
        whole += found.mode == "full"
    return {
        "clip": name,
        "noise": "measured" if settings.noise_sigma is None else f"{settings.noise_sigma:g} told",
        "threshold": round(float(np.median(pipe._detector._background.weak_table)) / settings.hysteresis, 1),
        "motion": settings.motion,
        "work_mean": float(np.mean(work)),
        "work_median": float(np.median(work)),
        "work_p95": float(np.percentile(work, 95)),
        "live_mean": float(np.mean(live)),
        "whole_runs": f"{whole}/{len(work)}",
        "compare_ms": float(np.median(compare)),
        "total_ms": float(np.mean(total)),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--frames", type=int, default=60)
    arguments.add_argument("--speeds", default="3,8,13.7")
    arguments.add_argument("--clip", type=Path)
    arguments.add_argument("--axis", default="x", choices=("x", "y"))
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    rows = []
    inside = ((0, HEIGHT // 20 + 2), (WIDTH, HEIGHT // 20 + 2), (WIDTH, HEIGHT - HEIGHT // 20 - 2), (0, HEIGHT - HEIGHT // 20 - 2))
    for noise in (2.0, None):
        for motion in ("none", "shift"):
            if options.clip is not None:
                pipe = pipeline(motion, options.axis, noise_sigma=noise)
                rows.append(row(options.clip.stem, pipe, clip_frames(options.clip, options.frames)))
                continue
            for speed in (float(text) for text in options.speeds.split(",")):
                pipe = pipeline(motion, "x", noise_sigma=noise)
                rows.append(row(f"{speed:g} px a frame", pipe, belt_frames(speed, options.frames, False)))
            for name, roi in (("5 px, edges", None), ("5 px, edges, ROI", inside)):
                pipe = pipeline(motion, "x", noise_sigma=noise, roi=roi)
                rows.append(row(name, pipe, belt_frames(5, options.frames, True)))
    if options.json:
        print(json.dumps(rows))
        return
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for each in rows:
        print("| " + " | ".join(f"{value:.3f}" if isinstance(value, float) else str(value) for value in each.values()) + " |")


if __name__ == "__main__":
    main()
