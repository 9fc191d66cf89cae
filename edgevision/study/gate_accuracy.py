"""How many frames a gated network names rightly: the selective answer on every frame of clips whose truth is known, gate by gate.

In: a network, clips. Out: a `Course` for each gate, frame by frame, and what a gate loses. Keeps nothing. The network is given what a
camera's would be, by the product's own change detector and rolling refresh, in order and without a reset, so that errors may add up as in
service. It is held against gate 0 on the same pictures, which is what the gate costs, and against the whole network on the raw frames,
which is what gate and change map cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgevision.compare.background import ChangeSettings
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.records import Frame, Image, Mask
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
    """One run over a clip: (frame,) which label was named, or -1, and the share of the dense multiply-adds."""

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


def whole(network: SelectiveNetwork, clip: Watched, every: int) -> Course:
    """Every so manieth raw frame by itself, whatever the gates; -1 for the others."""
    named = np.full(len(clip.raw), -1, np.int64)
    for number in range(0, len(clip.raw), every):
        named[number] = _named(network.first(clip.raw[number]))
    return Course(named, np.ones(len(clip.raw)))


def selective(network: SelectiveNetwork, clip: Watched) -> Course:
    """All frames in order from an empty Memory, with the gates that the network has."""
    network.reset()
    named, macs = np.zeros(len(clip.raw), np.int64), np.zeros(len(clip.raw))
    for number, (picture, live) in enumerate(clip.recording.play()):
        outputs = network.first(picture) if live is None else network.next(picture, live)
        named[number], macs[number] = _named(outputs), network.costs.macs / network.plan.dense_macs
    return Course(named, macs)


def _named(outputs: Mapping[str, NDArray[np.float32]]) -> int:
    return int(next(iter(outputs.values())).argmax())


@dataclass(frozen=True, slots=True)
class Tally:
    """One gate on one clip, counted over the frames that have a name. `exact`: gate 0 on the same pictures in use; `whole`: all of the
    network on the raw frames, of which `raw_frames` were looked at, `raw_right` of them named rightly by the gated one."""

    frames: int
    right: int
    exact: int
    differing: int
    late: int
    late_frames: int
    raw_frames: int
    raw_right: int
    whole: int
    macs: float


def tally(course: Course, exact: Course, held: Course, clip: Watched) -> Tally:
    """`late`: how many of the `differing`, named otherwise than by gate 0, lie in the last third, where what adds up would show."""
    known, looked = clip.labels >= 0, (clip.labels >= 0) & (held.named >= 0)
    differs, ends = (course.named != exact.named) & known, slice(2 * len(known) // 3, None)
    return Tally(
        frames=int(known.sum()),
        right=_right(course, clip, known),
        exact=_right(exact, clip, known),
        differing=int(differs.sum()),
        late=int(differs[ends].sum()),
        late_frames=int(known[ends].sum()),
        raw_frames=int(looked.sum()),
        raw_right=_right(course, clip, looked),
        whole=_right(held, clip, looked),
        macs=float(course.macs[1:].mean()),
    )


def _right(course: Course, clip: Watched, frames: Mask) -> int:
    return int(((course.named == clip.labels) & frames).sum())


@dataclass(frozen=True, slots=True)
class Loss:
    """Over clips, as shares of frames: rightly named; what the gate loses against gate 0, and at `most` in 95 of 100 draws of as many
    clips; what gate and change map lose together against the whole network on the raw frames; named otherwise than by gate 0."""

    accuracy: float
    loss: float
    most: float
    raw_loss: float
    differing: float
    late: float
    macs: float


def loss_of(tallies: Sequence[Tally], seed: int = 0) -> Loss:
    """Of one gate."""
    lost, frames = np.array([one.exact - one.right for one in tallies]), np.array([one.frames for one in tallies])
    drawn = np.random.default_rng(seed).integers(0, len(tallies), (RESAMPLINGS, len(tallies)))
    spread, total = lost[drawn].sum(axis=1) / frames[drawn].sum(axis=1), float(frames.sum())
    return Loss(
        accuracy=sum(one.right for one in tallies) / total,
        loss=float(lost.sum()) / total,
        most=float(np.quantile(spread, 0.95)),
        raw_loss=sum(one.whole - one.raw_right for one in tallies) / float(sum(one.raw_frames for one in tallies)),
        differing=sum(one.differing for one in tallies) / total,
        late=sum(one.late for one in tallies) / float(sum(one.late_frames for one in tallies)),
        macs=float(np.mean([one.macs for one in tallies])),
    )
