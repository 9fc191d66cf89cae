"""`edgevision quantize`: a float network made a quantised one, by NNCF's post-training quantisation. Extra `quantize`.

In: a network file and data like that which it will see: pictures, taken in as the file's metadata says, or tensors. Out: an OpenVINO IR
that keeps the metadata, and how far its answers lie from the float network's on the same data. Where that is more than a limit, another way
of choosing ranges is tried, and then the layers that lose most stay float (`quantize_limit`). The only place that imports nncf.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from edgevision.errors import InputError, Unavailable, UnsupportedNetwork
from edgevision.kernels.forms import Float
from edgevision.recompute.graph import Graph, read_graph
from edgevision.recompute.preprocess import Preprocess
from edgevision.study.deviation import Deviation
from edgevision.study.quantize_limit import WAYS, Way, held_to
from edgevision.study.tensors import fitted, intake_for, to_tensor

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")
MOST = 300
MEASURED = 50
WEIGHED = 8  # pictures by which layers are told apart
LIMIT = 0.005
_NEEDED = "nncf is not installed: pip install 'edgevision[quantize]'"


@dataclass(frozen=True, slots=True)
class QuantizeTask:
    """What is asked for. `data` is a folder or one file; `out` None writes MODEL-int8.xml beside the model's name, in this folder.

    `limit`: root mean square by which answers may differ, as a share of the output's range, before layers are kept float; 1 keeps none.
    """

    model: Path
    data: Path
    out: Path | None = None
    input_shape: tuple[int, ...] | None = None
    most: int = MOST
    limit: float = LIMIT


def quantise(task: QuantizeTask, is_quiet: bool = False) -> dict[str, Any]:
    """Write the quantised network; the report has `out`, `samples`, `disagreement` (the largest), `kept_float` and `text`.

    Raises UnsupportedNetwork for a file that cannot be read or is quantised already, InputError for data that cannot be used, Unavailable
    where nncf is not installed.
    """
    check_nncf()
    graph = read_graph(task.model, task.input_shape)
    if graph.is_quantised:
        raise UnsupportedNetwork(f"{task.model}: is quantised already; give the float file that it was made of")
    out = task.out or Path(f"{task.model.stem}-int8.xml")
    _check_out(out)
    samples = Samples(task.data, graph, task.most)
    is_shown = not is_quiet and sys.stderr.isatty()
    console = Console(stderr=True)
    chosen = samples.files[:: -(-len(samples.files) // MEASURED)]

    def make(way: Way) -> float:
        make_int8(task.model, out, samples, task.input_shape, is_shown, way)
        bar = track(chosen, "comparing", console=console, disable=is_quiet or not console.is_terminal, transient=True)
        measured.append(compare(task.model, out, samples.shape, (x for file in bar for x in samples.read(file))))
        return measured[-1].rms or 0.0

    measured: list[Deviation] = []
    few = [x for file in samples.files[:: -(-len(samples.files) // WEIGHED)] for x in samples.read(file)][:WEIGHED]
    kept = held_to(task.limit, make, task.model, out, few)
    deviation = measured[-1]
    report = {
        "model": str(task.model),
        "out": str(out),
        "samples": len(samples.files),
        "input_shape": list(samples.shape),
        "disagreement": deviation.worst,
        "disagreement_rms": deviation.rms,
        "limit": task.limit,
        "kept_float": list(kept.way.kept),
        "kept_share": kept.share,
        "disagreement_rms_all_int8": kept.before,
        "weights_mb": out.with_suffix(".bin").stat().st_size / 2**20,
    }
    return {**report, "text": _text(report)}


def _text(report: dict[str, Any]) -> str:
    lines = [
        f"{report['out']}: quantised with {report['samples']} samples, weights {report['weights_mb']:.1f} MB; its answers differ from the "
        f"float network's by {report['disagreement']:.2%} of their range at most, by {report['disagreement_rms']:.2%} root mean square"
    ]
    if report["kept_float"]:
        lines.append(
            f"kept float: {', '.join(report['kept_float'])}, {report['kept_share']:.1%} of the multiplications; all in int8 it would be "
            f"{report['disagreement_rms_all_int8']:.2%} root mean square"
        )
    if report["disagreement_rms"] > report["limit"]:
        lines.append(
            f"that is more than the limit of {report['limit']:.2%}: look at its answers before you use it (`edgevision evaluate`, "
            "`assess`), or give more data like that which it will see"
        )
    return "\n".join(lines)


def check_nncf() -> None:
    """Raises Unavailable where nncf is not installed."""
    with _silenced(False):
        try:
            import nncf  # noqa: F401
        except ImportError as error:
            raise Unavailable(_NEEDED) from error


def make_int8(
    model: Path,
    out: Path,
    samples: Iterable[Float],
    shape: tuple[int, ...] | None = None,
    is_shown: bool = False,
    way: Way = WAYS[0],
) -> None:
    """Quantise `model` with the samples, (1, C, H, W) each, and write the IR to `out`. `shape` fixes an input that the file leaves open.

    Raises Unavailable where nncf is not installed, UnsupportedNetwork where it cannot quantise the file. `is_shown`: its progress is.
    """
    check_nncf()
    from edgevision.study.peers.openvino_model import keep_metadata, read_model, save_model, simplify

    network = read_model(model, shape)
    simplify(network)
    with _silenced(is_shown):
        import nncf

        nncf.set_log_level(logging.ERROR)
        count = len(samples) if isinstance(samples, Sequence | Samples) else MOST
        try:
            quantised = nncf.quantize(
                network,
                nncf.Dataset(samples),
                preset=nncf.QuantizationPreset.MIXED,
                subset_size=count,
                ignored_scope=nncf.IgnoredScope(names=list(way.kept)) if way.kept else None,
                advanced_parameters=_advanced(way),
            )
        except (RuntimeError, nncf.ValidationError) as error:
            raise UnsupportedNetwork(f"{model}: NNCF cannot quantise it: {str(error).strip().splitlines()[-1][:200]}") from error
    keep_metadata(network, quantised)
    save_model(quantised, out)


def _advanced(way: Way) -> Any:
    """NNCF's word for how ranges are found."""
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    if not way.is_plain:
        return None
    ranges = RangeEstimatorParametersSet.MINMAX
    return AdvancedQuantizationParameters(activations_range_estimator_params=ranges, disable_bias_correction=True)


@contextlib.contextmanager
def _silenced(is_shown: bool) -> Iterator[None]:
    """NNCF writes its progress to standard output, where a report may be expected: it is sent to standard error, or nowhere."""
    with contextlib.ExitStack() as stack:
        if is_shown:
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        else:
            nowhere = stack.enter_context(open("/dev/null", "w", encoding="utf-8"))
            stack.enter_context(contextlib.redirect_stdout(nowhere))
            stack.enter_context(contextlib.redirect_stderr(nowhere))
        yield


def compare(float_file: Path, int8_file: Path, shape: tuple[int, ...], samples: Iterable[Float]) -> Deviation:
    """How far OpenVINO's int8 answers lie from its float ones."""
    from edgevision.study.peers.openvino_dense import OpenVinoDense

    exact, quantised = OpenVinoDense(float_file, shape, "f32"), OpenVinoDense(int8_file, shape, "f32")
    deviation = Deviation()
    for x in samples:
        deviation.add(list(quantised.infer(x)[0].values()), list(exact.infer(x)[0].values()))
    return deviation


class Samples:
    """The data in a folder (or one file), as tensors (1, C, H, W). A file that cannot be used raises InputError when it is read."""

    def __init__(self, data: Path, graph: Graph, most: int) -> None:
        self.files = _files(data, most)
        sizes = graph.shapes[graph.input]
        self.shape: tuple[int, ...] = tuple(sizes)
        self._preprocess = Preprocess.from_metadata(graph.metadata, graph.path)

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[Float]:
        return (x for file in self.files for x in self.read(file))

    def read(self, file: Path) -> Iterator[Float]:
        """The tensors in one file: a picture is one."""
        if file.suffix.lower() == ".npy":
            yield from self._tensors(file)
            return
        picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
        if picture is None:
            raise InputError(f"{file}: is no picture that can be read; take it out of the folder or save it again as PNG")
        x = np.empty(self.shape, np.float32)
        to_tensor(fitted(np.asarray(picture, np.uint8), self.shape), intake_for(self._preprocess, self.shape), x)
        yield x

    def _tensors(self, file: Path) -> Iterator[Float]:
        try:
            values = np.load(file)
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: is no .npy file that can be read: {error}; write it with numpy.save") from error
        batch = values[None] if values.ndim == 3 else values
        if batch.ndim != 4 or batch.shape[1:] != self.shape[1:]:
            raise InputError(f"{file}: holds {values.dtype} {values.shape}; it must be float32 {self.shape}, as the network takes it")
        if not np.isfinite(batch).all():
            raise InputError(f"{file}: holds NaN or infinity; all its numbers must be finite; take it out or make it again")
        for x in batch.astype(np.float32):
            yield np.ascontiguousarray(x[None])


def _files(data: Path, most: int) -> list[Path]:
    if not data.exists():
        raise InputError(f"{data}: no such file or folder; give a folder of pictures or of .npy tensors, with --data")
    kinds = (*PICTURES, ".npy")
    found = sorted(path for path in (data.iterdir() if data.is_dir() else [data]) if path.suffix.lower() in kinds)
    if not found:
        raise InputError(
            f"{data}: holds no picture ({', '.join(PICTURES)}) and no .npy tensor; give data like that which the network will see"
        )
    places = np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)
    return [found[place] for place in places]


def _check_out(out: Path) -> None:
    if out.suffix != ".xml":
        raise InputError(f"{out}: an OpenVINO IR is written as .xml and .bin; name it FILE.xml, with --out")
    if not out.resolve().parent.is_dir():
        raise InputError(f"{out}: its folder is not there; make it, or name another with --out")
