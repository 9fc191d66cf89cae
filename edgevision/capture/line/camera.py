"""What the camera does to the scene: shake, lamp, sensor noise, burnt-in clock, compression. Every frame follows from (seed, frame number).

In: a uint8 BGR scene of any size, a frame number. Out: the picture. Keeps a bank of noise made once.
"""

from __future__ import annotations

from datetime import UTC, datetime

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.capture.line.belt import Moment
from edgevision.capture.line.seeds import stream
from edgevision.capture.line.settings import SyntheticSettings
from edgevision.records import Box

Bytes = NDArray[np.uint8]
EPOCH_S = 1_767_592_800  # 2026-01-05 06:00:00 UTC: when every synthetic shift begins
RING_S = 0.15  # how fast the machine comes to rest
SMALLEST_SHIFT_PX = 1 / 64
NOISE_STARTS = 1 << 20  # places in the noise bank where a frame's noise may begin


class Camera:
    """One camera over one line. It takes scenes of up to `largest_px` pixels."""

    def __init__(self, settings: SyntheticSettings, largest_px: int) -> None:
        self._settings = settings
        rng = stream(settings.seed, "camera")
        self._phases = rng.uniform(0, 2 * np.pi, 12)
        self._noise = stream(settings.seed, "noise").standard_normal(3 * largest_px + NOISE_STARTS, dtype=np.float32)
        gray = np.arange(256, dtype=np.float32)
        self._sigma = (settings.noise_sigma * np.sqrt(0.3 + 0.7 * gray / 128)).astype(np.float32)

    def lamp(self, frame: int) -> float:
        """The light's gain, about 1: a slow wander times the mains flicker that 100 Hz leaves at the frame rate."""
        own, t = self._settings, frame / self._settings.fps
        slow = 2 * np.pi * t / own.lamp_period_s
        wander = 0.65 * np.sin(slow + self._phases[0]) + 0.35 * np.sin(2.7 * slow + self._phases[1])
        wobble = np.sin(2 * np.pi * 2 * own.mains_hz * t + self._phases[2])
        return float((1 + own.lamp_drift * wander) * (1 + own.flicker * wobble))

    def shake(self, frame: int, moment: Moment) -> tuple[float, float]:
        """How far the picture is shifted, x and y, in pixels."""
        own, t = self._settings, frame / self._settings.fps
        rest = 0.0 if moment.is_moving else moment.frames_at_rest / own.fps
        strength = own.vibration_rest + (1 - own.vibration_rest) * max(float(np.exp(-rest / RING_S)), self._knock(t))
        swing = [np.sin(2 * np.pi * hz * t + phase) for hz, phase in zip((6.1, 9.7, 5.3, 11.9), self._phases[4:8], strict=True)]
        reach = own.vibration_px * strength
        return float(reach * (0.6 * swing[0] + 0.4 * swing[1])), float(reach * (0.6 * swing[2] + 0.4 * swing[3]))

    def _knock(self, t: float) -> float:
        """0..1: somebody bumps the machine about once in `knock_every_s`."""
        own = self._settings
        number = int(t // own.knock_every_s)
        since = t - own.knock_every_s * (number + float(stream(own.seed, "knock", number).uniform(0.1, 0.9)))
        return float(np.exp(-since / 0.3)) if since >= 0 else 0.0

    def quality(self, frame: int) -> int:
        """The JPEG quality of one frame: worst at a key frame, better in the frames that follow."""
        own = self._settings
        return max(1, round(own.jpeg_quality - own.jpeg_pulse * float(np.exp(-(frame % own.key_every) / 5.0))))

    def expose(self, scene: Bytes, frame: int, shift: tuple[float, float], clock: Box | None = None) -> Bytes:
        """The picture (H, W, 3) that the camera gives of `scene` at `frame`."""
        own = self._settings
        if max(abs(shift[0]), abs(shift[1])) >= SMALLEST_SHIFT_PX:
            scene = cv2.sepFilter2D(scene, -1, _taps(shift[0]), _taps(shift[1]), borderType=cv2.BORDER_REPLICATE)
        picture = self._sense(scene, frame)
        if clock is not None and own.clock:
            self._burn(picture, frame, clock)
        if own.jpeg_quality:
            _, coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, self.quality(frame)])
            picture = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)
        return picture

    def _sense(self, scene: Bytes, frame: int) -> Bytes:
        """Gain and noise; the noise grows with the light that falls on a pixel."""
        lit = (np.arange(256) * self.lamp(frame)).astype(np.float32)
        sigma = np.interp(lit, np.arange(256), self._sigma).astype(np.float32)
        start = int(stream(self._settings.seed, "frame", frame).integers(0, self._noise.size - scene.size))
        noise = self._noise[start : start + scene.size].reshape(scene.shape)
        grown = cv2.multiply(cv2.LUT(scene, sigma), noise)
        return np.asarray(cv2.add(cv2.LUT(scene, lit), grown, dtype=cv2.CV_8U), dtype=np.uint8)

    def _burn(self, picture: Bytes, frame: int, box: Box) -> None:
        """Black box, white digits, as a recorder writes them."""
        x1, y1, x2, y2 = box
        second = EPOCH_S + int(frame / self._settings.fps)
        text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%d %H:%M:%S")
        picture[y1:y2, x1:x2] = 12
        scale = (x2 - x1) / 300 * 0.78
        at = (x1 + round(6 * scale), y2 - max(2, round(11 * scale)))
        cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (235, 235, 235), 1, cv2.LINE_AA)


def _taps(shift: float) -> NDArray[np.float32]:
    """The row of weights that moves a picture by `shift` pixels, linear between pixels."""
    reach = max(1, int(np.ceil(abs(shift))))
    taps = np.zeros(2 * reach + 1, dtype=np.float32)
    whole = int(np.floor(-shift))
    taps[reach + whole] += 1 - (-shift - whole)
    if -shift > whole:
        taps[reach + whole + 1] += -shift - whole
    return taps
