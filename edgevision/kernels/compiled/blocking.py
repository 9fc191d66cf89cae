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
    """Output channels [start, start + used) of a group, in `vectors` vectors."""

    start: int
    used: int
    vectors: int


def pixels(cpu: Cpu, vectors: int) -> tuple[int, int]:
    """Pixels of a wide and of a short tile."""
    return (_WIDE if cpu.lanes == 16 else _NARROW)[vectors]


def widths(cpu: Cpu, block: Block) -> tuple[tuple[int, ...], int]:
    """(lanes of each vector, lanes used of the last): of 16 lanes, half will do for at most 8 channels."""
    tail = block.used - (block.vectors - 1) * cpu.lanes
    last = 8 if cpu.lanes == 16 and tail <= 8 else cpu.lanes
    return (*(cpu.lanes,) * (block.vectors - 1), last), tail


def split(channels: int, lane_bytes: int, cpu: Cpu) -> tuple[Block, ...]:
    """Blocks that cover a group's output channels; `lane_bytes` of weights belong to one channel."""
    count = -(-channels // cpu.lanes)
    blocks, vector = [], 0
    for vectors in _vectors(count, _largest(lane_bytes * cpu.lanes, cpu)):
        start = vector * cpu.lanes
        blocks.append(Block(start, min(channels - start, vectors * cpu.lanes), vectors))
        vector += vectors
    return tuple(blocks)


def _largest(vector_bytes: int, cpu: Cpu) -> int:
    """Vectors in a block: as many as registers allow, fewer where the weights would not stay in the cache."""
    most = 4 if cpu.lanes == 16 else 2
    while most > 2 and most * vector_bytes > _CACHED_BYTES:
        most -= 1
    return most


def _vectors(count: int, most: int) -> list[int]:
    """So many vectors in blocks of at most `most`; no block of one vector where two blocks can share."""
    whole, rest = divmod(count, most)
    if rest == 1 and most > 2 and whole:
        return [most] * (whole - 1) + [most - 1, 2]
    return [most] * whole + [rest] * (rest > 0)
