"""Our change map and the plain frame difference, each at many thresholds: the default network's work against how right its answer stays.

    python benchmarks/difference_curve.py --clip VIDEO [--frames 400] [--plot curve.png] [--json]

Both hand the network what they call live, and it keeps the rest as it was; no keyframes for either. `work` is the share of multiply-adds at
gate 0, mean over frames. Every tenth frame the whole network runs on the raw frame: `off by` is the disagreement with it
(`edgevision/study/disagreement.py`), `missed` the share of the pixels it calls defect that the answer does not, `false` the share of the
pixels called defect that it does not. In the end: the least work with which the difference is as right as ours at its defaults, between two
neighbouring thresholds; `never` where none of them is.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgevision.compare.settings import ChangeSettings
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.load import load_for_frames
from edgevision.recompute.settings import RecomputeSettings
from edgevision.records import Image, Mask
from edgevision.study.disagreement import disagreement, scale_of
from edgevision.study.peers.change_methods import Difference, Method, Ours
from edgevision.study.recording import read_frames

OURS: dict[str, dict[str, object]] = {
    "edgevision (defaults)": {},
    "edgevision, faint_sigmas 0": {"faint_sigmas": 0.0},
    "edgevision 4 sigma": {"pixel_threshold": "4 sigma"},
    "edgevision 14 sigma": {"pixel_threshold": "14 sigma"},
    "edgevision 8 levels": {"pixel_threshold": 8.0},
    "edgevision 15 levels": {"pixel_threshold": 15.0},
    "edgevision 25 levels": {"pixel_threshold": 25.0},
}
LEVELS = (1, 2, 3, 4, 5, 7, 10, 15, 20)
CHECK_EVERY = 10
THRESHOLD = 0.8  # from which score on the default network's answer is a defect


@dataclass(slots=True)
class Lane:
    """One method with a network of its own."""

    name: str
    method: Method
    network: CameraNetwork
    used: Image | None = None
    work: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    hits: int = 0
    missed: int = 0
    false: int = 0

    def run(self, image: Image, exact: dict[str, np.ndarray] | None) -> None:
        _, live = self.method.apply(image)
        seen = self.method.seen(image)
        if self.used is None:
            self.used = seen.copy()
            self.network.first(self.used)
            return
        self.used[live] = seen[live]
        outputs = self.network.next(self.used, live)
        self.work.append(self.network.costs.macs / self.network.costs.dense_macs)
        self.live.append(float(live.mean()))
        if exact is not None:
            self._judge(outputs, exact)

    def _judge(self, outputs: dict[str, np.ndarray], exact: dict[str, np.ndarray]) -> None:
        scales = {name: scale_of(values, 1.0, True, THRESHOLD) for name, values in exact.items()}
        self.off.append(disagreement(outputs, exact, scales).total)
        for name, right in exact.items():
            said, true = defects(outputs[name]), defects(right)
            self.hits += int((said & true).sum())
            self.missed += int((~said & true).sum())
            self.false += int((said & ~true).sum())

    def row(self) -> dict[str, object]:
        return {
            "method": self.name,
            "live_mean": float(np.mean(self.live)),
            "work": float(np.mean(self.work)),
            "off by": float(np.mean(self.off)),
            "missed": self.missed / max(1, self.missed + self.hits),
            "false": self.false / max(1, self.false + self.hits),
        }


def defects(values: np.ndarray) -> Mask:
    """Where any class but the background is likely."""
    return np.asarray(values > THRESHOLD)


def needed(rows: list[dict[str, object]], key: str) -> float | None:
    """The least work with which the difference is as right as ours at its defaults, by this column; None where it never is."""
    ours = float(rows[0][key])  # type: ignore[arg-type]
    points = [(float(row[key]), float(row["work"])) for row in rows if str(row["method"]).startswith("difference")]  # type: ignore[arg-type]
    found = [work for wrong, work in points if wrong <= ours]
    for (wrong, work), (next_wrong, next_work) in pairwise(points):
        if (wrong <= ours) != (next_wrong <= ours):
            found.append(work + (ours - wrong) / (next_wrong - wrong) * (next_work - work))
    return min(found, default=None)


def race(clip: Path, count: int) -> list[dict[str, object]]:
    lanes: list[Lane] = []
    dense: CameraNetwork | None = None
    for k, frame in enumerate(read_frames(clip, count)):
        if dense is None:
            dense = load_for_frames(RecomputeSettings(foreign="never"), *frame.image.shape[:2])
            methods: list[tuple[str, Method]] = [(name, Ours(ChangeSettings(**changes))) for name, changes in OURS.items()]  # type: ignore[arg-type]
            methods += [(f"difference {levels}", Difference(levels)) for levels in LEVELS]
            lanes = [Lane(name, method, dense.sibling()) for name, method in methods]
        exact = {name: values.copy() for name, values in dense.first(frame.image).items()} if k % CHECK_EVERY == 0 else None
        for lane in lanes:
            lane.run(frame.image, exact)
    return [lane.row() for lane in lanes]


def draw(rows: list[dict[str, object]], clip: Path, path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for start, colour in (("edgevision", "tab:blue"), ("difference", "tab:gray")):
        chosen = [row for row in rows if str(row["method"]).startswith(start)]
        axes.plot([row["work"] for row in chosen], [row["off by"] for row in chosen], "o", color=colour, label=start)
        for row in chosen:
            axes.annotate(
                str(row["method"]).partition(" ")[2], (row["work"], row["off by"]), fontsize=8, xytext=(5, 3), textcoords="offset points"
            )
    axes.set_xscale("log")
    axes.set_xlabel("share of the network's work, mean")
    axes.set_ylabel("disagreement with the whole network on the raw frame")
    axes.set_title(clip.name)
    axes.legend()
    figure.savefig(path, dpi=110)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--clip", type=Path, required=True)
    arguments.add_argument("--frames", type=int, default=400)
    arguments.add_argument("--plot", type=Path)
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    rows = race(options.clip, options.frames)
    if options.plot is not None:
        draw(rows, options.clip, options.plot)
    at = {key: needed(rows, key) for key in ("off by", "missed")}
    if options.json:
        print(json.dumps({"rows": rows, "needed": at}))
        return
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(f"{value:.4f}" if isinstance(value, float) else str(value) for value in row.values()) + " |")
    for key, work in at.items():
        print(f"as right as ours by '{key}': {'never' if work is None else f'{work:.4f}'} of the work; ours {rows[0]['work']:.4f}")


if __name__ == "__main__":
    main()
