"""How many frames a gated network names rightly: the selective answer on every frame of clips whose truth is known, gate by gate.

In: a network, clips. Out: a `Course` for each gate, frame by frame. Keeps nothing. The network is given what a camera's would be given, by
the product's own change detector and rolling refresh, in order and without a reset, so that errors may add up as they would in service.
What it is held against is the same network run whole on the raw frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.compare.background import ChangeSettings
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.records import Frame, Image
from edgevision.study.recording import Recording, record_frames
from edgevision.study.surface_clip import Shown

FRAME_S = 1 / 30
RESAMPLINGS = 4000


@dataclass(frozen=True, slots=True, eq=False)
class Watched:
    """One clip as a network is given it, the raw frames, and what each shows: the number of a label, or -1."""

    recording: Recording
    raw: Sequence[Image]
    labels: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """One gate on one clip: (frame,) which label was named, share of the dense multiply-adds."""

    named: NDArray[np.int64]
    macs: NDArray[np.float64]


def watch(shown: Iterable[Shown], settings: ChangeSettings, keyframe_s: float) -> Watched:
    """The clip through the change detector, at 30 frames a second."""
    raw: list[Image] = []
    labels: list[int] = []

    def frames() -> Iterator[Frame]:
        for number, one in enumerate(shown):
            raw.append(one.image)
            labels.append(-1 if one.label is None else one.label)
            yield Frame(one.image, number * FRAME_S, number)

    recording, _ = record_frames(frames(), settings, keyframe_s)
    if recording is None or recording.frames != len(raw):
        raise ValueError("frames that a generator made cannot be read")
    return Watched(recording, raw, np.array(labels, np.int64))


def whole(network: SelectiveNetwork, clip: Watched) -> Course:
    """Every raw frame by itself."""
    network.set_gates(0.0)
    return Course(np.array([_named(network.first(image)) for image in clip.raw]), np.ones(len(clip.raw)))


def selective(network: SelectiveNetwork, clip: Watched, gate: float) -> Course:
    """All frames in order from an empty Memory, with one gate for all steps."""
    network.set_gates(gate)
    named, macs = np.zeros(len(clip.raw), np.int64), np.zeros(len(clip.raw))
    for number, (picture, live) in enumerate(clip.recording.play()):
        outputs = network.first(picture) if live is None else network.next(picture, live)
        named[number], macs[number] = _named(outputs), network.costs.macs / network.plan.dense_macs
    return Course(named, macs)


def _named(outputs: object) -> int:
    scores: NDArray[np.float32] = next(iter(outputs.values()))  # type: ignore[attr-defined]
    return int(scores.argmax())


@dataclass(frozen=True, slots=True)
class Loss:
    """What a gate costs over clips: shares of the frames that have a name. `most`: 95 of 100 draws of as many clips cost at most so much."""

    accuracy: float
    loss: float
    most: float
    differing: float
    late: float
    macs: float


def loss_of(courses: Sequence[Course], wholes: Sequence[Course], clips: Sequence[Watched], seed: int = 0) -> Loss:
    """Of one gate on these clips, against the whole network on the raw frames. `differing`: frames named otherwise than by it; `late`: such
    frames in the last third of each clip, where what adds up shows."""
    lost, counts, right, differing, late, ends = ([] for _ in range(6))  # type: ignore[var-annotated]
    for course, held, clip in zip(courses, wholes, clips, strict=True):
        known = clip.labels >= 0
        ours, theirs, differs = (course.named == clip.labels)[known], (held.named == clip.labels)[known], (course.named != held.named)[known]
        lost.append(int(theirs.sum()) - int(ours.sum()))
        counts.append(len(ours))
        right.append(int(ours.sum()))
        differing.append(int(differs.sum()))
        end = differs[2 * len(differs) // 3 :]
        late.append(int(end.sum()))
        ends.append(len(end))
    losses, frames = np.array(lost), np.array(counts)
    drawn = np.random.default_rng(seed).integers(0, len(losses), (RESAMPLINGS, len(losses)))
    spread = losses[drawn].sum(axis=1) / frames[drawn].sum(axis=1)
    return Loss(
        accuracy=sum(right) / float(frames.sum()),
        loss=float(losses.sum() / frames.sum()),
        most=float(np.quantile(spread, 0.95)),
        differing=sum(differing) / float(frames.sum()),
        late=sum(late) / float(sum(ends)),
        macs=float(np.mean(np.concatenate([course.macs[1:] for course in courses]))),
    )
