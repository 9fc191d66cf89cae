"""The network that the settings name, made ready for frames of one size. In: settings, a frame's size. Out: a CameraNetwork.

A network whose metadata gives its output's `stride` is fully convolutional: it takes the frame's own size, rounded up to what it accepts,
and the frame lies in its corner. Any other keeps the size in its file, and frames are stretched to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from edgevision.errors import UnsupportedNetwork
from edgevision.recompute.arguments import Means, Progress
from edgevision.recompute.camera_network import CameraNetwork
from edgevision.recompute.engine import SelectiveNetwork
from edgevision.recompute.gate_file import read_gates
from edgevision.recompute.graph import fitting_shape, is_quantised_file, read_graph, read_metadata
from edgevision.recompute.load_tokens import check_tokens, load_tokens
from edgevision.recompute.lower import lower
from edgevision.recompute.precision import choose_precision
from edgevision.recompute.preprocess import Preprocess
from edgevision.recompute.settings import RecomputeSettings
from edgevision.recompute.splice import SpliceNetwork

DEFAULT, TURBOVIT = "default", "turbovit"
ANY_SIDE_PX = 256  # of a picture that a plan is made for, to see what steps it has


def network_path(settings: RecomputeSettings) -> Path:
    """The file that `recompute.network` names. Raises UnsupportedNetwork when it is not there."""
    if settings.network == DEFAULT:
        path = Path(str(files("edgevision.networks"))) / "weights" / f"{DEFAULT}.onnx"
    elif settings.network == TURBOVIT:
        path = Path(settings.turbovit.weights or "")
    else:
        path = Path(settings.network)
    if not path.is_file():
        what = "recompute.turbovit.weights is the path of an .npz file"
        if settings.network != TURBOVIT:
            what = "recompute.network is `default`, `turbovit`, or the path of an .onnx or .xml file"
        raise UnsupportedNetwork(f"{path}: no such network file; {what}")
    return path


def check_network(settings: RecomputeSettings) -> None:
    """Raises UnsupportedNetwork, ConfigError or InputError for a file that is no network, or not one that can run as the settings say."""
    path = network_path(settings)
    if settings.network == TURBOVIT:
        check_tokens(settings)
    else:
        chosen = choose_precision(path, is_quantised_file(path), settings.precision)
        if isinstance(settings.gate, dict):
            stride = fully_convolutional_stride(path)
            shape = None if stride is None else fitting_shape(path, ANY_SIDE_PX, ANY_SIDE_PX, stride)
            lower(read_graph(path, shape), settings.gate, chosen)  # refuses a step that it does not have
    gates_of(settings)


def gates_of(settings: RecomputeSettings) -> float | dict[str, float]:
    """One gate for all steps, gates by step, or those of the file that is named. Raises ConfigError when it is not for this network."""
    return read_gates(settings.gate, network_path(settings)) if isinstance(settings.gate, Path) else settings.gate


def load_for_frames(
    settings: RecomputeSettings, height: int, width: int, progress: Progress | None = None, may_move: bool = False
) -> CameraNetwork:
    """The network with its preprocess set for frames of (height, width). Raises UnsupportedNetwork, ConfigError or InputError, one line.

    One that `may_move` never runs in OpenVINO, as foreign mode keeps nothing to move. `progress` is called with the steps that are ready
    and how many there are.
    """
    path = network_path(settings)
    if settings.network == TURBOVIT:
        return load_tokens(settings, gates_of(settings), (height, width), _means(settings, progress, may_move))
    stride = fully_convolutional_stride(path)
    shape = None if stride is None else fitting_shape(path, height, width, stride)
    network = _loaded(settings, path, shape, progress, may_move)
    preprocess = Preprocess.from_metadata(network.metadata, str(path))
    if network.input_shape[2:] != (height, width):
        fit = "stretch" if shape is None else "corner"
        preprocess = preprocess.model_copy(update={"frame_px": (height, width), "resize": fit})
    network.set_preprocess(preprocess)
    return network


def _loaded(
    settings: RecomputeSettings, path: Path, shape: tuple[int, ...] | None, progress: Progress | None, may_move: bool
) -> CameraNetwork:
    means = _means(settings, progress, may_move)
    if settings.engine == "splice":
        if may_move:
            raise UnsupportedNetwork(
                f"{path}: compare.motion is shift, but recompute.engine splice keeps nothing that could move; use engine selective"
            )
        known: Means = {"memory_limit_mb": means["memory_limit_mb"], "memories": means["memories"]}
        return SpliceNetwork.load(path, settings.splice, settings.precision, settings.threads, shape, **known)
    return SelectiveNetwork.load(path, settings.precision, settings.threads, gates_of(settings), shape, **means)


def _means(settings: RecomputeSettings, progress: Progress | None, may_move: bool) -> Means:
    means: Means = {"memory_limit_mb": settings.memory_limit_mb, "memories": 2 if settings.audit_every else 1}
    means["foreign"] = "never" if may_move else settings.foreign
    means["may_move"] = may_move
    if progress is not None:
        means["progress"] = progress
    return means


def span_px_of(network: CameraNetwork, height: int, width: int) -> tuple[int, int]:
    """What the network's input covers, (height, width) in pixels of a frame of that size: more than the frame where it lies in a corner."""
    is_cornered = network.preprocess is not None and network.preprocess.resize == "corner"
    return network.input_shape[2:] if is_cornered else (height, width)


def fully_convolutional_stride(path: Path) -> int | None:
    """The stride that a network's metadata gives, None when its size is fixed."""
    text = read_metadata(path).get("stride", "")
    return int(text) if text.isdigit() and 0 < int(text) <= 256 else None


def labels_of(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the output's channels that a network file gives, as `a, b` or `["a", "b"]`; () where it gives none."""
    names = (part.strip().strip("\"'") for part in metadata.get("labels", "").strip("[]").split(","))
    return tuple(name for name in names if name)


def threshold_of(metadata: Mapping[str, str]) -> float | None:
    """The operating threshold found in training, None where the file gives none."""
    try:
        value = float(metadata.get("threshold", ""))
    except ValueError:
        return None
    return value if 0 < value < 1 else None
