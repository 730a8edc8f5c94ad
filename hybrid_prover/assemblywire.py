"""Assemblies between wire messages and plain values; also for the services, so that both ends agree on the bytes."""

from __future__ import annotations

from hybrid_prover.v1 import assembly_pb2
from prover_core.assembly.shape import Shape
from prover_core.assembly.wrap.statement import Chain
from prover_core.errors import InvalidInputError
from prover_core.groth16.keys import VerificationKey
from prover_core.types import Digest, G1Point, G2Point, Q

from .assemblymodel import AssemblyContents, AssemblyResult, AssemblySegment
from .wire import proof_from_wire, publics_from_wire

MAX_LEVELS = 8
"""Assemblies within assemblies: with 8 places in each, more than any request may have leaves."""


def _words(*coordinates: int) -> bytes:
    return b"".join(c.to_bytes(32, "big") for c in coordinates)


def key_to_wire(key: VerificationKey) -> assembly_pb2.VerificationKey:
    """EIP-197 bytes of a verification key."""
    second = [_words(p.x[1], p.x[0], p.y[1], p.y[0]) for p in (key.beta2, key.gamma2, key.delta2)]
    return assembly_pb2.VerificationKey(
        alpha1=_words(key.alpha1.x, key.alpha1.y),
        beta2=second[0],
        gamma2=second[1],
        delta2=second[2],
        ic=[_words(p.x, p.y) for p in key.ic],
        insecure_setup=key.insecure,
    )


def _coordinates(raw: bytes, count: int, field: str) -> list[int]:
    found = [int.from_bytes(raw[i : i + 32], "big") for i in range(0, len(raw), 32)]
    if len(raw) != 32 * count or max(found) >= Q:
        raise InvalidInputError(f"{field} is not {count} coordinates of 32 bytes below q", field=field)
    return found


def _g1(raw: bytes, field: str) -> G1Point:
    return G1Point(*_coordinates(raw, 2, field))


def _g2(raw: bytes, field: str) -> G2Point:
    x1, x0, y1, y0 = _coordinates(raw, 4, field)
    return G2Point((x0, x1), (y0, y1))


def key_from_wire(message: assembly_pb2.VerificationKey) -> VerificationKey:
    """Canonical coordinates or `InvalidInputError`; no curve is checked."""
    if not message.ic:
        raise InvalidInputError("a verification key has at least one point in ic", field="ic")
    return VerificationKey(
        _g1(message.alpha1, "alpha1"),
        _g2(message.beta2, "beta2"),
        _g2(message.gamma2, "gamma2"),
        _g2(message.delta2, "delta2"),
        tuple(_g1(raw, f"ic[{i}]") for i, raw in enumerate(message.ic)),
        insecure=message.insecure_setup,
    )


def _contents(message: assembly_pb2.AssemblyContents, level: int = 0) -> AssemblyContents:
    if level >= MAX_LEVELS:
        raise InvalidInputError("an assembly of too many levels", field="contents")
    leaves: list[AssemblySegment | AssemblyContents] = []
    for leaf in message.leaves:
        if leaf.HasField("assembly"):
            leaves.append(_contents(leaf.assembly, level + 1))
        else:
            leaves.append(AssemblySegment(leaf.segment.job, leaf.segment.segment))
    return AssemblyContents(
        shape=Shape(message.places, message.publics, message.chunk),
        chain=Chain(message.chain.out, message.chain.into) if message.HasField("chain") else None,
        leaf_key=Digest(message.leaf_key),
        wrap_key=Digest(message.wrap_key),
        leaves=tuple(leaves),
    )


def assembly_result_from_wire(message: assembly_pb2.AssemblyResult) -> AssemblyResult:
    """The proof and what it says; `InvalidInputError` where an encoding is not canonical or a key is missing."""
    keys = {key.digest: key for key in map(key_from_wire, message.keys)}
    contents = _contents(message.contents)
    for digest in contents.digests():
        if digest not in keys:
            raise InvalidInputError(f"the verification key {digest} is missing", field="keys")
    return AssemblyResult(
        id=Digest(message.assembly_id),
        proof=proof_from_wire(message.proof.proof),
        publics=publics_from_wire(message.proof),
        contents=contents,
        keys=keys,
    )
