"""Wrap circuits and their keys: built once per shape, kept in a directory, named by the circuit's digest."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Self

from ...backend import Backend
from ...circuit import CompiledCircuit, compile_circuit
from ...errors import FormatError
from ...formats.r1cs import read_r1cs, write_r1cs
from ...formats.tape import read_tape, write_tape
from ...formats.zkey import read_zkey, write_zkey
from ...groth16 import ProvingKey, VerificationKey, setup
from ...r1cs import R1cs
from ...types import Digest
from ...witness import TapeProgram
from .. import layout
from ..engine import engine
from ..shape import Shape
from .circuit import Account, Generators, define_wrap
from .statement import Chain

log = logging.getLogger(__name__)

_SOURCES = ("assembly", "circuit", "reference")
_FILES = ("wrap.tape", "wrap.r1cs", "wrap.zkey")
_ENTRY = re.compile(r"(\d+) leaves (\d+) publics chunk (\d+)(?: chain (\d+)-(\d+))? sources [0-9a-f]+", re.ASCII)


@cache
def generators(chunk: int) -> Generators:
    """Stage 1's generators as constants of the wrap."""
    flat = engine().generator_points(chunk)
    width = layout.WIDTH
    vectors = tuple(tuple(flat[width * k : width * (k + 1)]) for k in range(chunk))
    return Generators(vectors, engine().value_generator)


@dataclass(frozen=True, eq=False)
class WrapCircuit:
    """The wrap for one shape: R1CS and tape. It serves every leaf circuit with at most the shape's publics."""

    shape: Shape
    chain: Chain | None
    compiled: CompiledCircuit
    account: Account

    @classmethod
    def build(cls, shape: Shape, chain: Chain | None = None) -> Self:
        """Records and stamps out the circuit; about 10 s at 64 leaves, most of it tables of fixed points."""
        account = Account()
        name = f"wrap of {shape.leaves} leaves"
        compiled = compile_circuit(define_wrap(shape, chain, generators(shape.chunk), account), name=name)
        return cls(shape, chain, compiled, account)

    @cached_property
    def digest(self) -> Digest:
        """Of everything that decides proofs."""
        return self.compiled.digest


@dataclass(frozen=True, eq=False)
class WrapKey:
    """What proving one shape's assemblies takes."""

    shape: Shape
    chain: Chain | None
    circuit_digest: Digest
    program: TapeProgram
    proving_key: ProvingKey
    r1cs_path: Path

    @property
    def verification_key(self) -> VerificationKey:
        """What verifiers of the shape's assemblies need, besides the leaf key."""
        return self.proving_key.verification_key

    def r1cs(self) -> R1cs:
        """The constraints, read when asked for: only a failed proof needs them."""
        return read_r1cs(self.r1cs_path)


class WrapKeys:
    """A directory of wrap keys.

    `circuits/<digest>/` holds wrap.tape, wrap.r1cs and wrap.zkey; `index.json` maps shapes to digests, together with a
    fingerprint of the sources that build the circuit, so that a later version never takes an older one's key.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)

    def get(self, shape: Shape, backend: Backend, chain: Chain | None = None) -> WrapKey:
        """The key for a shape, from the directory or made now by a development setup (marked insecure).

        From the directory: seconds at 64 leaves. Made now: the build, then a setup of 2^19 rows, about a minute on two
        cores. For production replace wrap.zkey by one from a ceremony over wrap.r1cs. `FormatError` for damaged files.
        """
        folder = self._known(shape, chain)
        if folder is None:
            folder = self._make(shape, chain, backend)
        program = TapeProgram(read_tape(folder / _FILES[0]))
        key = read_zkey(folder / _FILES[2])
        if key.n_vars != program.n_wires:
            raise FormatError("the key's circuit is not the tape's", field=str(folder))
        digest = Digest.parse(folder.name)
        return WrapKey(shape, chain, digest, program, key, folder / _FILES[1])

    def kept(self) -> list[tuple[Shape, Chain | None]]:
        """Every shape and chain whose key `get` would read; passes over keys of other versions."""
        found = []
        for entry in self._index():
            if match := _ENTRY.fullmatch(entry):
                leaves, publics, chunk, out, into = (None if n is None else int(n) for n in match.groups())
                assert leaves is not None
                assert publics is not None
                assert chunk is not None
                shape = Shape(leaves, publics, chunk)
                chain = None if out is None or into is None else Chain(out, into)
                if self.has(shape, chain):
                    found.append((shape, chain))
        return found

    def has(self, shape: Shape, chain: Chain | None = None) -> bool:
        """Whether `get` would read the key, and not make it."""
        return self._known(shape, chain) is not None

    def _known(self, shape: Shape, chain: Chain | None) -> Path | None:
        digest = self._index().get(_entry(shape, chain))
        if digest is None:
            return None
        folder = self.directory / "circuits" / digest
        return folder if all((folder / name).exists() for name in _FILES) else None

    def _make(self, shape: Shape, chain: Chain | None, backend: Backend) -> Path:
        log.warning("building the wrap for %s leaves and its development key", shape.leaves)
        circuit = WrapCircuit.build(shape, chain)
        folder = self.directory / "circuits" / str(circuit.digest)
        folder.mkdir(parents=True, exist_ok=True)
        tape, r1cs, zkey = (folder / name for name in _FILES)
        write_r1cs(r1cs, circuit.compiled.r1cs)
        write_tape(tape, circuit.compiled.tape)
        if not zkey.exists():
            part = folder / f"zkey.{os.getpid()}.part"
            write_zkey(part, setup(circuit.compiled.r1cs, backend=backend))
            os.replace(part, zkey)
        index = self._index()
        index[_entry(shape, chain)] = str(circuit.digest)
        part = self.directory / f"index.{os.getpid()}.part"
        part.write_text(json.dumps(index, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        os.replace(part, self.directory / "index.json")
        return folder

    def _index(self) -> dict[str, str]:
        path = self.directory / "index.json"
        if not path.exists():
            return {}
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as e:
            raise FormatError(f"the index of wrap keys is not JSON: {e}", field=str(path)) from e
        if not isinstance(data, dict) or not all(isinstance(v, str) for v in data.values()):
            raise FormatError("the index of wrap keys is not a map of names", field=str(path))
        return data


def _entry(shape: Shape, chain: Chain | None) -> str:
    links = "" if chain is None else f" chain {chain.out}-{chain.into}"
    return f"{shape.leaves} leaves {shape.publics} publics chunk {shape.chunk}{links} sources {_fingerprint()}"


@cache
def _fingerprint() -> str:
    """SHA-256 over the sources that decide the circuit, shortened."""
    root = Path(__file__).resolve().parents[2]
    h = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((root / folder).rglob("*.py")):
            h.update(path.relative_to(root).as_posix().encode() + b"\0")
            h.update(hashlib.sha256(path.read_bytes()).digest())
    return h.hexdigest()[:16]
