"""What to do after tuning, in order. In: a Tuned. Out: words and commands. Keeps nothing."""

from __future__ import annotations

import shlex

from edgevision.study.tune import Tuned, together
from edgevision.study.tune_propose import FLICKER_SHARE

WRONG_NETWORK = 0.2  # share of the good pictures called NG from which on no threshold is the remedy


def next_steps(tuned: Tuned) -> list[tuple[str, str]]:
    """(words, command or lines), the most important first."""
    task, counts, found = tuned.task, together(tuned), []
    good, config = shlex.quote(str(task.good)), shlex.quote(str(task.config or "line.yaml"))
    if has_wrong_network(tuned):
        words = (
            "Name the network that was trained for these parts; the one in force does not tell good ones from bad ones. Then tune again."
        )
        found.append((words, "recompute:\n  network: your-network.onnx"))
    elif tuned.bad_seen and any(seen.score(0) == 0 for seen in tuned.bad_seen):
        found.append(("Have the network trained with the bad parts in which it finds nothing: no threshold brings them back.", ""))
    if is_flickering(tuned):
        words = "Calm the picture: lock the camera's exposure, gain and white balance, shield it from other light, look for a loose mount."
        found.append((words, ""))
    if not tuned.bad_seen:
        words = "Collect pictures of bad parts, ten of each kind or more, from this camera, and tune again with them."
        found.append((words, f"edgevision tune {task.camera} --good {good} --bad bad/ --config {config}"))
    if is_reference_wanted(tuned):
        words = "Teach the reference that abs_threshold and var_threshold were measured against, and name it."
        lines = f"edgevision reference learn {good} --out {task.camera}.npz\n\ncompare:\n  reference: golden\n  golden: {task.camera}.npz"
        found.append((words, lines))
    if tuned.bad_seen and counts["bad"] > sum(seen.levels is not None for seen in tuned.bad_seen) and tuned.teacher is not None:
        found.append(("See that parts come to lie where the good ones lay, or raise compare.align_px: the others are not inspected.", ""))
    return [*found, *_into_force(tuned, config)]


def has_wrong_network(tuned: Tuned) -> bool:
    """Whether so many good pictures are NG that it is not a matter of thresholds."""
    counts = together(tuned)
    return bool(counts["proposed"]["ng_false"] > WRONG_NETWORK * counts["inspected_good"])


def is_flickering(tuned: Tuned) -> bool:
    """Whether even the highest change threshold tried was passed where nothing moves."""
    flicker = tuned.good.flicker
    return bool(flicker) and all(one.frames > FLICKER_SHARE * tuned.good.frames for one in flicker)


def is_reference_wanted(tuned: Tuned) -> bool:
    """Whether something was proposed that only a taught reference makes true."""
    is_golden = tuned.settings.compare.reference == "golden"
    return not is_golden and any(one.is_new and one.path[1] in ("abs_threshold", "var_threshold") for one in tuned.proposals)


def _into_force(tuned: Tuned, config: str) -> list[tuple[str, str]]:
    task = tuned.task
    if tuned.written is not None and tuned.backup is not None:
        return [
            ("Put the file into force: all of it, or nothing where something is wrong.", "systemctl reload edgevision"),
            ("To take it back:", f"cp {shlex.quote(str(tuned.backup))} {config}"),
        ]
    if any(proposal.is_new for proposal in tuned.proposals):
        command = f"edgevision tune {task.camera} --good {shlex.quote(str(task.good))}"
        command += f" --bad {shlex.quote(str(task.bad))}" if task.bad is not None else ""
        return [("Let the lines above be written into the configuration, comments kept, or copy them.", f"{command} --config {config}")]
    if has_wrong_network(tuned) or is_flickering(tuned):
        return []
    return [("Run it beside the line for a day and look at what it says; tune again when lamp, lens or product have changed.", "")]
