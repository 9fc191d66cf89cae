"""The picture of a training: loss and accuracy over steps, lesson after lesson. In: what was taught. Out: a PNG. Keeps nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgevision.errors import InputError
from edgevision.study.train.classify import Taught

_SIZE_IN = (8.0, 4.6)


def draw_curve(lessons: Sequence[tuple[str, Taught]], path: Path, title: str) -> None:
    """Accuracy on what is judged above, loss below, over all steps. Raises InputError where it cannot write."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_IN, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    before = 0
    for number, (name, taught) in enumerate(lessons):
        colour, steps = f"C{number}", [before + step for step, *_ in taught.curve]
        label = f"{name}: {taught.step} steps, {taught.seconds / 60:.1f} min"
        above.plot(steps, [100 * accuracy for *_, accuracy in taught.curve], "o-", color=colour, markersize=4, label=label)
        below.plot(steps, [loss for _, _, loss, _ in taught.curve], "o-", color=colour, markersize=4)
        before += taught.step
    for axes, what in ((above, "accuracy, %"), (below, "loss")):
        axes.set_ylabel(what)
        axes.grid(True, color="whitesmoke")
    below.set_xlim(0, 1.03 * before)
    below.set_xlabel("steps")
    above.legend(loc="lower right", frameon=False, fontsize=8)
    figure.suptitle(title)
    try:
        figure.savefig(path, dpi=110)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; name a folder that is there and may be written") from error
