"""The whole network in OpenVINO on the raw frame, decoded and judged as the camera does it: what a selective answer must not differ from.

In: frames, with the change map that the camera measured (for the scene and its light). Out: the verdict, and the inference's own time, the
picture's way into a tensor not counted. Keeps the decoder's and the rules' state, apart from the camera's.
"""

from __future__ import annotations

from edgevision.config import CameraConfig
from edgevision.errors import InputError
from edgevision.judge.rules import AreaScoreRule, verdict
from edgevision.pipeline import Pipeline
from edgevision.recompute.graph import is_quantised_file
from edgevision.recompute.load import network_path
from edgevision.recompute.preprocess import Preprocess, build_intake
from edgevision.records import ChangeMap, Frame, Image, Region, Verdict
from edgevision.registry import Registry
from edgevision.segment.decoders import decoder_for
from edgevision.stages import facts_of
from edgevision.study.peers.openvino_dense import OpenVinoDense
from edgevision.study.tensors import tensor_of


class DenseAnswer:
    """One camera's whole network in OpenVINO, at the precision of the camera's own. `precision` says which that is."""

    def __init__(self, pipeline: Pipeline, registry: Registry):
        """`pipeline` is prepared. Raises InputError for a network that has no file in OpenVINO's reach."""
        network = pipeline.network
        if network is None:
            raise InputError("the pipeline is not prepared; call prepare with a picture")
        settings: CameraConfig = pipeline.settings
        path = network_path(settings.recompute)
        kind = "default" if is_quantised_file(path) or settings.recompute.precision == "bf16" else "f32"
        self._engine = OpenVinoDense(path, network.input_shape, kind, settings.recompute.threads)
        self._network = network
        self._intake = build_intake(network.preprocess or Preprocess(), network.input_shape[1], network.input_shape[2:])
        self._decoder = decoder_for(settings.segment, pipeline.size_px, facts_of(network, *pipeline.size_px))
        built = (registry.build("rule", rule.type, rule.settings) for rule in settings.rules)
        self._rules = (AreaScoreRule(settings.judge), *built)

    @property
    def precision(self) -> str:
        """f32, bf16 or int8."""
        return self._engine.precision

    def inspect(self, frame: Frame, shown: Image, change: ChangeMap) -> tuple[Verdict, tuple[Region, ...], float]:
        """What is said of the frame, its regions, OpenVINO's milliseconds. `shown` is the raw picture as the network is given it."""
        outputs, elapsed_ms = self._engine.infer(tensor_of(shown, self._intake, self._network.input_shape))
        self._decoder.reset()
        regions = self._decoder.decode(outputs, {})
        defects = tuple(defect for rule in self._rules for defect in rule.judge(regions, frame, change))
        return verdict(defects, change)[0], regions, elapsed_ms
