"""Foreign mode: while a scene stays busy the whole network runs in OpenVINO, where that is faster than recomputing most of it.

In: the bound steps and the input's plane, which stays `x_used`. Out: whether to, and the network's outputs. Keeps by network the compiled
model and the break-even, by camera the last frames' costs. The steps' own planes are stale meanwhile; a whole run of x_used ends it.

Busy is also who asks for one whole run after the other, each picture being a scene of its own: then these are OpenVINO's.

Nothing is compiled or measured before a scene is busy. Then the model is compiled beside the camera's work, and timed on four frames
against the steps' own time on the same frames. The break-even so found is kept on disk.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevision.errors import UnsupportedNetwork
from edgevision.kernels.forms import Plane
from edgevision.recompute.calibrate import Forecast, Notebook, Steps, StepTimes
from edgevision.recompute.graph import Graph, reason_of
from edgevision.recompute.island import compile_whole, machine
from edgevision.recompute.plan import Tensor

Arrays = dict[str, NDArray[np.float32]]

_QUESTION = 0.35  # of the dense time: below, OpenVINO is not asked how fast it is
_BUSY_FRAMES, _OF_FRAMES, _CALM_FRAMES = 4, 6, 4
_ENTER, _LEAVE = 1.05, 0.75  # of the foreign time
_LOOK_EVERY = 4
_TRIALS = 4
_WAY = "as written, fed floats"  # how OpenVINO is given file and input: a break-even of another way is none of this
_TINY = 1e-6
_FAR_OFF = 0.05  # mean difference from the steps' own answer, of its largest value: rounding stays far below


class ForeignNetwork:
    """A network in OpenVINO, for all its cameras. Compiled in a thread of its own when first wanted."""

    def __init__(self, graph: Graph, entrance: Tensor, precision: str, threads: int) -> None:
        self.graph, self.entrance = graph, entrance
        self._precision, self._threads = precision, threads
        self._notebook: Notebook | None = None
        self._share: float | None = None
        self._compiling: threading.Thread | None = None
        self._lock = threading.Lock()
        self.compiled: Any = None
        self.has_failed = False
        self.failure = ""  # why, once it has

    @property
    def input_bytes(self) -> int:
        """What each camera's copy of the input takes. What OpenVINO itself takes is not known before it runs."""
        tensor = self.entrance
        value_bytes = 4 if tensor.store.kind == "u8" else tensor.store.dtype.itemsize  # bytes are fed as floats
        return tensor.height * tensor.width * tensor.channels * value_bytes

    def share(self) -> float | None:
        """OpenVINO's time as a share of our dense time, None while it is not known."""
        if self._notebook is None:
            self._notebook = self._open()
            self._share = self._notebook.read()
        return self._share

    def keep(self, share: float) -> None:
        """From now on this is known."""
        self._share = share
        if self._notebook is not None:
            self._notebook.write(share)

    def want(self) -> None:
        """Begin to compile, once."""
        with self._lock:
            if self._compiling is None:
                self._compiling = threading.Thread(target=self._compile, name="edgevision-foreign")
                self._compiling.start()

    def wait(self) -> None:
        """Until it is compiled, if it was wanted."""
        if self._compiling is not None:
            self._compiling.join()

    def _compile(self) -> None:
        try:
            self.compiled = compile_whole(self.graph, self.entrance, self._precision, self._threads)
        except UnsupportedNetwork as error:
            self.give_up(str(error))
        except Exception as error:  # the thread's end: whatever went wrong, nobody else would hear of it
            self.give_up(f"{self.graph.path}: OpenVINO cannot run it whole: {type(error).__name__}: {reason_of(error)}")

    def give_up(self, failure: str) -> None:
        """From now on a busy scene stays selective: why, for `costs`, and once as a warning."""
        self.failure, self.has_failed = failure, True
        warnings.warn(f"{failure}; a busy scene stays selective", stacklevel=3)

    def _open(self) -> Notebook:
        from edgevision.kernels.compiled.jit import cache_folder

        shape = f"{self.entrance.channels}x{self.entrance.height}x{self.entrance.width}"
        return Notebook(cache_folder(), [self.graph.sha256, shape, self._precision, str(self._threads), _WAY, *machine()])


class Foreign:
    """One camera's foreign mode. `is_on` while the network's outputs are OpenVINO's."""

    def __init__(self, network: ForeignNetwork, steps: Steps, entrance: Plane) -> None:
        self._network, self._steps, self._entrance = network, steps, entrance
        self._times = StepTimes(steps)
        self._forecast: Forecast | None = None
        self._request: Any = None
        self._input = np.zeros(0, entrance.store.dtype)
        self._samples: list[float] = []
        self._busy: deque[bool] = deque(maxlen=_OF_FRAMES)
        self._wholes: deque[bool] = deque(maxlen=_OF_FRAMES)  # of the last calls: was it `first`
        self._is_for_wholes = False
        self._calm = self._frames = 0
        self._optimism = 1.0
        self.is_on = False
        self.outputs: Mapping[str, NDArray[np.float32]] = {}
        self.seconds = 0.0

    def learn(self) -> None:
        """Call after all steps ran whole."""
        self._times.learn()

    def takes_whole(self) -> bool:
        """Call in each `first`, with the input taken in: whether it is to be OpenVINO's. It `is_on` then."""
        self._wholes.append(True)
        if not self._is_for_wholes or self._network.has_failed or sum(self._wholes) < _BUSY_FRAMES:
            return False
        self._enter(self._times.dense_s)
        return True

    def watch_whole(self, ours: Callable[[], Arrays]) -> None:
        """Call after a `first` was run by the steps, with what they answer: perhaps the next one is OpenVINO's."""
        if self._network.has_failed or sum(self._wholes) < _BUSY_FRAMES:
            return
        share, dense_s = self._network.share(), self._times.dense_s
        if share is not None and not share * _ENTER < 1:
            return
        if self._network.compiled is None:
            self._network.want()
        elif share is None:
            self._try(dense_s, dense_s)
        elif not self._is_for_wholes:
            self._is_for_wholes = self._agrees(ours())

    def watch(self, taken: int, spent_s: float, ours: Callable[[], Arrays]) -> None:
        """Call after the steps ran selectively, `taken` pixels of the input having changed, with what this took and what they answer:
        perhaps the next call is foreign.
        """
        self._wholes.append(False)
        is_light = not spent_s > _QUESTION * self._times.dense_s and not self._times.has_news
        if not taken or self._network.has_failed or is_light:  # looked at no closer, which costs as much as a light frame
            self._busy.append(False)
            return
        self._times.learn()
        cost_s, dense_s = self._times.last_s(), self._times.dense_s
        if not cost_s > _QUESTION * dense_s:
            self._busy.append(False)
            return
        share = self._network.share()
        self._busy.append(cost_s > _ENTER * dense_s * share if share is not None else True)
        if not self._busy[-1] or sum(self._busy) < _BUSY_FRAMES:
            return
        if self._network.compiled is None:
            self._network.want()
        elif share is None:
            self._try(cost_s, dense_s)
        elif self._agrees(ours()):
            self._enter(cost_s)

    def _agrees(self, ours: Arrays) -> bool:
        """Whether OpenVINO answers alike on the input in use, asked before its answer is relied on: it has been seen to compute some
        convolutions of unequal strides wrongly.
        """
        self.run()
        for name, values in ours.items():
            theirs = self.outputs[name]
            size = max(float(np.abs(values).max(initial=0)), _TINY)
            is_alike = theirs.shape == values.shape and not float(np.abs(theirs - values).mean()) > _FAR_OFF * size
            if not is_alike:
                self._network.give_up(f"{self._network.graph.path}: OpenVINO's output '{name}' is not ours")
                return False
        return True

    def _try(self, cost_s: float, dense_s: float) -> None:
        """Time OpenVINO on this frame. The steps just ran on it, so what else the machine does slows both alike."""
        self.run()
        self._samples.append(self.seconds * cost_s / self._times.spent_s())
        if len(self._samples) > _TRIALS:  # the first is slow, its buffers are new
            self._network.keep(float(np.median(self._samples[1:])) / dense_s)
            self._busy.clear()  # they were busy by no measure yet

    def _enter(self, cost_s: float) -> None:
        if not self.is_on:
            self._forecast = self._forecast or Forecast(self._steps, self._entrance)
            foreseen = self._times.of_shares(self._forecast.shares(self._entrance))
            self._optimism = min(1.0, cost_s / foreseen) if foreseen > 0 else 1.0
        self._calm = self._frames = 0
        self.outputs = {}
        self.is_on = True

    def is_over(self) -> bool:
        """Call in foreign mode, with the input taken in: whether the scene has been calm long enough for a whole run to pay."""
        self._frames += 1
        self._wholes.append(False)
        if self._forecast is None or (self._calm == 0 and self._frames % _LOOK_EVERY and self._entrance.live_px):
            return False
        foreseen_s = self._optimism * self._times.of_shares(self._forecast.shares(self._entrance))
        limit_s = _LEAVE * self._times.dense_s * (self._network.share() or 0.0)
        self._calm = self._calm + 1 if foreseen_s < limit_s else 0
        return self._calm >= _CALM_FRAMES

    def leave(self) -> None:
        """The steps are about to run again."""
        self.is_on = False
        self.outputs = {}
        self._busy.clear()

    def run(self) -> None:
        """The whole network on the input in use: `outputs`, valid until the next run, and the `seconds` it took."""
        began = time.perf_counter()
        if self._request is None:
            self._request, self._input = self._network.compiled.request()
        self._network.compiled.feed(self._input, self._entrance.values)
        self._request.infer()
        arrays = (self._request.get_output_tensor(place).data for place in range(len(self._network.graph.outputs)))
        self.outputs = {name: np.asarray(array, np.float32) for name, array in zip(self._network.graph.outputs, arrays, strict=True)}
        self.seconds = time.perf_counter() - began
