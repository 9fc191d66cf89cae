"""What the attentions that `attention_accuracy.py` taught cost in time in the engine, at the trained size and at four times its side.

At the larger size a block is four times as wide, so that there are as many: the picture is the same, only finer. A square of 5 % of the
picture changes at every shot; `gate 0` is exact, the other the shipped one.

    python benchmarks/attention_time.py --weights weights --data neu-det [--threads 2] [--px 256 1024]
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgevision.networks.turbovit_weights import read_turbovit
from edgevision.recompute.load_tokens import open_tokens
from edgevision.recompute.settings import TurboViTSettings

SHIPPED_GATE = 0.02
CASES = (("dense", 1.0), ("sparsifiner", 0.25), ("sparsifiner", 0.1), ("hybrid", 0.25), ("hybrid", 0.1), ("csat", 64))


def laps(run, count):
    run(0)
    taken = []
    for number in range(1, count + 1):
        began = time.perf_counter()
        run(number)
        taken.append((time.perf_counter() - began) * 1e3)
    return float(np.median(taken))


def changed_square(x, number, share=0.05):
    side = round(x.shape[2] * share**0.5)
    top, left = np.random.default_rng(number).integers(0, x.shape[2] - side, 2)
    live = np.zeros(x.shape[2:], np.bool_)
    live[top : top + side, left : left + side] = True
    x[..., top : top + side, left : left + side] = np.random.default_rng(number).standard_normal((1, 3, side, side), np.float32)
    return live


def timed(path, kind, value, px, threads):
    found = read_turbovit(path)
    found = replace(found, spec=replace(found.spec, block=found.spec.block * px // found.spec.trained_px))
    settings = {"sparsifiner": {"keep": value}, "hybrid": {"keep": value}} if kind in ("sparsifiner", "hybrid") else {}
    settings |= {"measurements": value} if kind == "csat" else {}
    row = {"method": kind, "setting": value, "px": px}
    for gate in (0.0, SHIPPED_GATE):
        network = open_tokens(found, TurboViTSettings.model_validate(settings), (px, px), gate, threads)
        row |= timed_at(network, px, f"next_ms_gate_{gate:g}")
    return row


def timed_at(network, px, name):
    x = np.random.default_rng(0).standard_normal((1, 3, px, px)).astype(np.float32)
    first = laps(lambda number: network.first(x), 5)
    return {"first_ms": first, name: laps(lambda number: network.next(x, changed_square(x, number)), 12)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", default="neu-det")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--px", type=int, nargs="*", default=[256, 1024])
    arguments = parser.parse_args()
    rows = []
    for px in arguments.px:
        for kind, value in CASES:
            path = arguments.weights / f"{arguments.data}-{kind}.npz"
            if path.exists():
                rows.append(timed(path, kind, value, px, arguments.threads))
                print(json.dumps(rows[-1]), flush=True)
    (arguments.weights / f"time-{arguments.data}.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
