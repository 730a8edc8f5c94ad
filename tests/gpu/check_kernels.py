"""Compiles every kernel for every architecture with NVRTC and with nvcc, and bounds what each kernel uses.

    python check_kernels.py            compares with kernels.json beside this file
    python check_kernels.py --quick    sm_90 and NVRTC only
    python check_kernels.py --write    records what is found

Needs the dependency group `kernels` and a host compiler; no GPU. Fails where a kernel spills registers, exceeds its
recorded registers by more than 8, its stack or shared memory at all, or where the halves of products were not joined.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from prover_core.gpu.sources import MODULES, kernels, source  # noqa: E402

RECORD = Path(__file__).with_name("kernels.json")
ARCHITECTURES = ("80", "90", "120")
SLACK = 8
"""Registers by which compilers of different versions may differ."""
Usage = dict[str, int]
_AS_CUPY = "--device-as-default-execution-space"
_ENTRY = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads"
    r".*?Used (\d+) registers([^\n]*)",
    re.DOTALL,
)


def toolkit() -> Path:
    """The folder of CUDA's wheels; exits with a message where there are none."""
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        root = Path(folder) / "cu13"
        if (root / "bin" / "nvdisasm").exists() and list((root / "lib").glob("libnvrtc.so.*")):
            return root
    sys.exit("CUDA's compilers are not here: pip install --group kernels")


class Nvrtc:
    """NVIDIA's run-time compiler, as CuPy uses it."""

    def __init__(self, root: Path) -> None:
        # NVRTC opens this one by name alone, and finds it only if it is open already.
        self._builtins = ctypes.CDLL(str(next((root / "lib").glob("libnvrtc-builtins.so.*"))))
        self._lib = ctypes.CDLL(str(next((root / "lib").glob("libnvrtc.so.*"))))
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._lib.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        self.version = f"{major.value}.{minor.value}"

    def _text(self, what: str, program: ctypes.c_void_p) -> bytes:
        size = ctypes.c_size_t()
        getattr(self._lib, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(self._lib, f"nvrtcGet{what}")(program, buffer)
        return buffer.value

    def ptx(self, module: str, architecture: str) -> bytes:
        """PTX of a module; exits with the compiler's messages if there are any, warnings included."""
        program = ctypes.c_void_p()
        text = source(module).encode()
        self._lib.nvrtcCreateProgram(ctypes.byref(program), text, f"{module}.cu".encode(), 0, None, None)
        # The last option is one that CuPy adds to whatever it compiles.
        options = [f"--gpu-architecture=compute_{architecture}", *MODULES[module].options, _AS_CUPY]
        array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
        status = self._lib.nvrtcCompileProgram(program, len(options), array)
        messages = self._text("ProgramLog", program).decode().strip()
        if status or messages:
            sys.exit(f"NVRTC, {module}, sm_{architecture}:\n{messages}")
        ptx = self._text("PTX", program)
        self._lib.nvrtcDestroyProgram(ctypes.byref(program))
        return ptx


def run(command: list[str]) -> str:
    """Its messages; exits with them if it fails or warns."""
    environment = {**os.environ, "PATH": f"{Path(command[0]).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    messages = done.stdout + done.stderr
    if done.returncode or "warning" in messages:
        sys.exit(f"{' '.join(command)}\n{messages}")
    return messages


def usage(messages: str) -> dict[str, Usage]:
    """What ptxas -v says of each kernel."""
    found: dict[str, Usage] = {}
    for name, stack, stores, loads, registers, rest in _ENTRY.findall(messages):
        shared = re.search(r"(\d+) bytes smem", rest)
        found[name] = {
            "registers": int(registers),
            "spilled": int(stores) + int(loads),
            "stack": int(stack),
            "shared": int(shared[1]) if shared else 0,
        }
    return found


def opcodes(root: Path, cubin: Path, kernel: str) -> Counter[str]:
    """How often the machine code of a kernel has each instruction; IMAD with its first modifier."""
    found: Counter[str] = Counter()
    inside = False
    for line in run([str(root / "bin" / "nvdisasm"), "-c", str(cubin)]).splitlines():
        if section := re.match(r"\s*\.section\s+\.text\.(\w+)", line):
            inside = section[1] == kernel
        elif inside and (op := re.match(r"\s*/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z0-9]+)(\.[A-Z]+)?", line)):
            found[op[1] + (op[2] or "" if op[1] == "IMAD" else "")] += 1
    return found


def unjoined(root: Path, cubin: Path, where: str) -> list[str]:
    """Complaints unless a product is about 120 wide multiply-adds: 64 of its own, 56 of the reduction.

    The reduction's lowest row keeps only the high half of each of 8 more.
    """
    ops = opcodes(root, cubin, "fr_mul")
    if ops["IMAD.WIDE"] >= 120 and ops["IMAD.HI"] <= 8:
        return []
    return [f"{where}: a product has {ops['IMAD.WIDE']} IMAD.WIDE and {ops['IMAD.HI']} IMAD.HI, not 120 and 8"]


def measure(root: Path, nvrtc: Nvrtc, module: str, architecture: str) -> tuple[dict[str, Usage], list[str]]:
    """One module through NVRTC and ptxas: what its kernels use, and what is wrong with its machine code."""
    with tempfile.TemporaryDirectory() as folder:
        ptx, out = Path(folder) / "kernel.ptx", Path(folder) / "kernel.cubin"
        ptx.write_bytes(nvrtc.ptx(module, architecture))
        found = usage(run([str(root / "bin" / "ptxas"), "-v", f"-arch=sm_{architecture}", str(ptx), "-o", str(out)]))
        wrong = unjoined(root, out, f"{module} sm_{architecture}") if module == "fr" else []
    if set(found) != set(kernels(module)):
        sys.exit(f"{module}, sm_{architecture}: compiled {sorted(found)}, expected {sorted(kernels(module))}")
    return found, wrong


def nvcc(root: Path, module: str, architecture: str) -> None:
    """The module's own files through nvcc."""
    with tempfile.TemporaryDirectory() as folder:
        spec, target = MODULES[module], f"-arch=sm_{architecture}"
        out = str(Path(folder) / "kernel.cubin")
        run([str(root / "bin" / "nvcc"), "-cubin", target, *spec.options, str(spec.path), "-o", out])


def digest(module: str) -> str:
    """Of the module's source and definitions."""
    return hashlib.sha256("\0".join([source(module), *MODULES[module].options]).encode()).hexdigest()[:16]


def excesses(found: dict[str, Usage], bounds: dict[str, Usage], where: str) -> list[str]:
    """What is above its bound."""
    out: list[str] = []
    for name, used in found.items():
        bound = bounds.get(name)
        if bound is None:
            out.append(f"{where} {name}: no record")
            continue
        for what, amount in used.items():
            slack = SLACK if what == "registers" else 0
            if amount > bound[what] + slack:
                out.append(f"{where} {name}: {what} {amount}, recorded {bound[what]}")
    out += [f"{where} {name}: spills {used['spilled']} bytes" for name, used in found.items() if used["spilled"]]
    return out


def main(arguments: list[str]) -> int:
    """Compiles, prints a table, and writes or compares."""
    if unknown := set(arguments) - {"--quick", "--write"}:
        sys.exit(f"unknown arguments {sorted(unknown)}\n{__doc__}")
    quick, write = "--quick" in arguments, "--write" in arguments
    root = toolkit()
    nvrtc = Nvrtc(root)
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"kernels": {}}
    result: dict[str, dict[str, dict[str, Usage]]] = {}
    wrong: list[str] = []
    for module in MODULES:
        for architecture in ("90",) if quick else ARCHITECTURES:
            start = time.perf_counter()
            found, complaints = measure(root, nvrtc, module, architecture)
            wrong += complaints
            taken = time.perf_counter() - start
            if not quick:
                nvcc(root, module, architecture)
            result.setdefault(module, {})[f"sm_{architecture}"] = found
            most = max(found.values(), key=lambda u: u["registers"])
            print(
                f"{module:14} sm_{architecture:4} {len(found):2} kernels, at most {most['registers']:3} registers, "
                f"{sum(u['spilled'] for u in found.values())} bytes spilled, NVRTC and ptxas {taken:.1f} s",
                flush=True,
            )
            bounds = record["kernels"].get(module, {}).get(f"sm_{architecture}", {})
            wrong += [] if write else excesses(found, bounds, f"{module} sm_{architecture}")
    if write and not quick:
        record = {
            "compiler": f"NVRTC and ptxas {nvrtc.version}",
            "sources": {module: digest(module) for module in MODULES},
            "kernels": result,
        }
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
