"""`edgevision explain`: over a frame of a recording, which tokens were recomputed and which tokens they looked at. In: a recording, a
configuration with `network: turbovit`. Out: a page with pictures, and the same as plain data. Keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edgevision.errors import InputError
from edgevision.pipeline import Pipeline
from edgevision.recompute.attention import BoundAttention
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.load import span_px_of
from edgevision.records import Image, Inspection
from edgevision.study.picture import colour
from edgevision.study.replay import open_camera, pipeline_for, sound_frames
from edgevision.study.report import Card, Section, check_page, figures, heat_over, page, picture, table, write_whole

GREEN, WHITE = (90, 200, 60), (255, 255, 255)
LINE_PX = 2


@dataclass(frozen=True, slots=True)
class ExplainTask:
    """What is asked for; `frame` is counted from 0."""

    recording: Path
    config: Path
    camera: str | None = None
    frame: int = 30
    out: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """A frame, what was said of it, and the network as the frame left it."""

    image: Image
    inspection: Inspection
    network: SelectiveNetwork


def explain(task: ExplainTask) -> dict[str, Any]:
    """Write the page; what it says as plain data, `out` being where. Raises InputError for a frame or network that cannot be explained."""
    out = task.out or Path(f"explain-{task.recording.stem}.html")
    check_page(out)
    pipeline = pipeline_for(task.recording, task.config, task.camera)
    if pipeline.settings.recompute.network != "turbovit":
        raise InputError(f"{task.config}: recompute.network is {pipeline.settings.recompute.network}; explain is for turbovit; set it")
    seen = _seen(task, pipeline)
    write_whole(out, explain_page(seen, task))
    return {
        "out": str(out),
        "frame": seen.inspection.frame_seq,
        "live_fraction": seen.inspection.live_fraction,
        "layers": _layers(seen.network),
    }


def _seen(task: ExplainTask, pipeline: Pipeline) -> Seen:
    """Inspect the recording up to the frame."""
    number = -1
    for number, (image, inspection) in enumerate(islice(_frames(task, pipeline), task.frame + 1)):
        if number == task.frame and isinstance(pipeline.network, SelectiveNetwork):
            return Seen(image, inspection, pipeline.network)
    raise InputError(f"--frame is {task.frame}; {task.recording} has {number + 1} frames, counted from 0; give a smaller one")


def _frames(task: ExplainTask, pipeline: Pipeline) -> Iterator[tuple[Image, Inspection]]:
    """Every frame that can be read, with what is said of it."""
    with open_camera(pipeline, task.recording) as camera:
        for frame in sound_frames(camera):
            yield frame.image, pipeline.inspect(frame)


def _layers(network: SelectiveNetwork) -> list[dict[str, Any]]:
    """One row an attention."""
    return [
        {
            "name": one.step.name,
            "kind": one.step.attention.kind,
            "queries_run": round(one.live_fraction, 5),
            "tokens_moved": round(one.target.live_px / one.target.size_px, 5),
            "keys_kept": round(float(one.state.kept().mean()), 5),
            "macs": one.macs,
            "note": one.state.note,
        }
        for one in network.attentions
    ]


def explain_page(seen: Seen, task: ExplainTask) -> str:
    """The whole page."""
    inspection, rows = seen.inspection, _layers(seen.network)
    costs = seen.network.costs
    run = sum(row["macs"] for row in rows) / max(1, sum(seen.network.plan.macs(one.step) for one in seen.network.attentions))
    cards = [
        Card(f"{inspection.live_fraction:.2%}", "of the picture changed on this frame"),
        Card(f"{costs.macs / max(1, costs.dense_macs):.2%}", "of the dense network's work was done"),
        Card(f"{run:.2%}", "of the work of dense attention was done"),
    ]
    subtitle = f"{task.recording.name}, frame {inspection.frame_seq}, {seen.network.plan.path}"
    return page(
        "Which tokens were recomputed, and what they looked at", subtitle, cards, [_recomputed(seen), *_looked_at(seen), _table(rows)]
    )


def _recomputed(seen: Seen) -> Section:
    """Where tokens moved, stage by stage."""
    shown = []
    for stage, layers in _by_stage(seen.network):
        heat = np.mean([one.target.live != 0 for one in layers], axis=0)
        shown.append(picture(heat_over(seen.image, _on_frame(heat, seen)), _moved(stage, len(layers))))
    words = (
        "A token is computed again when it changed, or when a token that it looks at did. Here is where its answer really moved by that."
    )
    return Section("What was recomputed", words, [figures(*shown)])


def _moved(stage: int, layers: int) -> str:
    """What a stage's picture shows."""
    if layers == 1:
        return f"Stage {stage}, one attention: its answer moved where it is red, and nowhere else."
    return f"Stage {stage}, {layers} attentions: red where the answers of all of them moved, yellow of few, gray of none."


def _looked_at(seen: Seen) -> Iterator[Section]:
    """For each attention over the whole picture: what the block of tokens that changed most keeps."""
    for one in seen.network.attentions:
        kind, kept = one.step.attention.kind, one.state.kept()
        if kind in ("unit", "csat"):  # its own window; all measurements
            continue
        block = _busiest(one)
        share = _by_token(kept[:, block].mean(axis=0), one)
        drawn = _outlined(heat_over(seen.image, _on_frame(share, seen)), one, block, seen)
        heads, blocks = kept.shape[0], kept[:, block].sum(axis=1)
        who = f"Red: all {heads} heads look there; yellow: few." if heads > 1 else "Red: its one head looks there."
        least, most = int(blocks.min()), int(blocks.max())
        looks = f"A head looks at {most if least == most else f'{least} to {most}'} blocks of tokens."
        caption = f"White: the tokens that ask; green: those whose answer moved. {who} {looks}"
        shown = [picture(drawn, caption), *_why(one, block, seen)]
        words = f"{kind}, {kept.mean():.1%} of the blocks kept, {one.live_fraction:.1%} of the queries run. {one.state.note}".rstrip()
        yield Section(one.step.name, words, [figures(*shown)])


def _why(one: BoundAttention, block: int, seen: Seen) -> list[str]:
    """What the choice went by, for the block that asks: nothing where none is made."""
    scores = one.state.scores()
    if scores is None:
        return []
    by = "the predictor's attention" if one.step.attention.kind == "sparsifiner" else "its mean query's attention to mean keys"
    drawn = _outlined(heat_over(seen.image, _on_frame(_by_token(scores[:, block].mean(axis=0), one), seen)), one, block, seen)
    mean = ", the mean of its heads" if len(scores) > 1 else ""
    return [picture(drawn, f"Why: {by}, as a share of the largest{mean}; the reddest are kept.")]


def _table(rows: list[dict[str, Any]]) -> Section:
    head = ["attention", "kind", "queries run", "tokens moved", "keys kept", "MMAC", "note"]
    lines = [
        [
            row["name"],
            row["kind"],
            *(f"{row[key]:.2%}" for key in ("queries_run", "tokens_moved", "keys_kept")),
            f"{row['macs'] / 1e6:.1f}",
            row["note"],
        ]
        for row in rows
    ]
    return Section("Every attention", "In the order in which they run.", [table(head, lines)])


def _by_stage(network: SelectiveNetwork) -> list[tuple[int, list[BoundAttention]]]:
    """Attentions whose maps are of one size, counted from 1."""
    groups: dict[tuple[int, int], list[BoundAttention]] = {}
    for one in network.attentions:
        groups.setdefault((one.target.height, one.target.width), []).append(one)
    return list(enumerate(groups.values(), 1))


def _busiest(one: BoundAttention) -> int:
    """The block of queries in which most tokens moved; the middle one where none did."""
    rows, columns = one.step.tokens.blocks
    side = one.step.tokens.unit // one.step.tokens.pooled
    padded = np.zeros((rows * side, columns * side), np.int64)
    padded[: one.target.height, : one.target.width] = one.target.live
    moved = padded.reshape(rows, side, columns, side).sum(axis=(1, 3))
    return int(moved.argmax()) if moved.any() else rows // 2 * columns + columns // 2


def _by_token(blocks: NDArray[Any], one: BoundAttention) -> NDArray[np.float32]:
    """A value for each block as one for each key (row, column)."""
    tokens = one.step.tokens
    each = np.asarray(blocks, np.float32).reshape(tokens.blocks).repeat(tokens.unit, axis=0).repeat(tokens.unit, axis=1)
    return each[: tokens.key[0], : tokens.key[1]]


def _on_frame(values: NDArray[Any], seen: Seen) -> NDArray[np.float32]:
    """A map of tokens, stretched over what the network sees, cut to the frame."""
    height, width = seen.image.shape[:2]
    span = span_px_of(seen.network, height, width)
    large = cv2.resize(np.asarray(values, np.float32), (span[1], span[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(large[:height, :width], np.float32)


def _outlined(shown: NDArray[np.uint8], one: BoundAttention, block: int, seen: Seen) -> NDArray[np.uint8]:
    """With the block that asks in white, and what moved in green."""
    asks = _by_token(np.arange(np.prod(one.step.tokens.blocks)) == block, one)
    drawn = colour(shown)
    for mask, tint in ((one.target.live != 0, GREEN), (asks, WHITE)):
        outlines, _ = cv2.findContours((_on_frame(mask, seen) > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, outlines, -1, tint, LINE_PX)
    return drawn
