"""Is what a camera says with work left out what the whole network says? In: a camera's settings, Cases. Out: where the verdicts differ.

`exact` puts the gate and every threshold of the comparison to 0. Then a pixel is left out only where it is, bit for bit, as the network was
given it last, and no verdict may differ from that of the whole network on the raw frame, whatever the frames show. As a camera is shipped
it leaves out what its thresholds call noise: there a few may.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2

from edgevision.config import CameraConfig
from edgevision.records import Frame, Image, Verdict
from edgevision.registry import Chosen
from edgevision.study.evaluate import Line, Stand, begin, reference_of
from edgevision.study.recipe import Recipe
from edgevision.study.sets import Case


@dataclass(frozen=True, slots=True)
class Difference:
    """A frame of which `said`, with work left out, is another verdict than that of the whole network: in the light that the frame was
    brought to (`whole`), or on the frame just as it was taken (`raw`)."""

    name: str
    said: Verdict
    whole: Verdict
    raw: Verdict


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of so many frames, `live` is the mean share that was computed anew; `differences` in the order of the frames."""

    frames: int
    not_inspected: int
    live: float
    differences: tuple[Difference, ...]

    @property
    def from_whole(self) -> int:
        """Frames that differ from the whole network, asked as the camera asks it."""
        return sum(one.said is not one.whole for one in self.differences)

    @property
    def from_raw(self) -> int:
        """Frames that differ from the whole network on the raw frame."""
        return sum(one.said is not one.raw for one in self.differences)


def exact(settings: CameraConfig) -> CameraConfig:
    """The camera with gate 0, with every threshold of the comparison at 0, and with nothing that corrects a frame before it is used."""
    zeros = {
        "pixel_threshold": 0.0, "hysteresis": 1.0, "faint_sigmas": 0.0, "despeckle": 1, "min_area": 1, "grow_px": 0, "vibration_px": 0.0,
        "steady_px": 0.0, "photometric": "none", "own_light": "none", "hold_frames": 0, "confirm_frames": 1, "settle_frames": 0,
        "global_fraction": 1.0, "golden_fraction": 1.0, "golden_likeness": 0.0, "places_px": 0,
    }  # fmt: skip
    compare = settings.compare.model_copy(update=zeros)
    settle = settings.recompute.settle.model_copy(update={"enabled": False})
    zeros_too = {"settle": settle, "gate": 0.0, "policy": Chosen("threshold"), "audit_every": 0, "audit_every_s": 0.0, "keyframe_s": 0.0}
    return settings.model_copy(update={"compare": compare, "recompute": settings.recompute.model_copy(update=zeros_too)})


def selective(settings: CameraConfig) -> CameraConfig:
    """The camera without foreign mode."""
    return settings.model_copy(update={"recompute": settings.recompute.model_copy(update={"foreign": "never"})})


def drawn(pictures: Iterable[tuple[str, Image]], folder: Path, template: Path | None = None) -> Iterator[Case]:
    """Generated pictures (name, image), written into the folder, as Cases of one group; one called template.png is that of the others."""
    for name, image in pictures:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), image)
        if path.parent != folder:
            yield Case(name, folder.name, path, False, template=template, colour="gray" if image.ndim == 2 else "auto")
        elif path.stem == "template":
            template = path


def template_of(recipe: Recipe) -> Path | None:
    """The template that a recipe ships with, of those that do."""
    path = recipe.folder / "template.png"
    return path if path.is_file() else None


def agreement(cases: Sequence[Case], line: Line) -> Agreement:
    """Each Case through the camera, and whole in OpenVINO: its references and templates taught as `evaluate` does it.

    The camera itself never runs whole in OpenVINO meanwhile: it would be compared with itself.
    """
    line = replace(line, settings=selective(line.settings))
    differences, live, refused = list[Difference](), list[float](), 0
    stands: dict[tuple[int, ...], Stand] = {}
    with tempfile.TemporaryDirectory() as folder:
        group = None
        for number, case in enumerate(cases):
            image = case.image()
            taught = None
            if line.is_taught and case.group != group:
                group = case.group
                stands.clear()
                taught = reference_of([one for one in cases if one.group == group], line.settings, Path(folder) / f"{number}.npz")
            if image.shape not in stands:
                stands[image.shape] = line.stand(image, taught or (case.template if line.settings.recompute.template != "none" else None))
            stand = stands[image.shape]
            begin(stand, case)
            frame = Frame(image, float(number), number)
            said = stand.pipeline.inspect(frame)
            if said.mode == "none":
                refused += 1
                continue
            live.append(said.live_fraction)
            told = _beside(stand, case, frame)
            if {told.whole, told.raw} != {said.verdict}:
                differences.append(replace(told, said=said.verdict))
    return Agreement(len(cases), refused, sum(live) / max(1, len(live)), tuple(differences))


def _beside(stand: Stand, case: Case, frame: Frame) -> Difference:
    """What the whole network says of the frame that was just inspected."""
    change = stand.pipeline.change_on(frame)
    whole, raw = (stand.dense.inspect(frame, stand.pipeline.shown(frame.image, as_taken), change)[0] for as_taken in (False, True))
    return Difference(case.name, whole, whole, raw)
