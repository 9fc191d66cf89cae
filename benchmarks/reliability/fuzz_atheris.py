"""The examples of `fuzz.py`, led by which lines of edgevision they reach instead of by chance (atheris, which is libFuzzer).

    pip install atheris                                      # Python 3.11 to 3.13; no dependency of edgevision
    python benchmarks/reliability/fuzz_atheris.py KIND [-max_total_time=60] [any other flag of libFuzzer]

KIND as in `fuzz.py`. Ends with an error at the first crash, and leaves the input that makes it in a file `crash-...`.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

import atheris
from hypothesis import HealthCheck, given, settings

with atheris.instrument_imports(include=["edgevision"]):
    from fuzz import KINDS, Fuzz


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in KINDS:
        sys.exit(f"name one of {', '.join(KINDS)}")
    kind = sys.argv.pop(1)
    logging.getLogger("edgevision").addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory(prefix="edgevision-fuzz-") as name:
        strategy, check = getattr(Fuzz(Path(name)), kind)()
        limits = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
        atheris.Setup(sys.argv, limits(given(strategy)(check)).hypothesis.fuzz_one_input)
        atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
