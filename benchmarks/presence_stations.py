"""Recipe `presence` on stations that it was not trained on: each beside its own template, the light halfway to what training shows.

python benchmarks/presence_stations.py --seed 880000 --stations 8 --parts 24

`--seed 77000` draws the stations on which `compare.golden_fraction` was chosen: they judge nothing any more. For int8, `--beside DIR`
writes what the network is shown instead of judging anything: pictures for `edgevision quantize`, from stations of yet other seeds.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edgevision.compare.own_light import OwnLight
from edgevision.compare.template import BesideTemplate
from edgevision.study.evaluate import EvaluateTask, evaluate
from edgevision.study.parts.presence import CHANCES, FAULTS, Sample, SeriesSettings, series

KEYS = ("image_auroc", "bad", "bad_found", "good", "good_alarmed", "not_inspected", "verdict_differences", "frames")
COSTS = ("selective_ms_p50", "dense_ms_p50", "times_faster", "live_fraction_median", "memory_mb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=880_000, help="of the first station; training draws its own from others")
    parser.add_argument("--stations", type=int, default=8)
    parser.add_argument("--parts", type=int, default=24)
    parser.add_argument("--light", type=float, default=0.5, help="how far it strays: 1 as in training")
    parser.add_argument("--weights", type=Path, help="a file instead of the network that ships")
    parser.add_argument("--beside", type=Path, help="write pictures beside their templates into this folder, and end")
    parser.add_argument("--exposure", type=float, default=1.0, help="of all pictures and templates: 0.5 has room for double light")
    parser.add_argument("--lights", action="store_true", help="also in half and double light, light from one side and tinted light")
    arguments = parser.parse_args()
    if arguments.beside is not None:
        return write_beside(arguments)
    reports = []
    for number in range(arguments.stations):
        with tempfile.TemporaryDirectory() as folder:
            for part, sample in enumerate(parts_of(number, arguments)):
                place = Path(folder) / ("good" if sample.fault == "none" else "bad")
                place.mkdir(exist_ok=True)
                image, template = (cv2.convertScaleAbs(one, alpha=arguments.exposure) for one in (sample.image, sample.template))
                cv2.imwrite(str(place / f"{part:03d}-{sample.fault}.png"), image)
                cv2.imwrite(str(Path(folder) / "template.png"), template)
            task = EvaluateTask("presence", Path(folder), arguments.weights, has_memory=number == 0, has_lights=arguments.lights)
            report = evaluate(task, is_quiet=True)
        reports.append(report)
        print(json.dumps({key: report[key] for key in (*KEYS, *COSTS, "reasons", "lights") if key in report}), flush=True)
    total = {key: sum(report[key] for report in reports) for key in KEYS[1:]}
    total["image_auroc"] = float(np.mean([report["image_auroc"] for report in reports]))
    total |= {key: float(np.median([report[key] for report in reports])) for key in COSTS[:-1]}
    print(json.dumps({**total, "memory_mb": reports[0]["memory_mb"]}))


def parts_of(number: int, arguments: argparse.Namespace) -> Iterator[Sample]:
    """The parts of that station, with faults as often as in training."""
    rng = np.random.default_rng(arguments.seed + number)
    faults = tuple(FAULTS[int(k)] for k in rng.choice(len(FAULTS), arguments.parts, p=CHANCES))
    return series(rng, SeriesSettings(size_px=(480, 640), faults=faults, light=arguments.light))


def write_beside(arguments: argparse.Namespace) -> None:
    """Each part as the network takes it: its gray level in the template's light, the template's, how far they are apart."""
    arguments.beside.mkdir(parents=True, exist_ok=True)
    for number in range(arguments.stations):
        for part, sample in enumerate(parts_of(number, arguments)):
            image = OwnLight("gray", sample.template).taken_out(sample.image)
            cv2.imwrite(str(arguments.beside / f"{number:02d}-{part:03d}.png"), BesideTemplate(sample.template, None).of(image))


if __name__ == "__main__":
    main()
