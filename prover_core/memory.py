"""Giving memory-mapped pages back before the system asks for them."""

from __future__ import annotations

import mmap

import numpy as np

from .types import Limbs


def release_pages(array: Limbs) -> None:
    """Drops the resident pages that lie wholly within a view of a read-only file map; elsewhere does nothing.

    They come back from the page cache, or from disk, when touched again. For keys larger than memory ought to hold,
    and for processes that are judged by their resident size.
    """
    owner: object = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    mapped = owner.obj if isinstance(owner, memoryview) else owner
    if not isinstance(mapped, mmap.mmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    start = array.ctypes.data - np.frombuffer(mapped, dtype=np.uint8).ctypes.data
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (start + array.nbytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > first >= 0:
        mapped.madvise(mmap.MADV_DONTNEED, first, end - first)
