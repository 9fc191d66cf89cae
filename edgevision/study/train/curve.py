"""The picture of a training: loss and accuracy over steps, lesson after lesson. In: what was taught. Out: a PNG. Keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgevision.errors import InputError
from edgevision.study.train.classify import Taught

_SIZE_IN = (8.0, 4.6)


def draw_curve(lessons: Sequence[tuple[str, Taught]], path: Path, title: str) -> None:
    """Loss to the left, accuracy on what is judged to the right. Raises InputError where it cannot write."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    FigureCanvasAgg(figure)
    left = figure.subplots()
    right = left.twinx()
    before = 0
    for name, taught in lessons:
        steps = [before + step for step, *_ in taught.curve]
        left.plot(steps, [loss for _, _, loss, _ in taught.curve], "-", color="tab:gray")
        right.plot(steps, [100 * accuracy for *_, accuracy in taught.curve], "o-", color="tab:blue", markersize=3)
        left.annotate(f"{name}, {taught.seconds / 60:.0f} min", (before, 1), xycoords=("data", "axes fraction"), xytext=(4, -12),
                      textcoords="offset points", fontsize=8)  # fmt: skip
        before += taught.step
        left.axvline(before, color="lightgray", linewidth=0.8)
    left.set_xlabel("steps")
    left.set_ylabel("loss (gray)")
    right.set_ylabel("accuracy on judged crops, % (blue)")
    left.grid(True, color="whitesmoke")
    figure.suptitle(title)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a folder that is there and may be written") from error
