"""Both ways with snarkjs, over circuits that circom compiled: its keys and proofs serve us, and ours serve it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from groth16_samples import write_known_ptau
from toolchain import Toolchain

from prover_core.errors import UnsatisfiedError, VerificationError
from prover_core.formats.ptau import read_ptau
from prover_core.formats.r1cs import read_r1cs, read_wire_labels, write_r1cs
from prover_core.formats.snarkjs_json import (
    read_proof,
    read_public,
    read_verification_key,
    verification_key_json,
    write_proof,
    write_public,
)
from prover_core.formats.wtns import read_wtns, write_wtns
from prover_core.formats.zkey import read_zkey, read_zkey_verification_key, write_zkey
from prover_core.groth16 import ProvingKey, StreamingProver, prove, setup, verify, verify_batch
from prover_core.native import CpuBackend
from prover_core.reference.eddsa import PrivateKey
from prover_core.reference.poseidon import poseidon
from prover_core.types import FrVector, R, g1_points, g2_points
from prover_core.witness import RowPlan, WasmProgram
from prover_core.witness.rows import RowChecker

pytestmark = pytest.mark.node


def signed_inputs(message: int = 42) -> dict[str, object]:
    """A valid assignment of circuits/signed.circom, made with the oracle's Poseidon and EdDSA."""
    private = PrivateKey.from_seed(b"snarkjs test")
    key, signature = private.public, private.sign(message)
    node = poseidon([key.x, key.y, message])
    siblings, right = [11, 12, 13, 14], [0, 1, 1, 0]
    for sibling, is_right in zip(siblings, right, strict=True):
        node = poseidon([sibling, node] if is_right else [node, sibling])
    return {
        "root": str(node),
        "key": [str(key.x), str(key.y)],
        "r8": [str(signature.r8.x), hex(signature.r8.y)],
        "s": signature.s,
        "message": message,
        "siblings": siblings,
        "right": right,
    }


def witness_of(stem: Path, inputs: dict[str, object]) -> FrVector:
    program = WasmProgram(stem.parent.joinpath(f"{stem.name}_js", f"{stem.name}.wasm").read_bytes())
    return FrVector(np.concatenate([s.values.limbs for s in program.run(inputs, slice_wires=1000)]))


@pytest.fixture(scope="module")
def signed(tools: Toolchain, circuits: Path) -> Path:
    return tools.circom(circuits / "signed.circom", "--O2")


@pytest.fixture(scope="module")
def signed_witness(signed: Path) -> FrVector:
    return witness_of(signed, signed_inputs())


@pytest.fixture(scope="module")
def ptau(tools: Toolchain, backend: CpuBackend) -> Path:
    path = tools.work / "known-13.ptau"
    if not path.exists():
        write_known_ptau(path, 13, backend)
    return path


@pytest.fixture(scope="module")
def fresh_zkey(tools: Toolchain, signed: Path, ptau: Path) -> Path:
    """snarkjs's key before anyone contributed: a function of circuit and powers."""
    path = signed.with_name("fresh.zkey")
    if not path.exists():
        tools.snarkjs("groth16", "setup", signed.with_suffix(".r1cs"), ptau, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)
    return path


@pytest.fixture(scope="module")
def theirs(tools: Toolchain, fresh_zkey: Path) -> Path:
    """snarkjs's key after one contribution."""
    path = fresh_zkey.with_name("contributed.zkey")
    if not path.exists():
        tools.snarkjs("zkey", "contribute", fresh_zkey, path.with_suffix(".part"), "--name=test", "-e=some text")
        path.with_suffix(".part").rename(path)
    return path


@pytest.fixture(scope="module")
def ours(signed: Path, backend: CpuBackend) -> ProvingKey:
    return setup(read_r1cs(signed.with_suffix(".r1cs")), backend=backend)


def exported_key(tools: Toolchain, zkey: Path, out: Path) -> Path:
    tools.snarkjs("zkey", "export", "verificationkey", zkey, out)
    return out


def snarkjs_accepts(tools: Toolchain, vkey: Path, public: Path, proof: Path) -> bool:
    return "OK!" in tools.snarkjs("groth16", "verify", vkey, public, proof)


def test_their_key_our_proof_their_verifier(
    tools: Toolchain,
    theirs: Path,
    fresh_zkey: Path,
    signed: Path,
    signed_witness: FrVector,
    backend: CpuBackend,
    tmp_path: Path,
) -> None:
    key = read_zkey(theirs)
    assert not key.insecure
    assert read_zkey(fresh_zkey).insecure
    prover = StreamingProver(key, backend, r1cs=read_r1cs(signed.with_suffix(".r1cs")))
    for lo in range(0, len(signed_witness), 2048):
        prover.add(lo, signed_witness[lo : lo + 2048])
    write_proof(tmp_path / "proof.json", prover.finish())
    write_public(tmp_path / "public.json", prover.publics)
    vkey = exported_key(tools, theirs, tmp_path / "vkey.json")
    assert snarkjs_accepts(tools, vkey, tmp_path / "public.json", tmp_path / "proof.json")
    assert read_verification_key(vkey).digest == key.verification_key.digest
    assert read_zkey_verification_key(theirs) == key.verification_key
    exported = json.loads(vkey.read_text())
    assert exported == verification_key_json(key.verification_key)


def test_their_key_our_command_their_verifier(
    tools: Toolchain, theirs: Path, signed_witness: FrVector, tmp_path: Path
) -> None:
    """The command line's short way, with the verification key that it writes and with theirs."""
    write_wtns(tmp_path / "w.wtns", signed_witness)
    files = ["--zkey", str(theirs), "--wtns", str(tmp_path / "w.wtns"), "--out", str(tmp_path)]
    subprocess.run([sys.executable, "-m", "hybrid_prover", "prove", *files], check=True, capture_output=True)
    for vkey in (tmp_path / "verification_key.json", exported_key(tools, theirs, tmp_path / "vkey.json")):
        assert snarkjs_accepts(tools, vkey, tmp_path / "public.json", tmp_path / "proof.json")
    exported = json.loads((tmp_path / "vkey.json").read_text())
    assert json.loads((tmp_path / "verification_key.json").read_text()) == exported


def test_our_key_their_proof_our_verifier(
    tools: Toolchain, ours: ProvingKey, signed_witness: FrVector, backend: CpuBackend, tmp_path: Path
) -> None:
    write_zkey(tmp_path / "our.zkey", ours)
    write_wtns(tmp_path / "w.wtns", signed_witness)
    tools.snarkjs("groth16", "prove", "our.zkey", "w.wtns", "proof.json", "public.json", cwd=tmp_path)
    proof, publics = read_proof(tmp_path / "proof.json"), read_public(tmp_path / "public.json")
    verify(ours.verification_key, proof, publics, backend)
    with pytest.raises(VerificationError):
        verify(ours.verification_key, proof, [publics[0], (publics[1] + 1) % R], backend)
    mine = prove(ours, signed_witness, backend)
    assert verify_batch(ours.verification_key, [(proof, publics), (mine, publics)], backend) == []
    vkey = exported_key(tools, tmp_path / "our.zkey", tmp_path / "vkey.json")
    exported = json.loads(vkey.read_text())
    assert exported | {"insecure": True} == verification_key_json(ours.verification_key)
    write_proof(tmp_path / "mine.json", mine)
    assert snarkjs_accepts(tools, vkey, tmp_path / "public.json", tmp_path / "mine.json")


def test_their_setup_reads_our_r1cs(tools: Toolchain, circuits: Path, backend: CpuBackend, tmp_path: Path) -> None:
    source = tools.circom(circuits / "ledger.circom").with_suffix(".r1cs")
    write_known_ptau(tmp_path / "small.ptau", 4, backend)
    write_r1cs(tmp_path / "ours.r1cs", read_r1cs(source), read_wire_labels(source))
    for r1cs, zkey in ((source, "theirs.zkey"), (tmp_path / "ours.r1cs", "ours.zkey")):
        tools.snarkjs("groth16", "setup", r1cs, "small.ptau", zkey, cwd=tmp_path)
    assert read_zkey(tmp_path / "ours.zkey").digest == read_zkey(tmp_path / "theirs.zkey").digest


def test_witness_equals_theirs_byte_for_byte(
    tools: Toolchain, signed: Path, signed_witness: FrVector, tmp_path: Path
) -> None:
    inputs = signed_inputs() | {"s": str(signed_inputs()["s"])}  # their parser would round a large number
    (tmp_path / "in.json").write_text(json.dumps(inputs))
    wasm = signed.parent / "signed_js" / "signed.wasm"
    tools.snarkjs("wtns", "calculate", wasm, "in.json", "theirs.wtns", cwd=tmp_path)
    write_wtns(tmp_path / "ours.wtns", signed_witness)
    assert (tmp_path / "ours.wtns").read_bytes() == (tmp_path / "theirs.wtns").read_bytes()
    assert read_wtns(tmp_path / "theirs.wtns").to_ints() == signed_witness.to_ints()


def test_flipped_witness_values_are_refused(
    ours: ProvingKey, signed: Path, signed_witness: FrVector, backend: CpuBackend
) -> None:
    r1cs = read_r1cs(signed.with_suffix(".r1cs"))
    plan = RowPlan(r1cs, backend)
    for wire in (1, 2, 3, 9, len(signed_witness) // 2, len(signed_witness) - 1):
        wires = signed_witness.limbs.copy()
        wires[wire, 0] ^= np.uint64(1)
        with pytest.raises(UnsatisfiedError) as by_prover:
            prove(ours, FrVector(wires), backend, r1cs=r1cs)
        with pytest.raises(UnsatisfiedError) as by_checker:
            RowChecker(plan).add(0, FrVector(wires))
        assert by_prover.value.row == by_checker.value.row >= 0


def test_optimisation_levels_give_other_circuits_that_prove_as_well(
    tools: Toolchain, circuits: Path, backend: CpuBackend
) -> None:
    stem = tools.circom(circuits / "signed.circom", "--O1")
    r1cs = read_r1cs(stem.with_suffix(".r1cs"))
    key = setup(r1cs, backend=backend)
    witness = witness_of(stem, signed_inputs(R - 1))
    proof = prove(key, witness, backend, r1cs=r1cs)
    verify(key.verification_key, proof, witness.to_ints()[1:3], backend)


def test_powers_of_tau_that_snarkjs_made(tools: Toolchain, backend: CpuBackend, tmp_path: Path) -> None:
    tools.snarkjs("powersoftau", "new", "bn128", "3", "0.ptau", cwd=tmp_path)
    tools.snarkjs("powersoftau", "contribute", "0.ptau", "1.ptau", "--name=test", "-e=some text", cwd=tmp_path)
    assert not read_ptau(tmp_path / "1.ptau").prepared
    tools.snarkjs("powersoftau", "prepare", "phase2", "1.ptau", "2.ptau", cwd=tmp_path)
    ptau = read_ptau(tmp_path / "2.ptau")
    assert (ptau.power, ptau.ceremony_power, ptau.prepared) == (3, 3, True)
    # The sum of w^(k i) L_i(τ) is τ^k, which is there as it is.
    for power in range(1, 4):
        n = 1 << power
        w = pow(5, (R - 1) // n, R)
        for k in (0, 1):
            scalars = FrVector.from_ints([pow(w, k * i, R) for i in range(n)])
            assert backend.g1_msm(ptau.lagrange_tau_g1(power), scalars) == g1_points(ptau.tau_g1)[k]
            assert backend.g2_msm(ptau.lagrange_tau_g2(power), scalars) == g2_points(ptau.tau_g2)[k]
            assert backend.g1_msm(ptau.lagrange_alpha_tau_g1(power), scalars) == g1_points(ptau.alpha_tau_g1)[k]
            assert backend.g1_msm(ptau.lagrange_beta_tau_g1(power), scalars) == g1_points(ptau.beta_tau_g1)[k]
