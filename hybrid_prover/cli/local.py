"""`prove`, `verify` and `setup`: files in, files out, on this machine and without any service."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hybrid_prover.local import LocalProver, read_inputs
from hybrid_prover.names import INSECURE, PROOF, PUBLICS, VKEY
from prover_core.backend import select
from prover_core.errors import InvalidInputError, VerificationError
from prover_core.formats.r1cs import read_r1cs
from prover_core.formats.snarkjs_json import (
    read_proof,
    read_public,
    read_verification_key,
    write_proof,
    write_public,
    write_verification_key,
)
from prover_core.formats.zkey import write_zkey
from prover_core.groth16 import setup as make_key
from prover_core.groth16 import verify as check_proof

from .output import BackendName, Output


def prove(
    *,
    zkey: Path,
    program: Annotated[Path | None, Parameter(name=["--wasm", "--program"])] = None,
    inputs: Annotated[Path | None, Parameter(name=["--input", "--inputs"])] = None,
    r1cs: Path | None = None,
    witness: Annotated[Path | None, Parameter(name=["--wtns", "--witness"])] = None,
    out: Path = Path("."),
    backend: BackendName | None = None,
    threads: int | None = None,
    json: bool = False,
) -> int:
    """Prove a circom circuit on this machine, without any service.

    Writes proof.json, public.json and verification_key.json, as snarkjs reads them, into --out; nothing is written
    unless the proof verifies.

    Parameters
    ----------
    zkey
        Proving key, from snarkjs or from `hybrid-prover setup`.
    program
        Witness program: circom's .wasm, or a tape. Needs --input.
    inputs
        input.json, as for snarkjs.
    r1cs
        Constraints: a witness that breaks one is then refused by the number of its row before proving.
    witness
        A finished .wtns instead of --wasm and --input.
    out
        Folder for the results; made if missing.
    backend
        Use this backend instead of the best one.
    threads
        Cores to use; all by default.
    json
        Print the outcome as JSON.
    """
    if (witness is None) == (program is None):
        raise InvalidInputError("give either --wasm with --input, or --wtns", field="witness")
    if (program is None) != (inputs is None):
        raise InvalidInputError("--wasm and --input go together", field="input")
    output, start = Output(json), time.perf_counter()
    selection = select(prefer=backend, threads=threads)
    with output.step("key"):
        prover = LocalProver.open(zkey, selection.backend, r1cs=r1cs)
    if prover.key.insecure:
        output.note(INSECURE)
    with output.step(f"witness and proof ({selection.backend.device})") as advance:
        if program is not None and inputs is not None:
            proof, publics = prover.prove_inputs(program, read_inputs(inputs), progress=advance)
        elif witness is not None:
            proof, publics = prover.prove_witness(witness, progress=advance)
    out.mkdir(parents=True, exist_ok=True)
    write_proof(out / PROOF, proof)
    write_public(out / PUBLICS, publics)
    write_verification_key(out / VKEY, prover.key.verification_key)
    seconds = time.perf_counter() - start
    output.say(f"proof verified and written to {out} in {seconds:.2f} s")
    output.result(
        {
            "proof": str(out / PROOF),
            "public": str(out / PUBLICS),
            "verification_key": str(out / VKEY),
            "wires": prover.key.n_vars,
            "seconds": seconds,
            "backend": selection.backend.name,
            "insecure_setup": prover.key.insecure,
        }
    )
    return 0


def verify(*, vkey: Path, proof: Path, public: Path, backend: BackendName | None = None, json: bool = False) -> int:
    """Verify a proof in snarkjs's format. Exit code 1 if it does not verify.

    Parameters
    ----------
    vkey
        verification_key.json.
    proof
        proof.json.
    public
        public.json.
    backend
        Use this backend instead of the best one.
    json
        Print the outcome as JSON.
    """
    output = Output(json)
    key, given, publics = read_verification_key(vkey), read_proof(proof), read_public(public)
    try:
        check_proof(key, given, publics, select(prefer=backend, threads=1).backend)
    except VerificationError as e:
        output.result({"verified": False, "reason": str(e)})
        raise
    output.say("the proof verifies")
    output.result({"verified": True, "reason": ""})
    return 0


def setup(
    *,
    r1cs: Path,
    out: Path,
    vkey: Path | None = None,
    backend: BackendName | None = None,
    threads: int | None = None,
    json: bool = False,
) -> int:
    """Make an insecure development key for a circuit: whoever runs this could forge proofs.

    Keys for production come from a ceremony (snarkjs groth16 setup and contributions); `prove` takes them as they are.

    Parameters
    ----------
    r1cs
        The circuit's constraints.
    out
        Where to write the .zkey.
    vkey
        Where to write verification_key.json as well.
    backend
        Use this backend instead of the best one.
    threads
        Cores to use; all by default.
    json
        Print the outcome as JSON.
    """
    output = Output(json)
    system = read_r1cs(r1cs)
    with output.step(f"setup of {system.n_constraints} constraints"):
        key = make_key(system, backend=select(prefer=backend, threads=threads).backend)
        write_zkey(out, key)
    if vkey is not None:
        write_verification_key(vkey, key.verification_key)
    output.note(INSECURE)
    output.say(f"key written to {out}" + (f", verification key to {vkey}" if vkey else ""))
    output.result(
        {
            "zkey": str(out),
            "verification_key": str(vkey) if vkey else None,
            "constraints": system.n_constraints,
            "wires": system.n_wires,
            "insecure_setup": True,
        }
    )
    return 0
