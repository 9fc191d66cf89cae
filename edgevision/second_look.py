"""The map audit carried to the verdict: now and then the raw frame is run whole, decoded and judged, and both answers are compared.

A share of output values alone would miss what matters most: a defect of twenty pixels is two millionths of the answer. In: a frame, the
answer in use. Out: an `Audit`, when one was due. Keeps a decoder beside the one in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from edgevision.errors import EngineFault
from edgevision.interfaces import Rule
from edgevision.judge.agreement import unlike
from edgevision.recompute.audit import Audit, Audits, Outputs
from edgevision.records import ChangeMap, Costs, Defect, Frame, Inspection, Mask, Notice, Region, Scene
from edgevision.segment.decoders import Decoder


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What is in use for a frame: the network's outputs, its regions, the defects among them; `place` puts regions where they lie in it."""

    outputs: Outputs
    regions: tuple[Region, ...]
    defects: tuple[Defect, ...]
    place: Callable[[tuple[Region, ...]], tuple[Region, ...]]


class SecondLook:
    """One camera's. Without `has_maps` what the answers show is compared, and not their values.

    A detector's are pixels and logits, most of them of places where nothing is, and tokens are numbers that only a head reads: they stray
    without meaning anything.
    """

    def __init__(self, audits: Audits, decoder: Decoder, rule: Rule, has_maps: bool = True) -> None:
        self._audits, self._decoder, self._rule, self._has_maps = audits, decoder, rule, has_maps
        self._read = 0  # runs beside, when the decoder last read one

    def look(self, frame: Frame, raw: NDArray[Any], change: ChangeMap, answer: Answer) -> Audit:
        """Run `raw`, the frame as the network takes it, whole, and compare. Call it where the audits say that it is due."""
        outputs = self._audits.run_whole(raw)
        try:
            regions = answer.place(self._decoded(outputs))
        except EngineFault as error:
            return self._audits.conclude(outputs, answer.outputs, str(error), frame.ts)
        defects = self._rule.judge(regions, frame, change)
        whole, used = ("the whole network on the raw frame", defects, regions), ("the answer in use", answer.defects, answer.regions)
        values = (outputs, answer.outputs) if self._has_maps else ({}, {})
        lone = unlike(whole, used, self._audits.close_margin)
        return self._audits.conclude(*values, lone and lone.words, frame.ts, lone is not None and lone.is_close)

    def whole(self, raw: NDArray[Any]) -> tuple[Outputs, tuple[Region, ...]]:
        """The whole network's outputs on `raw`, valid until the next run, and their regions. Raises EngineFault for NaN."""
        outputs = self._audits.run_whole(raw)
        return outputs, self._decoded(outputs)

    def near(self, raw: NDArray[Any], places: Mask) -> tuple[tuple[Region, ...], Costs]:
        """The whole network's regions on `raw`, right where it sees nothing but `places` (H, W), and what they cost.

        Raises InputError before the first whole run, EngineFault for NaN.
        """
        run = self._audits.run_near(raw, places)
        if self._audits.runs != self._read + 1:
            return self._decoded(run.outputs), run.costs
        self._read += 1
        return self._decoder.decode(run.outputs, run.changed), run.costs

    def _decoded(self, outputs: Outputs) -> tuple[Region, ...]:
        self._read = self._audits.runs
        self._decoder.reset()
        return self._decoder.decode(outputs, {})


def with_audit(found: Inspection, audit: Audit | None, notices: tuple[Notice, ...], is_dense: bool) -> Inspection:
    """The inspection with what its audits said, and that the camera runs dense, if it does."""
    scene = Scene.FALLBACK_DENSE if is_dense else found.scene
    if audit is None:
        return replace(found, notices=notices, scene=scene) if notices or is_dense else found
    outcome = "passed" if audit.trouble is None else "failed"
    return replace(found, audit_disagreement=audit.disagreement, audit=outcome, notices=notices, scene=scene)
