"""A ring of bytes in virtual memory: the same pages twice, one after the other, so that what runs over the end goes on at the beginning.

In: how many bytes at least. Out: an array of twice the ring. The pages live as long as the array does. Linux.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FIXED, _FAILED = 0x10, ctypes.c_void_p(-1).value


def ring_bytes(count: int) -> int:
    """The size of the ring for so many bytes: whole pages."""
    return -(-count // mmap.PAGESIZE) * mmap.PAGESIZE


def ring(count: int) -> NDArray[np.uint8]:
    """Zeros: a ring of at least `count` bytes, twice. Raises MemoryError where the system gives no more mappings."""
    size = ring_bytes(count)
    reserved = mmap.mmap(-1, 2 * size)  # owns the addresses; what is mapped over them goes when it does
    array = np.frombuffer(reserved, np.uint8)
    file = os.memfd_create("edgevision-ring", os.MFD_CLOEXEC)
    try:
        os.ftruncate(file, size)
        for address in (array.ctypes.data, array.ctypes.data + size):
            given = _map()(address, size, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | _FIXED, file, 0)
            if given in (None, _FAILED):
                raise MemoryError(f"no ring of {size} bytes: {os.strerror(ctypes.get_errno())}; see vm.max_map_count and the memory limit")
    finally:
        os.close(file)
    return array


@cache
def _map() -> Any:
    call = ctypes.CDLL(None, use_errno=True).mmap
    call.restype = ctypes.c_void_p
    call.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
    return call
