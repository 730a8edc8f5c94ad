"""A GPU through CuPy, which only this file imports. NVRTC compiles kernels at first use; CuPy caches by content."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendError
from .device import Argument, DeviceLostError, DeviceMemoryError, Stream
from .sources import MODULES, source

try:
    import cupy
except ImportError as error:
    raise BackendError(f"CuPy cannot be imported: {error}") from error


@contextmanager
def _cuda_errors(what: str) -> Iterator[None]:
    try:
        yield
    except cupy.cuda.memory.OutOfMemoryError as e:
        raise DeviceMemoryError(f"{what}: {e}") from e
    except (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError) as e:
        raise DeviceLostError(f"{what}: {e}") from e
    except cupy.cuda.compiler.CompileException as e:
        raise BackendError(f"{what}: {e}") from e


class CupyMemory:
    """A piece of a device's pool."""

    def __init__(self, pointer: Any, nbytes: int) -> None:
        self._pointer = pointer
        self.nbytes = nbytes
        self.address = int(pointer.ptr)

    def free(self) -> None:
        """Back to the pool."""
        self._pointer = None


class CupyStream:
    """A non-blocking CUDA stream."""

    def __init__(self, device: CupyDevice) -> None:
        self._device = device
        self._uploading: list[npt.NDArray[Any]] = []
        with device.current("stream"):
            self._stream = cupy.cuda.Stream(non_blocking=True)

    def upload(self, to: int, data: npt.NDArray[Any]) -> None:
        """CUDA stages pageable memory, but a GPU that reads the host's pages may read them later: the array is kept."""
        if data.nbytes:
            self._uploading.append(data)
            with self._device.current("upload"):
                cupy.cuda.runtime.memcpyAsync(
                    to, data.ctypes.data, data.nbytes, cupy.cuda.runtime.memcpyHostToDevice, self._stream.ptr
                )

    def download(self, source: int, out: npt.NDArray[Any]) -> None:
        """Waits for what the stream was given before."""
        if out.nbytes:
            with self._device.current("download"):
                cupy.cuda.runtime.memcpyAsync(
                    out.ctypes.data, source, out.nbytes, cupy.cuda.runtime.memcpyDeviceToHost, self._stream.ptr
                )

    def zero(self, to: int, nbytes: int) -> None:
        """One memset."""
        if nbytes:
            with self._device.current("zero"):
                cupy.cuda.runtime.memsetAsync(to, 0, nbytes, self._stream.ptr)

    def launch(self, module: str, kernel: str, grid: int, block: int, *arguments: Argument) -> None:
        """Pointers are passed as 64-bit integers, counts as 32-bit ones."""
        values = tuple(np.uint32(x) if isinstance(x, int) else np.uint64(0 if x is None else x[0]) for x in arguments)
        with self._device.current(kernel), self._stream:
            self._device.function(module, kernel)((grid,), (block,), values)

    def wait_for(self, other: Stream) -> None:
        """By an event."""
        assert isinstance(other, CupyStream)
        with self._device.current("event"):
            self._stream.wait_event(other._stream.record())

    def synchronize(self) -> None:
        """Errors of kernels show here."""
        with self._device.current("synchronize"):
            self._stream.synchronize()
        self._uploading.clear()


class CupyDevice:
    """GPU number `index` of those that CUDA shows. `BackendError` if there is none, or CuPy does not work here."""

    def __init__(self, index: int = 0) -> None:
        try:
            count = int(cupy.cuda.runtime.getDeviceCount())
        except cupy.cuda.runtime.CUDARuntimeError as e:
            raise BackendError(f"no CUDA device: {e}") from e
        if not 0 <= index < count:
            raise BackendError(f"no CUDA device {index}: there are {count}")
        self.index = index
        with self.current("device"):
            properties = cupy.cuda.runtime.getDeviceProperties(index)
            self.total_memory = int(cupy.cuda.runtime.memGetInfo()[1])
            self._pool = cupy.cuda.MemoryPool()
        self.name = str(properties["name"].decode())
        self._modules: dict[str, Any] = {}
        self._functions: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    @contextmanager
    def current(self, what: str) -> Iterator[None]:
        """This device for the calling thread, and CUDA's errors as ours."""
        with _cuda_errors(f"{what} on GPU {self.index}"), cupy.cuda.Device(self.index):
            yield

    def alloc(self, nbytes: int) -> CupyMemory:
        """From the device's own pool, which gives memory back to CUDA before it refuses."""
        with self.current("allocation"), cupy.cuda.Stream.null:
            return CupyMemory(self._pool.malloc(nbytes), nbytes)

    def stream(self) -> CupyStream:
        """A new stream."""
        return CupyStream(self)

    def function(self, module: str, kernel: str) -> Any:
        """The kernel, compiled and loaded. CuPy keeps what it compiled in CUPY_CACHE_DIR, by source and options."""
        key = (module, kernel)
        with self._lock:
            if key not in self._functions:
                if module not in self._modules:
                    self._modules[module] = cupy.RawModule(
                        code=source(module), options=MODULES[module].options, backend="nvrtc"
                    )
                self._functions[key] = self._modules[module].get_function(kernel)
            return self._functions[key]
