"""What one engine needs of memory: measured in a fresh process that runs nothing else. In: a LaneSpec. Out: megabytes. Keeps nothing.

The growth of the resident set, at its highest, from before the engine is loaded until it has run a few shots; libraries, Python and the
input itself are not in it. The reading of the file is, and so is compiling kernels, if they are not in the cache yet.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from pathlib import Path

from edgevision.errors import Unavailable
from edgevision.study.lanes import LaneSpec, open_lane
from edgevision.study.shots import Scene

SHOTS = 3
_STATUS = Path("/proc/self/status")
_KB_PER_MB = 1024


def peak_mb(spec: LaneSpec, scene: Scene) -> float:
    """Of this engine on the first shots of the scene. Raises Unavailable where its process died, as for want of memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        try:
            return pool.submit(measure, spec, scene).result()
        except BrokenProcessPool as error:
            raise Unavailable(
                f"{spec.path}: {spec.engine} died while its memory was measured; give it more, or a smaller --input-shape"
            ) from error


def measure(spec: LaneSpec, scene: Scene) -> float:
    """The same in this process: right only if it has not run another engine."""
    shots = list(scene.play(0))
    with suppress(OSError):  # where it may not be reset, the highest so far is that of the imports, which is less than any network's
        Path("/proc/self/clear_refs").write_text("5")
    before = _resident_mb("VmRSS")
    lane = open_lane(spec)
    lane.begin(shots[0])
    for _ in range(SHOTS):
        lane.run(shots[0])
    return _resident_mb("VmHWM") - before


def _resident_mb(key: str) -> float:
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
    return int(lines[key].split()[0]) / _KB_PER_MB
