"""The kernels' sources as single texts: what is compiled, and what its cache is keyed by, is all there is to see."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

_KERNELS: Final = Path(__file__).parent / "kernels"
_INCLUDE: Final = re.compile(r'#include "(.+)"')
_SYSTEM: Final = re.compile(r"#include <.+>|#pragma once")
_KERNEL: Final = re.compile(r'extern "C" __global__ void (?:__launch_bounds__\(\w+\))?\s*(\w+)\(')
_HOST_ONLY: Final = "shim.hpp"


@dataclass(frozen=True, slots=True)
class Module:
    """One compilation: a .cu file and the definitions it is compiled with."""

    name: str
    file: str
    defines: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        return _KERNELS / self.file

    @property
    def options(self) -> tuple[str, ...]:
        """For NVRTC and nvcc alike, architecture not included."""
        return ("-std=c++17", *(f"-D{d}" for d in self.defines))


MODULES: Final = {
    module.name: module
    for module in (
        Module("fr", "fr.cu"),
        Module("sort", "sort.cu"),
        Module("g1", "msm.cu", ("HP_GROUP=1",)),
        Module("g2", "msm.cu", ("HP_GROUP=2",)),
        Module("grumpkin", "msm.cu", ("HP_GROUP=3",)),
        Module("laws", "laws.cu"),
        Module("grumpkin_sort", "sort.cu", ("HP_SCALAR=FqParams",)),
    )
}


@cache
def source(module: str) -> str:
    """The module's file with all of our headers in place of their includes, as NVRTC takes it."""
    seen: set[Path] = set()

    def flat(path: Path) -> list[str]:
        if path in seen:
            return []
        seen.add(path)
        lines: list[str] = []
        for line in path.read_text().splitlines():
            if include := _INCLUDE.fullmatch(line):
                if include[1] != _HOST_ONLY:
                    lines += flat((path.parent / include[1]).resolve())
            elif not _SYSTEM.fullmatch(line):
                lines.append(line)
        return lines

    return "\n".join(flat(MODULES[module].path.resolve())) + "\n"


@cache
def kernels(module: str) -> tuple[str, ...]:
    """Names of the module's kernels."""
    return tuple(_KERNEL.findall(MODULES[module].path.read_text()))
