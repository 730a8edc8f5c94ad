"""What the orchestration asks of a device: memory, streams, launches. CuPy implements it; so do the tests, on the host.

Addresses are plain integers in the device's memory. What is submitted to one stream runs in order; streams run apart.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy.typing as npt

from ..errors import BackendError

Argument = int | None | tuple[int]
"""Of a kernel: an integer is a `uint32_t`, a 1-tuple is a pointer, None a null pointer."""


class DeviceMemoryError(BackendError):
    """The device has not enough memory left for this."""


class DeviceLostError(BackendError):
    """The device, its driver or a launch failed; nothing more can be expected of it in this process."""


class DeviceResultError(BackendError):
    """The device returned what cannot be right."""


class Memory(Protocol):
    """A piece of device memory, aligned to 256 bytes. Its content is undefined at first."""

    @property
    def address(self) -> int: ...

    @property
    def nbytes(self) -> int: ...

    def free(self) -> None:
        """Nothing submitted may still use it."""


class Stream(Protocol):
    """An ordered queue of work. Used by one thread at a time; every method may raise `DeviceLostError`."""

    def upload(self, to: int, data: npt.NDArray[Any]) -> None:
        """Copies a contiguous array, which must not change before `synchronize`, and is kept until then."""

    def download(self, source: int, out: npt.NDArray[Any]) -> None:
        """Copies into a contiguous array, which is filled after `synchronize`."""

    def zero(self, to: int, nbytes: int) -> None:
        """Sets bytes to 0."""

    def launch(self, module: str, kernel: str, grid: int, block: int, *arguments: Argument) -> None:
        """One-dimensional launch of a kernel of `sources.MODULES`; the module is compiled or loaded if need be."""

    def wait_for(self, other: Stream) -> None:
        """What is submitted from here on runs after what `other` has been given so far."""

    def synchronize(self) -> None:
        """Returns when all is done."""


class Device(Protocol):
    """One GPU."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def total_memory(self) -> int:
        """Bytes."""

    def alloc(self, nbytes: int) -> Memory:
        """`DeviceMemoryError` if there is not enough."""

    def stream(self) -> Stream: ...
