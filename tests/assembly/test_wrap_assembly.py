"""Whole assemblies: leaf proofs of several circuits in, one proof out, judged by snarkjs and by an EVM."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from wrap_support import BACKEND, Leaves, leaves

sys.path.append(str(Path(__file__).parents[1] / "groth16"))
from evm import Contract
from groth16_samples import write_known_ptau
from toolchain import CACHE, Toolchain, toolchain

from prover_core.assembly.assemble import AssemblyProof, assemble, assembly_publics, verify_assembly
from prover_core.assembly.shape import Shape
from prover_core.assembly.solidity import verifier_source, verify_arguments
from prover_core.assembly.wrap.keys import WrapKey, WrapKeys
from prover_core.assembly.wrap.statement import Chain
from prover_core.errors import InvalidInputError, VerificationError
from prover_core.formats.snarkjs_json import (
    read_proof,
    read_public,
    read_verification_key,
    write_proof,
    write_public,
    write_verification_key,
)
from prover_core.groth16 import Proof
from prover_core.types import G1Point, Q, R

pytestmark = pytest.mark.node

SHAPE = Shape(leaves=3, publics=2, chunk=4)
CHAIN = Chain(out=0, into=1)


@pytest.fixture(scope="module")
def key() -> WrapKey:
    """Built once and kept beside the node tools: about half a minute the first time."""
    return WrapKeys(CACHE.parent / "wrap-keys").get(SHAPE, BACKEND, CHAIN)


def check(done: AssemblyProof, source: Leaves, key: WrapKey, folder: Path) -> None:
    """Accepted by our verifier, by snarkjs and on an EVM."""
    publics = [row for _, row in source.items]
    verify_assembly(key.verification_key, source.vk, publics, done.proof, SHAPE, BACKEND, CHAIN)
    assert done.publics == assembly_publics(SHAPE, source.vk, publics, CHAIN)
    write_proof(folder / "proof.json", done.proof)
    write_public(folder / "public.json", done.publics)
    write_verification_key(folder / "key.json", key.verification_key)
    said = toolchain().snarkjs("groth16", "verify", *(folder / f"{name}.json" for name in ("key", "public", "proof")))
    assert "OK!" in said
    contract = Contract(verifier_source(key.verification_key), "AssemblyVerifier")
    outcome = contract.call("verify", verify_arguments(done.proof, done.publics))
    assert outcome.error is None
    assert outcome.gas <= 280_000
    print(f"\n{len(publics)} leaves, gas {outcome.gas}, {done.seconds}")


def test_one_key_serves_two_circuits(key: WrapKey, tmp_path: Path) -> None:
    for other in (False, True):
        source = leaves(3, other=other)
        check(assemble(source.vk, source.items, key, BACKEND, b"e" * 32), source, key, tmp_path)


def from_snarkjs(folder: Path, count: int) -> Leaves:
    """Leaf proofs that snarkjs made, with snarkjs's key, from a circuit that circom compiled."""
    tools: Toolchain = toolchain()
    stem = tools.circom(Path(__file__).parent / "circuits" / "running.circom")
    ptau, zkey, vk = folder / "known.ptau", folder / "leaf.zkey", folder / "leaf.json"
    write_known_ptau(ptau, 8, BACKEND)
    tools.snarkjs("groth16", "setup", f"{stem}.r1cs", ptau, zkey)
    tools.snarkjs("zkey", "export", "verificationkey", zkey, vk)
    wasm = stem.parent / f"{stem.name}_js" / f"{stem.name}.wasm"
    items: list[tuple[Proof, list[int]]] = []
    old = 3
    for i in range(count):
        request = folder / "input.json"
        request.write_text(f'{{"old": "{old}", "secret": "{1000 + i}"}}')
        proof, public = folder / f"proof{i}.json", folder / f"public{i}.json"
        tools.snarkjs("groth16", "fullprove", request, wasm, zkey, proof, public)
        items.append((read_proof(proof), read_public(public)))
        old = items[-1][1][0]
    return Leaves(read_verification_key(vk), items)


def test_leaves_that_snarkjs_made(key: WrapKey, tmp_path: Path) -> None:
    source = from_snarkjs(tmp_path, 2)
    assert source.items[1][1][1] == (27 + 1000) % R
    check(assemble(source.vk, source.items, key, BACKEND), source, key, tmp_path)


def test_what_is_refused(key: WrapKey) -> None:
    source = leaves(3)
    done = assemble(source.vk, source.items[:2], key, BACKEND, b"e" * 32)
    publics = [row for _, row in source.items[:2]]
    wrap_vk = key.verification_key
    verify_assembly(wrap_vk, source.vk, publics, done.proof, SHAPE, BACKEND, CHAIN)
    wrong = [
        [[publics[0][0], (publics[0][1] + 1) % R], publics[1]],
        publics[:1],
        [row for _, row in source.items],
    ]
    for rows in wrong:
        with pytest.raises(VerificationError):
            verify_assembly(wrap_vk, source.vk, rows, done.proof, SHAPE, BACKEND, CHAIN)
    for rows in (publics[::-1], [publics[0], [publics[1][0], 5]]):
        with pytest.raises(InvalidInputError, match="does not begin"):
            verify_assembly(wrap_vk, source.vk, rows, done.proof, SHAPE, BACKEND, CHAIN)
    with pytest.raises(VerificationError):
        verify_assembly(wrap_vk, leaves(3, other=True).vk, publics, done.proof, SHAPE, BACKEND, CHAIN)
    a, b, c = done.proof.a, done.proof.b, done.proof.c
    with pytest.raises(VerificationError):
        verify_assembly(wrap_vk, source.vk, publics, Proof(G1Point(a.x, Q - a.y), b, c), SHAPE, BACKEND, CHAIN)

    (p0, x0), (p1, x1) = source.items[:2]
    with pytest.raises(InvalidInputError, match="leaf 1 does not begin"):
        assemble(source.vk, [(p1, x1), (p0, x0)], key, BACKEND)
    with pytest.raises(InvalidInputError, match="at least one leaf"):
        assemble(source.vk, [], key, BACKEND)
    forged = Proof(p1.a, p1.b, p0.c)
    with pytest.raises(VerificationError) as caught:
        assemble(source.vk, [(p0, x0), (forged, x1)], key, BACKEND)
    assert caught.value.field == "leaves[1]"


def test_keys_are_kept_by_shape(key: WrapKey) -> None:
    keys = WrapKeys(CACHE.parent / "wrap-keys")
    again = keys.get(SHAPE, BACKEND, CHAIN)
    assert again.circuit_digest == key.circuit_digest
    assert again.verification_key.digest == key.verification_key.digest
    assert key.r1cs().n_wires == key.program.n_wires
