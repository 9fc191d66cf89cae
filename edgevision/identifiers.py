"""UUIDv7: names that sort by the time they were made (RFC 9562, section 5.7). In: a clock reading, randomness. Out: text. Keeps nothing."""

from __future__ import annotations

import random
import secrets


def uuid7(now_s: float, generator: random.Random | None = None) -> str:
    """A UUIDv7 made of `now_s` (seconds since the epoch, kept to the millisecond) and 74 random bits.

    Pass a seeded `generator` to get the same names again in a replay; without one the bits come from the operating system.
    """
    milliseconds = max(0, int(now_s * 1000)) & 0xFFFF_FFFF_FFFF
    chance = secrets.randbits(74) if generator is None else generator.getrandbits(74)
    version_and_upper = 0x7000 | chance >> 62
    variant_and_lower = 0x8000_0000_0000_0000 | chance & 0x3FFF_FFFF_FFFF_FFFF
    digits = f"{milliseconds << 80 | version_and_upper << 64 | variant_and_lower:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
