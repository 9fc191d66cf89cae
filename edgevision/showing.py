"""How a camera's network is shown its frames: as they are, or each beside the picture of a part without defects.

In: frames, live pixels. Out: pictures for the network. Keeps the room for them and, for `recompute.template: each`, where the last part
differed from its template: the next one is compared with the template alone, and what the network holds of the last is taken out of it in
the same run that puts the next one in.

Beside a template a frame is shown in the template's light. That is part of how such a network is asked, be it asked whole or in part:
what is gone must not be told from a lamp that has dimmed. So is, where a network was taught so, that a frame's own light is taken out of
it before anything else is done with it (`compare.own_light`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edgevision.compare.background import ChangeDetector
from edgevision.compare.depth import EightBits
from edgevision.compare.first import check_first
from edgevision.compare.image import checked
from edgevision.compare.own_light import KINDS, Kind, OwnLight
from edgevision.compare.template import CHANNELS, BesideTemplate
from edgevision.config import CameraConfig
from edgevision.errors import InputError
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.records import Frame, Image, Mask, Verdict

HIDDEN_SHARE = 0.1  # of a frame, by white: with more of it nothing found does not mean that nothing is there


class Showing:
    """One camera's, of what its detector was taught when this was made."""

    def __init__(self, settings: CameraConfig, detector: ChangeDetector) -> None:
        self._template, self._detector, self._compare = settings.recompute.template, detector, settings.compare
        self._own_light: OwnLight | None = None  # known once the network's file is
        bits, taught = settings.compare.bits, detector.golden
        self._used: EightBits | BesideTemplate = EightBits(bits)
        self._raw: EightBits | BesideTemplate = EightBits(bits)
        if self._template != "none" and taught is not None:
            self._used, self._raw = BesideTemplate(taught.mean, bits), BesideTemplate(taught.mean, bits)
        self._away: Mask | None = None

    def entered(self, frame: Frame, network: CameraNetwork) -> Frame:
        """The frame as all that follows is given it: its own light taken out, where the settings or the network's file say so.

        Raises BadFrame for one that was black or saturated before, InputError for a file that says what is not known.
        """
        image = self.in_even_light(frame.image, network)
        return frame if image is frame.image else replace(frame, image=image)

    def in_even_light(self, image: Image, network: CameraNetwork) -> Image:
        """`entered`, for a picture alone."""
        own_light = self._own_light or self._know_light(network)
        if not own_light.is_on:
            return image
        checked(image, None)
        lit = own_light.taken_out(image)
        if lit is not image:  # else the detector looks at it as it is
            check_first(image, self._compare)
        return lit

    def _know_light(self, network: CameraNetwork) -> OwnLight:
        golden, kind = self._detector.golden, kind_of(self._compare.own_light, network.metadata)
        self._own_light = OwnLight(kind, None if golden is None else golden.mean, self._compare.bits)
        return self._own_light

    def honest(self, said: Verdict, reason: str | None) -> tuple[Verdict, str | None]:
        """What may be said of the frame that entered last: what white hides was not inspected, so that it is not OK."""
        hidden = 0.0 if self._own_light is None else self._own_light.hidden
        if said is not Verdict.OK or hidden <= HIDDEN_SHARE:
            return said, reason
        unknown = f"{hidden:.0%} of the picture is white where its golden picture is not, and was not inspected"
        return Verdict.NOT_INSPECTED, f"{unknown}; the limit is {HIDDEN_SHARE:.0%}: check exposure, gain and lamp"

    def used(self, image: Image, live: Mask | None = None) -> Image:
        """The picture in use, (H, W[, C]) uint8, renewed at live pixels (None: everywhere); valid until the next call."""
        return self._used.of(image, live)

    @property
    def kept(self) -> Image | None:
        """All of the picture that the network was given up to the frame before, (H, W[, C]) uint8: to audit what it took. None where it is
        kept otherwise: beside a template, of more than 8 bits."""
        used = self._detector.used if self._template == "none" else None
        return used if used is not None and used.dtype == np.uint8 else None

    def raw(self, image: Image) -> Image:
        """A frame all over, beside what is in use; valid until the next call."""
        return self._raw.of(image)

    @property
    def goes_back(self) -> bool:
        """Whether the template is taken again before each frame, so that none is compared with another."""
        return self._template == "each"

    def lit(self, image: Image) -> Image:
        """All of the frame that was measured last: as the camera gave it, or in its template's light."""
        return image if self._template == "none" else self._detector.in_light(image)

    def make_ready(self, network: CameraNetwork, like: Image) -> None:
        """Call it before each frame. Raises InputError, BadFrame for a template that does not fit."""
        if self._template == "none":
            return
        if self._detector.is_fresh:
            self.begin(network, like)
        elif self._away is not None:
            self._detector.go_back()

    def renewed(self, live: Mask) -> Mask:
        """Where the picture in use differs from that which the network was given last: `live`, and where that was not the template.

        Call it after `used` for live pixels: there the picture becomes the template again.
        """
        if self._away is None or not isinstance(self._used, BesideTemplate):
            return live
        self._used.put_back(self._away & ~live)
        return self._away | live

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
        self._know_light(network)
        change = self._detector.begin(like)
        network.first(self._used.of(change.corrected))
        self._detector.commit(change, change.live)
        self._away = None


def kind_of(asked: Kind | None, metadata: Mapping[str, str]) -> Kind:
    """How a frame's own light is taken out: as asked, or else as the network's file says. Raises InputError for a file that says else."""
    said = metadata.get("own_light", "none")
    if asked is None and said not in KINDS:
        raise InputError(f"the network's metadata has own_light {said!r}; it must be one of {', '.join(KINDS)}: set compare.own_light")
    return asked or KINDS[KINDS.index(said)]
