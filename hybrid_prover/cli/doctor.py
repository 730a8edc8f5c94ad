"""`doctor`: what this machine has, which backend is chosen and why."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
from pathlib import Path

from hybrid_prover import __version__
from prover_core.backend import select
from prover_core.errors import ProverError

from .output import BackendName, Output

PACKAGES = ("numpy", "grpcio", "protobuf", "sqlalchemy", "wasmtime", "cupy-cuda12x", "cupy-cuda13x")
INTERESTING = ("bmi2", "adx", "avx2", "avx512f", "avx512ifma", "asimd", "sve")


def doctor(*, backend: BackendName | None = None, json: bool = False) -> int:
    """Say what this machine has, which backend is chosen, and why.

    Parameters
    ----------
    backend
        Ask for this backend instead of the best one.
    json
        Print as JSON.
    """
    output = Output(json)
    facts: dict[str, object] = {
        "hybrid-prover": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "instructions": [flag for flag in INTERESTING if flag in cpu_flags()],
        "memory_gib": memory_gib(),
        "gpus": gpus(),
        "cupy": importlib.util.find_spec("cupy") is not None,
        "node": node_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
    }
    code = 0
    try:
        selection = select(prefer=backend)
        facts["backend"] = selection.backend.name
        facts["device"] = selection.backend.device
        facts["reason"] = selection.reason
    except ProverError as e:
        facts["backend"], facts["reason"], code = None, str(e), 1
    for name, value in facts.items():
        output.say(f"{name:<14} {_shown(value)}")
    output.result(facts)
    return code


def _shown(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def usable_cores() -> int:
    """Cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpuinfo(*keys: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((value.strip() for line in lines for key, _, value in [line.partition(":")] if key.strip() in keys), "")


def cpu_model() -> str:
    """Model name as the system gives it."""
    return _cpuinfo("model name", "Model") or platform.processor() or "unknown"


def cpu_flags() -> set[str]:
    """Instruction set extensions as Linux names them; empty elsewhere."""
    return set(_cpuinfo("flags", "Features").split())


def memory_gib() -> float | None:
    """Physical memory in GiB, or None where the system does not say."""
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError):
        return None


def _said(*command: str) -> list[str]:
    if shutil.which(command[0]) is None:
        return []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def gpus() -> list[str]:
    """NVIDIA GPUs as their driver names them."""
    return _said("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader")


def node_version() -> str | None:
    """Version of node on the path; only the tests against snarkjs need one."""
    said = _said("node", "--version")
    return said[0] if said else None
