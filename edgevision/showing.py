"""How a camera's network is shown its frames: as they are, or each beside the picture of a part without defects.

In: frames, live pixels. Out: pictures for the network. Keeps the room for them and, for `recompute.template: each`, where the last part
differed from its template.
"""

from __future__ import annotations

from edgevision.compare.background import ChangeDetector
from edgevision.compare.depth import EightBits
from edgevision.compare.template import CHANNELS, BesideTemplate
from edgevision.config import CameraConfig
from edgevision.errors import InputError
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.records import Image, Mask
from edgevision.segment.decoders import Decoder


class Showing:
    """One camera's, of what its detector was taught when this was made."""

    def __init__(self, settings: CameraConfig, detector: ChangeDetector) -> None:
        self._template, self._detector = settings.recompute.template, detector
        bits, taught = settings.compare.bits, detector.golden
        self._used: EightBits | BesideTemplate = EightBits(bits)
        self._raw: EightBits | BesideTemplate = EightBits(bits)
        if self._template != "none" and taught is not None:
            self._used, self._raw = BesideTemplate(taught.mean, bits), BesideTemplate(taught.mean, bits)
        self._away: Mask | None = None

    def used(self, image: Image, live: Mask | None = None) -> Image:
        """The picture in use, (H, W[, C]) uint8, renewed at live pixels (None: everywhere); valid until the next call."""
        return self._used.of(image, live)

    def raw(self, image: Image) -> Image:
        """A frame just as the camera gave it, beside what is in use; valid until the next call."""
        return self._raw.of(image)

    @property
    def goes_back(self) -> bool:
        """Whether the template is taken again before each frame, so that none is compared with another."""
        return self._template == "each"

    def make_ready(self, network: CameraNetwork, decoder: Decoder, like: Image) -> None:
        """Call it before each frame. Raises InputError, BadFrame for a template that does not fit."""
        if self._template == "none":
            return
        if self._detector.is_fresh:
            self.begin(network, like)
        elif self._away is not None and self._detector.golden is not None:
            network.next(self._used.of(self._detector.golden.mean, self._away), self._away)
            self._away = None
            decoder.reset()

    def note(self, live: Mask) -> None:
        """What the network was just given at these pixels is no longer the template."""
        if self.goes_back:
            self._away = live

    def begin(self, network: CameraNetwork, like: Image) -> None:
        """Run the whole network on the template beside itself: all that a part without defects needs is computed then.

        Raises InputError where the template does not fit frames `like` this one, BadFrame where it shows nothing.
        """
        if network.input_shape[1] != CHANNELS:
            raise InputError(
                f"recompute.template is {self._template}: the network must take {CHANNELS} channels (frame, template, difference), but "
                f"takes {network.input_shape[1]}; set template: none"
            )
        change = self._detector.begin(like)
        network.first(self._used.of(change.corrected))
        self._detector.commit(change, change.live)
        self._away = None
