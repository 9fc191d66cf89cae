"""Credentials out of texts. In: any text. Out: the same with the user and password of every URL masked. Keeps nothing."""

from __future__ import annotations

import re

_IN_URL = re.compile(r"(?P<scheme>[a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s'\"]*@")
_IN_QUERY = re.compile(r"(?P<key>[?&](?:user|username|usr|password|passwd|pwd|pass|token|auth|key)=)[^&\s'\"]+", re.IGNORECASE)


def redact(text: object) -> str:
    """`rtsp://user:pass@host/x?token=y` becomes `rtsp://***@host/x?token=***`."""
    return _IN_QUERY.sub(r"\g<key>***", _IN_URL.sub(r"\g<scheme>***@", str(text)))
