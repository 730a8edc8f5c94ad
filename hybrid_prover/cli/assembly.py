"""`assemble` and `verify-assembly`: many proofs that came from anywhere become one, and that one is checked."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hybrid_prover.assembly import (
    AssembledLeaves,
    BadLeaf,
    check_assembly,
    check_leaves,
    parse_chain,
    read_leaves,
    wrap_keys_folder,
    write_assembly,
)
from hybrid_prover.statement import check_statement, read_statement
from prover_core.assembly import Chain, Shape, WrapKey, WrapKeys, standard_shape
from prover_core.assembly import assemble as make_assembly
from prover_core.backend import Backend, select
from prover_core.errors import InvalidInputError, VerificationError
from prover_core.formats.r1cs import read_constraint_count
from prover_core.formats.snarkjs_json import read_proof, read_public, read_verification_key
from prover_core.groth16 import PROOF_BYTES

from .output import BackendName, Output

INSECURE = "the wrap key is from a single-party development setup: its maker can forge assemblies; not for production"
NAMED = 10


def assemble(
    *,
    vkey: Path,
    proofs: Path,
    out: Path,
    keys: Path | None = None,
    chain: str = "",
    places: int | None = None,
    skip_bad: bool = False,
    backend: BackendName | None = None,
    threads: int | None = None,
    json: bool = False,
) -> int:
    """Turn many Groth16 proofs under one verification key into one proof that snarkjs verifies.

    The proofs may be from snarkjs, rapidsnark or this prover. Writes proof.json, public.json and
    verification_key.json, as snarkjs reads them, and publics.json, the leaves' names and public signals, which
    `verify-assembly` needs. The wrap key is made once for each shape (half a minute or more) and kept.

    Parameters
    ----------
    vkey
        The leaves' verification_key.json.
    proofs
        Folder with the leaves: folders with proof.json and public.json, or NAME.proof.json and NAME.public.json, taken
        in the order of their names.
    out
        Folder for the result; made if missing.
    keys
        Folder with wrap keys, by default hybrid-prover/wrap-keys in the user's cache folder.
    chain
        OUT:IN: each leaf's public signal OUT must equal the next one's public signal IN, counted from 0. Only the ends
        of the chain come out.
    places
        How many leaves the shape holds, by default a power of two from 8 on.
    skip_bad
        Leave out leaves that do not verify, instead of refusing all.
    backend
        Use this backend instead of the best one.
    threads
        Cores for keys and the last proof; all by default.
    json
        Print the outcome as JSON.
    """
    output, start = Output(json), time.perf_counter()
    link = parse_chain(chain) if chain else None
    engine = select(prefer=backend, threads=threads).backend
    vk = read_verification_key(vkey)
    if link is not None and max(link.out, link.into) >= vk.n_public:
        raise InvalidInputError(f"the leaves have {vk.n_public} public signals only", field="chain")
    with output.step("leaves"):
        leaves, bad = read_leaves(proofs, leave_out=out)
        leaves, false = check_leaves(vk, leaves, engine)
    bad += false
    _tell_bad(bad, len(leaves) + len(bad), skip_bad, output)
    if not leaves:
        raise VerificationError("no leaf verifies", field="proofs")
    key = wrap_key(keys or wrap_keys_folder(), standard_shape(len(leaves), vk.n_public, places), link, engine, output)
    if key.verification_key.insecure:
        output.note(INSECURE)
    begun = time.perf_counter()
    with output.step(f"assembly of {len(leaves)} leaves"):
        done = make_assembly(vk, [(leaf.proof, leaf.publics) for leaf in leaves], key, engine)
    seconds = time.perf_counter() - begun
    statement = AssembledLeaves.of(key, leaves)
    check_assembly(vk, key.verification_key, done.proof, statement, engine, done.publics)
    write_assembly(out, done, key.verification_key, statement)
    constraints = read_constraint_count(key.r1cs_path)
    output.say(
        f"{len(leaves)} leaves, {constraints:,} constraints, {seconds:.2f} s, a proof of {PROOF_BYTES} bytes with "
        f"{len(done.publics)} public inputs"
    )
    output.say(f"proof verified and written to {out}")
    output.result(
        {
            "out": str(out),
            "leaves": [leaf.name for leaf in leaves],
            "left_out": {leaf.name: leaf.reason for leaf in bad},
            "places": key.shape.leaves,
            "constraints": constraints,
            "seconds": seconds,
            "phases": done.seconds,
            "seconds_with_keys": time.perf_counter() - start,
            "proof_bytes": PROOF_BYTES,
            "publics": [str(x) for x in done.publics],
            "insecure_setup": key.verification_key.insecure,
        }
    )
    return 0


def _tell_bad(bad: Sequence[BadLeaf], total: int, skip_bad: bool, output: Output) -> None:
    for leaf in bad:
        output.note(f"{leaf.name}: {leaf.reason}" + ("; left out" if skip_bad else ""))
    if bad and not skip_bad:
        names = ", ".join(leaf.name for leaf in bad[:NAMED]) + (", ..." if len(bad) > NAMED else "")
        raise VerificationError(
            f"{len(bad)} of {total} leaves do not verify: {names} (--skip-bad leaves them out)", field="proofs"
        )


def wrap_key(folder: Path, shape: Shape, chain: Chain | None, backend: Backend, output: Output) -> WrapKey:
    """The key for a shape, read or made, whichever it is being said."""
    keys = WrapKeys(folder)
    what = f"wrap key for {shape.leaves} leaves of {shape.publics} public signals"
    if not keys.has(shape, chain):
        output.note(f"making the {what}, once; it is kept in {folder}")
    with output.step(what):
        return keys.get(shape, backend, chain)


def verify_assembly(
    *,
    vkey: list[Path],
    wrap_vkey: Path,
    proof: Path,
    publics: Annotated[Path, Parameter(name=["--publics", "--leaves"])],
    public: Path | None = None,
    inner_wrap_vkey: list[Path] | None = None,
    backend: BackendName | None = None,
    json: bool = False,
) -> int:
    """Check an assembly against its leaves' key and public signals. Exit code 1 if it does not hold.

    The assembly's public inputs are computed here from --vkey and --publics, level by level where it is one of
    assemblies. Take --wrap-vkey from where you trust it: whoever chooses that key can make any assembly hold.

    Parameters
    ----------
    vkey
        The leaves' verification_key.json; given several times for leaves of several circuits.
    wrap_vkey
        The wrap's verification_key.json, as `assemble` writes it.
    proof
        The assembly's proof.json.
    publics
        publics.json, as `assemble` writes it.
    public
        The assembly's public.json, if it is to be compared with what follows from the leaves.
    inner_wrap_vkey
        The wraps' keys of inner assemblies, where they are not --wrap-vkey.
    backend
        Use this backend instead of the best one.
    json
        Print the outcome as JSON.
    """
    output = Output(json)
    statement = read_statement(publics)
    try:
        expected = check_statement(
            statement,
            read_proof(proof),
            read_verification_key(wrap_vkey),
            select(prefer=backend, threads=1).backend,
            keys=[read_verification_key(path) for path in vkey],
            inner=[read_verification_key(path) for path in inner_wrap_vkey or ()],
            publics=None if public is None else read_public(public),
        )
    except VerificationError as e:
        output.result({"verified": False, "reason": str(e)})
        raise
    names = list(statement.bottom())
    output.say(f"the assembly of {len(names)} leaves verifies")
    signals = [str(x) for x in expected]
    output.result({"verified": True, "reason": "", "leaves": names, "publics": signals})
    return 0
