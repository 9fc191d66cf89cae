"""What a person asks of an outbox that the service has open: a small file beside it. In: a path. Out: the order, carried out once.

Whoever may write to the state folder may ask; no broker is needed. The service looks once a second.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edgevision.errors import Unavailable
from edgevision.publish.outbox import Outbox


def leave_retry(path: Path) -> Path:
    """Ask the one who has this outbox open to send again what was set aside; the file that goes away once it is done."""
    order = _retry_of(path)
    try:
        order.touch()
    except OSError as error:
        raise Unavailable(f"outbox {path}: {error.strerror}; ask as the service's user or as root") from error
    return order


def heed(outbox: Outbox) -> int:
    """Carry out what was asked for; how many messages are sent again. Raises Unavailable when the outbox cannot be written."""
    order = _retry_of(outbox.path)
    if not order.exists():
        return 0
    count = outbox.retry()
    with suppress(OSError):
        order.unlink(missing_ok=True)
    return count


def _retry_of(path: Path) -> Path:
    return path.with_name(path.name + ".retry")
