"""snarkjs's JSON: proof.json, public.json, verification_key.json. Strict: what is not canonical is refused.

Every number is a canonical decimal string; points are projective, written with z = 1 (infinity with z = 0).
Curve membership is checked by `groth16.verify`, which sees every proof and key that is read here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from ..direct import alphabeta
from ..errors import FormatError
from ..groth16.keys import Proof, VerificationKey
from ..types import G1Point, G2Point, Q, R, g1_vector, g2_vector
from .snarkjs_text import INSECURE_FIELD, PROTOCOL, key_object, proof_object, public_object, write_object

JsonSource: TypeAlias = str | os.PathLike[str] | bytes
"""A path, or the text as bytes."""

MAX_BYTES: Final = 64 << 20
"""A larger file is refused unread."""
MAX_DEPTH: Final = 16
"""A more deeply nested file is refused unparsed; snarkjs's own have 4 levels."""
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,77}")


def read_proof(source: JsonSource) -> Proof:
    """proof.json. `FormatError` (field = the JSON path) for anything but a Groth16 proof over bn128."""
    data = _object(source, "proof")
    return Proof(_g1(data, "pi_a"), _g2(data, "pi_b"), _g1(data, "pi_c"))


def read_public(source: JsonSource) -> list[int]:
    """public.json: the public signals, each canonical below r. `FormatError` otherwise."""
    data = read_json(source, "public")
    if not isinstance(data, list):
        raise FormatError("public signals are not a list", field="public")
    return [_number(x, R, f"public[{i}]") for i, x in enumerate(data)]


def read_verification_key(source: JsonSource) -> VerificationKey:
    """verification_key.json. `vk_alphabeta_12` is e(α, β), which follows from the rest, and is ignored.

    `FormatError` (field = the JSON path) for anything but a Groth16 key over bn128.
    """
    data = _object(source, "verification key")
    ic = data.get("IC")
    if not isinstance(ic, list) or not ic:
        raise FormatError("IC is not a list of points", field="IC")
    n_public = data.get("nPublic")
    if isinstance(n_public, bool) or not isinstance(n_public, int) or n_public != len(ic) - 1:
        raise FormatError(f"IC has {len(ic)} points, which does not fit nPublic", field="nPublic")
    points = tuple(_g1_point(p, f"IC[{i}]") for i, p in enumerate(ic))
    beta, gamma, delta = (_g2(data, name) for name in ("vk_beta_2", "vk_gamma_2", "vk_delta_2"))
    insecure = data.get(INSECURE_FIELD, False) is not False
    return VerificationKey(_g1(data, "vk_alpha_1"), beta, gamma, delta, points, insecure)


def proof_json(proof: Proof) -> dict[str, object]:
    """The object that snarkjs writes to proof.json."""
    return proof_object(proof.to_bytes())


def public_json(publics: Sequence[int]) -> list[str]:
    """The list that snarkjs writes to public.json."""
    return public_object(publics)


def verification_key_json(vk: VerificationKey) -> dict[str, object]:
    """The object that snarkjs writes to verification_key.json; one pairing, for `vk_alphabeta_12`.

    No verifier of ours or theirs reads that field, other tools ask for it.
    """
    g2 = [(*p.x, *p.y) for p in (vk.beta2, vk.gamma2, vk.delta2)]
    product = alphabeta(g1_vector([vk.alpha1]).limbs.tobytes(), g2_vector([vk.beta2]).limbs.tobytes())
    return key_object((vk.alpha1.x, vk.alpha1.y), g2, [(p.x, p.y) for p in vk.ic], product, vk.insecure)


def write_proof(path: str | os.PathLike[str], proof: Proof) -> None:
    """Writes proof.json."""
    write_object(path, proof_json(proof))


def write_public(path: str | os.PathLike[str], publics: Sequence[int]) -> None:
    """Writes public.json."""
    write_object(path, public_json(publics))


def write_verification_key(path: str | os.PathLike[str], vk: VerificationKey) -> None:
    """Writes verification_key.json."""
    write_object(path, verification_key_json(vk))


def read_json(source: JsonSource, what: str) -> object:
    """Any JSON; `FormatError` (field = what) if it is not, is too large or too deep, or names a field twice."""
    if isinstance(source, bytes):
        raw = source
    else:
        with Path(source).open("rb") as f:
            raw = f.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise FormatError(f"the {what} is larger than {MAX_BYTES} bytes", field=what)
    _check_depth(raw, what)
    try:
        return json.loads(raw.decode("utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as e:
        raise FormatError(f"the {what} is not JSON: {e}", field=what) from e


def _check_depth(raw: bytes, what: str) -> None:
    """Nesting costs the parser's stack, and the interpreter's own limit is whatever the process has set it to."""
    depth = 0
    for bracket in re.finditer(rb"[\[\]{}]", raw):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            raise FormatError(f"the {what} is nested deeper than {MAX_DEPTH} levels", field=what)


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise ValueError("a key occurs twice in one object")
    return out


def _object(source: JsonSource, what: str) -> Mapping[str, object]:
    data = read_json(source, what)
    if not isinstance(data, dict):
        raise FormatError(f"the {what} is not a JSON object", field=what)
    for name, expected in PROTOCOL.items():
        if data.get(name) != expected:
            raise FormatError(f"the {what}'s {name} is not {expected!r}", field=name)
    return data


def _number(value: object, below: int, field: str) -> int:
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value) or (number := int(value)) >= below:
        raise FormatError(f"{field} is not a canonical decimal string", field=field)
    return number


def _list(value: object, length: int, field: str) -> list[object]:
    if not isinstance(value, list) or len(value) != length:
        raise FormatError(f"{field} is not a list of {length}", field=field)
    return value


def _coordinate(value: object, width: int, field: str) -> tuple[int, ...]:
    """An element of Fq (width 1: a string) or Fq2 (width 2: a pair of strings)."""
    parts = [value] if width == 1 else _list(value, width, field)
    return tuple(_number(c, Q, field) for c in parts)


def _affine(value: object, width: int, field: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(x, y), all zero at infinity, which snarkjs writes as (0 : 1 : 0)."""
    x, y, z = (_coordinate(c, width, f"{field}[{i}]") for i, c in enumerate(_list(value, 3, field)))
    zero = (0,) * width
    one = (1, *zero[1:])
    if z == one:
        return x, y
    if (x, y, z) == (zero, one, zero):
        return zero, zero
    raise FormatError(f"{field} is not an affine point", field=field)


def _g1_point(value: object, field: str) -> G1Point:
    (x,), (y,) = _affine(value, 1, field)
    return G1Point(x, y)


def _g1(data: Mapping[str, object], name: str) -> G1Point:
    return _g1_point(data.get(name), name)


def _g2(data: Mapping[str, object], name: str) -> G2Point:
    (x0, x1), (y0, y1) = _affine(data.get(name), 2, name)
    return G2Point((x0, x1), (y0, y1))
