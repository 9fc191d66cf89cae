"""What sees for one camera, made for its frames' size: network, decoder, audits, second look, belt.

In: settings, the first frame's size. Out: `Stages`. Keeps nothing but what each of them keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from edgevision.compare.area import allowed_pixels
from edgevision.compare.background import ChangeDetector
from edgevision.compare.belt import Belt, Seen
from edgevision.compare.image import checked
from edgevision.compare.settings import ChangeSettings
from edgevision.config import CameraConfig
from edgevision.errors import BadFrame, InputError
from edgevision.interfaces import Rule
from edgevision.recompute.arguments import Progress
from edgevision.recompute.audit import Audits, AuditSettings
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load import labels_of, load_for_frames, span_px_of, threshold_of
from edgevision.records import Frame, Mask
from edgevision.second_look import SecondLook
from edgevision.segment.decoders import Decoder, decoder_for
from edgevision.segment.facts import NetworkFacts, Placement
from edgevision.segment.settings import SegmentSettings

RESIZE_TAPS = 2
SEEING = frozenset({"compare", "recompute", "segment"})
WITHOUT_MAPS = ("boxes", "names")  # kinds of answers whose values stray without meaning anything


@dataclass(frozen=True, slots=True, eq=False)
class Stages:
    """One camera's, made whole. `size_px` is (height, width); `allowed` is where changes count (H, W)."""

    size_px: tuple[int, int]
    network: CameraNetwork
    decoder: Decoder
    audits: Audits
    second: SecondLook
    belt: Belt | None
    allowed: Mask
    sight_px: int | None  # how far about a place an answer there sees; None: nobody knows

    @classmethod
    def made_for(cls, size_px: tuple[int, int], settings: CameraConfig, rule: Rule, progress: Progress | None = None) -> Self:
        """For frames of this size, a second look judging by `rule`. Raises UnsupportedNetwork, ConfigError or InputError, one line.

        `progress` is called with the network's steps that are ready and how many there are.
        """
        is_belt = settings.compare.motion == "shift"
        network = load_for_frames(settings.recompute, *size_px, progress, is_belt)
        belt = belt_for(network, settings.compare, size_px) if is_belt and isinstance(network, SelectiveNetwork) else None
        audits = Audits(network, AuditSettings.of(settings.recompute))
        allowed = allowed_pixels(settings.compare, *size_px).astype(np.bool_)
        decoder, second = (_decoder_for(settings.segment, network, size_px) for _ in range(2))
        return cls(size_px, network, decoder, audits, _second_look(audits, second, rule, settings), belt, allowed, network.sight_px)

    def judged_by(self, rule: Rule, settings: CameraConfig) -> Self:
        """The same, whose second look judges by another rule; the settings see as those that these were made by."""
        decoder = _decoder_for(settings.segment, self.network, self.size_px)
        return replace(self, second=_second_look(self.audits, decoder, rule, settings))

    def check(self, size_px: tuple[int, int]) -> None:
        """Raises BadFrame for a frame of another size."""
        if size_px != self.size_px:
            (height, width), (was_height, was_width) = size_px, self.size_px
            raise BadFrame(
                f"frame is {width}x{height}, this camera gave {was_width}x{was_height} before; set the camera back or restart it"
            )

    def on_belt(self, frame: Frame, detector: ChangeDetector) -> Seen:
        """The frame as it lies on the belt, what was used and computed moved along; the frame itself where nothing moves."""
        if self.belt is None or not isinstance(self.network, SelectiveNetwork):
            return Seen(frame.image)
        checked(frame.image, None)
        seen = self.belt.next(frame.image, frame.way_px)
        if seen.moved_px != (0, 0):
            detector.shift(*seen.moved_px, seen.picture)
            self.network.shift(*seen.moved_px)
        return seen

    def forget_scene(self) -> None:
        """The next frame is a first one."""
        if self.belt is not None:
            self.belt.reset()
        self.network.reset()
        self.decoder.reset()


def sees_alike(one: CameraConfig, other: CameraConfig) -> bool:
    """Do two configurations differ at most in judging and in what only watches: network, scene and reference of the one serve the other."""
    apart = {"compare": {"adjust"}, "recompute": {"shift"}}
    first, second = (camera.model_dump(mode="json", include=set(SEEING), exclude=apart) for camera in (one, other))
    return first == second


def belt_for(network: SelectiveNetwork, settings: ChangeSettings, frame_px: tuple[int, int]) -> Belt:
    """The belt that a network follows. Raises InputError where its steps are too long to be of use."""
    axis = 1 if settings.motion_axis == "x" else 0
    step = network.shift_step_px[axis]
    if step > frame_px[axis] // 4:
        raise InputError(
            f"compare.motion is shift, but this network moves in steps of {step} px along {settings.motion_axis}, more than a quarter of "
            "the frame; use a fully convolutional network, or motion none"
        )
    return Belt(settings, step, 0 if network.input_shape[2:] == frame_px else RESIZE_TAPS)


def facts_of(network: CameraNetwork, height: int, width: int) -> NetworkFacts:
    """What a decoder must know of the network that watches frames of (height, width)."""
    said, settings = network.metadata, network.preprocess
    placement = Placement.of((height, width), network.input_shape[2:], settings.resize if settings is not None else "stretch")
    return NetworkFacts(labels_of(said), threshold_of(said), span_px_of(network, height, width), placement, said, network.sha256)


def _decoder_for(settings: SegmentSettings, network: CameraNetwork, size_px: tuple[int, int]) -> Decoder:
    return decoder_for(settings, size_px, facts_of(network, *size_px))


def _second_look(audits: Audits, decoder: Decoder, rule: Rule, settings: CameraConfig) -> SecondLook:
    return SecondLook(audits, decoder, rule, settings.segment.kind not in WITHOUT_MAPS)
