"""False live share and recall under each disturbance of `edgevision.study.sweep`, with the default network's share of work.

python benchmarks/change_sweep.py [--frames 132] [--size 480x640] [--only gain,ramp] [--json]
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from edgevision.compare.background import ChangeSettings
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.sweep import DISTURBANCES, Camera, sweep


def row(disturbance: str, size: tuple[int, int], colour: bool, frames: int, has_work: bool = True) -> dict[str, object]:
    network = load_for_frames(RecomputeSettings(foreign="never"), *size) if has_work else None

    def work(picture, live, is_full):
        if network is None:
            return 0.0
        picture = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
        network.first(picture) if is_full else network.next(picture, live)
        return network.costs.macs / network.costs.dense_macs

    found = sweep(Camera(disturbance, size, colour, 1), frames, ChangeSettings(), work)
    return {
        "disturbance": disturbance,
        "colour": colour,
        "false_live_mean": float(np.mean(found.live)),
        "false_work_median": float(np.median(found.work)),
        "false_work_mean": float(np.mean(found.work)),
        "false_work_p95": float(np.percentile(found.work, 95)),
        "whole_runs": found.whole_runs,
        "recall": found.away[0] / max(found.away[1], 1),
        "defects": found.away[1],
        "recall_on_edges": found.on_edges[0] / max(found.on_edges[1], 1),
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--frames", type=int, default=132)
    arguments.add_argument("--size", default="480x640")
    arguments.add_argument("--only", default=",".join(DISTURBANCES))
    arguments.add_argument("--no-work", action="store_true")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    height, width = (int(side) for side in options.size.split("x"))
    rows = []
    for name in options.only.split(","):
        for colour in (True, False):
            rows.append(row(name, (height, width), colour, options.frames, not options.no_work))
            if not options.json:
                cells = [f"{value:.4f}" if isinstance(value, float) else str(value) for value in rows[-1].values()]
                if len(rows) == 1:
                    print("| " + " | ".join(rows[-1]) + " |\n" + "|---" * len(cells) + "|")
                print("| " + " | ".join(cells) + " |", flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
