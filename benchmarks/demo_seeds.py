"""The demo over several seeds, and the table for `benchmarks/README.md`.

python benchmarks/demo_seeds.py [--seeds 0,1,2,3,4] [--seconds 60] [--config FILE] [--json]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile

COLUMNS = ("seed", "frames", "truth_defects", "found", "missed", "false_alarms", "repeated", "events_committed", "events_acked")
TIMES = ("live_fraction_mean", "selective_ms_mean", "selective_ms_p50", "selective_ms_p99", "dense_f32_ms_p50", "dense_default_ms_p50")


def demo(seed: int, seconds: float, config: str | None) -> dict:
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "edgevision", "demo", "--json", "--seed", str(seed), "--seconds", str(seconds), "--out", out]
        command += ["--config", config] if config else []
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if not finished.stdout:
        raise SystemExit(f"seed {seed}: {finished.stderr.strip()}")
    return json.loads(finished.stdout)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seeds", default="0,1,2,3,4")
    arguments.add_argument("--seconds", type=float, default=60.0)
    arguments.add_argument("--config")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    rows = [demo(int(seed), options.seconds, options.config) for seed in options.seeds.split(",")]
    if options.json:
        print(json.dumps(rows))
        return
    print("| " + " | ".join((*COLUMNS, *TIMES, "x f32", "x default")) + " |")
    print("|" + "---|" * (len(COLUMNS) + len(TIMES) + 2))
    for row in rows:
        times = [f"{row[name]:.4f}" if name.startswith("live") else f"{row[name]:.2f}" for name in TIMES]
        factors = (f"{row['speedup_f32']:.1f}", f"{row['speedup_default']:.1f}")
        print("| " + " | ".join([*(str(row[name]) for name in COLUMNS), *times, *factors]) + " |")


if __name__ == "__main__":
    main()
