"""What an assembly says, level by level: read from publics.json or made of a service's result, and checked.

Whoever checks an assembly must expect its keys: those of the leaf circuits, and the wraps'. What is read or received
here names keys, and nothing of it is believed: see docs/assembly-security.md.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from prover_core.assembly import Chain, Contents, Shape, verify_levels
from prover_core.backend import Backend
from prover_core.errors import FormatError, InvalidInputError, VerificationError
from prover_core.formats.snarkjs_json import read_json, read_public
from prover_core.groth16 import Proof, VerificationKey
from prover_core.types import Digest

from .assembly import AssembledLeaves
from .assemblymodel import AssemblyContents, AssemblySegment

MAX_LEVELS = 5
"""Levels that a statement may have: as deep as JSON is read, and room for 32,768 leaves of the smallest wrap."""


def read_statement(path: Path) -> AssembledLeaves:
    """publics.json. `FormatError` (field = the JSON path) for anything that `write_assembly` does not write."""
    return _statement(read_json(path, "publics"), "", 0)


def _statement(data: object, at: str, level: int) -> AssembledLeaves:
    if level >= MAX_LEVELS:
        raise FormatError(f"more than {MAX_LEVELS} levels", field=at.rstrip("."))
    shape = _counts(data, "shape", ("leaves", "publics", "chunk"), at)
    chain = None
    if isinstance(data, dict) and data.get("chain") is not None:
        chain = Chain(*_counts(data, "chain", ("out", "into"), at))
    rows = data.get("leaves") if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise FormatError("the leaves are not a list", field=f"{at}leaves")
    names: list[str] = []
    publics: list[tuple[int, ...]] = []
    inner: dict[int, AssembledLeaves] = {}
    for i, row in enumerate(rows):
        where = f"{at}leaves[{i}]"
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise FormatError(f"{where} has no name", field=where)
        names.append(row["name"])
        if "assembly" in row:
            inner[i] = _statement(row["assembly"], f"{where}.assembly.", level + 1)
            publics.append(())
            continue
        try:
            publics.append(tuple(read_public(json.dumps(row.get("publics")).encode())))
        except FormatError as e:
            raise FormatError(f"{where}: {e}", field=f"{where}.publics") from e
    return AssembledLeaves(Shape(*shape), chain, tuple(names), tuple(publics), inner, _key(data, at))


def _key(data: object, at: str) -> Digest | None:
    text = data.get("key") if isinstance(data, dict) else None
    if text is None:
        return None
    try:
        return Digest.parse(text if isinstance(text, str) else "")
    except InvalidInputError as e:
        raise FormatError(f"{at}key is not a digest", field=f"{at}key") from e


def _counts(data: object, name: str, fields: Sequence[str], at: str) -> list[int]:
    given = data.get(name) if isinstance(data, dict) else None
    found = [given.get(field) for field in fields] if isinstance(given, dict) else []
    counts = [n for n in found if isinstance(n, int) and not isinstance(n, bool) and 0 <= n < 1 << 16]
    if len(counts) != len(fields):
        raise FormatError(f"{at}{name} is not an object of {', '.join(fields)}", field=f"{at}{name}")
    return counts


def statement_of(
    contents: AssemblyContents,
    publics: Callable[[AssemblySegment], tuple[int, ...]],
    name: Callable[[AssemblySegment], str],
) -> AssembledLeaves:
    """What a service's assembly says, with the public signals that its segments have in their jobs' results."""
    names: list[str] = []
    rows: list[tuple[int, ...]] = []
    inner: dict[int, AssembledLeaves] = {}
    for i, leaf in enumerate(contents.leaves):
        if isinstance(leaf, AssemblyContents):
            inner[i] = statement_of(leaf, publics, name)
            names.append(f"assembly {i}")
            rows.append(())
        else:
            names.append(name(leaf))
            rows.append(publics(leaf))
    return AssembledLeaves(contents.shape, contents.chain, tuple(names), tuple(rows), inner, contents.leaf_key)


def check_statement(
    statement: AssembledLeaves,
    proof: Proof,
    wrap_vk: VerificationKey,
    backend: Backend,
    *,
    keys: Sequence[VerificationKey],
    inner: Sequence[VerificationKey] = (),
    publics: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """Returns the public inputs if the proof, under wrap_vk, shows a leaf proof for each row at the bottom.

    `keys` are those of the leaf circuits that the caller expects, `inner` the wraps' of inner levels where they are not
    wrap_vk, all from where the caller trusts them. `publics`, if given, must be what follows from the statement.
    `VerificationError` names the leaf whose key is not expected; `InvalidInputError` if the statement breaks a chain or
    does not fit its shapes.
    """
    known = {key.digest: key for key in (wrap_vk, *inner, *keys)}
    only = keys[0] if len(keys) == 1 else None
    contents = _contents(statement, known, only, "")
    expected = contents.publics()
    if publics is not None and tuple(publics) != expected:
        raise VerificationError("the assembly's public inputs do not follow from the leaves'", field="public")
    verify_levels(wrap_vk, contents, proof, backend, keys=keys, inner=inner)
    return expected


def _contents(
    statement: AssembledLeaves, known: Mapping[Digest, VerificationKey], only: VerificationKey | None, at: str
) -> Contents:
    if statement.key is not None:
        vk = known.get(statement.key)
        if vk is None:
            raise VerificationError(f"leaves under the unexpected key {statement.key}", field=f"{at}key")
    elif only is not None:
        vk = only
    else:
        raise InvalidInputError("the statement does not say which of several keys is meant", field=f"{at}key")
    chain = statement.chain
    if chain is not None and max(chain.out, chain.into) >= vk.n_public:
        raise InvalidInputError(f"the leaves have {vk.n_public} public signals only", field=f"{at}chain")
    leaves = tuple(
        _contents(statement.inner[i], known, only, f"{at}leaves[{i}].") if i in statement.inner else row
        for i, row in enumerate(statement.publics)
    )
    return Contents(statement.shape, vk, leaves, chain)
