"""Does somebody keep this computer's clock right. Out: yes, no, or None where it cannot be seen. Keeps nothing.

The kernel knows (adjtimex(2), read only). Our systemd unit may not ask it, as the same call can set the clock (`ProtectClock`); what
systemd-timesyncd leaves in /run is asked then.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path

TIMEX_BYTES, TIME_ERROR = 512, 5  # more than struct timex has; all zero asks only
TIMESYNC = Path("/run/systemd/timesync")


def is_clock_synced(folder: Path = TIMESYNC) -> bool | None:
    """As of now; takes microseconds."""
    state = _library().adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    if state >= 0:
        return bool(state != TIME_ERROR)
    return (folder / "synchronized").exists() if folder.is_dir() else None


@cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None)
