"""Assemblies of proofs that lie in files: which leaves there are, which shape holds them, what a verifier needs.

An assembly's folder holds proof.json, public.json and verification_key.json, as snarkjs reads them, and publics.json:
the shape, the chain if there is one, and each leaf's name and public signals, in order; for a leaf that is an assembly
the same of its own leaves instead. See docs/assembly.md.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from prover_core.assembly import AssemblyProof, Chain, Shape, WrapKey, assembly_publics
from prover_core.backend import Backend
from prover_core.errors import FormatError, InvalidInputError, VerificationError
from prover_core.formats.snarkjs_json import (
    public_json,
    read_proof,
    read_public,
    write_proof,
    write_public,
    write_verification_key,
)
from prover_core.groth16 import Proof, VerificationKey, verify, verify_batch
from prover_core.types import Digest

from .names import PROOF, PUBLICS, VKEY

STATEMENT = "publics.json"
"""What an assembly is about."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A proof from anywhere, by the name of its files."""

    name: str
    proof: Proof
    publics: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BadLeaf:
    """A leaf that no assembly can hold, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class AssembledLeaves:
    """What an assembly says, without its proof: whoever has this and the leaf key can check the proof."""

    shape: Shape
    chain: Chain | None
    names: tuple[str, ...]
    publics: tuple[tuple[int, ...], ...]
    """Of each leaf; empty for one that is in `inner`."""
    inner: Mapping[int, AssembledLeaves] = field(default_factory=dict)
    """What those leaves say that are assemblies, by position."""
    key: Digest | None = None
    """Of the leaves' verification key; None where only one is in question."""

    def bottom(self) -> Iterator[str]:
        """The names of all leaves that are no assemblies, in order."""
        for i, name in enumerate(self.names):
            if i in self.inner:
                yield from self.inner[i].bottom()
            else:
                yield name

    @classmethod
    def of(cls, key: WrapKey, leaves: Sequence[Leaf]) -> Self:
        """What an assembly of these leaves with this wrap key says."""
        return cls(key.shape, key.chain, tuple(leaf.name for leaf in leaves), tuple(leaf.publics for leaf in leaves))


def wrap_keys_folder() -> Path:
    """Where wrap keys are kept unless told otherwise: below the user's cache folder (XDG)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return cache / "hybrid-prover" / "wrap-keys"


def parse_chain(text: str) -> Chain:
    """`OUT:IN`, two positions in the leaves' public signals, counted from 0. `InvalidInputError` otherwise."""
    match = re.fullmatch(r"(\d{1,4}):(\d{1,4})", text, re.ASCII)
    if match is None:
        raise InvalidInputError(f"{text!r} is not OUT:IN, two positions counted from 0", field="chain")
    return Chain(out=int(match[1]), into=int(match[2]))


def read_leaves(folder: Path, leave_out: Path | None = None) -> tuple[list[Leaf], list[BadLeaf]]:
    """All proofs in and below a folder, by name, numbers by value; and those whose files are damaged.

    A leaf is a folder with proof.json and public.json, or a pair NAME.proof.json and NAME.public.json. What lies in
    `leave_out` is passed over. `InvalidInputError` if there are none, or for a proof without public signals.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"{folder} is not a folder", field="proofs")
    leaves, bad = [], []
    for name, proof, public in sorted(_pairs(folder, leave_out), key=lambda pair: _order(pair[0])):
        if not public.is_file():
            raise InvalidInputError(f"{proof} has no {public.name} beside it", field="proofs")
        try:
            leaves.append(Leaf(name, read_proof(proof), tuple(read_public(public))))
        except FormatError as e:
            bad.append(BadLeaf(name, str(e)))
    if not leaves and not bad:
        raise InvalidInputError(f"{folder} holds no {PROOF} and no NAME.{PROOF}", field="proofs")
    return leaves, bad


def _pairs(folder: Path, leave_out: Path | None) -> Iterator[tuple[str, Path, Path]]:
    kept_out = leave_out.resolve() if leave_out is not None else None
    for path in folder.rglob(f"*{PROOF}"):
        if not path.is_file() or (kept_out is not None and kept_out in path.resolve().parents):
            continue
        if path.name == PROOF:
            yield path.parent.relative_to(folder).as_posix(), path, path.with_name(PUBLICS)
        elif path.name.endswith(f".{PROOF}"):
            stem = path.name.removesuffix(f".{PROOF}")
            yield path.with_name(stem).relative_to(folder).as_posix(), path, path.with_name(f"{stem}.{PUBLICS}")


def _order(name: str) -> list[tuple[int, str]]:
    """2 before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def check_leaves(
    vk: VerificationKey, leaves: Sequence[Leaf], backend: Backend, entropy: bytes | None = None
) -> tuple[list[Leaf], list[BadLeaf]]:
    """The leaves that verify under vk, and the others, by batch verification. `InvalidInputError` for a bad key."""
    items = [(leaf.proof, leaf.publics) for leaf in leaves]
    false = set(verify_batch(vk, items, backend, entropy))
    good = [leaf for i, leaf in enumerate(leaves) if i not in false]
    return good, [BadLeaf(leaf.name, "the proof does not verify") for i, leaf in enumerate(leaves) if i in false]


def write_assembly(folder: Path, done: AssemblyProof, wrap_vk: VerificationKey, statement: AssembledLeaves) -> None:
    """proof.json, public.json, verification_key.json and publics.json in `folder`, made if missing."""
    folder.mkdir(parents=True, exist_ok=True)
    write_proof(folder / PROOF, done.proof)
    write_public(folder / PUBLICS, done.publics)
    write_verification_key(folder / VKEY, wrap_vk)
    (folder / STATEMENT).write_text(json.dumps(statement_json(statement), indent=1) + "\n", encoding="utf-8")


def statement_json(statement: AssembledLeaves) -> dict[str, object]:
    """publics.json, as `hybrid_prover.statement.read_statement` takes it."""
    shape, chain = statement.shape, statement.chain
    leaves: list[dict[str, object]] = []
    for i, (name, publics) in enumerate(zip(statement.names, statement.publics, strict=True)):
        inner = statement.inner.get(i)
        leaves.append(
            {
                "name": name,
                **({"publics": public_json(publics)} if inner is None else {"assembly": statement_json(inner)}),
            }
        )
    return {
        "shape": {"leaves": shape.leaves, "publics": shape.publics, "chunk": shape.chunk},
        "chain": None if chain is None else {"out": chain.out, "into": chain.into},
        **({} if statement.key is None else {"key": str(statement.key)}),
        "leaves": leaves,
    }


def check_assembly(
    vk: VerificationKey,
    wrap_vk: VerificationKey,
    proof: Proof,
    statement: AssembledLeaves,
    backend: Backend,
    publics: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Returns the public inputs if the proof shows a leaf proof under vk for each row of the statement.

    They are computed from vk and the statement; `publics`, if given, must be the same. Sound only for a wrap_vk that
    the caller trusts to be of the statement's shape and chain. `VerificationError`, or `InvalidInputError` if the
    statement breaks the chain or does not fit the shape or the key.
    """
    chain = statement.chain
    if chain is not None and max(chain.out, chain.into) >= vk.n_public:
        raise InvalidInputError(f"the leaves have {vk.n_public} public signals only", field="chain")
    expected = assembly_publics(statement.shape, vk, statement.publics, chain)
    if publics is not None and tuple(publics) != expected:
        raise VerificationError("the assembly's public inputs do not follow from the leaves'", field="public")
    verify(wrap_vk, proof, list(expected), backend)
    return expected
