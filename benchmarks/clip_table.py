"""Recordings, by gate and precision, against OpenVINO and ONNX Runtime: mean times of all frames, ours with change map and audits.

    python benchmarks/clip_table.py CLIP... --kept DIR [--gates 0,.01,.02] [--precision f32,int8] [--frames 310] [--into README.md]

The default network at each clip's own size. All engines race on the same frames, in turns, as in `edgevision bench net`; ours once for each
gate and precision. DIR keeps what is made before a race (the quantised network, the counted work) and what came out, so that a machine need
be quiet for the race alone: `--only prepare`, then `--only race` clip by clip, then `--only table`. The table goes to standard output, or
between two `clip table` marks of a file.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from net_table import cells

from edgevision.recompute.graph import fitting_shape, read_graph
from edgevision.recompute.load import fully_convolutional_stride, network_path
from edgevision.recompute.preprocess import Preprocess
from edgevision.recompute.settings import RecomputeSettings
from edgevision.study.bench import CALIBRATION, Entrant, race
from edgevision.study.lanes import OURS, LaneSpec, open_lane
from edgevision.study.peers.layer_inputs import LayerInputs
from edgevision.study.quantize import make_int8
from edgevision.study.recording import read_frames
from edgevision.study.shots import Clip, pairs

MARKS = "<!-- clip table begins -->", "<!-- clip table ends -->"
HEAD = ("clip", "size", "frames", "live in", "live work", "ours", "gate", "mean ms", "p99", "x f32", "x default", "x ORT", "x int8",
        "off by", "rms")  # fmt: skip
PEERS = ("openvino_f32", "openvino_default", "onnxruntime", "openvino_int8")
COUNTED = 8


def write_sized(given: Path, path: Path, shape: tuple[int, ...]) -> None:
    """The same network for inputs of this shape: ONNX Runtime takes a file's own size only."""
    model = onnx.load(given)
    for place, side in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        place.dim_value = side
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    onnx.save(model, path)


class Race:
    """One clip and the default network at its size."""

    def __init__(self, clip: Path, options: argparse.Namespace) -> None:
        self.options = options
        given, name = network_path(RecomputeSettings()), f"{clip.parent.name}-{clip.stem}"
        ends = (".onnx", "-int8.xml", "-counts.json", "-rows.json")
        self.network, self.int8, self.counts, self.rows = (options.kept / f"{name}{end}" for end in ends)
        height, width = next(iter(read_frames(clip, 1))).image.shape[:2]
        self.shape = fitting_shape(given, height, width, fully_convolutional_stride(given) or 1)
        write_sized(given, self.network, self.shape)
        graph = read_graph(self.network)
        self.preprocess = Preprocess.from_metadata(graph.metadata, graph.path)
        self.scene = Clip(self.shape, self.preprocess, clip)

    def prepare(self) -> None:
        """Quantise with the clip's own frames, and count the work that its changes ask for."""
        wanted = set(np.linspace(0, self.options.frames, CALIBRATION).round().astype(int).tolist())
        samples = [shot.x.copy() for number, shot in enumerate(self.scene.play(self.options.frames)) if number in wanted]
        make_int8(self.network, self.int8, samples, self.shape)
        shares = {}
        for precision, path in (("f32", self.network), ("int8", self.int8)):
            inputs = LayerInputs(path, self.shape, 1)
            found = [inputs.live_macs_share(before, after) for before, after in pairs(self.scene, self.options.frames, COUNTED)]
            shares[precision] = float(np.mean(found))
        self.counts.write_text(json.dumps(shares))

    def run(self) -> None:
        """Race."""
        gates = [float(gate) for gate in self.options.gates.split(",")]
        files = {precision: self.int8 if precision == "int8" else self.network for precision in self.options.precision.split(",")}
        ours = [
            LaneSpec(OURS, path, self.shape, 1, precision, gate, self.options.foreign, self.preprocess)
            for precision, path in files.items()
            for gate in gates
        ]
        peers = [LaneSpec(peer, self.int8 if peer.endswith("int8") else self.network, self.shape, 1) for peer in PEERS]
        specs = [*ours, *peers]
        tally = race([Entrant(spec, open_lane(spec)) for spec in specs], self.scene, self.options.frames, lambda text: None)
        counts = json.loads(self.counts.read_text())
        rows = []
        for spec, laps in zip(specs, tally.laps, strict=True):
            row = laps.row(spec, tally.live_input, counts["int8" if spec.path == self.int8 else "f32"], None)
            rows.append({**row, "gate": spec.gates, "rms": laps.deviation.rms, "frames": len(tally.live), "size": self.shape[2:]})
        self.rows.write_text(json.dumps(rows))

    def lines(self) -> Iterator[str]:
        """A line for each of our precisions and gates."""
        rows: list[dict[str, Any]] = json.loads(self.rows.read_text())
        means = {row["engine"]: row["ms_mean"] for row in rows if row["engine"] != OURS}
        clip = self.scene.path
        for row in (row for row in rows if row["engine"] == OURS):
            height, width = row["size"]
            yield cells(
                clip.stem if clip.is_file() else f"{clip.parent.name}/{clip.name}", f"{width}x{height}", row["frames"],
                f"{row['live_input']:.1%}", f"{row['live_macs']:.1%}", row["precision"], f"{row['gate']:g}", f"{row['ms_mean']:.2f}",
                f"{row['ms_p99']:.1f}", *(f"{means[peer] / row['ms_mean']:.2f}" for peer in PEERS),
                f"{row['disagreement']:.1e}", f"{row['rms']:.1e}",
            )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    arguments.add_argument("--kept", type=Path, required=True, metavar="DIR")
    arguments.add_argument("--only", choices=("prepare", "race", "table"))
    arguments.add_argument("--gates", default="0,.01,.02")
    arguments.add_argument("--precision", default="f32,int8")
    arguments.add_argument("--frames", type=int, default=310)
    arguments.add_argument("--foreign", default="never", choices=("never", "auto"))
    arguments.add_argument("--into", type=Path, metavar="FILE")
    options = arguments.parse_args()
    options.kept.mkdir(parents=True, exist_ok=True)
    written = [cells(*HEAD), cells(*["---"] * len(HEAD))]
    for clip in options.clips:
        print(clip, file=sys.stderr, flush=True)
        one = Race(clip, options)
        if options.only in (None, "prepare"):
            one.prepare()
        if options.only in (None, "race"):
            one.run()
        if options.only in (None, "table"):
            written += one.lines()
    if options.only in (None, "table"):
        put("\n".join(written), options.into)


def put(text: str, into: Path | None) -> None:
    """Print the table, or write it between its marks."""
    if into is None:
        print(text)
        return
    before, _, rest = into.read_text("utf-8").partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        sys.exit(f"{into}: has no {MARKS[0]} and {MARKS[1]}; put both where the table belongs")
    into.write_text(f"{before}{MARKS[0]}\n\n{text}\n\n{MARKS[1]}{after}", "utf-8")


if __name__ == "__main__":
    main()
