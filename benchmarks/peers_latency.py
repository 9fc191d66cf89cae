"""Latency of TurboViTs beside networks of others at the same input, all whole, on OpenVINO: f32 and its default, p50, in one run.

python benchmarks/peers_latency.py --px 224 --threads 2 [--network NAME=FILE.yaml ...] [--peers mobilevitv2_200 hiera_tiny_224]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from edgevision.networks.turbovit import TurboViTSpec
from edgevision.study.peers.timm_latency import PEERS, race
from edgevision.study.search_report import read_spec


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--px", type=int, default=224)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--network", action="append", default=[], metavar="NAME=FILE.yaml")
    parser.add_argument("--peers", nargs="*", default=list(PEERS))
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    ours = {"stand-in": TurboViTSpec()}
    ours |= {name: read_spec(Path(path)) for name, path in (entry.split("=", 1) for entry in arguments.network)}
    rows = race(ours, arguments.peers, px=arguments.px, threads=arguments.threads)
    if arguments.json:
        print(json.dumps(rows))
        return
    print("| network | M parameters | GMAC | f32 ms | default ms | x stand-in, f32 | default |\n|---|---|---|---|---|---|---|")
    first = rows[0]
    for row in rows:
        ratios = " | ".join(f"{row[key] / first[key]:.2f}" for key in ("f32_ms", "default_ms"))
        gmacs = "-" if row["gmacs"] is None else f"{row['gmacs']:.2f}"
        print(f"| {row['name']} | {row['parameters_m']:.2f} | {gmacs} | {row['f32_ms']:.1f} | {row['default_ms']:.1f} | {ratios} |")


if __name__ == "__main__":
    main()
