"""Splicing against running the whole network: time and agreement on a network with global pooling, at several live shares.

Every frame replaces one square by a new one and runs both ways, one after the other, so that both medians come from the same run. "dense"
is OpenVINO f32 on the whole picture with the same threads, without what it takes to bring the frame in. mIoU is that of the labels (argmax)
against dense, over all frames and classes; the worst frame stands beside it. The network is trained here, for a minute, on pictures made
here.

    python benchmarks/splice.py [--size 720] [--frames 60] [--live 0.01,0.05,0.2] [--threads 1] [--way split] [--network FILE] [--json]

`--network` keeps the trained network in FILE, for further runs; `--frames 0` only trains it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import splice_network
import torch

from edgevision.recompute.settings import SpliceSettings
from edgevision.recompute.splice import SpliceNetwork
from edgevision.study.peers.openvino_dense import OpenVinoDense

CLASSES = len(splice_network.LABELS)


def scenes(height: int, width: int, share: float, random: np.random.Generator):
    """Frames under one lamp, of which each differs from the last in one region, and the live pixels."""
    side = round((share * height * width) ** 0.5)
    frame = splice_network.photograph(splice_network.surface(height, width, random)[0], 0.8, random)
    yield frame, np.ones((height, width), bool)
    while True:
        y, x = int(random.integers(0, height - side + 1)), int(random.integers(0, width - side + 1))
        patch = splice_network.photograph(splice_network.surface(side, side, random)[0], 0.8, random)
        frame = frame.copy()
        frame[y : y + side, x : x + side] = patch
        live = np.zeros((height, width), bool)
        live[y : y + side, x : x + side] = True
        yield frame, live


def ious(counts: np.ndarray) -> np.ndarray:
    """Of a matrix (label here, label there) of counts, for the classes that occur."""
    shared = np.diag(counts)
    either = counts.sum(axis=0) + counts.sum(axis=1) - shared
    return shared[either > 0] / either[either > 0]


def measure(net: SpliceNetwork, path: Path, share: float, frames: int, threads: int) -> dict[str, object]:
    """One row: `frames` frames at one live share, both ways on each."""
    random = np.random.default_rng(round(share * 1000))
    dense = OpenVinoDense(path, net.input_shape, "f32", threads)
    _, _, height, width = net.input_shape
    ours, theirs, whole, worst = [], [], 0, 1.0
    counts = np.zeros((CLASSES, CLASSES), np.int64)
    for number, (frame, live) in zip(range(frames + 5), scenes(height, width, share, random), strict=False):
        start = time.perf_counter()
        out = net.first(frame) if number == 0 else net.next(frame, live)
        elapsed_ms = (time.perf_counter() - start) * 1e3
        reference, dense_ms = dense.infer(net.used())
        if number < 5:  # warm
            continue
        ours.append(elapsed_ms)
        theirs.append(dense_ms)
        whole += any(step.how == "whole" for step in net.costs.steps)
        (name,) = out
        pair = out[name].argmax(axis=1).ravel() * CLASSES + reference[name].argmax(axis=1).ravel()
        here = np.bincount(pair, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
        counts += here
        worst = min(worst, float(ious(here).mean()))
    return {
        "live": share,
        "frames": frames,
        "splice_ms_p50": round(float(np.median(ours)), 2),
        "splice_ms_mean": round(float(np.mean(ours)), 2),
        "dense_ms_p50": round(float(np.median(theirs)), 2),
        "x_p50": round(float(np.median(theirs) / np.median(ours)), 2),
        "x_mean": round(float(np.mean(theirs) / np.mean(ours)), 2),
        "whole_runs": whole,
        "miou": round(float(ious(counts).mean()), 4),
        "miou_worst_frame": round(worst, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, choices=(720, 1080), default=720)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--live", default="0.01,0.05,0.2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--tolerance", type=float, default=SpliceSettings().tolerance)
    parser.add_argument("--way", choices=("auto", "crops", "split", "tail"), default="auto")
    parser.add_argument("--network", type=Path, metavar="FILE.onnx")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    width = given.size * 16 // 9
    with tempfile.TemporaryDirectory() as folder:
        path = given.network or Path(folder) / "network.onnx"
        if not path.exists():
            splice_network.write_onnx(splice_network.train(), path, given.size, width)
        if not given.frames:
            return
        net = SpliceNetwork.load(path, SpliceSettings(tolerance=given.tolerance, way=given.way), threads=given.threads)
        net.set_preprocess()
        rows = [measure(net, path, float(share), given.frames, given.threads) for share in given.live.split(",")]
    if given.json:
        print(json.dumps(rows))
        return
    print(net.plan, "\n")
    print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
    for row in rows:
        print("| " + " | ".join(str(value) for value in row.values()) + " |")


if __name__ == "__main__":
    main()
