"""N leaf proofs in, one Groth16 proof out: stage 1, then the wrap."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ..backend import Backend
from ..errors import InvalidInputError, UnsatisfiedError
from ..groth16 import Proof, StreamingProver, VerificationKey, verify
from .engine import engine
from .leaf_key import leaf_key
from .protocol import Statement
from .prover import Assembly, AssemblyBuilder
from .shape import Shape
from .verifier import make_statement
from .wrap.keys import WrapKey
from .wrap.statement import Chain
from .wrap.witness import chain_ends, wrap_inputs

log = logging.getLogger(__name__)

Item = tuple[Proof, Sequence[int]]
"""A leaf proof and its public signals."""


@dataclass(frozen=True, slots=True)
class AssemblyProof:
    """One proof for many; itself a proof under the wrap's verification key, and so a possible leaf."""

    proof: Proof
    publics: tuple[int, ...]
    """key digest, leaf count, digest of the leaves' publics; in a chained assembly then its first and last value."""
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    """How long each phase took."""


def assemble(
    vk: VerificationKey, items: Sequence[Item], key: WrapKey, backend: Backend, entropy: bytes | None = None
) -> AssemblyProof:
    """One proof that all items verify under vk (and, for a chained key, that each begins where the one before ends).

    Up to `key.shape.leaves` items with at most `key.shape.publics` public signals each. `entropy`, 32 bytes or more,
    makes the proof reproducible; None draws from the operating system.

    Errors: `VerificationError` names the first leaf that does not verify (`field` = `leaves[i]`); `InvalidInputError`
    for too many leaves, malformed publics or a broken chain.
    """
    if not items:
        raise InvalidInputError("an assembly has at least one leaf", field="leaves")
    if key.chain is not None:
        chain_ends(key.chain, [publics for _, publics in items])
    started = time.perf_counter()
    builder = AssemblyBuilder(key.shape, vk)
    builder.extend(items)
    traced = time.perf_counter() - started
    out = finish_assembly(builder, key, backend, entropy)
    return AssemblyProof(out.proof, out.publics, {**out.seconds, "stage 1": traced + out.seconds["stage 1"]})


def finish_assembly(
    builder: AssemblyBuilder,
    key: WrapKey,
    backend: Backend,
    entropy: bytes | None = None,
    goes_on: Callable[[], None] = lambda: None,
) -> AssemblyProof:
    """One proof for the leaves that a builder has: the rest of stage 1, and stage 2.

    One honest stage-1 proof in some 2^39 cannot be wrapped, because an addition in the wrap meets an exception that its
    random offsets make rare: then both are made once more, with other entropy. Errors as `wrap_assembly`. `goes_on` is
    called from time to time; what it raises ends the work.
    """
    seed = os.urandom(32) if entropy is None else entropy
    try:
        return _finished(builder, key, backend, seed, entropy, goes_on)
    except UnsatisfiedError as e:
        log.warning("a stage-1 proof could not be wrapped (%s): made again", e)
        seed = hashlib.sha256(b"once more" + seed).digest()
        return _finished(builder, key, backend, seed, entropy, goes_on)


def _finished(
    builder: AssemblyBuilder,
    key: WrapKey,
    backend: Backend,
    seed: bytes,
    entropy: bytes | None,
    goes_on: Callable[[], None],
) -> AssemblyProof:
    goes_on()
    started = time.perf_counter()
    assembly = builder.finish(seed)
    first = time.perf_counter() - started
    out = wrap_assembly(assembly, builder.key.vk, key, backend, entropy, goes_on)
    return AssemblyProof(out.proof, out.publics, {"stage 1": first, **out.seconds})


def wrap_assembly(
    assembly: Assembly,
    vk: VerificationKey,
    key: WrapKey,
    backend: Backend,
    entropy: bytes | None = None,
    goes_on: Callable[[], None] = lambda: None,
) -> AssemblyProof:
    """Stage 2 for a finished stage 1: witness by the native tape, slice by slice into the prover.

    `InvalidInputError` if the key is for another shape or the chain is broken; `UnsatisfiedError` names the check that
    a false stage-1 proof breaks.
    """
    if key.shape != assembly.shape:
        raise InvalidInputError("the wrap key is for another shape", field="key")
    started = time.perf_counter()
    leaf = leaf_key(vk, key.shape.publics)
    inputs = wrap_inputs(
        key.shape,
        key.chain,
        assembly.statement,
        leaf.commitments,
        leaf.points,
        assembly.publics,
        assembly.proof,
        engine().permute,
    )
    prepared = time.perf_counter()
    prover = StreamingProver(key.proving_key, backend)
    for part in key.program.run(inputs, slice_wires=1 << 17):
        goes_on()
        prover.add(part.offset, part.values)
    streamed = time.perf_counter()
    goes_on()
    proof = prover.finish(entropy)
    done = time.perf_counter()
    publics = tuple(prover.publics)
    seconds = {"wrap inputs": prepared - started, "wrap witness": streamed - prepared, "wrap proof": done - streamed}
    return AssemblyProof(proof, publics, seconds)


def assembly_publics(
    shape: Shape, vk: VerificationKey, publics: Sequence[Sequence[int]], chain: Chain | None = None
) -> tuple[int, ...]:
    """The public inputs of an assembly of leaves under vk with these publics.

    `InvalidInputError` if they do not fit the shape or break the chain.
    """
    statement: Statement = make_statement(shape, leaf_key(vk, shape.publics), publics)
    ends = () if chain is None else chain_ends(chain, publics)
    return (statement.key_digest, statement.leaf_count, statement.publics_digest, *ends)


def verify_assembly(
    wrap_vk: VerificationKey,
    vk: VerificationKey,
    publics: Sequence[Sequence[int]],
    proof: Proof,
    shape: Shape,
    backend: Backend,
    chain: Chain | None = None,
) -> None:
    """Returns if `proof` shows that a leaf proof under vk is known for each row of publics.

    The key's digest and the publics' are recomputed here, from vk and publics. `VerificationError` if the proof fails,
    `InvalidInputError` if the publics do not fit the shape or break the chain.
    """
    verify(wrap_vk, proof, list(assembly_publics(shape, vk, publics, chain)), backend)
