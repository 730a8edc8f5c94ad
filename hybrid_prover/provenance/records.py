"""What a record says: in-toto statements (in-toto/attestation, spec v1) about leaf proofs and batches.

A leaf's statement has two subjects, the proof (its 256 bytes as EIP-197 writes them) and the public signals (32 bytes
each, big-endian), and in its predicate everything that decided the bytes, or that a client wants to know of their
making. It holds nothing secret: the blinding seed is committed to, the witness is not mentioned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from prover_core.errors import FormatError

STATEMENT: Final = "https://in-toto.io/Statement/v1"
LEAF_TYPE: Final = "urn:hybrid-prover:leaf-proof:v1"
BATCH_TYPE: Final = "urn:hybrid-prover:batch:v1"
ASSEMBLY_TYPE: Final = "urn:hybrid-prover:assembly:v1"


@dataclass(frozen=True, slots=True)
class LeafFacts:
    """Everything a leaf's record says, apart from who signs it."""

    job_id: bytes
    segment: int
    placement: str
    """`cloud`, `split` or `private`."""
    zkey: bytes
    """Digests of the circuit's parts; empty where one is not kept."""
    r1cs: bytes
    program: bytes
    proof: bytes
    """256 bytes."""
    publics: Sequence[bytes]
    maker: str
    """Name of the prover that made it: a worker's or an edge's; empty: the node that signs."""
    device: str
    software: str
    seed_commitment: bytes
    """Empty where the maker kept the seed to itself."""
    batch_id: bytes
    timings: Sequence[tuple[str, int, int]] = field(default=())
    """(phase, start in Unix nanoseconds, duration in nanoseconds)."""


@dataclass(frozen=True, slots=True)
class BatchFacts:
    """Everything a batch's record says."""

    batch_id: bytes
    verification_key: bytes
    members: Sequence[tuple[bytes, int, bytes]]
    """(job id, segment, the proof's 256 bytes), in order."""
    failed: Sequence[int]
    """Positions of the members that do not verify."""
    cause: str
    entropy: bytes
    """What the coefficients were drawn from, besides the key and the members."""
    device: str
    software: str
    closed_unix_nanos: int


@dataclass(frozen=True, slots=True)
class AssemblyFacts:
    """Everything an assembly's record says."""

    assembly_id: bytes
    proof: bytes
    """256 bytes."""
    publics: Sequence[bytes]
    contents: bytes
    """Which leaf proofs, in which tree, under which keys: `hybrid_prover.v1.AssemblyContents` as sent."""
    wrap_key: bytes
    """Digest of the outermost wrap's verification key."""
    device: str
    software: str
    timings: Sequence[tuple[str, int, int]] = field(default=())


def proof_digest(proof: bytes) -> str:
    """SHA-256 of a proof's 256 bytes, hexadecimal."""
    return hashlib.sha256(proof).hexdigest()


def leaf_statement(facts: LeafFacts) -> dict[str, Any]:
    """The statement of one leaf proof, as JSON holds it."""
    circuit = {"zkey": facts.zkey, "r1cs": facts.r1cs, "witnessProgram": facts.program}
    publics = hashlib.sha256(b"".join(facts.publics)).hexdigest()
    subjects = {"proof": proof_digest(facts.proof), "public-signals": publics}
    predicate = {
        "job": facts.job_id.hex(),
        "segment": facts.segment,
        "placement": facts.placement,
        "circuit": {name: {"sha256": digest.hex()} for name, digest in circuit.items() if digest},
        "maker": {"name": facts.maker, "device": facts.device, "software": facts.software},
        "blindingSeedCommitment": facts.seed_commitment.hex() or None,
        "batch": facts.batch_id.hex() or None,
        "timings": [{"phase": p, "startUnixNanos": s, "durationNanos": d} for p, s, d in facts.timings],
    }
    return _statement(LEAF_TYPE, subjects, predicate)


def batch_statement(facts: BatchFacts) -> dict[str, Any]:
    """The statement of one batch; its subjects are the members that verified, named `JOB/SEGMENT`."""
    failed = set(facts.failed)
    names = [f"{job.hex()}/{segment}" for job, segment, _ in facts.members]
    subjects = {
        name: proof_digest(proof)
        for i, (name, (_, _, proof)) in enumerate(zip(names, facts.members, strict=True))
        if i not in failed
    }
    predicate = {
        "batch": facts.batch_id.hex(),
        "verificationKey": facts.verification_key.hex(),
        "members": names,
        "failed": [names[i] for i in sorted(failed)],
        "cause": facts.cause,
        "entropy": facts.entropy.hex(),
        "verifier": {"device": facts.device, "software": facts.software},
        "closedUnixNanos": facts.closed_unix_nanos,
    }
    return _statement(BATCH_TYPE, subjects, predicate)


def assembly_statement(facts: AssemblyFacts) -> dict[str, Any]:
    """The statement of one assembly; its contents are a third subject."""
    subjects = {
        "proof": proof_digest(facts.proof),
        "public-signals": hashlib.sha256(b"".join(facts.publics)).hexdigest(),
        "contents": hashlib.sha256(facts.contents).hexdigest(),
    }
    predicate = {
        "assembly": facts.assembly_id.hex(),
        "wrapKey": facts.wrap_key.hex(),
        "maker": {"name": "", "device": facts.device, "software": facts.software},
        "timings": [{"phase": p, "startUnixNanos": s, "durationNanos": d} for p, s, d in facts.timings],
    }
    return _statement(ASSEMBLY_TYPE, subjects, predicate)


def _statement(kind: str, subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "_type": STATEMENT,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects.items()],
        "predicateType": kind,
        "predicate": dict(predicate),
    }


@dataclass(frozen=True, slots=True)
class ReadLeaf:
    """What a replay needs of a leaf's record."""

    proof_sha256: str
    publics_sha256: str
    zkey_sha256: str
    program_sha256: str
    seed_commitment: str
    device: str
    software: str


def read_leaf(statement: Mapping[str, Any]) -> ReadLeaf:
    """The facts of a leaf's statement. `FormatError` names what is missing or of another kind."""
    if statement.get("predicateType") != LEAF_TYPE:
        raise FormatError(f"the record is of type {statement.get('predicateType')!r}, not a leaf's", field="record")
    try:
        subjects = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
        predicate = statement["predicate"]
        circuit, maker = predicate["circuit"], predicate["maker"]
        found = ReadLeaf(
            proof_sha256=subjects["proof"],
            publics_sha256=subjects["public-signals"],
            zkey_sha256=circuit["zkey"]["sha256"],
            program_sha256=circuit.get("witnessProgram", {}).get("sha256", ""),
            seed_commitment=predicate["blindingSeedCommitment"] or "",
            device=maker["device"],
            software=maker["software"],
        )
    except (KeyError, TypeError, AttributeError) as e:
        raise FormatError(f"the record lacks {e}", field="record") from e
    if not all(isinstance(getattr(found, name), str) for name in ReadLeaf.__slots__):
        raise FormatError("the record holds something else where a text belongs", field="record")
    return found
