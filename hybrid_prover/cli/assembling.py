"""`assemble-jobs`: a cloud turns the leaf proofs of finished jobs into one proof; and what comes of it as files."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from hybrid_prover.assemblies import statement_of_result
from hybrid_prover.assembly import AssembledLeaves, parse_chain, write_assembly
from hybrid_prover.assemblymodel import AssemblyContents, AssemblyResult, AssemblyStatus
from hybrid_prover.client import ProverClient
from hybrid_prover.credentials import Credentials
from hybrid_prover.model import LeafProof
from hybrid_prover.statement import check_statement
from prover_core.assembly import AssemblyProof
from prover_core.backend import select
from prover_core.formats.snarkjs_json import write_verification_key
from prover_core.groth16 import VerificationKey
from prover_core.types import Digest

from .assembly import INSECURE
from .connection import Connection
from .control import CLOUD
from .output import Output

KEYS = "keys"
"""Folder of the keys that an assembly's statement names, each by its digest."""


def assemble_jobs(
    *jobs: str,
    out: Path | None = None,
    target: str = CLOUD,
    chain: str = "",
    skip_unproved: bool = False,
    wait: Annotated[bool, Parameter(negative_bool="no-")] = True,
    connection: Connection = Credentials(),  # noqa: B008
    json: bool = False,
) -> int:
    """Have a cloud turn the leaf proofs of finished jobs into one proof, and fetch it.

    The same jobs in the same order are the same assembly: calling again only looks. More leaves than one assembly
    holds, and leaves of several circuits, become a tree with one proof at its top.

    Parameters
    ----------
    jobs
        Job ids, in order.
    out
        Folder for the result, as `assemble` writes it, with the keys that are named in `keys`.
    target
        Address of the cloud.
    chain
        OUT:IN: each leaf's public signal OUT must equal the next one's public signal IN, counted from 0. Only the ends
        of the chain come out.
    skip_unproved
        Take failed and cancelled jobs too, and leave out their segments that have no verified proof.
    wait
        Follow it to its end.
    json
        Print the outcome as JSON.
    """
    output = Output(json)
    link = parse_chain(chain) if chain else None

    async def work() -> int:
        async with ProverClient(target, credentials=connection.with_environment()) as client:
            handle = await client.assemble_jobs(
                jobs, chain=(link.out, link.into) if link else None, skip_unproved=skip_unproved
            )
            output.say(f"assembly {handle.id}{'' if handle.created else ' (asked for before)'}")
            if not wait:
                output.result({"assembly": str(handle.id), "created": handle.created})
                return 0
            with output.step("assembling") as advance:
                async for status in handle.watch():
                    advance(status.committed + status.nodes_proved, status.leaves + status.nodes)
            result = await handle.result()
            told = tell_assembly(result, await handle.leaves(), out, output)
            _left_out(status, output)
            output.result(describe_assembly(status) | told)
            return 0

    return asyncio.run(work())


def _left_out(status: AssemblyStatus, output: Output) -> None:
    for segment in status.left_out:
        output.note(f"job {status.jobs[segment.job]}, segment {segment.segment}: no verified proof; left out")


def describe_assembly(status: AssemblyStatus) -> dict[str, object]:
    """An assembly as JSON."""
    return {
        "assembly": str(status.id),
        "state": status.state.name.lower(),
        "leaves": status.leaves,
        "committed": status.committed,
        "assemblies": status.nodes,
        "assemblies_proved": status.nodes_proved,
        "left_out": [{"job": str(status.jobs[s.job]), "segment": s.segment} for s in status.left_out],
        "timings": {t.phase: t.seconds for t in status.timings},
        "problem": None if status.problem is None else status.problem.message,
    }


def tell_assembly(
    result: AssemblyResult,
    leaves: Mapping[tuple[int, int], LeafProof],
    out: Path | None,
    output: Output,
    expected: Sequence[VerificationKey] = (),
) -> dict[str, object]:
    """Checks an assembly of exactly these leaves and writes it to `out`; gives what is said of it as JSON.

    The leaves' keys are to be the `expected` ones, or where none are given those that the service names; the wraps' are
    always the service's word.
    """
    statement = statement_of_result(result, leaves)
    wrap = result.keys[result.contents.wrap_key]
    leaf_keys, wraps = _keys(result.contents)
    check_statement(
        statement,
        result.proof,
        wrap,
        select(threads=1).backend,
        keys=expected or [result.keys[digest] for digest in leaf_keys],
        inner=[result.keys[digest] for digest in wraps],
        publics=result.publics,
    )
    if wrap.insecure:
        output.note(INSECURE)
    folder = write_result(out, result, statement) if out is not None else None
    names = list(statement.bottom())
    output.say(f"one proof for {len(names)} leaves" + (f" in {folder}" if folder is not None else ""))
    return {
        "assembly_publics": [str(x) for x in result.publics],
        "assembly_folder": str(folder) if folder is not None else None,
        "leaf_keys": [str(digest) for digest in leaf_keys],
        "wrap_key": str(result.contents.wrap_key),
        "insecure_setup": wrap.insecure,
    }


def _keys(contents: AssemblyContents) -> tuple[list[Digest], list[Digest]]:
    """The leaf circuits' keys, and the wraps', each once."""
    leaf: dict[Digest, None] = {}
    wraps: dict[Digest, None] = {contents.wrap_key: None}

    def walk(node: AssemblyContents) -> None:
        wraps[node.wrap_key] = None
        for inner in node.leaves:
            if isinstance(inner, AssemblyContents):
                walk(inner)
            else:
                leaf[node.leaf_key] = None

    walk(contents)
    return list(leaf), list(wraps)


def write_result(folder: Path, result: AssemblyResult, statement: AssembledLeaves) -> Path:
    """The assembly as `write_assembly` has it, and every key that it names in `keys`, by digest."""
    wrap = result.keys[result.contents.wrap_key]
    write_assembly(folder, AssemblyProof(result.proof, result.publics), wrap, statement)
    (folder / KEYS).mkdir(exist_ok=True)
    for digest, key in result.keys.items():
        write_verification_key(folder / KEYS / f"{digest}.json", key)
    return folder
