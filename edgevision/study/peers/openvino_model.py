"""Network files as OpenVINO's own models, for peers and for quantisation. In: a path. Out: a model. Keeps nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino as ov
from openvino._offline_transformations import apply_moc_transformations

from edgevision.errors import InputError, UnsupportedNetwork
from edgevision.recompute.graph import parse, reason_of


def read_model(path: Path, shape: tuple[int, ...] | None = None) -> Any:
    """The model in `path` (ONNX or IR), its input fixed to `shape` where one is given. Raises UnsupportedNetwork, one line."""
    model = parse(path)
    if shape is not None:
        try:
            model.reshape(list(shape))
        except RuntimeError as error:
            raise UnsupportedNetwork(f"{path}: does not accept inputs of {shape}: {reason_of(error)}; export it for them") from error
    return model


def simplify(model: Any) -> None:
    """What compiling would do first, in place: constants folded, chains of nodes as one. Else NNCF takes a wrong axis for the channels of
    weights that a file reshapes on the way, as every depthwise convolution from ONNX does.
    """
    apply_moc_transformations(model, cf=True)


def compile_model(model: Any, settings: dict[str, Any], path: Path) -> Any:
    """The model compiled for the CPU. Raises UnsupportedNetwork, one line."""
    try:
        return ov.Core().compile_model(model, "CPU", settings)
    except RuntimeError as error:
        raise UnsupportedNetwork(f"{path}: OpenVINO cannot compile it: {reason_of(error)}; export it again") from error


def is_quantised(model: Any) -> bool:
    """Whether the file says which activations are bytes."""
    return any(operation.get_type_name() == "FakeQuantize" for operation in model.get_ops())


def save_model(model: Any, path: Path) -> None:
    """Write an OpenVINO IR, `path` and the same name with .bin, weights as they are. Raises InputError when it cannot be written."""
    try:
        ov.save_model(model, path, compress_to_fp16=False)
    except RuntimeError as error:
        raise InputError(
            f"{path}: cannot be written: {reason_of(error)}; name a file in a folder that is there and may be written"
        ) from error


def keep_metadata(source: Any, target: Any) -> None:
    """What `source` says of itself, `target` says too, so that it is fed the same way."""
    info = source.get_rt_info()
    if "framework" not in info:
        return
    for key in info["framework"]:
        target.set_rt_info(source.get_rt_info(["framework", key]).astype(str), ["framework", key])


def converted(network: Any, shape: tuple[int, ...]) -> Any:
    """A torch module as OpenVINO's model, traced on zeros of `shape`. Raises UnsupportedNetwork, one line."""
    like = next(network.parameters()).detach()
    try:
        return ov.convert_model(network, example_input=like.new_zeros(shape), input=[list(shape)])
    except RuntimeError as error:
        raise UnsupportedNetwork(f"{type(network).__name__}: OpenVINO cannot convert it: {reason_of(error)}") from error
