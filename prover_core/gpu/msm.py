"""A multi-scalar multiplication on the device: buckets that stay open while blocks of scalars come in.

For one block: recode the scalars to signed digits, count them by bucket, scan the counts, cut buckets into tasks
ordered by size, scatter the points into their buckets, then one thread a task adds them up (kernels/sort.cu, msm.cu).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..errors import InvalidInputError
from .device import Memory
from .groups import Group, Pair
from .memory import Lane, words

_BLOCK: Final = 256
_COUNTERS: Final = 8
_REFUSED: Final = 2
_BUCKET_COST: Final = 4.0
"""Price of a bucket at the end, in mixed additions: two to three full additions, less parallel."""
_ONES_THREADS: Final = 16384
_COMBINE_BLOCKS: Final = 2048
_FOLD_LOG: Final = 3


def grid(n: int, block: int = _BLOCK) -> int:
    """Blocks for n threads."""
    return -(-n // block)


@dataclass(frozen=True, slots=True)
class Windows:
    """Signed digits of c bits, as in `native/windows.hpp`: 254 bits in all, 2^(c-1) buckets a window."""

    c: int

    @property
    def count(self) -> int:
        return -(-254 // self.c)

    @property
    def buckets(self) -> int:
        """In one window."""
        return 1 << (self.c - 1)

    @property
    def offset(self) -> int:
        """What is added to a scalar so that each digit is the plain bits of its window less 2^(c-1)."""
        return sum(1 << (self.c - 1 + self.c * w) for w in range(self.count - 1))

    @classmethod
    def cheapest(cls, n: int, point_bytes: int, memory: int) -> Windows:
        """For n points: the c in [4, 22] with the fewest additions whose buckets fit into `memory` bytes."""
        fitting = [w for w in map(cls, range(4, 23)) if w.c == 4 or w.count * w.buckets * point_bytes <= memory]
        return min(fitting, key=lambda w: w.count * (n + w.buckets * _BUCKET_COST))


class DeviceSum:
    """sum_i k_i P_i over bases on the device, in one lane; open until `finish`. Used by one thread at a time."""

    def __init__(self, group: Group, lane: Lane, n: int, *, bucket_memory: int, block_scalars: int) -> None:
        """`n` bases; scalars are taken at most `block_scalars` at once. Buckets are allocated by the first `add`."""
        self._group = group
        self._lane = lane
        self._windows = Windows.cheapest(n, group.point_bytes, bucket_memory)
        self._block_scalars = block_scalars
        self._ones_threads = min(_ONES_THREADS, 128 * max(1, n // 1024))
        self._open: Memory | None = None
        self._results: int | None = None

    @property
    def _ones_at(self) -> int:
        return self._windows.count * self._windows.buckets * self._group.point_bytes

    @property
    def _refused_at(self) -> int:
        return self._ones_at + self._ones_threads * self._group.point_bytes

    def add(self, bases: int, first: int, scalars: int, n: int) -> None:
        """Submits n scalars at address `scalars` over the bases at `bases`, from base `first`. Does not wait."""
        for begin in range(0, n, self._block_scalars):
            count = min(self._block_scalars, n - begin)
            self._add_block(bases, first + begin, scalars + 32 * begin, count)

    def _state(self) -> int:
        """Address of the buckets, then the sums of ones, then the number of refused scalars and the offset."""
        if self._open is None:
            stream, size = self._lane.stream, self._refused_at + 64
            self._open = self._lane.residents.alloc(size)
            stream.zero(self._open.address, size)
            stream.upload(self._open.address + self._refused_at + 32, words([self._windows.offset], 8))
        return self._open.address

    def _add_block(self, bases: int, first: int, scalars: int, n: int) -> None:
        group, lane, w = self._group, self._lane, self._windows
        sort, points = group.sort_module, group.module
        launch, scratch = lane.stream.launch, lane.scratch
        state = self._state()
        buckets, total = w.count * w.buckets, n * w.count
        mean = n / w.buckets
        limit = min(255, max(32, int(2 * mean)))
        max_tasks, max_splits = min(buckets, total) + total // limit + 1, total // limit + 1
        max_partials = 2 * (total // limit) + 1

        counters = scratch("counters", 4 * (_COUNTERS + 256))
        bins = counters + 4 * _COUNTERS
        shifted, point = scratch("shifted", 32 * n), scratch("point", 4 * n)
        one, sorted_ = scratch("one", 4 * n), scratch("sorted", 4 * total)
        count, start = scratch("count", 4 * buckets), scratch("start", 4 * buckets)
        tiles = grid(buckets, 1024)
        tile = scratch("tile", 4 * tiles)
        task, split = scratch("task", 16 * max_tasks), scratch("split", 16 * max_splits)
        partial = scratch("partial", group.point_bytes * max_partials)

        lane.stream.zero(counters, 4 * (_COUNTERS + 256))
        lane.stream.zero(count, 4 * buckets)
        offset = state + self._refused_at + 32
        launch(sort, "msm_recode", grid(n), _BLOCK, (scalars,), (bases,), group.base_bytes // 4, first, n, (offset,),
               (counters,), (shifted,), (point,), (one,))  # fmt: skip
        launch(sort, "msm_count", grid(n), _BLOCK, (shifted,), (counters,), w.c, w.count, (count,))
        launch(sort, "scan_tiles", tiles, _BLOCK, (count,), buckets, (start,), (tile,))
        launch(sort, "scan_top", 1, _BLOCK, (tile,), tiles)
        launch(sort, "scan_add", grid(buckets), _BLOCK, (start,), (tile,), buckets)
        launch(sort, "plan_sizes", grid(buckets), _BLOCK, (count,), buckets, limit, (bins,))
        launch(sort, "plan_places", 1, 1, (bins,), (counters,))
        launch(sort, "plan_tasks", grid(buckets), _BLOCK, (count,), (start,), buckets, limit, (bins,), (counters,),
               (task,), (split,))  # fmt: skip
        launch(sort, "msm_scatter", grid(n), _BLOCK, (shifted,), (point,), (counters,), w.c, w.count, (start,),
               (sorted_,))  # fmt: skip
        launch(points, "msm_accumulate", grid(max_tasks, 128), 128, (bases,), (sorted_,), (task,), (counters,),
               (state,), (partial,))  # fmt: skip
        combine_blocks = min(_COMBINE_BLOCKS, max_splits)
        launch(points, "msm_combine", combine_blocks, self._tree, (split,), (counters,), (partial,), (state,))
        launch(points, "msm_ones", self._ones_threads // 128, 128, (bases,), (one,), (counters,),
               (state + self._ones_at,))  # fmt: skip
        launch(sort, "add_word", 1, 1, (state + self._refused_at,), (counters + 4 * _REFUSED,))

    @property
    def _tree(self) -> int:
        return 64 if self._group.degree == 2 else 128

    def reduce(self) -> None:
        """Submits the reduction of the buckets. Does not wait; nothing may be added any more."""
        if self._open is not None and self._results is None:
            size, state = self._group.point_bytes, self._open.address
            self._results = self._lane.scratch("results", size * (self._windows.count + 1))
            self._fold(state, self._results)
            self._sum_ones(state + self._ones_at, self._results + size * self._windows.count)

    def finish(self) -> list[tuple[int, tuple[Pair, Pair]]]:
        """(weight, affine point) for each window and for the ones: their combination is the sum. Frees the buckets.

        Waits for the device. `InvalidInputError` if a scalar was not canonical, `DeviceResultError` for what cannot be.
        """
        if self._open is None:
            return []
        try:
            self.reduce()
            assert self._results is not None
            return self._collect(self._open.address, self._results)
        finally:
            self.close()

    def close(self) -> None:
        """Frees the buckets, once the lane's work is done."""
        memory, self._open = self._open, None
        if memory is not None:
            self._lane.stream.synchronize()
            memory.free()

    def _collect(self, state: int, results: int) -> list[tuple[int, tuple[Pair, Pair]]]:
        stream, w = self._lane.stream, self._windows
        raw = np.empty(self._group.point_bytes * (w.count + 1), dtype=np.uint8)
        refused = np.empty(1, dtype=np.uint32)
        stream.download(results, raw)
        stream.download(state + self._refused_at, refused)
        stream.synchronize()
        if refused[0]:
            raise InvalidInputError(f"{refused[0]} scalars are not below r", field="scalars")
        weights = [1 << (w.c * i) for i in range(w.count)] + [1]
        return list(zip(weights, self._group.affine(raw), strict=True))

    def _fold(self, buckets: int, results: int) -> None:
        w, size = self._windows, self._group.point_bytes
        x, extra, items, level = buckets, 0, w.buckets, 0
        while True:
            outs = grid(items, 1 << _FOLD_LOG)
            x_out = results if outs == 1 else self._lane.scratch(f"fold x {level}", size * w.count * outs)
            extra_out = results if outs == 1 else self._lane.scratch(f"fold e {level}", size * w.count * outs)
            self._lane.stream.launch(
                self._group.module, "msm_fold", grid(w.count * outs, 128), 128, (x,), (extra,), int(level > 0), w.count,
                items, _FOLD_LOG, _FOLD_LOG * level, (x_out,), (extra_out,),
            )  # fmt: skip
            if outs == 1:
                return
            x, extra, items, level = x_out, extra_out, outs, level + 1

    def _sum_ones(self, sums: int, result: int) -> None:
        n, source, level = self._ones_threads, sums, 0
        while n > 1:
            blocks = grid(n, self._tree)
            out = result if blocks == 1 else self._lane.scratch(f"ones {level}", self._group.point_bytes * blocks)
            self._lane.stream.launch(self._group.module, "msm_sum", blocks, self._tree, (source,), n, (out,))
            n, source, level = blocks, out, level + 1
