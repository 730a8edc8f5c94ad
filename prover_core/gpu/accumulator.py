"""`Accumulator` on the device. What fails there is done again on the CPU, from the scalars kept for that."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Generic, TypeVar

import numpy as np

from ..backend import Accumulator
from ..errors import BackendError, InvalidInputError
from ..types import FrVector, G1Point, G1Vector, G2Point, G2Vector
from .engine import Engine
from .groups import Group
from .memory import Lane, Lease
from .msm import DeviceSum

P = TypeVar("P", G1Point, G2Point)
Combine = Callable[[DeviceSum], P]
OnError = Callable[[str, BackendError], None]


class Held:
    """What a piece of work holds on the device, given back in reverse order, also when its owner is only forgotten."""

    def __init__(self, owner: object, engine: Engine) -> None:
        self._engine = engine
        self._stack = ExitStack()
        self._lanes: list[Lane] = []
        self.close = weakref.finalize(owner, _close, self._stack, self._lanes)
        self.close.atexit = False  # the process's memory goes with it

    def lane(self) -> Lane:
        """A lane of its own."""
        lane = self._engine.lanes.take()
        self._lanes.append(lane)
        self._stack.callback(self._engine.lanes.abandon, lane)
        return lane

    def lease(self, lease: Lease) -> Lease:
        """Released at the end."""
        self._stack.callback(lease.release)
        return lease

    def sum(self, opened: DeviceSum) -> DeviceSum:
        """Closed at the end."""
        self._stack.callback(opened.close)
        return opened

    def callback(self, function: Callable[[], object]) -> None:
        """Called at the end."""
        self._stack.callback(function)


def _close(stack: ExitStack, lanes: list[Lane]) -> None:
    with suppress(BackendError):  # of a lost device: all that was held is gone with it
        for lane in lanes:
            lane.stream.synchronize()  # nothing that is freed may still be read
    with suppress(BackendError):
        stack.close()


class CudaAccumulator(Generic[P]):
    """A sum over resident bases in a lane of its own, so that several run at once. `add` does not wait."""

    def __init__(
        self,
        engine: Engine,
        group: Group,
        bases: G1Vector | G2Vector,
        kind: type[P],
        combine: Combine[P],
        on_cpu: Callable[[], Accumulator[P]],
        on_error: OnError,
    ) -> None:
        """`combine` turns a finished sum into a point; `on_cpu` opens the accumulator that takes over after an error,
        of which `on_error` is told first, and may raise instead.
        """
        self._bases = bases
        self._kind: type[P] = kind
        self._combine: Combine[P] = combine
        self._make_cpu: Callable[[], Accumulator[P]] = on_cpu
        self._on_error = on_error
        self._added: list[tuple[int, FrVector]] = []
        self._points: list[P] = []
        self._cpu: Accumulator[P] | None = None
        self._finished = False
        self._held = Held(self, engine)
        try:
            self._lane = self._held.lane()
            self._lease = self._held.lease(engine.residents.acquire(bases.limbs, self._lane.stream))
            self._sum = self._held.sum(engine.sum(group, self._lane, len(bases)))
        except BackendError as e:
            self._take_over(e)

    def add(self, start: int, scalars: FrVector) -> None:
        """As `Accumulator.add`. A scalar that is not below r is refused by `finish`. Keeps a copy of the scalars."""
        self.add_borrowed(start, scalars, kept=None)

    def add_borrowed(self, start: int, scalars: FrVector, kept: FrVector | None) -> None:
        """As `add`, without the copy where `kept` is the scalars themselves, not to change before `finish`."""
        self._check_open()
        if start < 0 or start + len(scalars) > len(self._bases):
            raise InvalidInputError("the range leaves the bases", field="start")
        if self._cpu is not None:
            self._cpu.add(start, scalars)
            return
        if not len(scalars):
            return
        kept = FrVector(np.array(scalars.limbs)) if kept is None else kept
        self._added.append((start, kept))
        try:
            at = self._lane.scratch("scalars", 32 * len(scalars))
            self._lane.stream.upload(at, kept.limbs)
            self._sum.add(self._lease.address, start, at, len(scalars))
        except BackendError as e:
            self._take_over(e)

    def add_point(self, point: G1Point | G2Point) -> None:
        """As `Accumulator.add_point`."""
        self._check_open()
        if not isinstance(point, self._kind):
            raise InvalidInputError("a point of another group cannot be added to this sum", field="point")
        self._points.append(point)

    def settle(self, missing: int) -> None:
        """As `Accumulator.settle`; on the device nothing waits for a caller."""
        self._check_open()
        if self._cpu is not None:
            self._cpu.settle(missing)

    def finish(self) -> P:
        """The sum. `InvalidInputError` when called twice or if a scalar was not below r."""
        self._check_open()
        self._finished = True
        if self._cpu is None:
            try:
                total = self._combine(self._sum)
                self._held.close()
                self._cpu = self._make_cpu()
                self._points.append(total)
            except BackendError as e:
                self._take_over(e)
        assert self._cpu is not None
        for point in self._points:
            self._cpu.add_point(point)
        return self._cpu.finish()

    def _check_open(self) -> None:
        if self._finished:
            raise InvalidInputError("the sum is already finished")

    def _take_over(self, error: BackendError) -> None:
        self._held.close()
        self._on_error("msm", error)
        self._cpu = self._make_cpu()
        for start, scalars in self._added:
            self._cpu.add(start, scalars)
        self._added.clear()
