"""Verdicts on the synthetic line or a clip against those of the whole network on the raw frame, and what became of close calls.

python benchmarks/close_calls.py --seed 0 --frames 450                     # the line as it ships, 1280x720
python benchmarks/close_calls.py --faint --seed 7 --start 4050 --frames 500    # 640x368, defects whose scores lie about the limits
python benchmarks/close_calls.py --demo --seed 3 --alone                   # only what is computed, as a share of dense; `--off` without
python benchmarks/close_calls.py --clip CLIP --frames 300                  # a clip, every key as it ships; `--zero`: all thresholds at 0
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.config import CameraConfig, Config, builtin_registry, load
from edgevision.judge.rules import JudgeSettings
from edgevision.pipeline import Pipeline
from edgevision.records import Frame
from edgevision.study.dense_answer import DenseAnswer
from edgevision.study.exact import exact
from edgevision.study.recording import read_frames

FPS = 30.0
SMALL = {"width": 640, "height": 368, "defect_rate": 0.5, "contrast": (26.0, 40.0)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--frames", type=int, default=450)
    parser.add_argument("--faint", action="store_true", help="the line and the limits of reliability/faults.py")
    parser.add_argument("--demo", action="store_true", help="as configs/demo.yaml has it")
    parser.add_argument("--clip", type=Path, help="a clip instead of the line")
    parser.add_argument("--zero", action="store_true", help="with gate 0 and every threshold of the comparison at 0")
    parser.add_argument("--off", action="store_true", help="without close calls")
    parser.add_argument("--alone", action="store_true", help="without the whole network beside")
    arguments = parser.parse_args()
    registry = builtin_registry()
    pipe = Pipeline.from_config(Config.model_construct(cameras={"cam": camera_of(arguments)}), "cam", registry)
    dense, differ, outcomes, verdicts, work, frames = None, Counter[str](), Counter[str](), Counter[str](), 0.0, 0
    for frame in frames_of(arguments):
        said = pipe.inspect(frame)
        frames += 1
        verdicts[said.verdict.value] += 1
        outcomes[str(said.close_call)] += 1
        work += said.costs.macs / said.costs.dense_macs if said.costs is not None else 0.0
        if arguments.alone:
            continue
        dense = dense or DenseAnswer(pipe, registry)
        whole = dense.inspect(frame, pipe.shown(frame.image, as_taken=True), pipe.change_on(frame))[0]
        if whole is not said.verdict:
            differ[f"{said.verdict.value} for {whole.value}, {said.close_call}"] += 1
    facts = {"frames": frames, "differ": differ.total(), "how": differ, "close_calls": outcomes, "work": work / frames}
    print(json.dumps({**facts, "verdicts": verdicts}))


def frames_of(arguments: argparse.Namespace) -> Iterator[Frame]:
    """The frames that are asked for."""
    if arguments.clip is not None:
        for k, frame in enumerate(read_frames(arguments.clip, arguments.frames)):
            yield Frame(frame.image, 1000.0 + k / FPS, k)
        return
    line = Line(SyntheticSettings(seed=arguments.seed, **(SMALL if arguments.faint else {})))
    for k in range(arguments.start, arguments.start + arguments.frames):
        yield Frame(line.frame(k)[0], 1000.0 + k / FPS, k)


def camera_of(arguments: argparse.Namespace) -> CameraConfig:
    """The camera that is asked for."""
    demo = load(Path(__file__).parents[1] / "configs" / "demo.yaml")
    shipped = next(iter(demo.cameras.values()))
    camera = shipped if arguments.demo else CameraConfig(source=shipped.source)
    if arguments.faint:
        camera = camera.model_copy(update={"judge": JudgeSettings(warn=0.8, ng=0.9, min_area_px=12, k_of_n=(6, 10))})
    settle = camera.recompute.settle.model_copy(update={"enabled": not arguments.off})
    camera = camera.model_copy(update={"recompute": camera.recompute.model_copy(update={"settle": settle, "foreign": "never"})})
    return exact(camera) if arguments.zero else camera


if __name__ == "__main__":
    main()
