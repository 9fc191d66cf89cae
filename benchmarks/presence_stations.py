"""Recipe `presence` on stations that it was not trained on: each beside its own template, in lights as wide as in training.

python benchmarks/presence_stations.py --seed 880000 --stations 8 --parts 24

`--seed 77000` draws the stations on which `compare.golden_fraction` was chosen: they judge nothing any more.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import cv2
import numpy as np

from edgevision.study.evaluate import EvaluateTask, evaluate
from edgevision.study.parts.presence import CHANCES, FAULTS, SeriesSettings, series

KEYS = ("image_auroc", "bad", "bad_found", "good", "good_alarmed", "not_inspected", "verdict_differences", "frames")
COSTS = ("selective_ms_p50", "dense_ms_p50", "times_faster", "live_fraction_median")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=880_000, help="of the first station; training draws its own from others")
    parser.add_argument("--stations", type=int, default=8)
    parser.add_argument("--parts", type=int, default=24)
    parser.add_argument("--light", type=float, default=0.5, help="how far it strays: 1 as in training")
    arguments = parser.parse_args()
    reports = []
    for number in range(arguments.stations):
        rng = np.random.default_rng(arguments.seed + number)
        faults = tuple(FAULTS[int(k)] for k in rng.choice(len(FAULTS), arguments.parts, p=CHANCES))
        settings = SeriesSettings(size_px=(480, 640), faults=faults, light=arguments.light)
        with tempfile.TemporaryDirectory() as folder:
            for part, sample in enumerate(series(rng, settings)):
                place = Path(folder) / ("good" if sample.fault == "none" else "bad")
                place.mkdir(exist_ok=True)
                cv2.imwrite(str(place / f"{part:03d}-{sample.fault}.png"), sample.image)
                cv2.imwrite(str(Path(folder) / "template.png"), sample.template)
            report = evaluate(EvaluateTask("presence", Path(folder), has_memory=False), is_quiet=True)
        reports.append(report)
        print(json.dumps({key: report[key] for key in (*KEYS, *COSTS)}))
    total = {key: sum(report[key] for report in reports) for key in KEYS[1:]}
    total["image_auroc"] = float(np.mean([report["image_auroc"] for report in reports]))
    print(json.dumps(total))


if __name__ == "__main__":
    main()
