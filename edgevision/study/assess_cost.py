"""What an owner pays: CPU time, energy, cameras a PC, money. In: a race's tallies and the user's own prices. Out: a row an engine.

Nothing here measures. Decoding the camera's video is counted in, for every engine alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgevision.study.assess_race import Tally

USABLE = 0.7  # share of a PC's CPU time that cameras may take: the rest is for peaks and for the system
ASSUMED_WATTS = 12.0
J_PER_WH = 3600.0
HOURS_A_YEAR = 8760.0


@dataclass(frozen=True, slots=True)
class Prices:
    """The user's own figures. `watts` of one busy core, where the PC does not tell its energy; None: assumed. None of a price: not told."""

    kwh: float | None = None
    pc: float | None = None
    currency: str = "EUR"
    cameras: int = 10
    hours_a_day: float = 24.0
    watts: float | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """What the figures rest on: frames a second that a camera gives, seconds of CPU for decoding one, cores of this PC."""

    fps: float
    decode_s: float
    cores: int


@dataclass(frozen=True, slots=True)
class Cost:
    """One engine. Times in milliseconds a frame; `cpu_s` and `wh` for 1,000 frames, decoding left out; `cameras` with decoding.

    `kwh_year` and `pcs` are for all of the user's cameras together; money is None without a price.
    """

    name: str
    precision: str
    ms_mean: float
    ms_p50: float
    ms_p99: float
    ms_worst: float
    cpu_s: float
    wh: float
    cameras: float
    kwh_year: float
    pcs: int
    money_year: float | None
    money_once: float | None

    def row(self) -> dict[str, Any]:
        """As `--json` prints it."""
        plain = {name: getattr(self, name) for name in self.__slots__}
        return {name: round(value, 5) if isinstance(value, float) else value for name, value in plain.items()}


def cost_of(tally: Tally, scene: Scene, prices: Prices) -> Cost:
    """One engine's row."""
    ms, cpu_s = np.array(tally.ms), float(np.mean(tally.cpu_s))
    joules = joules_a_frame(tally, prices)
    load = (cpu_s + scene.decode_s) * scene.fps
    cameras = scene.cores * USABLE / load if load > 0 else math.inf
    seconds_year = HOURS_A_YEAR * 3600 * prices.hours_a_day / 24
    watts = joules / cpu_s if cpu_s > 0 else prices.watts or ASSUMED_WATTS
    kwh_year = (joules + scene.decode_s * watts) * scene.fps * seconds_year * prices.cameras / J_PER_WH / 1e3
    pcs = math.ceil(prices.cameras / max(cameras, 1e-9)) if cameras < 1 else math.ceil(prices.cameras / math.floor(cameras))
    return Cost(
        tally.name,
        tally.precision,
        float(ms.mean()),
        float(np.median(ms)),
        float(np.percentile(ms, 99)),
        float(ms.max()),
        cpu_s * 1e3,
        joules * 1e3 / J_PER_WH,
        cameras,
        kwh_year,
        pcs,
        None if prices.kwh is None else kwh_year * prices.kwh,
        None if prices.pc is None else pcs * prices.pc,
    )


def joules_a_frame(tally: Tally, prices: Prices) -> float:
    """As the PC told them; else the CPU seconds times the watts of a busy core."""
    if tally.joules and prices.watts is None:
        return float(np.mean(tally.joules))
    return float(np.mean(tally.cpu_s)) * (prices.watts or ASSUMED_WATTS)


def energy_words(tallies: Sequence[Tally], prices: Prices) -> str:
    """Where the energy figures come from."""
    if prices.watts is not None:
        return f"Energy is CPU time times {prices.watts:g} W for one busy core, as given with --watts."
    if all(tally.joules for tally in tallies):
        return "Energy was read from the processor's own counters (RAPL) while each engine ran."
    return (
        f"This PC does not let its energy counters be read, so energy is CPU time times {ASSUMED_WATTS:g} W for one "
        f"busy core, an assumption: "
        "give your own figure with --watts, or run this as root."
    )


def best_dense(costs: Sequence[Cost]) -> Cost:
    """The cheapest way to run the whole network, by CPU time: what ours must be measured against."""
    return min(costs, key=lambda cost: cost.cpu_s)
