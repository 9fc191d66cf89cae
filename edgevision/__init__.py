"""edgevision: the answer of the whole network, for the price of the pixels that changed.

Start reading at `pipeline.py`: it alone knows a frame's life. The map of the package:

    cli.py          the command line                       daemon/      the pipeline kept alive
    pipeline.py     a frame's life, from image to verdict  study/       the pipeline examined (replay, demo, bench, train)
    config.py       YAML to one frozen Config              yaml_file.py, yaml_settings.py  its places and types, errors by line
    second_look.py  the raw frame, whole, to the verdict   candidate.py, yaml_edit.py  a candidate's settings; values set in the file
    showing.py      frames as the network is shown them, beside a template if it compares
    stages.py       what sees for a camera: network, decoder, audits, made for its frames' size
    account.py      what is written down of a frame     close_calls.py  verdicts near their limits: looked at closer
    reference.py    every key with its default             identifiers.py  UUIDv7 of events and tracks
    capture/        frames come in                         segment/     outputs become regions
    compare/        what moved                             judge/       regions become defects, verdicts, events
    recompute/      run the network there                  publish/     events reach the broker
    networks/       networks as plain data, attention, weights   kernels/  the arithmetic: plain (oracle) and compiled
    web/            the status page and the metrics        {recipe,network,report,service,learn}_verbs.py  verbs of cli.py by subject
    registry.py     name to factory, plugin folders        interfaces.py  what a plugin promises
    records.py      the values that travel                 errors.py    one class per reaction

OpenVINO has four doors: recompute/{graph,island,crops}.py (to read a file; what has no kernel, and busy
scenes; crops) and study/peers.

Imports go down only:
    cli > daemon, study > pipeline > config > capture|compare|recompute|segment|judge|publish|web
        > registry, networks > kernels > interfaces > records, errors
"""

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgevision.compare.background import ChangeDetector, ChangeSettings
    from edgevision.errors import EdgevisionError
    from edgevision.pipeline import Pipeline
    from edgevision.recompute.engine import SelectiveNetwork
    from edgevision.records import ChangeMap, Costs, Event, Frame, Inspection, Verdict

__version__ = "0.1.0"

_HOMES = MappingProxyType(
    {
        "ChangeDetector": "compare.background",
        "ChangeSettings": "compare.background",
        "ChangeMap": "records",
        "Costs": "records",
        "EdgevisionError": "errors",
        "Event": "records",
        "Frame": "records",
        "Inspection": "records",
        "Pipeline": "pipeline",
        "SelectiveNetwork": "recompute.engine",
        "Verdict": "records",
    }
)
__all__ = [
    "ChangeDetector",
    "ChangeMap",
    "ChangeSettings",
    "Costs",
    "EdgevisionError",
    "Event",
    "Frame",
    "Inspection",
    "Pipeline",
    "SelectiveNetwork",
    "Verdict",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """The public names, loaded on first use: a decoder child that needs none of Numba or OpenVINO does not pay for them."""
    if name not in _HOMES:
        raise AttributeError(f"module 'edgevision' has no attribute '{name}'")
    return getattr(import_module(f"edgevision.{_HOMES[name]}"), name)
