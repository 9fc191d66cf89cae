"""`Pipeline.inspect` on a still scene: milliseconds a frame by stage, one thread.

    python benchmarks/still_scene.py [--frames 300] [--json]

The scene is the synthetic line while a part stands: sensor noise, lamp drift, flicker and compression go on.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.daemon.build import share_folder


def still_frames(line: Line, count: int, fps: float) -> list[ev.Frame]:
    """Frames of one part that stands for `count` frames."""
    first = next(k for k in range(10_000) if line.truth(k).station is not None and not line.truth(k).is_moving)
    return [ev.Frame(line.frame(first + k)[0], k / fps, k) for k in range(count)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--frames", type=int, default=300)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    seconds = options.frames / 30
    line = Line(SyntheticSettings(stand_s=(seconds + 1, seconds + 1)))
    pipeline = ev.Pipeline.from_config(share_folder("configs") / "demo.yaml")
    found = [pipeline.inspect(frame) for frame in still_frames(line, options.frames, 30.0)][10:]
    laps = {stage: [inspection.timing_ms[stage] for inspection in found] for stage in found[0].timing_ms}
    rows = {
        stage: {"p50": float(np.median(times)), "mean": float(np.mean(times)), "p99": float(np.percentile(times, 99))}
        for stage, times in laps.items()
    }
    if options.json:
        print(json.dumps(rows))
        return
    for stage, row in rows.items():
        print(f"{stage:10} p50 {row['p50']:6.2f} ms   mean {row['mean']:6.2f} ms   p99 {row['p99']:6.2f} ms")


if __name__ == "__main__":
    main()
