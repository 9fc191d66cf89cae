"""How output channels are cut into blocks of vectors, and how many pixels go with them, for the registers at hand. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgevision.kernels.compiled.cpu import Cpu

# by vectors in a block: pixels of the wide tile and of the short one for what is left
_WIDE: Mapping[int, tuple[int, int]] = MappingProxyType({1: (12, 4), 2: (12, 4), 3: (8, 3), 4: (6, 2)})  # 32 registers
_NARROW: Mapping[int, tuple[int, int]] = MappingProxyType({1: (10, 4), 2: (6, 2), 3: (4, 2)})  # 16 registers
_CACHED_BYTES = 600_000  # weights of a block that stay in the second-level cache


@dataclass(frozen=True)
class Block:
    """Output channels [start, start + used) of a group, in `vectors` vectors of `lanes` floats."""

    start: int
    used: int
    vectors: int
    lanes: int

    @property
    def tail(self) -> int:
        """Lanes used of the last vector."""
        return self.used - (self.vectors - 1) * self.lanes


def pixels(cpu: Cpu, vectors: int, kind: str) -> tuple[int, int]:
    """Pixels of a wide and of a short tile, for a kind of sum (see `dot`)."""
    if kind == "quads" and cpu.lanes == 8 and vectors == 2:
        return 5, 2  # its constant takes a register
    return (_WIDE if cpu.lanes == 16 else _NARROW)[vectors]


def split(channels: int, channel_bytes: int, cpu: Cpu) -> tuple[Block, ...]:
    """Blocks that cover a group's output channels; `channel_bytes` of weights belong to one.

    Where 16 lanes would be half empty, 8 are taken: they cost half as much on CPUs that run 16 as twice 8, and never more.
    """
    if cpu.lanes == 16 and -(-channels // 8) in (1, 3):
        return (Block(0, channels, -(-channels // 8), 8),)
    is_half = cpu.lanes == 16 and 0 < channels % 16 <= 8
    blocks, start = [], 0
    count = channels // 16 if is_half else -(-channels // cpu.lanes)
    for vectors in _vectors(count, _largest(channel_bytes * cpu.lanes, 4 if cpu.lanes == 16 else 2)):
        blocks.append(Block(start, min(channels - start, vectors * cpu.lanes), vectors, cpu.lanes))
        start += vectors * cpu.lanes
    return (*blocks, Block(start, channels - start, 1, 8)) if is_half else tuple(blocks)


def _largest(vector_bytes: int, most: int) -> int:
    """Vectors in a block: as many as registers allow, fewer where the weights would not stay in the cache."""
    while most > 2 and most * vector_bytes > _CACHED_BYTES:
        most -= 1
    return most


def _vectors(count: int, most: int) -> list[int]:
    """So many vectors in blocks of at most `most`; no block of one vector where two blocks can share."""
    whole, rest = divmod(count, most)
    if rest == 1 and most > 2 and whole:
        return [most] * (whole - 1) + [most - 1, 2]
    return [most] * whole + [rest] * (rest > 0)
