"""Draw what `attention_accuracy.py` found: accuracy over what is kept, and over the attention's multiply-adds. In: its JSON. Out: a PNG.

python benchmarks/attention_curves.py weights/accuracy-neu-det.json curves.png
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

TICKS = (0.03, 0.05, 0.1, 0.25, 0.5, 1.0)
COLOURS = {"sparsifiner": "tab:blue", "hybrid": "tab:green", "csat": "tab:orange"}


def main(source, target):
    rows = json.loads(Path(source).read_text())
    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    shares = {"share kept, or measurements per token": lambda row: row["setting"] / (256 if row["method"] == "csat" else 1),
              "multiply-adds of attention, share of dense (choosing and measuring included)":
                  lambda row: row["attention_macs"] / row["dense_attention_macs"]}  # fmt: skip
    for axes, (label, place) in zip(panels, shares.items(), strict=True):
        for kind, colour in COLOURS.items():
            for taught, style in (("taught", "o-"), ("as it was", "o:")):
                mine = sorted((place(row), 100 * row["accuracy"]) for row in rows if row["method"] == kind and row["taught"] == taught)
                if mine:
                    axes.plot(*zip(*mine, strict=True), style, color=colour, markersize=4, label=f"{kind}, {taught}")
        for row in (row for row in rows if row["method"] == "dense"):
            line = "-" if row["taught"] == "taught" else ":"
            axes.axhline(100 * row["accuracy"], color="black", linewidth=1, linestyle=line, label=f"dense, {row['taught']}")
            if row["taught"] == "taught":
                axes.axhspan(100 * row["accuracy"] - 1, 100 * row["accuracy"], color="black", alpha=0.07, label="within 1 point")
        axes.set_xscale("log")
        axes.set_xticks(TICKS, [f"{tick:.0%}" for tick in TICKS])
        axes.minorticks_off()
        axes.set_xlabel(label)
        axes.grid(True, color="whitesmoke")
    panels[0].set_ylabel("crops named rightly, %")
    panels[1].legend(frameon=False, fontsize=8, loc="lower right")
    figure.suptitle(f"{Path(source).stem.removeprefix('accuracy-')}; `taught`: all with as many steps more, dense too; `as it was`: none")
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:3])
