"""The verbs about network files: `plan`, `bench`, `quantize`. In: the command line's grammar. Out: the same with these verbs in it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgevision.study.turbovit_bench import TurboTask

AddVerb = Callable[[Any, str, Callable[[argparse.Namespace], int] | None, str], argparse.ArgumentParser]
WIDTH = 100  # what the table needs, also on a narrower terminal and in a pipe
PRECISIONS = ("auto", "f32", "bf16", "int8")
_NETWORK = "an .onnx or .xml file, or `default`"


def add_network_verbs(verbs: Any, add: AddVerb) -> None:
    """Add them to `verbs` with `add(verbs, name, function, text)`."""
    plan = add(verbs, "plan", _plan, "print how each step of a network would run here, and why")
    plan.add_argument("network", metavar="NET", help=f"{_NETWORK}, or `turbovit` (untrained) or a .npz file of its weights")
    plan.add_argument(
        "--engine", choices=("selective", "splice"), default="selective", help="as in recompute.engine (default selective); splice measures"
    )
    _add_shape(plan)
    plan.add_argument("--attention", type=names, default=(), metavar="KINDS", help="turbovit: how each stage attends (default: as trained)")
    plan.add_argument("--keep", type=some_share, default=0.1, metavar="K", help="turbovit: share of tokens a query keeps (default 0.1)")
    plan.add_argument("--precision", choices=PRECISIONS, default="auto", help="of the arithmetic (default auto: the file's own)")
    plan.add_argument("--json", action="store_true", help="print one JSON object")
    benches = add(verbs, "bench", None, "measure against what else could be run").add_subparsers(required=True, metavar="WHAT")
    _add_bench_net(benches, add)
    _add_bench_compare(benches, add)
    _add_bench_turbovit(benches, add)
    _add_bench_attention(benches, add)
    quantize = add(verbs, "quantize", _quantize, "make a float network an int8 one with NNCF (extra `quantize`)")
    quantize.add_argument("model", type=Path, metavar="MODEL", help="an .onnx or .xml file")
    quantize.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="pictures, or .npy tensors, like those that the network will see"
    )
    quantize.add_argument("--out", type=Path, metavar="FILE.xml", help="the quantised network (default ./MODEL-int8.xml)")
    _add_shape(quantize)
    quantize.add_argument(
        "--limit",
        type=some_share,
        default=0.005,
        metavar="L",
        help="root mean square by which answers may differ, of their range, before the layers that lose most stay float "
        "(default 0.005; 1 keeps none)",
    )
    quantize.add_argument("--json", action="store_true", help="print one JSON object")


def _add_bench_net(benches: Any, add: AddVerb) -> None:
    net = add(benches, "net", _bench_net, "time a network here and in OpenVINO and ONNX Runtime, in one run (extra `bench`)")
    net.add_argument("network", metavar="NET", help=_NETWORK)
    scene = net.add_mutually_exclusive_group()
    scene.add_argument("--clip", type=Path, metavar="VIDEO", help="a video file or a folder of images, stretched to the network's size")
    scene.add_argument(
        "--live", type=shares, metavar="SHARES", help="shares of the input that change, one square each (default 0,.01,.05,.2,.5,1)"
    )
    net.add_argument(
        "--precision", type=precisions, default=("auto",), help="of ours, one or more of f32,bf16,int8 (default auto: the file's)"
    )
    net.add_argument("--threads", type=whole_numbers, default=(1,), metavar="1,2", help="threads that each engine may use (default 1)")
    _add_shape(net)
    gate = net.add_mutually_exclusive_group()
    gate.add_argument("--gate", type=share, default=0.0, metavar="G", help="ours: one gate for all steps (default 0: exact)")
    gate.add_argument("--gates", type=Path, metavar="FILE", help="ours: gates by step, as `edgevision gates` makes them")
    net.add_argument("--foreign", choices=("never", "auto"), default="never", help="ours: auto lets a busy scene run whole in OpenVINO")
    net.add_argument("--frames", type=whole_number, metavar="N", help="timed for each share (default 20; 300 of a clip)")
    net.add_argument("--int8", type=Path, metavar="FILE", help="NET quantised, instead of quantising it now with NNCF")
    net.add_argument("--no-memory", action="store_true", help="leave peak_mb out, which takes a process an engine")
    net.add_argument("--plot", type=Path, metavar="FILE.png", help="draw the speed-up over the live share")
    net.add_argument("--json", action="store_true", help="print the rows as one JSON list")


def _add_bench_compare(benches: Any, add: AddVerb) -> None:
    compare = add(benches, "compare", _bench_compare, "the change map beside MOG2, KNN, plain difference and the block rule, in one run")
    compare.add_argument("--clip", type=Path, metavar="VIDEO|DIR", help="a video file or a folder of images (default: synthetic, 1080p)")
    compare.add_argument(
        "--truth",
        type=Path,
        metavar="DIR",
        help="masks whose names end in the frames' numbers: 255 moving, 0 and 50 still, else not judged",
    )
    compare.add_argument("--frames", type=whole_number, metavar="N", help="how many frames (default 500; 40 synthetic ones)")
    compare.add_argument("--json", action="store_true", help="print the rows as one JSON list")


def _add_bench_turbovit(benches: Any, add: AddVerb) -> None:
    turbo = add(
        benches, "turbovit", _bench_turbovit, "the network of tokens with each attention against OpenVINO and torch (extra `bench`)"
    )
    turbo.add_argument("--size", type=whole_number, default=1024, metavar="PX", help="height and width of the input (default 1024)")
    turbo.add_argument("--changed", type=some_share, default=0.05, metavar="F", help="share of the mask units that change (default 0.05)")
    turbo.add_argument("--threads", type=whole_number, default=2, metavar="N", help="threads that each engine may use (default 2)")
    turbo.add_argument("--gate", type=share, metavar="G", help="beside 0, which is exact (default: the shipped one)")
    turbo.add_argument("--keep", type=some_share, default=0.1, metavar="K", help="share of tokens that a query looks at (default 0.1)")
    turbo.add_argument("--methods", type=names, default=(), metavar="A,B", help="dense, sparsifiner, hybrid, csat (default: all)")
    turbo.add_argument("--precision", choices=("f32", "bf16"), default="f32", help="of ours, but for attention, which is f32 (default f32)")
    both = "instead: these two settings side by side, such as measurements=256 measurements=64,gate=0"
    turbo.add_argument("--ab", nargs=2, metavar=("A", "B"), help=both)
    turbo.add_argument("--weights", type=Path, metavar="FILE.npz", help="a trained network (default: a random one, --seed)")
    turbo.add_argument("--seed", type=int, default=0, metavar="S", help="of the random network and the pictures (default 0)")
    turbo.add_argument("--frames", type=whole_number, default=20, metavar="N", help="shots that are timed (default 20)")
    turbo.add_argument("--no-memory", action="store_true", help="leave mb out, which takes a process an engine")
    turbo.add_argument("--json", action="store_true", help="print the rows as one JSON list")


def _add_bench_attention(benches: Any, add: AddVerb) -> None:
    attention = add(
        benches, "attention", _bench_attention, "one layer of attention by each method against dense attention of OpenVINO and torch"
    )
    attention.add_argument("--tokens", type=whole_number, default=4096, metavar="N", help="in the map (default 4096)")
    attention.add_argument("--heads", type=whole_number, default=6, metavar="H", help="default 6")
    attention.add_argument("--dim", type=whole_number, default=64, metavar="D", help="channels of a head (default 64)")
    attention.add_argument(
        "--keep", type=some_share, default=0.1, metavar="K", help="share of the key blocks that sparsifiner and hybrid keep (default 0.1)"
    )
    attention.add_argument("--measurements", type=whole_number, default=256, metavar="M", help="of csat (default 256)")
    attention.add_argument("--changed", type=some_share, default=0.05, metavar="F", help="share of the tokens, one square (default 0.05)")
    attention.add_argument(
        "--gate", type=share, default=0.02, metavar="G", help="ours, beside 0: share of the output's range (default 0.02)"
    )
    attention.add_argument("--threads", type=whole_number, default=2, metavar="T", help="that each engine may use (default 2)")
    attention.add_argument("--methods", type=names, default=(), metavar="NAMES", help="ours, by name (default: all)")
    attention.add_argument("--shots", type=whole_number, default=20, metavar="N", help="timed for each (default 20)")
    attention.add_argument("--plot", type=Path, metavar="FILE.png", help="draw how much faster each is, over its error")
    attention.add_argument("--json", action="store_true", help="print the rows as one JSON list")


def _add_shape(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--input-shape", type=shape, metavar="1,3,720,1280", help="batch, channels, height, width, for a file that leaves them open"
    )


def _plan(arguments: argparse.Namespace) -> int:
    from edgevision.recompute.engine import SelectiveNetwork
    from edgevision.recompute.splice import SpliceNetwork
    from edgevision.study.network_plan import plan_report, splice_report

    if arguments.engine == "splice":
        spliced = SpliceNetwork.load(_path(arguments.network), precision=arguments.precision, input_shape=arguments.input_shape)
        print(json.dumps(splice_report(spliced)) if arguments.json else spliced.plan)
        return 0
    if arguments.network == "turbovit" or arguments.network.endswith(".npz"):
        from edgevision.study.network_plan import open_turbovit

        net = open_turbovit(arguments.network, arguments.input_shape, arguments.attention, arguments.keep)
    else:
        net = SelectiveNetwork.load(_path(arguments.network), arguments.precision, input_shape=arguments.input_shape)
    print(json.dumps(plan_report(net)) if arguments.json else net.plan)
    return 0


def _bench_net(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from edgevision.recompute.gate_file import read_gates
    from edgevision.study.bench import LIVE, BenchTask, bench
    from edgevision.study.bench_report import draw, show
    from edgevision.study.gate_curve import check_plot

    if arguments.plot:
        check_plot(arguments.plot)
    path = _path(arguments.network)
    task = BenchTask(
        network=path,
        live=arguments.live or LIVE,
        clip=arguments.clip,
        precisions=arguments.precision,
        threads=arguments.threads,
        input_shape=arguments.input_shape,
        gates=read_gates(arguments.gates, path) if arguments.gates else arguments.gate,
        foreign=arguments.foreign,
        frames=arguments.frames,
        int8=arguments.int8,
        has_memory=not arguments.no_memory,
    )
    result = bench(task, is_quiet=arguments.json)
    if arguments.json:
        print(json.dumps(result.rows))
        print("".join(f"edgevision: {note}\n" for note in result.notes), end="", file=sys.stderr)
    else:
        show(result, Console(width=max(WIDTH, Console().width)))
    if arguments.plot:
        draw(result, arguments.plot)
    return 0 if any(row["engine"] == "ours" for row in result.rows) else 1


def _bench_compare(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from edgevision.study.change_bench import ChangeTask, bench
    from edgevision.study.change_report import show
    from edgevision.study.waiting import telling

    with telling(is_quiet=arguments.json) as told:
        rows = bench(ChangeTask(arguments.clip, arguments.truth, arguments.frames), told)
    if arguments.json:
        print(json.dumps(rows))
    else:
        show(rows, Console(width=max(WIDTH, Console().width)))
    return 0


def _bench_turbovit(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from edgevision.study.turbovit_bench import METHODS, SHIPPED_GATE, TurboTask, bench
    from edgevision.study.turbovit_report import show
    from edgevision.study.waiting import telling

    task = TurboTask(
        size_px=arguments.size,
        changed=arguments.changed,
        threads=arguments.threads,
        gate=SHIPPED_GATE if arguments.gate is None else arguments.gate,
        keep=arguments.keep,
        methods=arguments.methods or METHODS,
        weights=arguments.weights,
        seed=arguments.seed,
        shots=arguments.frames,
        has_memory=not arguments.no_memory,
        precision=arguments.precision,
    )
    if arguments.ab:
        return _bench_both(task, arguments)
    with telling(is_quiet=arguments.json) as told:
        found = bench(task, told)
    if arguments.json:
        print(json.dumps(found.rows))
        print("".join(f"edgevision: {note}\n" for note in found.notes), end="", file=sys.stderr)
    else:
        show(found, Console(width=max(WIDTH, Console().width)))
    return 0


def _bench_both(task: TurboTask, arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from edgevision.study.turbovit_ab import compare, show
    from edgevision.study.waiting import telling

    with telling(is_quiet=arguments.json) as told:
        found = compare(task, arguments.ab, told)
    if arguments.json:
        print(json.dumps(found))
    else:
        show(found, Console(width=max(WIDTH, Console().width)))
    return 0


def _bench_attention(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from edgevision.study.attention_bench import AttentionTask, bench
    from edgevision.study.attention_report import draw, show
    from edgevision.study.gate_curve import check_plot
    from edgevision.study.waiting import telling

    if arguments.plot:
        check_plot(arguments.plot)
    given = {name: getattr(arguments, name) for name in AttentionTask.__dataclass_fields__ if hasattr(arguments, name)}
    with telling(is_quiet=arguments.json) as told:
        found = bench(AttentionTask(**given), told)
    if arguments.json:
        print(json.dumps(found.rows))
        print("".join(f"edgevision: {note}\n" for note in found.notes), end="", file=sys.stderr)
    else:
        show(found, Console(width=max(WIDTH, Console().width)))
    if arguments.plot:
        draw(found, arguments.plot)
    return 0


def _quantize(arguments: argparse.Namespace) -> int:
    from edgevision.study.quantize import QuantizeTask, quantise

    task = QuantizeTask(arguments.model, arguments.data, arguments.out, arguments.input_shape, limit=arguments.limit)
    report = quantise(task, is_quiet=arguments.json)
    text = report.pop("text")
    print(json.dumps(report) if arguments.json else text)
    return 0


def _path(network: str) -> Path:
    """Of a file, or of the network that ships."""
    from edgevision.recompute.load import network_path
    from edgevision.recompute.settings import RecomputeSettings

    return network_path(RecomputeSettings(network="default")) if network == "default" else Path(network)


def names(text: str) -> tuple[str, ...]:
    """Words between commas, for argparse."""
    return tuple(word.strip() for word in text.split(","))


def shape(text: str) -> tuple[int, ...]:
    """Four whole numbers from 1 on, for argparse."""
    sizes = tuple(int(part) for part in text.replace("x", ",").strip("()[] ").split(","))
    if len(sizes) != 4 or min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be batch, channels, height, width, for example 1,3,720,1280")
    return sizes


def share(text: str) -> float:
    """A number from 0 to 1, for argparse."""
    number = float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be between 0 and 1")
    return number


def some_share(text: str) -> float:
    """A number above 0 and up to 1, for argparse."""
    number = float(text)
    if not 0 < number <= 1:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be above 0 and at most 1, the nearest is {1 if number > 1 else 0.01}")
    return number


def shares(text: str) -> tuple[float, ...]:
    """Numbers from 0 to 1, for argparse."""
    return tuple(share(part) for part in text.split(","))


def whole_number(text: str) -> int:
    """A number from 1 on, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is given; it must be 1 or more")
    return number


def whole_numbers(text: str) -> tuple[int, ...]:
    """Numbers from 1 on, for argparse."""
    return tuple(whole_number(part) for part in text.split(","))


def precisions(text: str) -> tuple[str, ...]:
    """Names of precisions, each once, for argparse."""
    names = tuple(dict.fromkeys(text.split(",")))
    unknown = [name for name in names if name not in PRECISIONS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is given; it must be one or more of {', '.join(PRECISIONS)}")
    return names
