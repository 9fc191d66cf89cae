"""Random streams by name and number, so that frame k and part i come out the same whatever was asked for before."""

from __future__ import annotations

from zlib import crc32

import numpy as np


def stream(seed: int, name: str, index: int = 0) -> np.random.Generator:
    """The stream of one thing (`name`, `index`) of one line."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, crc32(name.encode()), index])))
