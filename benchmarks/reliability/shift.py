"""Pictures that change their nature: `python benchmarks/reliability/shift.py [--only lamp,dirt] [--alone] [--hour] [--clip FILE]`.

The synthetic line, 640x368 at 5 frames a second, is watched for two minutes as it should be; then over 300 s the lamp ages, the lens gets
dirty, the focus is lost, noise grows, the camera comes loose and shakes, or, at once, other parts come. A second pipeline looks at the same
line without that. Told are the second of the first WARN, of which statistic, and when verdicts have gone bad: at the second of two parts
within 20 s with another verdict than the second pipeline's, and at the third of five parts in a row. The lead lies between. `nothing` is a
control: what it judges otherwise is by chance, two parts within 20 s among it. `until_warn`: of the parts from the change to the WARN,
those judged otherwise. With `--hour`: an hour of the line as it should be, its light swinging by a quarter as by day and night; nothing may
be told. `--alone`: the watch without a network, of which verdicts and features are missing, and all else is the same: much faster.
`--clip FILE`: a recording over and over for so many minutes, watched alone; `--clip stations`: parts of the presence recipe, a frame each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings
from edgevision.compare.background import ChangeDetector
from edgevision.daemon.shift_watch import ShiftWatch, looked_at
from edgevision.pipeline import Pipeline
from edgevision.recompute.door import Door, Light
from edgevision.recompute.shift import ShiftMonitor
from edgevision.recompute.shift_settings import ShiftSettings
from edgevision.records import Verdict
from edgevision.study.parts.presence import SeriesSettings, series

WIDTH, HEIGHT = 640, 368
FPS, LEARN_S, RAMP_S = 5.0, 125.0, 300.0
BAD_S = 20.0
OTHERS_FROM = 0.1  # of the ramp: from the first part on that comes in then
LINE = {"width": WIDTH, "height": HEIGHT, "fps": FPS, "defect_rate": 0.5, "contrast": (30.0, 40.0)}  # what this network finds at this size
CONFIG = """
cameras:
  cam:
    source: {type: synthetic}
    compare: {ignore: [[[5, 3], [166, 3], [166, 28], [5, 28]]]}   # the clock that the camera burns in
    judge: {min_area_px: 12}
"""
SHIFT = ShiftSettings(every=2, block=25)  # a block of 10 s, as 30 frames a second have it with the defaults
Scene = Callable[[int], tuple[np.ndarray, int | None]]


def line_of(seed: int, **more: Any) -> Line:
    return Line(SyntheticSettings(seed=seed, **{**LINE, **more}))


def ramp(k: int) -> float:
    """0 while it is learnt, 1 at the end."""
    return min(1.0, max(0.0, (k / FPS - LEARN_S) / RAMP_S))


def plain(line: Line) -> Scene:
    return lambda k: (line.frame(k)[0], line.truth(k).station)


def lamp(seed: int) -> Scene:
    """The lamp falls to a fifth; the sensor's noise stays what it is in the dark and falls with the light elsewhere."""
    line = line_of(seed)
    right = line.camera.lamp
    line.camera.lamp = lambda k: right(k) * (1 - 0.8 * ramp(k))  # type: ignore[method-assign]
    return plain(line)


def nothing(seed: int) -> Scene:
    """A control: the light is 3 % less from the first frame on, so that no pixel is the same, and nothing else ever changes."""
    line = line_of(seed)
    right = line.camera.lamp
    line.camera.lamp = lambda k: right(k) * 0.97  # type: ignore[method-assign]
    return plain(line)


def dirt(seed: int) -> Scene:
    """Spots of grease and dust settle on the lens: blurred, and up to two thirds dark."""
    line = line_of(seed)
    field_ = np.random.default_rng(seed).random((23, 40)).astype(np.float32)
    spots = cv2.GaussianBlur(cv2.resize((field_ > 0.85).astype(np.float32), (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST), (0, 0), 6)
    spots = np.minimum(1.0, spots / spots.max() * 1.5)[:, :, None]

    def seen(k: int) -> tuple[np.ndarray, int | None]:
        image, part = plain(line)(k)
        share = ramp(k) * spots
        hazy = cv2.GaussianBlur(image, (0, 0), 4) * (1 / 3)
        return np.clip(image * (1 - share) + hazy * share, 0, 255).astype(np.uint8), part

    return seen


def focus(seed: int) -> Scene:
    """The lens turns out of focus, to a blur of 3 pixels (sigma)."""
    line = line_of(seed)
    right = line.camera.expose

    def blurred(scene: np.ndarray, frame: int, *rest: Any) -> np.ndarray:
        sigma = 3.0 * ramp(frame)
        return right(cv2.GaussianBlur(scene, (0, 0), sigma) if sigma > 0.05 else scene, frame, *rest)

    line.camera.expose = blurred  # type: ignore[method-assign,assignment]
    return plain(line)


def noise(seed: int) -> Scene:
    """The sensor's noise grows to six times what it was."""
    line = line_of(seed)
    sigma = line.camera._sigma

    def seen(k: int) -> tuple[np.ndarray, int | None]:
        line.camera._sigma = sigma * np.float32(1 + 5 * ramp(k))
        return plain(line)(k)

    return seen


def shake(seed: int) -> Scene:
    """The camera comes loose: it shakes ten times as far, by 5 pixels while the belt runs and a sixth of that while a part stands."""
    line = line_of(seed)
    right = line.camera.shake

    def loose(frame: int, moment: Any) -> tuple[float, float]:
        x, y = right(frame, moment)
        return x * (1 + 9 * ramp(frame)), y * (1 + 9 * ramp(frame))

    line.camera.shake = loose  # type: ignore[method-assign]
    return plain(line)


def other_parts(seed: int) -> Scene:
    """From one part on, as the belt brings it in, parts are brighter and rougher than any that was seen."""
    line, other = line_of(seed), line_of(seed, brightness=(185.0, 215.0), grain=(7.0, 10.0))
    begun = next(k for k in range(100_000) if ramp(k) > OTHERS_FROM and line.belt.at(k).is_moving and line.belt.at(k + 1).is_moving)
    return lambda k: plain(other if k >= begun else line)(k)


def day_and_night(seed: int) -> Scene:
    """Nothing is wrong; daylight swings by a quarter up and down, twice an hour."""
    line = line_of(seed)
    right = line.camera.lamp
    line.camera.lamp = lambda k: right(k) * (1 + 0.25 * np.sin(2 * np.pi * k / FPS / 1800))  # type: ignore[method-assign]
    return plain(line)


KINDS = {made.__name__: made for made in (lamp, dirt, focus, noise, shake, other_parts, nothing)}


def pipeline() -> Pipeline:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(CONFIG)
        file.flush()
        return Pipeline.from_config(file.name)


@dataclass
class Parts:
    """What is said of each part: NG from two frames on that say so."""

    frames: dict[int, list[Verdict]] = field(default_factory=dict)

    def note(self, part: int, said: Verdict) -> None:
        self.frames.setdefault(part, []).append(said)

    def is_ng(self, part: int) -> bool:
        return sum(said is Verdict.NG for said in self.frames[part]) >= 2


def watch(folder: Path, pipe: Pipeline) -> ShiftWatch:
    return ShiftWatch(folder / "shift.json", SHIFT, pipe.settings.compare)


def run(kind: str, seed: int) -> dict[str, Any]:
    """One way to go bad, from the first second to the last."""
    bad, good, shown, should = pipeline(), pipeline(), KINDS[kind](seed), plain(line_of(seed))
    told: list[tuple[float, str, str]] = []
    ours, theirs, ends = Parts(), Parts(), {}
    with tempfile.TemporaryDirectory() as name:
        watcher = watch(Path(name), bad)
        for k in range(int((LEARN_S + RAMP_S) * FPS)):
            ts = 1000.0 + k / FPS
            image, part = shown(k)
            found = watcher.look(ev.Frame(image, ts, k), bad.inspect(ev.Frame(image, ts, k)), bad)
            if part is not None:
                ours.note(part, found.verdict)
                theirs.note(part, good.inspect(ev.Frame(should(k)[0], ts, k)).verdict)
                ends[part] = k / FPS
            told += [(k / FPS, one.what, one.text) for one in found.notices if one.kind == "shift" and not one.is_over]
    others = {part for part in ours.frames if ours.is_ng(part) != theirs.is_ng(part)}
    wrong = sorted(ends[part] for part in others)
    begun = LEARN_S + (OTHERS_FROM * RAMP_S if kind == "other_parts" else 0.0)
    early = [second for second in wrong if second < begun]
    lost_s = most_lost(sorted((end, part in others) for part, end in ends.items() if end >= begun))
    gone_bad = next((now for then, now in pairwise(wrong) if then >= begun and now - then <= BAD_S), None)
    warn = told[0] if told else None
    meanwhile = [part for part, end in ends.items() if begun <= end < (warn[0] if warn else np.inf)]
    return {
        "kind": kind, "seed": seed, "parts": len(ours.frames), "wrong_parts": len(wrong), "wrong_before": len(early),
        "wrong_s": wrong, "gone_bad_s": gone_bad, "three_of_five_s": lost_s,
        "warn_s": warn and warn[0], "until_warn": [len(others & set(meanwhile)), len(meanwhile)],
        "warned": [what.removeprefix("shift ") for _, what, _ in told],
        "lead_s": None if gone_bad is None or warn is None else round(gone_bad - warn[0], 1),
        "share_at_warn": warn and round(ramp(int(warn[0] * FPS)), 3), "text": warn and warn[2],
    }  # fmt: skip


def watched_alone(arguments: argparse.Namespace) -> int:
    """Each way to go bad, or the hour, by the watch alone."""
    compare = pipeline().settings.compare
    kinds, seconds = ({"hour": day_and_night}, arguments.minutes * 60) if arguments.hour else (KINDS, LEARN_S + RAMP_S)
    is_well = True
    for kind in kinds if arguments.hour else arguments.only.split(","):
        shown = kinds[kind](arguments.seed)
        facts = alone(lambda k, shown=shown: shown(k)[0], FPS, seconds, SHIFT, compare)  # type: ignore[misc]
        print(json.dumps({"kind": kind, "seed": arguments.seed, **facts}), flush=True)
        is_well &= bool(facts["told"]) != (kind in ("hour", "nothing"))
    return 0 if is_well else 1


def most_lost(seen: list[tuple[float, bool]]) -> float | None:
    """When three of five parts in a row were judged otherwise; `seen` has each part's end (s) and whether it was. None: never."""
    fives = (seen[max(0, k - 4) : k + 1] for k in range(len(seen)))
    return next((five[-1][0] for five in fives if five[-1][1] and sum(is_other for _, is_other in five) >= 3), None)


def hour(seed: int, minutes: float) -> dict[str, Any]:
    """The line as it should be, for an hour of its time, or so many minutes."""
    pipe, shown, told, spent = pipeline(), day_and_night(seed), [], []
    audits = {"passed": 0, "failed": 0, "fault": 0}
    with tempfile.TemporaryDirectory() as name:
        watcher = watch(Path(name), pipe)
        for k in range(int(minutes * 60 * FPS)):
            frame = ev.Frame(shown(k)[0], 1000.0 + k / FPS, k)
            found = pipe.inspect(frame)
            since = time.perf_counter()
            found = watcher.look(frame, found, pipe)
            spent.append(time.perf_counter() - since)
            told += [(round(k / FPS), one.text) for one in found.notices if not one.is_over]
            if found.audit is not None:
                audits[found.audit] += 1
        learnt = {name: round(float(each.own.max()), 4) for name, each in watcher._monitor._learnt.items()}
    us_mean = 1e6 * float(np.mean(spent))
    return {"kind": "hour", "seed": seed, "frames": len(spent), "us_mean": us_mean, "told": told, "audits": audits, "own": learnt}


def alone(shown: Callable[[int], np.ndarray], fps: float, seconds: float, shift: ShiftSettings, compare: Any = None) -> dict[str, Any]:
    """The watch without a network over so many seconds of frames: what is told, and when."""
    detector, monitor, told, door = ChangeDetector(compare), ShiftMonitor(shift), [], None
    for k in range(0, int(seconds * fps), shift.every):
        image = shown(k)
        change = detector.update(image)
        door = door or Door(None, None if compare is None else looked_at(compare, *image.shape[:2]))
        light = Light(change.gain, change.offset, detector.noise_measured, detector.shake_px)
        for one in monitor.take(door.sample(image, light, None)):
            told.append((round(k / fps, 1), "over" if one.is_over else one.what.removeprefix("shift "), one.text))
    return {"seconds": seconds, "samples": len(range(0, int(seconds * fps), shift.every)), "told": told}


def clip(path: str, minutes: float) -> dict[str, Any]:
    """A recording over and over."""
    if path == "stations":
        seconds = int(minutes * 60)
        faults = SeriesSettings().faults * (seconds // len(SeriesSettings().faults) + 1)
        parts = series(np.random.default_rng(0), SeriesSettings(faults=faults))
        return alone(lambda _: next(parts).image, 1.0, seconds, ShiftSettings(every=1))
    video = cv2.VideoCapture(path)
    fps = video.get(cv2.CAP_PROP_FPS) or 30.0
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    if not frames:
        raise SystemExit(f"{path}: no frame can be read; give a recording that OpenCV reads")
    return alone(lambda k: frames[k % len(frames)], fps, minutes * 60, ShiftSettings())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--hour", action="store_true", help="an hour without a fault instead")
    parser.add_argument("--minutes", type=float, default=60.0, help="of that hour, or of the recording")
    parser.add_argument("--alone", action="store_true", help="without a network")
    parser.add_argument("--clip", metavar="FILE", help="a recording over and over; or `stations`, the presence recipe's")
    arguments = parser.parse_args()
    if arguments.clip:
        facts = clip(arguments.clip, arguments.minutes)
        print(json.dumps(facts))
        return 0 if not facts["told"] else 1
    if arguments.alone:
        return watched_alone(arguments)
    if arguments.hour:
        facts = hour(arguments.seed, arguments.minutes)
        print(json.dumps(facts))
        return 0 if not facts["told"] else 1
    rows = []
    for kind in arguments.only.split(","):
        rows.append(run(kind, arguments.seed))
        print(json.dumps(rows[-1]), flush=True)
    ends = [row["warn_s"] is None if row["kind"] == "nothing" else row["lead_s"] is not None and row["lead_s"] > 0 for row in rows]
    return 0 if all(ends) else 1


if __name__ == "__main__":
    sys.exit(main())
