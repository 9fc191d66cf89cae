"""From a trained network to what is shipped: threshold, ONNX file, model card. In: a network. Out: files in a folder. Keeps nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgevision import __version__, capture
from edgevision.capture.synthetic import SyntheticSettings
from edgevision.networks.unet import macs, parameters
from edgevision.study.train import domain, samples
from edgevision.study.train.export import write_onnx
from edgevision.study.train.network import MEAN, STD, TrainedUNet, folded, normalised
from edgevision.study.train.score import Predict, Scores, score_lines

SIZE_PX = (720, 1280)
THRESHOLDS = tuple(round(0.3 + 0.05 * n, 2) for n in range(11))


@dataclass(frozen=True, slots=True)
class Report:
    """Scores on held-out lines: like the demo's, and with settings drawn as widely as in training."""

    threshold: float
    like_demo: Mapping[str, Any]
    wide: Mapping[str, Any]


def predictor(network: TrainedUNet) -> Predict:
    """The network as a function of a frame."""

    def predict(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
        image = torch.from_numpy(np.ascontiguousarray(frame[..., ::-1])).permute(2, 0, 1).float()
        with torch.no_grad():
            marks = torch.sigmoid(network(normalised(image[None]).contiguous(memory_format=torch.channels_last)))
        return np.asarray(marks[0].numpy(), dtype=np.float32)

    return predict


def held_out(lines: int) -> tuple[list[SyntheticSettings], list[SyntheticSettings], list[SyntheticSettings]]:
    """Lines to choose the threshold on, lines with the default settings, lines with wide ones; no seed occurs twice or in training."""
    start = domain.HELD_OUT
    choose = [domain.random_settings(np.random.default_rng((1, n)), start + n) for n in range(lines)]
    plain = [SyntheticSettings(seed=start + 1_000 + n, defect_rate=0.7) for n in range(lines)]
    wide = [domain.random_settings(np.random.default_rng((3, n)), start + 2_000 + n) for n in range(lines)]
    return choose, plain, wide


def choose_threshold(scores: Scores) -> float:
    """The threshold with the fewest mistakes, a missed defect counting as five false regions; the middle one of equals."""
    costs = [5 * len(scores.missed(t)) + scores.false_a_frame(t) * scores.frames for t in THRESHOLDS]
    best = [t for t, cost in zip(THRESHOLDS, costs, strict=True) if cost == min(costs)]
    return best[len(best) // 2]


def _figures(scores: Scores, threshold: float) -> dict[str, Any]:
    missed = scores.missed(threshold)
    labels = {look.id: look.label for look in scores.looks}
    weakest = sorted(scores.looks, key=lambda look: look.score)[:3]
    return {
        "frames": scores.frames,
        "defects": scores.defects(),
        "missed": len(missed),
        "missed_labels": sorted(labels[name] for name in missed),
        "false_regions_per_100_frames": round(100 * scores.false_a_frame(threshold), 3),
        "weakest": [f"{look.label} contrast {look.contrast:.0f} area {look.area_px} score {look.score:.2f}" for look in weakest],
    }


def assess(network: TrainedUNet, lines: int) -> Report:
    """Choose the threshold on one set of held-out lines and report on two others."""
    predict = predictor(network)
    choose, plain, wide = held_out(lines)
    threshold = choose_threshold(score_lines(predict, choose))
    return Report(threshold, _figures(score_lines(predict, plain), threshold), _figures(score_lines(predict, wide), threshold))


def data_hash() -> str:
    """SHA-256 over the code that draws the training data: other code, other data."""
    folder = Path(capture.__path__[0])
    files = [*sorted((folder / "line").glob("*.py")), Path(samples.__file__), Path(domain.__file__)]
    digest = sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def deliver(network: TrainedUNet, out: Path, report: Report, training: Mapping[str, Any]) -> Path:
    """Write `out` (ONNX) and the card beside it (.md); gives the path of the network."""
    command = f"edgevision train --out weights --seed {training['seed']} --minutes {max(1, round(training['minutes']))}"
    facts = {
        "labels": json.dumps(list(network.spec.labels)),
        "mean": json.dumps(MEAN),
        "std": json.dumps(STD),
        "channel_order": "RGB",
        "threshold": str(report.threshold),
        "stride": "2",
        "data_sha256": data_hash(),
        "seed": str(training["seed"]),
        "steps": str(training["steps"]),
        "command": command,
        "version": __version__,
    }
    write_onnx(out, network.steps, folded(network), SIZE_PX, facts)
    out.with_suffix(".md").write_text(_card(out, network, report, facts, training), encoding="utf-8")
    return out


def _cell(value: Any) -> str:
    """A table cell of a number or of a list of words."""
    return "; ".join(value) or "none" if isinstance(value, list) else str(value)


def _card(out: Path, network: TrainedUNet, report: Report, facts: Mapping[str, str], training: Mapping[str, Any]) -> str:
    """The model card."""
    work, size = sum(macs(network.steps, *SIZE_PX).values()) / 1e9, parameters(network.steps)
    rows = [f"| {name.replace('_', ' ')} | {_cell(report.like_demo[name])} | {_cell(report.wide[name])} |" for name in report.like_demo]
    return f"""# {out.name}: the default network

A small U-Net (`edgevision/networks/unet.py`) that marks {", ".join(network.spec.labels)} on machined parts.

| | |
|---|---|
| input | `image` (1, 3, {SIZE_PX[0]}, {SIZE_PX[1]}) float32, RGB; any multiple of 16 after a reshape |
| preprocessing | (value / 255 - mean) / std, mean {facts["mean"]}, std {facts["std"]} |
| output | `defect` (1, {len(network.spec.labels)}, H/2, W/2) probabilities, one channel a label: {facts["labels"]} |
| threshold | {report.threshold} |
| size | {size:,} weights, {work:.2f} GMAC a frame at 1280x720, f32 |
| training data | only the synthetic line (`edgevision/capture/line/`), its settings drawn at random (`study/train/domain.py`) |
| SHA-256 of that code | {facts["data_sha256"]} |
| command | `{facts["command"]}` |
| seed, steps, time | {training["seed"]}, {training["steps"]}, {training["minutes"]:.0f} minutes on 2 cores |

## Scores

Frame by frame, on line seeds never trained on, without tracking or rules; a defect is missed when it is not marked in at least half of the
frames in which its part stands. The network sees what the change detector leaves it in service.

| | default settings | settings as wide as in training |
|---|---|---|
{chr(10).join(rows)}

## Limits

It knows the synthetic line and nothing else: train it again on your own parts before you rely on it. A defect needs about 20 pixels
of area and a contrast of four times the noise and grain together; parts turned by more than 12 degrees, or much larger or smaller than
200-260 pixels, were not trained on. A missing hole is known by its spot face: a plate drilled without one needs training of its own.
"""
