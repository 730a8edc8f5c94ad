"""Which wires of a segment have come, as disjoint ranges."""

from __future__ import annotations

from bisect import bisect_right


class Coverage:
    """A set of wires [start, stop) kept as sorted disjoint ranges; in-order input keeps it at one or two of them."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        self.count = 0
        """Wires covered."""

    def overlaps(self, start: int, stop: int) -> bool:
        """Whether any wire of the range has come already; O(log ranges)."""
        i = bisect_right(self._starts, start)
        if i > 0 and self._stops[i - 1] > start:
            return True
        return i < len(self._starts) and self._starts[i] < stop

    def add(self, start: int, stop: int) -> None:
        """Adds a range that does not overlap; neighbours are joined."""
        i = bisect_right(self._starts, start)
        joins_left = i > 0 and self._stops[i - 1] == start
        joins_right = i < len(self._starts) and self._starts[i] == stop
        if joins_left and joins_right:
            self._stops[i - 1] = self._stops[i]
            del self._starts[i], self._stops[i]
        elif joins_left:
            self._stops[i - 1] = stop
        elif joins_right:
            self._starts[i] = start
        else:
            self._starts.insert(i, start)
            self._stops.insert(i, stop)
        self.count += stop - start

    def ranges(self) -> list[tuple[int, int]]:
        """The ranges, ascending."""
        return list(zip(self._starts, self._stops, strict=True))
