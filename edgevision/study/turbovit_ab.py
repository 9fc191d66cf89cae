"""`edgevision bench turbovit --ab A B`: two ways to set the same network, side by side on the same pictures. In: a task, two texts.

Out: a row a side (time, work), and how far they agree. Sides are set as `recompute.turbovit` is: `measurements=64,recovery=denoise`;
`keep` stands for the share that sparsifiner and hybrid keep, `attention` for what the global stages attend by, `gate` for the gate. Both
run once at every shot, in turn; the first shot is whole and stands apart.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from edgevision.errors import InputError
from edgevision.networks.turbovit import refuse_unfit
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load_tokens import open_tokens, with_keep
from edgevision.recompute.settings import TurboViTSettings
from edgevision.registry import nearest
from edgevision.study.turbovit_bench import GLOBAL_STAGES, PAUSE_S, UNCOUNTED, TurboTask, shots_of

KEYS = ("measurements", "sparsity", "recovery", "keep", "attention", "gate")
APART = 0.02  # of the range of A's answer: values that lie further apart do not agree


@dataclass(slots=True)
class Side:
    """One way to set the network, and what it took."""

    text: str
    network: SelectiveNetwork
    first_ms: float = 0.0
    ms: list[float] = field(default_factory=list)
    macs: list[int] = field(default_factory=list)

    def run(self, x: NDArray[np.float32], live: NDArray[np.bool_], number: int) -> NDArray[np.float32]:
        """One shot; the first is whole."""
        began = time.perf_counter()
        outputs = self.network.first(x) if number == 0 else self.network.next(x, live)
        elapsed_ms = (time.perf_counter() - began) * 1e3
        if number == 0:
            self.first_ms = elapsed_ms
        elif number >= UNCOUNTED:
            self.ms.append(elapsed_ms)
            self.macs.append(self.network.costs.macs)
        return np.array(next(iter(outputs.values())))


def compare(task: TurboTask, texts: Sequence[str], told: Callable[[str], None]) -> dict[str, Any]:
    """Both sides over `task.shots` shots. Raises InputError for settings that are none, or that the network does not take."""
    network = task.network()
    refuse_unfit(network.spec, task.size_px, task.size_px, "--size")
    sides = []
    for text in texts:
        told(f"loading {text}")
        sides.append(_opened(task, text))
    apart: list[NDArray[np.float32]] = []
    alike: list[float] = []
    scale = 0.0
    for number, (x, live) in zip(range(UNCOUNTED + task.shots), shots_of(task, network.spec), strict=False):
        told(f"shot {number + 1} of {UNCOUNTED + task.shots}")
        answers = {}
        for turn in range(2):
            time.sleep(PAUSE_S)
            place = (number + turn) % 2
            answers[place] = sides[place].run(x, live, number)
        scale = max(scale, float(np.ptp(answers[0])))
        apart.append(np.abs(answers[0] - answers[1]))
        alike.append(float((answers[0].argmax(axis=1) == answers[1].argmax(axis=1)).mean()))
    far = np.stack(apart) / (scale or 1.0)
    return {
        "sides": [_row(side) for side in sides],
        "shots": task.shots,
        "agreement": {
            "same_label": round(float(np.mean(alike)), 5),
            "values_within": round(float((far <= APART).mean()), 5),
            "mean_apart": float(f"{far.mean():.3g}"),
            "most_apart": float(f"{far.max():.3g}"),
        },
    }


def _row(side: Side) -> dict[str, Any]:
    return {
        "settings": side.text,
        "first_ms": round(side.first_ms, 3),
        "ms_p50": round(float(np.median(side.ms)), 3),
        "ms_p99": round(float(np.percentile(side.ms, 99)), 3),
        "macs": int(np.mean(side.macs)),
    }


def _opened(task: TurboTask, text: str) -> Side:
    given = _given(text)
    network = task.network()
    kind, keep, gate = given.pop("attention", "csat"), given.pop("keep", task.keep), given.pop("gate", task.gate)
    try:
        settings = TurboViTSettings.model_validate({"attention": network.spec.kinds[:-GLOBAL_STAGES] + (kind,) * GLOBAL_STAGES, **given})
        made = open_tokens(network, with_keep(settings, float(keep)), (task.size_px,) * 2, float(gate), task.threads)
    except (ValidationError, TypeError, ValueError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise InputError(f"--ab {text}: {said}") from error
    return Side(text, made)


def _given(text: str) -> dict[str, Any]:
    """Key and value of each setting."""
    given: dict[str, Any] = {}
    for part in text.split(","):
        name, equals, value = (one.strip() for one in part.partition("="))
        if not equals or name not in KEYS:
            raise InputError(f"--ab {text}: {part!r} must be KEY=VALUE, KEY one of {', '.join(KEYS)}{nearest(name, KEYS)}")
        given[name] = yaml.safe_load(value)
    return given


def show(found: dict[str, Any], console: Console) -> None:
    """A table of both, then how far they agree."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("", "settings"):
        table.add_column(name, no_wrap=True)
    for name in ("first ms", "p50 ms", "p99 ms", "GMAC"):
        table.add_column(name, justify="right", no_wrap=True)
    for letter, row in zip("AB", found["sides"], strict=True):
        figures = [f"{row[name]:.2f}" for name in ("first_ms", "ms_p50", "ms_p99")]
        table.add_row(letter, row["settings"], *figures, f"{row['macs'] / 1e9:.3f}")
    console.print(table)
    agreed = found["agreement"]
    console.print(
        f"same label {agreed['same_label']:.2%}; {agreed['values_within']:.2%} of the values within {APART:.0%} of the range; mean "
        f"difference {agreed['mean_apart']:.1e}, largest {agreed['most_apart']:.1e}",
        soft_wrap=True,
    )
