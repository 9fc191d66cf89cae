"""What an owner should do after an assessment, in order. In: Findings. Out: words and commands. Keeps nothing."""

from __future__ import annotations

import shlex

from edgevision.study.assess import Findings, grade
from edgevision.study.assess_short import verdicts_of

NOISY_LEVELS = 20.0  # a change threshold from which on much that can be seen is not followed
BUSY_SAVING = 2.0


def next_steps(findings: Findings) -> list[tuple[str, str]]:
    """(words, command or lines), the most important first; the last ones lead on to a running camera."""
    task, watched, found = findings.task, findings.watched, []
    again = f"edgevision assess {shlex.quote(str(task.recording))}"
    is_ours = findings.settings.recompute.network == "default"
    is_always_ng = verdicts_of(findings)[:1] == [("NG", len(findings.operating.errors))]
    if is_ours and (is_always_ng or not findings.is_telling):
        words = (
            "Give the network that was trained for what this camera shows. The one that ships knows the parts of the demo and no others."
        )
        found.append((words, f"{again} --network your-network.onnx"))
    elif is_always_ng:
        found.append(("See whether this network and the judge's thresholds belong to these parts: it calls every frame NG.", ""))
    if not findings.is_telling:
        found.append(("Record a few minutes in which something comes into view that must be found, and assess that recording.", ""))
    if watched.levels > NOISY_LEVELS:
        words = (
            f"Make the picture calmer: with a noise of {watched.noise_levels:.1f} gray levels a change must exceed {watched.levels:.0f} to "
            "be followed. Lock exposure, gain and white balance of the camera, give it more light, or let it compress less; record again."
        )
        found.append((words, ""))
    if findings.saving < BUSY_SAVING:
        words = "Leave out what need not be inspected: where the heat map is red and no part ever lies, draw a polygon around what matters."
        found.append((words, "compare:\n  roi: [[x, y], [x, y], [x, y]]      # or ignore: [[[x, y], ...], ...]"))
        words = "Allow the answer a small error for less work: this finds how much that saves on your recording."
        found.append((words, f"edgevision gates {network_of(findings)} --clip {shlex.quote(str(task.recording))} --limit 0.005"))
    if findings.is_disturbed:
        found.append(("Stop what else runs on this PC and assess again: the milliseconds above are too long.", again))
    if grade(findings) != "no":
        found.append(("Point it at the camera: `edgevision init` writes a file to begin with.", "edgevision check --probe line.yaml"))
    found.append(
        ("Set the thresholds from pictures of good and of bad parts.", "edgevision tune CAM --good good/ --bad bad/ --config line.yaml")
    )
    return found


def network_of(findings: Findings) -> str:
    """As a command takes it."""
    return shlex.quote(str(findings.settings.recompute.network))
