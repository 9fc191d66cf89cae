"""What one engine needs of memory: measured in a fresh process that runs nothing else. In: a LaneSpec. Out: megabytes. Keeps nothing.

The growth of the resident set, at its highest, from before the engine is loaded until it has run a few shots; libraries, Python and the
input itself are not in it. The reading of the file is, and so is compiling kernels, if they are not in the cache yet.
"""

from __future__ import annotations

from edgevision.study.lanes import LaneSpec, open_lane
from edgevision.study.memory_growth import growth_mb
from edgevision.study.shots import Scene

SHOTS = 3


def peak_mb(spec: LaneSpec, scene: Scene) -> float:
    """Of this engine on the first shots of the scene. Raises Unavailable where its process died, as for want of memory."""
    return growth_mb(run, spec, scene)


def run(spec: LaneSpec, scene: Scene) -> None:
    """Load the engine and show it a few shots."""
    shots = list(scene.play(0))
    lane = open_lane(spec)
    lane.begin(shots[0])
    for _ in range(SHOTS):
        lane.run(shots[0])
