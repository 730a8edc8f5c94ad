"""Regenerates hybrid_prover/v1 from protos/; with --check, fails if what is committed differs.

Generated files import each other as `hybrid_prover.v1.*`, which is also their proto package, so nothing is rewritten.
"""

from __future__ import annotations

import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTOS = ROOT / "protos"
STUBS = ROOT / "hybrid_prover" / "v1"


def google_protos() -> Path:
    """Where google/rpc/*.proto lie (googleapis-common-protos)."""
    from google.rpc import status_pb2

    return Path(str(status_pb2.__file__)).parents[2]


def generate(into: Path) -> list[Path]:
    """Runs protoc with the Python, pyi and gRPC plugins; returns the generated files."""
    sources = sorted(str(p.relative_to(PROTOS)) for p in PROTOS.rglob("*.proto"))
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    includes = [f"-I{p}" for p in (PROTOS, well_known, google_protos())]
    outputs = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *includes, *outputs, *sources]) != 0:
        raise SystemExit("protoc failed")
    return sorted((into / "hybrid_prover" / "v1").glob("*.py*"))


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        fresh = generate(Path(scratch))
        if "--check" in sys.argv[1:]:
            stale = [
                f.name for f in fresh if not (STUBS / f.name).exists() or not filecmp.cmp(f, STUBS / f.name, False)
            ]
            if stale:
                raise SystemExit(f"stubs differ from protos: {', '.join(stale)}; run `make generate`")
            return
        STUBS.mkdir(parents=True, exist_ok=True)
        for f in fresh:
            shutil.copy(f, STUBS / f.name)


if __name__ == "__main__":
    main()
