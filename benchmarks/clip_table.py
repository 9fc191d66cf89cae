"""`edgevision bench net` on recordings, clip by clip and gate by gate: mean times of all frames, change map and audits included.

    python benchmarks/clip_table.py CLIP... [--network default] [--gates 0,.01,.02] [--frames 150] [--foreign auto] [--into README.md]

The table goes to standard output, or between two `clip table` marks of a file. Where it does not pay, the table says so.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from net_table import cells

MARKS = "<!-- clip table begins -->", "<!-- clip table ends -->"
HEAD = ("clip", "gate", "live in", "live work", "ours mean ms", "p99", "x f32", "x default", "x ORT", "x int8", "off by")
PEERS = ("openvino_f32", "openvino_default", "onnxruntime", "openvino_int8")


def rows_of(clip: Path, gate: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One run of all engines on one clip."""
    command = [sys.executable, "-m", "edgevision", "bench", "net", options.network, "--clip", str(clip), "--gate", gate, "--json"]
    command += ["--precision", options.precision, "--frames", str(options.frames), "--foreign", options.foreign, "--no-memory"]
    command += ["--input-shape", options.input_shape] if options.input_shape else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("["):
        sys.exit(f"{clip}: {done.stderr.strip() or 'no rows'}")
    return list(json.loads(done.stdout))


def lines(clip: Path, gate: str, rows: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each of our precisions."""
    for ours in (row for row in rows if row["engine"] == "ours"):
        means = {row["engine"]: row["ms_mean"] / ours["ms_mean"] for row in rows if row["engine"] != "ours"}
        yield cells(
            f"{clip.stem} ({ours['precision']})", gate, f"{ours['live_input']:.1%}", f"{ours['live_macs']:.1%}", f"{ours['ms_mean']:.1f}",
            f"{ours['ms_p99']:.1f}", *(f"{means[peer]:.1f}" if peer in means else "" for peer in PEERS), f"{ours['disagreement']:.1e}",
        )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    arguments.add_argument("--network", default="default")
    arguments.add_argument("--gates", default="0,.01,.02")
    arguments.add_argument("--precision", default="f32")
    arguments.add_argument("--input-shape", metavar="1,3,720,1280")
    arguments.add_argument("--frames", type=int, default=150)
    arguments.add_argument("--foreign", default="never", choices=("never", "auto"))
    arguments.add_argument("--into", type=Path, metavar="FILE")
    options = arguments.parse_args()
    written = [cells(*HEAD), cells(*["---"] * len(HEAD))]
    for clip in options.clips:
        for gate in options.gates.split(","):
            print(f"{clip.stem}, gate {gate}", file=sys.stderr, flush=True)
            written += lines(clip, gate, rows_of(clip, gate, options))
    text = "\n".join(written)
    if options.into is None:
        print(text)
        return
    before, _, rest = options.into.read_text("utf-8").partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        sys.exit(f"{options.into}: has no {MARKS[0]} and {MARKS[1]}; put both where the table belongs")
    options.into.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", "utf-8")


if __name__ == "__main__":
    main()
