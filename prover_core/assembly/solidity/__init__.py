"""Verifiers for Ethereum: Solidity sources for one verification key each, and the calls' data.

`GrothVerifier.sol` and `BatchVerifier.sol` are templates; keys become constants, so that a call reads no storage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import resources

from ...errors import InvalidInputError
from ...groth16.keys import Proof, VerificationKey
from ...types import G1Point, G2Point, Q

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def verifier_source(vk: VerificationKey, *, name: str = "AssemblyVerifier") -> str:
    """A contract whose `verify(uint256[8], uint256[n])` returns for a valid proof under vk and reverts otherwise.

    Gas: 45,000 + 4 * 34,000 for the pairings, 6,150 a public input, calldata and overhead. `InvalidInputError` for a
    name that is not an identifier, or a key without public inputs.
    """
    return _render("GrothVerifier.sol", vk, name, "Groth16 verifier", "total", "publics[{0}], {0}")


def batch_verifier_source(vk: VerificationKey, *, name: str = "BatchVerifier") -> str:
    """A contract whose `verifyBatch(uint256[8][], uint256[n][])` returns if all proofs are valid and reverts otherwise.

    Gas: 45,000 + 34,000 (N + 3) for the pairings, 12,300 a proof and 6,150 a public input for the combination,
    calldata and overhead. Errors as `verifier_source`.
    """
    return _render("BatchVerifier.sol", vk, name, "Groth16 batch verifier", "point", "sums[{0}]")


def proof_words(proof: Proof) -> list[int]:
    """The eight words of a proof as both contracts take them: A, B, C with imaginary parts first (EIP-197)."""
    raw = proof.to_bytes()
    return [int.from_bytes(raw[i : i + 32], "big") for i in range(0, len(raw), 32)]


def verify_arguments(proof: Proof, publics: Sequence[int]) -> bytes:
    """The ABI encoding of `verify`'s arguments, without the selector."""
    return b"".join(x.to_bytes(32, "big") for x in [*proof_words(proof), *publics])


def batch_arguments(items: Sequence[tuple[Proof, Sequence[int]]]) -> bytes:
    """The ABI encoding of `verifyBatch`'s arguments, without the selector."""
    proofs = [word for proof, _ in items for word in proof_words(proof)]
    publics = [x for _, row in items for x in row]
    words = [64, 64 + 32 + 32 * len(proofs), len(items), *proofs, len(items), *publics]
    return b"".join(x.to_bytes(32, "big") for x in words)


def _render(template: str, vk: VerificationKey, name: str, title: str, total: str, argument: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidInputError(f"{name!r} is not a Solidity identifier", field="name")
    if not vk.n_public:
        raise InvalidInputError("a key without public inputs has nothing to check on chain", field="vk")
    first = 1 if total == "total" else 0
    calls = [
        f"        _accumulate({total}, IC_{j}_X, IC_{j}_Y, {argument.format(j - first)});"
        for j in range(first, len(vk.ic))
    ]
    values = {
        "TITLE": title,
        "NAME": name,
        "PUBLICS": str(vk.n_public),
        "TERMS": str(len(vk.ic)),
        "DIGEST": "0x" + str(vk.digest),
        "CONSTANTS": "\n".join(f"    uint256 private constant {k} = {v};" for k, v in _constants(vk).items()),
        "ACCUMULATE": "\n".join(calls),
    }
    source = resources.files(__package__).joinpath(template).read_text(encoding="utf-8")
    return re.sub(r"@@([A-Z]+)@@", lambda found: values[found[1]], source)


def _constants(vk: VerificationKey) -> dict[str, int]:
    out: dict[str, int] = {}
    minus_alpha = _minus_g1(vk.alpha1)
    out["ALPHA_X"], out["MINUS_ALPHA_Y"] = minus_alpha.x, minus_alpha.y
    for label, p in (("BETA", vk.beta2), ("GAMMA", _minus_g2(vk.gamma2)), ("DELTA", _minus_g2(vk.delta2))):
        out |= {f"{label}_X0": p.x[0], f"{label}_X1": p.x[1], f"{label}_Y0": p.y[0], f"{label}_Y1": p.y[1]}
    for j, point in enumerate(vk.ic):
        out[f"IC_{j}_X"], out[f"IC_{j}_Y"] = point.x, point.y
    return out


def _minus_g1(p: G1Point) -> G1Point:
    return G1Point(p.x, -p.y % Q)


def _minus_g2(p: G2Point) -> G2Point:
    return G2Point(p.x, (-p.y[0] % Q, -p.y[1] % Q))


__all__ = ["batch_arguments", "batch_verifier_source", "proof_words", "verifier_source", "verify_arguments"]
