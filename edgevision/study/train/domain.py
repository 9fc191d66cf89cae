"""Which lines the network learns from: settings drawn at random, wider than the demo's defaults on every side. Keeps nothing."""

from __future__ import annotations

import numpy as np

from edgevision.capture.synthetic import SyntheticSettings

HELD_OUT = 1_000_000  # line seeds from here on are never trained on
SIZES = ((1280, 720), (1280, 720), (1280, 720), (960, 544), (1600, 896))


def _span(rng: np.random.Generator, low: float, high: float) -> tuple[float, float]:
    """A random range inside [low, high]."""
    first, last = sorted(float(v) for v in rng.uniform(low, high, 2))
    return first, last


def _around(rng: np.random.Generator, low: float, high: float, spread: float = 0.25) -> tuple[float, float]:
    """A range about the default one (low, high), each end moved by up to `spread` of itself."""
    return low * float(rng.uniform(1 - spread, 1.0)), high * float(rng.uniform(1.0, 1 + spread))


def random_settings(rng: np.random.Generator, seed: int, defect_rate: float = 0.75) -> SyntheticSettings:
    """The settings of one training line."""
    width, height = SIZES[int(rng.integers(len(SIZES)))]
    return SyntheticSettings(
        seed=seed,
        width=width,
        height=height,
        realtime=False,
        gap_rate=0.08,
        jitter_px=float(rng.uniform(0, 12)),
        rotation_deg=float(rng.uniform(0, 12)),
        brightness=_span(rng, 85, 185),
        grain=_span(rng, 0.3, 3.8),
        dust=(0, float(rng.uniform(2, 16))),
        defect_rate=defect_rate,
        contrast=(float(rng.uniform(10, 16)), float(rng.uniform(20, 60))),
        scratch_length_px=_around(rng, 20, 60),
        scratch_width_px=_around(rng, 1.6, 3.5),
        stain_px=_around(rng, 10, 36),
        hole_px=_around(rng, 14, 24),
        dent_px=_around(rng, 12, 34),
        noise_sigma=float(rng.uniform(0.5, 3.5)),
        lamp_drift=float(rng.uniform(0, 0.12)),
        flicker=float(rng.uniform(0, 0.03)),
        exposure_s=float(rng.uniform(0, 0.003)),
        vibration_px=float(rng.uniform(0, 1)),
        vibration_rest=float(rng.uniform(0, 0.6)),
        jpeg_quality=0 if rng.random() < 0.1 else int(rng.integers(80, 99)),
        jpeg_pulse=int(rng.integers(0, 12)),
        clock=bool(rng.random() < 0.8),
    )


def is_findable(contrast: float, settings: SyntheticSettings) -> bool:
    """Whether a defect stands out enough from noise and grain to be asked for in training."""
    return contrast >= 3.0 * float(np.hypot(settings.noise_sigma, settings.grain[1]))
