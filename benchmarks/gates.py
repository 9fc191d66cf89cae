"""What tuned gates are worth: `edgevision gates` on clips and networks, as a table of Markdown. See README.md, "Gates".

    python benchmarks/gates.py --data DIR [--limits 0.005,0.02] [--frames 240] [--plots DIR]

DIR holds the clips and `onnx-models/`. YuNet takes 0..255 in BGR and its file does not say so: a copy that does is made for the run.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import onnx

from edgevision.study.gates import GateTask, find

CLIPS = ("intel-sample-videos/bottle-detection.mp4", "delta-robot-conveyor/conveyor_belt.mp4", "intel-sample-videos/car-detection.mp4")
HEAD = "| network | clip | limit | exact | one gate, equal disagreement | tuned | disagreement | frozen | ms exact / one / tuned | trials |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--limits", default="0.005,0.02")
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--plots", type=Path)
    arguments = parser.parse_args()
    print(HEAD + "\n|" + "---|" * (HEAD.count("|") - 1), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        yunet = Path(folder) / "yunet_n_320_320.onnx"
        say_bgr_255(arguments.data / "onnx-models" / yunet.name, yunet)
        for limit in map(float, arguments.limits.split(",")):
            for network in ("default", str(yunet)):
                for clip in CLIPS:
                    plot = arguments.plots and arguments.plots / f"gates-{Path(network).stem}-{Path(clip).stem}-{limit:g}.png"
                    task = GateTask(network, arguments.data / clip, limit, arguments.frames, plot=plot)
                    print(line(find(task, is_quiet=True)), flush=True)


def say_bgr_255(source: Path, target: Path) -> None:
    model = onnx.load(str(source))
    for key, value in (("scale", "1"), ("channel_order", "bgr")):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, str(target))


def line(report: dict) -> str:
    exact, one, tuned = report["uniform"][0], report["uniform_at_limit"], report["tuned"]
    note = "" if report["is_within_limit"] else " (over the limit)"
    return (
        f"| {Path(report['network']).stem} | {Path(report['clip']).stem} | {report['limit']:g} | {exact['macs_share']:.1%} | "
        f"{report['uniform_equal_macs_share']:.1%} | **{tuned['macs_share']:.1%}**{note} | "
        f"{tuned['disagreement']:.4f} | "
        f"{report['frozen']:.3f} | {exact['ms_mean']:.2f} / {one['ms_mean']:.2f} / {tuned['ms_mean']:.2f} | {report['trials']} |"
    )


if __name__ == "__main__":
    main()
