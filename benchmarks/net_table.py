"""`edgevision bench net` over the three networks of `networks.py` and those of a folder, as the tables of benchmarks/README.md.

    python benchmarks/net_table.py [--models DIR] [--threads 1,2] [--precision f32,bf16,int8] [--live 0,.01,.05,.2,.5,1] [--into README.md]

Each network in a process of its own. Without --into the table goes to standard output; with it, between two `net table` marks. Rows as
measured are kept in DIR/NAME.json (--rows DIR). A network that open sizes or the engine refuse is a line below the table, not a gap.
`--scale 0.2` tries it out on small pictures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from networks import write_networks

from edgevision.study.bench_report import best_rival, rivals
from edgevision.study.lanes import OURS, PEERS

MARKS = "<!-- net table begins -->", "<!-- net table ends -->"
OPEN_SIZES = {"superres_core_derived": "1,1,224,224", "yunet_n_dynamic": "1,3,736,1280"}
HEAD = ("network", "threads", "precision", "live in", "live work", "ours ms (p50)", "mean", "p99", "x f32", "x default", "x int8", "x ORT",
        "of proportional", "off by", "first ms", "MB")  # fmt: skip
ORDER = ("f32", "bf16", "int8", "f16")
Row = dict[str, Any]


def bench(path: Path, options: argparse.Namespace) -> tuple[list[Row], str]:
    """The rows of one network, and what was said of those left out."""
    command = [
        sys.executable,
        "-m",
        "edgevision",
        "bench",
        "net",
        str(path),
        "--json",
        "--threads",
        options.threads,
        "--live",
        options.live,
    ]
    command += ["--precision", options.precision, "--frames", str(options.frames), *["--no-memory"] * options.no_memory]
    if path.stem in OPEN_SIZES:
        command += ["--input-shape", OPEN_SIZES[path.stem]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = json.loads(done.stdout) if done.stdout.startswith("[") else []
    if options.rows:
        options.rows.mkdir(parents=True, exist_ok=True)
        (options.rows / f"{path.stem}.json").write_text(json.dumps(rows, indent=1))
    said = "; ".join(line.removeprefix("edgevision: ").replace(f"{path.parent}/", "") for line in done.stderr.splitlines() if line.strip())
    return rows, said or ("" if done.returncode == 0 else f"exit {done.returncode}")


def lines(name: str, rows: list[Row]) -> Iterator[str]:
    """Ours, one line for each thread count, precision and live share."""
    for row in sorted(rows, key=lambda row: (row["threads"], ORDER.index(row["precision"]), row["live_input"])):
        if row["engine"] != OURS:
            continue
        peers = {peer["engine"]: peer["ms_p50"] / row["ms_p50"] for peer in rivals(row, rows)}
        best = best_rival(row, rows)
        share = "" if best is None or not row["live_macs"] else f"{best['ms_p50'] * row['live_macs'] / row['ms_p50']:.0%}"
        yield cells(
            name, row["threads"], row["precision"], f"{row['live_input']:.1%}", f"{row['live_macs']:.1%}",
            f"{row['ms_p50']:.2f}", f"{row['ms_mean']:.2f}", f"{row['ms_p99']:.2f}",
            *(f"{peers[engine]:.2f}" if engine in peers else "" for engine in PEERS),
            share, f"{row['disagreement']:.1e}", f"{row['first_ms']:.0f}", f"{row['peak_mb']:.0f}" if row["peak_mb"] else "",
        )  # fmt: skip


def cells(*values: object) -> str:
    return "| " + " | ".join(str(value) for value in values) + " |"


def table(paths: list[Path], options: argparse.Namespace) -> str:
    """All networks, then what was left out."""
    written = [cells(*HEAD), cells(*["---"] * len(HEAD))]
    notes = []
    for path in paths:
        print(path.name, file=sys.stderr, flush=True)
        rows, said = bench(path, options)
        written += lines(path.stem, rows)
        notes += [f"- {path.stem}: {said}"] if said else []
    return "\n".join([*written, *(["", "Left out:", "", *notes] if notes else [])])


def put(text: str, file: Path) -> None:
    """Between the marks."""
    before, _, rest = file.read_text("utf-8").partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        sys.exit(f"{file}: has no {MARKS[0]} and {MARKS[1]}; put both where the table belongs")
    file.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", "utf-8")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--models", type=Path, metavar="DIR", help="a folder of .onnx files to be measured too")
    arguments.add_argument("--threads", default="1,2")
    arguments.add_argument("--precision", default="f32,bf16,int8")
    arguments.add_argument("--live", default="0,.01,.05,.2,.5,1")
    arguments.add_argument("--frames", type=int, default=20)
    arguments.add_argument("--no-memory", action="store_true", help="leave peak_mb out, which takes a process an engine")
    arguments.add_argument("--scale", type=float, default=1.0, help="of the sides of the three networks' pictures (default 1)")
    arguments.add_argument("--only", default="", metavar="NAMES", help="of networks, with commas between; all others are passed over")
    arguments.add_argument("--rows", type=Path, metavar="DIR", help="keep the rows as measured, a JSON file a network")
    arguments.add_argument("--into", type=Path, metavar="FILE", help="write the table between the marks of this file")
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="edgevision-networks-") as folder:
        paths = write_networks(Path(folder), options.scale) + sorted(options.models.glob("*.onnx") if options.models else [])
        wanted = set(filter(None, options.only.split(",")))
        text = table([path for path in paths if not wanted or path.stem in wanted], options)
    if options.into:
        put(text, options.into)
    else:
        print(text)


if __name__ == "__main__":
    main()
