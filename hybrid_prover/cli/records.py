"""`record` and `replay`: where a job's proofs come from, and a proof made again from its record."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hybrid_prover.client import ProverClient
from hybrid_prover.credentials import Credentials
from hybrid_prover.names import PROOF, PUBLICS
from hybrid_prover.provenance.node import open_envelope
from hybrid_prover.provenance.records import read_leaf
from hybrid_prover.replay import Recorded
from hybrid_prover.replay import replay as make_again
from hybrid_prover.security.tokens import replace_file
from prover_core.backend import select
from prover_core.errors import FormatError
from prover_core.formats.snarkjs_json import write_proof, write_public

from .connection import Connection
from .control import CLOUD
from .output import BackendName, Output

NODE = "node.pub"
_SEED_BYTES = 32


def record(
    job: str,
    /,
    *,
    out: Path = Path("."),
    seeds: bool = False,
    target: str = CLOUD,
    connection: Connection = Credentials(),  # noqa: B008
    json: bool = False,
) -> int:
    """Fetch the signed records of a job's proofs from the cloud, or those of a private job from its edge.

    Writes segment-N.record.json for each verified segment, batch-N.record.json for each batch, assembly.record.json if
    the job ends with an assembly, and node.pub, the key that signed them, into --out. Records are DSSE envelopes around
    in-toto statements.

    Parameters
    ----------
    job
        Job id.
    out
        Folder for the records; made if missing.
    seeds
        Write segment-N.seed too, which a replay needs. Wants the right to operate: who has a proof's seed can test
        guesses of its witness.
    target
        Address of the cloud, or of the edge.
    json
        Print what was written as JSON.
    """
    output = Output(json)

    async def work() -> dict[str, bytes]:
        async with ProverClient(target, credentials=connection.with_environment()) as client:
            found = await client.records(job, seeds=seeds)
        files = {f"segment-{r.segment}.record.json": r.envelope for r in found.leaves}
        files |= {f"batch-{i}.record.json": envelope for i, envelope in enumerate(found.batches)}
        files |= {f"segment-{r.segment}.seed": r.seed.hex().encode() + b"\n" for r in found.leaves if r.seed}
        if found.assembly:
            files["assembly.record.json"] = found.assembly
        return files | {NODE: found.public_key_pem}

    files = asyncio.run(work())
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        replace_file(out / name, content)
    output.say(f"{len(files)} files written to {out}")
    output.result({"files": [str(out / name) for name in files]})
    return 0


def replay(
    record: Path,
    /,
    *,
    zkey: Path,
    seed: Path,
    public_key: Path | None = None,
    program: Annotated[Path | None, Parameter(name=["--wasm", "--program"])] = None,
    inputs: Annotated[Path | None, Parameter(name=["--input", "--inputs"])] = None,
    witness: Annotated[Path | None, Parameter(name=["--wtns", "--witness"])] = None,
    out: Path | None = None,
    backend: BackendName | None = None,
    threads: int | None = None,
    json: bool = False,
) -> int:
    """Make a proof again from its record and its inputs, and compare every byte. Exit code 1 if anything differs.

    Parameters
    ----------
    record
        segment-N.record.json, from `hybrid-prover record`.
    zkey
        The circuit's proving key.
    seed
        segment-N.seed.
    public_key
        The key that must have signed the record; node.pub beside it if not given.
    program
        Witness program, .wasm or tape. Needs --inputs.
    inputs
        input.json.
    witness
        A finished .wtns instead of --program and --inputs.
    out
        Write proof.json and public.json here.
    backend
        Use this backend instead of the best one: all make the same bytes.
    threads
        Cores to use; all by default.
    json
        Print the outcome as JSON.
    """
    output = Output(json)
    statement = open_envelope(record.read_bytes(), (public_key or record.with_name(NODE)).read_bytes())
    found = read_leaf(statement)
    proof, publics = make_again(
        found,
        Recorded(zkey, witness, program, inputs),
        _read_seed(seed),
        select(prefer=backend, threads=threads).backend,
    )
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_proof(out / PROOF, proof)
        write_public(out / PUBLICS, publics)
    output.say(f"the same proof, byte for byte (made by {found.software} on {found.device})")
    output.result({"same": True, "proof_sha256": found.proof_sha256, "statement": statement})
    return 0


def _read_seed(path: Path) -> bytes:
    try:
        seed = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError as e:
        raise FormatError(f"{path} is not a seed in hexadecimal", field="seed") from e
    if len(seed) != _SEED_BYTES:
        raise FormatError(f"{path} holds {len(seed)} bytes, a seed has {_SEED_BYTES}", field="seed")
    return seed
