"""What each frame of a clip truly shows, for `edgevision gates --truth`. In: a file or folder, a network. Out: a score a frame. Keeps it.

A network that names its picture: a text file, a line a frame, the name of a label, or `-` where nobody could say; a frame scores 1 when
its largest share is that label's. A network that marks defects: a folder of masks, in order, a picture a frame; a frame scores the
intersection over union of what is brighter than half and what any label marks, 1 where both are empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import BadFrame, InputError
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load import labels_of, threshold_of
from edgevision.study.sets import mask_file, pictures_in

UNKNOWN = "-"
Answers = Mapping[str, NDArray[np.float32]]


class NamedFrames:
    """One label a frame, or none."""

    def __init__(self, numbers: Sequence[int | None]) -> None:
        self._numbers = numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def score(self, outputs: Answers, number: int) -> float:
        """Of the answer on that frame; NaN where nobody could say."""
        wanted = self._numbers[number]
        return np.nan if wanted is None else float(next(iter(outputs.values())).argmax() == wanted)


class MarkedFrames:
    """One mask a frame."""

    def __init__(self, masks: Sequence[Path], size_px: tuple[int, int], threshold: float) -> None:
        self._masks, self._size_px, self._threshold = masks, size_px, threshold

    def __len__(self) -> int:
        return len(self._masks)

    def score(self, outputs: Answers, number: int) -> float:
        """Of the answer on that frame. Raises InputError for a mask that cannot be read or is of another size."""
        try:
            drawn = mask_file(self._masks[number])(self._size_px)
        except BadFrame as error:
            raise InputError(str(error)) from error
        marked = (next(iter(outputs.values()))[0] > self._threshold).any(axis=0)
        height, width = marked.shape
        wanted = cv2.resize(drawn.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) != 0
        union = np.count_nonzero(wanted | marked)
        return np.count_nonzero(wanted & marked) / union if union else 1.0


FrameTruth = NamedFrames | MarkedFrames


def read_truth(path: Path, network: SelectiveNetwork, frames: int, size_px: tuple[int, int]) -> FrameTruth:
    """For a network over so many frames of (height, width). Raises InputError for what is missing, too short or names no label."""
    answer = network.graph.shapes[next(iter(network.graph.outputs.values()))]
    found = _masks(path, network, size_px) if len(answer) == 4 else _names(path, labels_of(network.metadata))
    if len(found) < frames:
        raise InputError(f"{path}: tells of {len(found)} frames, the clip has {frames}; give one for each, or fewer --frames")
    return found


def _names(path: Path, labels: tuple[str, ...]) -> NamedFrames:
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read; the truth is a text file, a label a line, `{UNKNOWN}` where nobody could say") from error
    numbers: list[int | None] = []
    for place, line in enumerate((line.strip() for line in lines), 1):
        if line not in (*labels, UNKNOWN):
            raise InputError(f"{path}:{place}: {line!r} is no label of the network: {', '.join(labels)}, or `{UNKNOWN}`")
        numbers.append(None if line == UNKNOWN else labels.index(line))
    return NamedFrames(numbers)


def _masks(path: Path, network: SelectiveNetwork, size_px: tuple[int, int]) -> MarkedFrames:
    if not path.is_dir():
        raise InputError(f"{path}: is no folder; the truth of a network that marks defects is a folder of masks, one for each frame")
    return MarkedFrames(pictures_in(path), size_px, threshold_of(network.metadata) or 0.5)
