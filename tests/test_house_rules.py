"""The house rules that reading the sources can hold: who imports whom, how long files are, what is documented."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("prover_core", "edge", "cloud", "hybrid_prover", "examples")
SOURCE_SUFFIXES = {".py", ".cpp", ".hpp", ".h", ".cu", ".cuh", ".proto", ".sh", ".mjs", ".js"}
IGNORED = {".venv", "node_modules", "build", "__pycache__", ".git"}
GENERATED = ROOT / "hybrid_prover" / "v1"
LONGEST = 600

FORBIDDEN = {
    "prover_core": {"grpc", "edge", "cloud", "hybrid_prover", "examples"},
    "edge": {"cloud", "examples"},
    "cloud": {"edge", "examples"},
}
IMPURE = {"asyncio", "grpc", "random", "secrets", "time", "datetime", "os", "socket", "threading"}
"""What decides (machine.py, policy.py) gets time, entropy and events as arguments."""


def modules(*packages: str) -> list[Path]:
    """All Python files of our packages, generated ones left out."""
    found = [p for name in packages for p in sorted((ROOT / name).rglob("*.py"))]
    return [p for p in found if GENERATED not in p.parents and "__pycache__" not in p.parts]


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, absolute module name) of every import in a file, also those inside functions and type-checking blocks."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            prefix = ".".join((*base, *([node.module] if node.module else [])))
            yield node.lineno, prefix
            yield from ((node.lineno, f"{prefix}.{alias.name}") for alias in node.names)


def where(path: Path, line: int) -> str:
    """File and line for a message."""
    return f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_packages_import_only_what_they_may(package: str) -> None:
    broken = [
        f"{where(path, line)} imports {name}"
        for path in modules(package)
        for line, name in imports(path)
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert not broken, "\n".join(broken)


def test_decisions_are_apart_from_io() -> None:
    deciding = [p for p in modules("edge", "cloud") if p.stem in ("machine", "policy")]
    assert deciding, "edge and cloud keep their decisions in machine.py or policy.py"
    broken = [
        f"{where(path, line)} imports {name}"
        for path in deciding
        for line, name in imports(path)
        if name.split(".")[0] in IMPURE
    ]
    assert not broken, "\n".join(broken)


def test_provers_do_not_read_files_formats() -> None:
    """Provers never import formats; only those who read and write files do."""
    proving = [p for p in modules("prover_core") if p.relative_to(ROOT / "prover_core").parts[0] == "groth16"]
    assert proving
    broken = [
        f"{where(path, line)} imports {name}"
        for path in proving
        for line, name in imports(path)
        if name.startswith("prover_core.formats")
    ]
    assert not broken, "\n".join(broken)


def test_only_bind_uses_nanobind_and_only_gpu_uses_cupy() -> None:
    broken = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "prover_core" / "native").rglob("*pp")
        if "nanobind" in path.read_text() and "bind" not in path.relative_to(ROOT).parts
    ]
    broken += [
        where(path, line)
        for path in modules(*PACKAGES)
        for line, name in imports(path)
        if name.split(".")[0] == "cupy" and "gpu" not in path.relative_to(ROOT).parts
    ]
    assert not broken, "\n".join(broken)


def test_no_wildcard_imports() -> None:
    broken = [
        where(path, line)
        for path in modules(*PACKAGES, "tests", "tools")
        for line, name in imports(path)
        if name.endswith(".*")
    ]
    assert not broken, "\n".join(broken)


def test_no_file_of_ours_is_long() -> None:
    long = []
    for name in (*PACKAGES, "protos", "tests", "tools", "bench"):
        for path in sorted((ROOT / name).rglob("*")):
            ours = path.suffix in SOURCE_SUFFIXES and not IGNORED & set(path.parts) and GENERATED not in path.parents
            if ours and path.is_file() and (lines := len(path.read_text().splitlines())) > LONGEST:
                long.append(f"{path.relative_to(ROOT)} has {lines} lines")
    assert not long, "\n".join(long)


def _documented(node: ast.AST) -> bool:
    assert isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef | ast.Module)
    return ast.get_docstring(node) is not None


def _names(decorators: list[ast.expr]) -> set[str]:
    return {ast.unparse(d).split("(")[0].split("[")[0].split(".")[-1] for d in decorators}


def protocol_methods() -> set[str]:
    """Names of methods that a protocol or abstract class of ours documents; who implements them need not again."""
    return {
        method.name
        for path in modules(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and {"Protocol", "ABC"} & _names(node.bases)
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and _documented(method)
    }


def undocumented(body: list[ast.stmt], known: set[str], prefix: str = "") -> Iterator[tuple[int, str]]:
    """Public classes, functions and methods without a docstring.

    Left out are overloads, setters, methods of gRPC servicers (the .proto documents them), methods that a documented
    protocol names, and methods whose whole body is `...`
    or a single return statement under a name that says it all.
    """
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            if not _documented(node):
                yield node.lineno, prefix + node.name
            if not any(base.endswith("Servicer") for base in _names(node.bases)):
                yield from undocumented(node.body, known, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            excused = _names(node.decorator_list) & {"overload", "override", "setter"}
            brief = len(node.body) == 1 and isinstance(node.body[0], ast.Return | ast.Expr)
            if not (_documented(node) or excused or (prefix and (brief or node.name in known))):
                yield node.lineno, prefix + node.name


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_public_is_documented(package: str) -> None:
    broken, known = [], protocol_methods()
    for path in modules(package):
        tree = ast.parse(path.read_text())
        if tree.body and not _documented(tree):
            broken.append(f"{path.relative_to(ROOT)} says nothing about itself")
        broken += [f"{where(path, line)} {name}" for line, name in undocumented(tree.body, known)]
    assert not broken, "\n".join(broken)
