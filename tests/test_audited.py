"""What is sound passes all audits, each of them on every frame, however the camera is set up."""

from __future__ import annotations

import numpy as np
import pytest

import edgevision as ev
from edgevision.capture.synthetic import Line, SyntheticSettings

FRAMES = 24
EACH = "audit_engine_every: 1, audit_every: 6"
LINE = {"width": 320, "height": 176, "seed": 3, "defect_rate": 1.0, "contrast": (34.0, 40.0), "gap_rate": 0.0}
CONFIGS = {
    "a belt that is followed": f"{{recompute: {{{EACH}}}, compare: {{motion: shift}}}}",
    "pixels that wait": f"{{recompute: {{{EACH}, policy: {{type: budget, budget_ms: 1.0}}}}}}",
    "what does not count": f"{{recompute: {{{EACH}}}, compare: {{ignore: [[[5, 3], [100, 3], [100, 40], [5, 40]]]}}}}",
    "changes that are held and widened": f"{{recompute: {{{EACH}}}, compare: {{hold_frames: 3, grow_px: 4, min_area: 30}}}}",
}


def images():
    line = Line(SyntheticSettings(**LINE))
    first = line.belt.standing(1)[0] - 12
    return [line.frame(first + k)[0] for k in range(FRAMES)]


@pytest.mark.parametrize("how", CONFIGS)
def test_a_sound_camera_passes_them(tmp_path, how):
    (tmp_path / "line.yaml").write_text(f"defaults: {CONFIGS[how]}\ncameras:\n  cam:\n    source: {{type: synthetic}}\n")
    pipe = ev.Pipeline.from_config(tmp_path / "line.yaml")
    found = []
    for k, image in enumerate(images()):
        dimmed = np.rint(image * np.linspace(1.0, 1.0 - 0.005 * k, image.shape[1])[:, None]).astype(np.uint8)  # on one side
        found.append(pipe.inspect(ev.Frame(dimmed, 1000.0 + k / 30, k)))
    assert [notice.text for one in found for notice in one.notices] == []
    assert any(one.audit == "passed" for one in found)
