"""What a camera's frames need is compiled before the first one: a frame that waits for a compiler is a frame too late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgevision.compare.warm_up import warm_up_frames

COUNTED = """
import sys
from numba.core.dispatcher import Dispatcher
import edgevision as ev
from edgevision.capture.line.line import Line

def made():
    kernels = {id(value): value for name, module in list(sys.modules.items()) if name.startswith("edgevision.kernels")
               for value in vars(module).values() if isinstance(value, Dispatcher)}
    return {kernel.py_func.__name__: len(kernel.overloads) for kernel in kernels.values()}

def tell_late(before):
    late = {name: count - before.get(name, 0) for name, count in made().items() if count != before.get(name, 0)}
    assert not late, f"compiled while frames came: {late}"
"""

A_LINE = """
pipeline, line = ev.Pipeline.from_config(sys.argv[1]), Line()
picture = lambda place: line.frame(place)[0] if isinstance(line.frame(place), tuple) else line.frame(place)
pipeline.prepare(picture(0))
before = made()
for place in range(45):
    pipeline.inspect(ev.Frame(picture(place), 1000 + place / 30, place))
tell_late(before)
"""

BESIDE_A_PICTURE = """
import cv2, numpy as np
from edgevision.compare.warm_up import warm_up_frames

good = next(warm_up_frames(np.zeros((4, 4, 3), np.uint8), 3))
cv2.imwrite(sys.argv[1], good)
detector = ev.ChangeDetector(ev.ChangeSettings(reference="golden", golden=sys.argv[1], align_px=0))
detector.prepare(np.zeros_like(good))
before = made()
for place in range(4):
    part = good.copy()
    part[40:60, 40 : 60 + place] = 200
    change = detector.measure(part)
    detector.commit(change, change.live.copy())
tell_late(before)
"""


def test_no_frame_waits_for_the_compiler():
    run(A_LINE, Path(__file__).parents[2] / "configs" / "demo.yaml")


def test_no_part_beside_its_golden_picture_waits_either(tmp_path):
    run(BESIDE_A_PICTURE, tmp_path / "good.png")


def run(script, path):
    done = subprocess.run([sys.executable, "-c", COUNTED + script, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-600:]


@pytest.mark.parametrize("like", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16)])
def test_the_frames_are_of_the_camera_s_kind(like):
    made = list(warm_up_frames(like, 3))
    assert all(frame.dtype == like.dtype and frame.ndim == like.ndim for frame in made)
    assert len(made) == 12
