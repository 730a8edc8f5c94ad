"""A `Device` without a GPU: the kernels' sources compiled for the host under kernels/shim.hpp, memory with guard zones.

Fresh memory holds garbage, every free checks that nothing was written beside the piece, and addresses given to kernels
and copies must lie in living pieces; so the orchestration's mistakes show here and not as a lost device.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import threading
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from prover_core.gpu.device import Argument, DeviceLostError, DeviceMemoryError, Stream
from prover_core.gpu.sources import MODULES, kernels, source

ROOT = Path(__file__).resolve().parents[2]
KERNELS = ROOT / "prover_core" / "gpu" / "kernels"
GUARD = 256
ORDERS = ("ascending", "descending", "shuffled")


def compiler() -> str:
    """The host's C++ compiler; skips the test where there is none."""
    found = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if found is None:
        pytest.skip("no C++ compiler")
    return found


def library(module: str) -> Path:
    """The module's shared library, built once for its content."""
    shim = [KERNELS / "shim.hpp", KERNELS / "shim.cpp"]
    flags = ["-std=c++20", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Wno-unused-function"]
    spec = MODULES[module]
    entries = " ".join(f"X({name})" for name in kernels(module))
    defines = "".join("#define " + d.replace("=", " ") + "\n" for d in spec.defines)
    text = f'{defines}#include "{spec.path}"\n#define HP_KERNELS(X) {entries}\n#include "{KERNELS / "shim.cpp"}"\n'
    command = [compiler(), *flags]
    key = hashlib.sha256(
        "\0".join([*command, text, source(module), *(p.read_text() for p in shim)]).encode()
    ).hexdigest()
    folder = ROOT / ".cache" / "gpu-host"
    path = folder / f"{module}-{key[:16]}.so"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob(f"{module}-*"):
            old.unlink()
        unit = folder / f"{module}-{key[:16]}.cpp"
        unit.write_text(text)
        made = path.with_suffix(f".{os.getpid()}.so")
        subprocess.run([*command, str(unit), "-o", str(made)], check=True)
        made.rename(path)
    return path


class HostMemory:
    """A piece between two guard zones, filled with garbage."""

    def __init__(self, device: HostDevice, nbytes: int) -> None:
        self._device = device
        self._raw = np.full(nbytes + 3 * GUARD, 0xA5, dtype=np.uint8)
        self._begin = GUARD + -(self._raw.ctypes.data + GUARD) % GUARD
        self._raw[self._begin : self._begin + nbytes] = 0xCD
        self.nbytes = nbytes
        self.address: int = self._raw.ctypes.data + self._begin
        self.live = True

    def intact(self) -> bool:
        """Whether the guard zones hold what they held."""
        end = self._begin + self.nbytes
        return bool((self._raw[: self._begin] == 0xA5).all() and (self._raw[end:] == 0xA5).all())

    def free(self) -> None:
        """Once, and only with its guards intact."""
        assert self.live, "freed twice"
        assert self.intact(), f"something wrote beside a piece of {self.nbytes} bytes"
        self.live = False
        self._device.forget(self)


class HostStream:
    """Runs everything at once, and counts. What was uploaded must be unchanged when it is waited for."""

    def __init__(self, device: HostDevice) -> None:
        self._device = device
        self._uploading: list[tuple[npt.NDArray[Any], bytes]] = []

    def upload(self, to: int, data: npt.NDArray[Any]) -> None:
        """Copies bytes in."""
        assert data.flags.c_contiguous
        self._device.check("upload", to, data.nbytes)
        self._device.uploaded += data.nbytes
        raw = data.reshape(-1).view(np.uint8)
        self._uploading.append((data, hashlib.blake2b(raw.tobytes()).digest()))
        if data.nbytes:
            ctypes.memmove(to, raw.ctypes.data, data.nbytes)

    def download(self, source: int, out: npt.NDArray[Any]) -> None:
        """Copies bytes out."""
        self._device.check("download", source, out.nbytes)
        self._device.downloaded += out.nbytes
        if out.nbytes:
            ctypes.memmove(out.ctypes.data, source, out.nbytes)

    def zero(self, to: int, nbytes: int) -> None:
        """Sets bytes to 0."""
        self._device.check("zero", to, nbytes)
        ctypes.memset(to, 0, nbytes)

    def launch(self, module: str, kernel: str, grid: int, block: int, *arguments: Argument) -> None:
        """Checks the arguments against the kernel's signature and runs it."""
        self._device.launch(module, kernel, grid, block, arguments)

    def wait_for(self, other: Stream) -> None:
        """Nothing ever runs later."""

    def synchronize(self) -> None:
        """Nothing ever runs later."""
        self._device.check("synchronize", 0, 0)
        for data, digest in self._uploading:
            assert hashlib.blake2b(data.tobytes()).digest() == digest, "an array changed while it was uploaded"
        self._uploading.clear()


class HostDevice:
    """See the module. `order`: in which order threads between barriers, and blocks, run. `memory`: bytes there are."""

    def __init__(self, *, order: str = "ascending", memory: int = 1 << 30) -> None:
        self.order = ORDERS.index(order)
        self.total_memory = memory
        self.used = 0
        self.uploaded = 0
        self.downloaded = 0
        self.launches = 0
        self.fail_at: int | None = None
        """Launches after which every operation fails, as on a lost device."""
        self.corrupt: str | None = None
        """A kernel whose launches do nothing but leave garbage where they were to write."""
        self._libraries: dict[str, ctypes.CDLL] = {}
        self._pieces: dict[int, HostMemory] = {}
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """For people."""
        return "host shim"

    def alloc(self, nbytes: int) -> HostMemory:
        """`DeviceMemoryError` beyond `memory`."""
        with self._lock:
            if self.used + nbytes > self.total_memory:
                raise DeviceMemoryError(f"{nbytes} bytes do not fit beside {self.used}")
            piece = HostMemory(self, nbytes)
            self.used += nbytes
            self._pieces[piece.address] = piece
            return piece

    def stream(self) -> HostStream:
        """Another queue."""
        return HostStream(self)

    def forget(self, piece: HostMemory) -> None:
        """The piece is free."""
        with self._lock:
            self.used -= piece.nbytes
            del self._pieces[piece.address]

    def check(self, what: str, address: int, nbytes: int) -> None:
        """`DeviceLostError` once lost; an assertion if the range is not within one living piece."""
        if self.fail_at is not None and self.launches >= self.fail_at:
            raise DeviceLostError(f"{what} on a lost device")
        if nbytes == 0:
            return
        with self._lock:
            starts = sorted(self._pieces)
            i = bisect_right(starts, address) - 1
            assert i >= 0, f"{what} below all memory"
            piece = self._pieces[starts[i]]
            assert address + nbytes <= piece.address + piece.nbytes, f"{what} of {nbytes} bytes leaves its memory"

    def check_guards(self) -> None:
        """That no kernel wrote beside living memory."""
        with self._lock:
            for piece in self._pieces.values():
                assert piece.intact(), f"something wrote beside a piece of {piece.nbytes} bytes"

    def launch(self, module: str, kernel: str, grid: int, block: int, arguments: tuple[Argument, ...]) -> None:
        """Runs a kernel on the host."""
        self.check(f"launch of {kernel}", 0, 0)
        self.launches += 1
        if module not in self._libraries:
            loaded = ctypes.CDLL(str(library(module)))
            loaded.shim_arguments.restype = ctypes.POINTER(ctypes.c_uint32)
            self._libraries[module] = loaded
        lib = self._libraries[module]
        sizes = lib.shim_arguments(kernel.encode())
        assert sizes, f"no kernel {kernel} in {module}"
        assert grid > 0
        assert block > 0
        values: list[ctypes.c_uint32 | ctypes.c_uint64] = []
        for i, argument in enumerate(arguments):
            if isinstance(argument, int):
                assert sizes[i] == 4, f"argument {i} of {kernel} is no pointer"
                assert 0 <= argument < 1 << 32, f"argument {i} of {kernel} is no uint32_t"
                values.append(ctypes.c_uint32(argument))
            else:
                assert sizes[i] == 8, f"argument {i} of {kernel} is a pointer"
                address = 0 if argument is None else argument[0]
                if address:
                    self.check(f"argument {i} of {kernel}", address, 1)
                values.append(ctypes.c_uint64(address))
        assert sizes[len(values)] == 0, f"{kernel} takes more than {len(values)} arguments"
        if kernel == self.corrupt:
            return
        pointers = (ctypes.c_void_p * len(values))(*[ctypes.addressof(v) for v in values])
        status = lib.shim_launch(kernel.encode(), grid, block, pointers, self.order)
        assert status == 0, f"threads of a block of {kernel} waited at different barriers"
