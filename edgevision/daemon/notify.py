"""Tell systemd how the service is: READY, STATUS, WATCHDOG, RELOADING, STOPPING (sd_notify(3), without a library).

In: state lines. Out: one datagram to the socket that systemd named in NOTIFY_SOCKET, or nothing when there is none.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Sends state to the service manager; silent where there is none. Never raises: a lost notice is not worth a stop."""

    def __init__(self, environment: Mapping[str, str] | None = None):
        environment = os.environ if environment is None else environment
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        self.watchdog_s = int(watchdog_us) / 1e6 if watchdog_us.isdigit() else None

    def send(self, *lines: str) -> bool:
        """Send lines such as `READY=1`; True when a manager was there to hear them."""
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
                channel.sendto("\n".join(lines).encode(), self._address)
        except OSError:
            return False
        return True
