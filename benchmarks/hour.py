"""An hour of frames (90,000 at 25 a second) of each scene of `edgevision.study.hour`, through the whole pipeline.

    python benchmarks/hour.py [--frames 90000] [--only "stays;leaves"] [--check-every 25] [--keyframe-s 0] [--json]

`wrong`: frames with another verdict than the scene calls for. `differs`: of the checked ones, those on which the whole network's verdict
on the raw frame was another. `lags`: frames by which a defect that grows by 0.01 gray levels a frame was called NG after the whole
network's answer was (negative: before), a check being every so many frames. `stayed`: frames on which something was said of a part that
had left.
"""

from __future__ import annotations

import argparse
import json
import sys

from edgevision.study import hour


def row(name: str, options: argparse.Namespace) -> dict[str, object]:
    settings = hour.camera()
    settings = settings.model_copy(update={"recompute": settings.recompute.model_copy(update={"keyframe_s": options.keyframe_s})})
    for told in hour.run(hour.Scene(name, hour.views()), range(options.frames), options.check_every, settings):
        if told.frames % 5000 == 0 and sys.stderr.isatty():
            print(f"\r{name}: {told.frames}", end="", file=sys.stderr)
    return {"scene": name, **told.row()}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--frames", type=int, default=90_000)
    arguments.add_argument("--only", default=";".join(hour.SCENES), help="names, with semicolons between them")
    arguments.add_argument("--check-every", type=int, default=25)
    arguments.add_argument("--keyframe-s", type=float, default=10.0, help="recompute.keyframe_s; 0: the change map alone")
    arguments.add_argument("--json", action="store_true")
    options = arguments.parse_args()
    rows = []
    for name in options.only.split(";"):
        rows.append(row(name, options))
        if not options.json:
            cells = [f"{value:.4f}" if isinstance(value, float) else str(value) for value in rows[-1].values()]
            if len(rows) == 1:
                print("| " + " | ".join(rows[-1]) + " |\n" + "|---" * len(cells) + "|")
            print("| " + " | ".join(cells) + " |", flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
