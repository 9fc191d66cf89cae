"""What a camera's frames need is compiled before the first one: a frame that waits for a compiler is a frame too late."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgevision.compare.warm_up import warm_up_frames

SCRIPT = """
import sys
from numba.core.dispatcher import Dispatcher
import edgevision as ev
from edgevision.capture.line.line import Line

def made():
    kernels = {id(value): value for name, module in list(sys.modules.items()) if name.startswith("edgevision.kernels")
               for value in vars(module).values() if isinstance(value, Dispatcher)}
    return {kernel.py_func.__name__: len(kernel.overloads) for kernel in kernels.values()}

pipeline, line = ev.Pipeline.from_config(sys.argv[1]), Line()
picture = lambda place: line.frame(place)[0] if isinstance(line.frame(place), tuple) else line.frame(place)
pipeline.prepare(picture(0))
before = made()
for place in range(45):
    pipeline.inspect(ev.Frame(picture(place), 1000 + place / 30, place))
late = {name: count - before.get(name, 0) for name, count in made().items() if count != before.get(name, 0)}
assert not late, f"compiled while frames came: {late}"
"""


def test_no_frame_waits_for_the_compiler():
    config = Path(__file__).parents[2] / "configs" / "demo.yaml"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(config)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-600:]


@pytest.mark.parametrize("like", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.uint16)])
def test_the_frames_are_of_the_camera_s_kind(like):
    made = list(warm_up_frames(like, 3))
    assert all(frame.dtype == like.dtype and frame.ndim == like.ndim for frame in made)
    assert len(made) == 12
