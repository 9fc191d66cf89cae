"""UUIDv7: the bits stand where RFC 9562 wants them, and names sort by time."""

import random
import uuid

from hypothesis import given
from hypothesis import strategies as st

from edgevision.identifiers import uuid7


def test_the_example_of_the_standard() -> None:
    chance = (0xCC3 << 62) | 0x18C4_DC0C_0C07_398F
    name = uuid7(0x017F22E279B0 / 1000, FixedBits(chance))
    assert name == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"


def test_seeded_names_come_again_and_free_ones_do_not() -> None:
    assert uuid7(5.0, random.Random(3)) == uuid7(5.0, random.Random(3))
    assert uuid7(5.0) != uuid7(5.0)


@given(st.floats(0, 4e9), st.floats(0, 4e9), st.integers(0, 2**32))
def test_version_variant_and_order(first_s: float, second_s: float, seed: int) -> None:
    generator = random.Random(seed)
    first, second = uuid7(first_s, generator), uuid7(second_s, generator)
    for name in (first, second):
        assert uuid.UUID(name).version == 7
        assert uuid.UUID(name).variant == uuid.RFC_4122
    if int(first_s * 1000) != int(second_s * 1000):
        assert (first < second) == (first_s < second_s)


class FixedBits(random.Random):
    """Randomness that always answers the same."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def getrandbits(self, k: int) -> int:
        return self.bits & ((1 << k) - 1)
