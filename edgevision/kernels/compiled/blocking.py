"""How output channels are cut into blocks of vectors, and how many pixels go with them, for the registers at hand. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Blocking:
    """`lanes` floats a vector, at most `vectors` of them a block, `registers` accumulators in a wide tile, `short` in a narrow one."""

    lanes: int
    vectors: tuple[int, ...]
    registers: int
    short: int

    def pixels(self, vectors: int) -> tuple[int, int]:
        """(pixels of the wide tile, of the short one for what is left of a run)."""
        return max(1, self.registers // vectors), max(1, -(-self.short // vectors))


@dataclass(frozen=True)
class Part:
    """`blocks` blocks a group, each of `vectors` vectors, from channel `start` of the group on; `tail` lanes of the last are used."""

    blocks: int
    vectors: int
    tail: int
    start: int


def choose(lanes: int) -> Blocking:
    """AVX-512: 16 lanes and 32 registers; AVX2 8 and 16; anything else 4 and 16."""
    return Blocking(16, (4, 3, 2), 24, 8) if lanes == 16 else Blocking(lanes, (2,), 12, 4)


def split(channels: int, blocking: Blocking) -> tuple[Part, ...]:
    """One or two Parts that cover a group's output channels."""
    lanes = blocking.lanes
    count = -(-channels // lanes)
    tail = channels - (count - 1) * lanes
    if count <= max(blocking.vectors):
        return (Part(1, count, tail, 0),)
    wide = min(blocking.vectors, key=lambda vectors: (count % vectors, -vectors))
    rest = count % wide
    if rest == 0 and tail == lanes:
        return (Part(count // wide, wide, lanes, 0),)
    blocks = count // wide if rest else count // wide - 1
    start = blocks * wide
    return Part(blocks, wide, lanes, 0), Part(1, count - start, tail, start * lanes)
