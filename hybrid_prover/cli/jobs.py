"""`submit`: a job to an edge, from the command line."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from hybrid_prover.assemblymodel import Assemble, AssemblyStatus
from hybrid_prover.client import JobHandle, ProverClient
from hybrid_prover.credentials import Credentials
from hybrid_prover.model import Job, Placement, Priority, Segment, SegmentState
from hybrid_prover.results import write_leaf
from prover_core.errors import InvalidInputError
from prover_core.types import Digest

from .connection import Connection
from .output import Output

EDGE = "127.0.0.1:7410"


def describe(job: Job) -> dict[str, object]:
    """A job as JSON."""
    return {
        "job": str(job.id),
        "name": job.name,
        "placement": job.placement.name.lower(),
        "state": job.state.name.lower(),
        "priority": job.priority.name.lower(),
        "deadline": job.deadline,
        "problem": _problem(job.problem),
        "segments": [
            {
                "index": s.index,
                "circuit": str(s.circuit),
                "state": s.state.name.lower(),
                "wires": s.wires,
                "wires_acked": s.wires_acked,
                "timings": {t.phase: t.seconds for t in s.timings},
                "partials": asdict(s.partials) if s.partials else None,
                "problem": _problem(s.problem),
            }
            for s in job.segments
        ],
        "seconds": job.ended - job.accepted if job.ended else None,
        "assembly": _assembly(job.assembly),
    }


def _assembly(status: AssemblyStatus | None) -> dict[str, object] | None:
    if status is None:
        return None
    return {
        "id": str(status.id),
        "leaves": status.leaves,
        "committed": status.committed,
        "assemblies": status.nodes,
        "assemblies_proved": status.nodes_proved,
        "timings": {t.phase: t.seconds for t in status.timings},
    }


def _problem(problem: object) -> dict[str, object] | None:
    if problem is None:
        return None
    return {name: getattr(problem, name) for name in ("code", "message", "field", "segment")}


def progress_line(job: Job) -> str:
    """One line: state, and how many segments stand where."""
    counts = [f"{job.count(state)} {state.name.lower()}" for state in SegmentState if job.count(state)]
    return f"{job.state.name.lower()}: {', '.join(counts)}"


def submit(
    *,
    zkey: Path | None = None,
    program: Annotated[Path | None, Parameter(name=["--program", "--wasm"])] = None,
    r1cs: Path | None = None,
    circuit: str = "",
    inputs: Annotated[Path, Parameter(name=["--input", "--inputs"])],
    target: str = EDGE,
    placement: Literal["cloud", "split", "private"] = "cloud",
    name: str = "",
    priority: Literal["low", "normal", "high", "urgent"] = "normal",
    deadline: float | None = None,
    out: Path | None = None,
    assemble: bool = False,
    chain: str = "",
    wait: Annotated[bool, Parameter(negative_bool="no-")] = True,
    connection: Connection = Credentials(),  # noqa: B008
    json: bool = False,
) -> int:
    """Submit a circuit instance to an edge and wait for its proof.

    Parameters
    ----------
    zkey
        Proving key; sent with the other artifacts if the edge does not have it.
    program
        Witness program: circom's .wasm, or a tape.
    r1cs
        Constraints; with them the edge names a broken constraint before anything is sent on.
    circuit
        Digest of a circuit registered before, instead of the files.
    inputs
        input.json, as for snarkjs. A list of objects is a job of several segments.
    target
        Address of the edge.
    placement
        `cloud`: the cloud sees the witness and proves. `split`: it sees it too, and the edge sums what waits for a slow
        uplink anyway. `private`: the cloud sees proof and public signals only.
    name
        What to call the job.
    priority
        Which of your jobs come first. `urgent`, for operators, goes ahead of everybody's.
    deadline
        In how many seconds the result is of no use any more: the job then ends, and all work on it.
    out
        Folder for proof.json and public.json (numbered folders for several segments).
    assemble
        End the job with one proof over all its leaf proofs, which goes into the folder `assembly`.
    chain
        OUT:IN, with --assemble: each segment's public signal OUT must equal the next one's public signal IN, counted
        from 0. Only the ends of the chain come out.
    wait
        Follow the job to its end.
    json
        Print the outcome as JSON.
    """
    if bool(zkey) == bool(circuit):
        raise InvalidInputError("give either --zkey (with --program) or --circuit", field="circuit")
    output = Output(json)
    given = _read_inputs(inputs)
    if chain and not assemble:
        raise InvalidInputError("a chain is for an assembly: give --assemble", field="chain")
    wish = _wish(chain) if assemble else None

    async def work() -> int:
        async with ProverClient(target, credentials=connection.with_environment()) as client:
            if zkey is None:
                digest = Digest.parse(circuit)
            else:
                with output.step("circuit") as advance:
                    known = await client.register_circuit(
                        name=name or zkey.stem, zkey=zkey, r1cs=r1cs, program=program, progress=advance
                    )
                digest = known.digest
                if known.insecure_setup:
                    output.note("the key is from a development setup: its maker can forge proofs")
            handle = await client.submit(
                [Segment(digest, values) for values in given],
                placement=Placement[placement.upper()],
                name=name,
                assemble=wish,
                priority=Priority[priority.upper()],
                deadline=deadline,
            )
            output.say(f"job {handle.id}{'' if handle.created else ' (submitted before)'}")
            if not wait:
                output.result({"job": str(handle.id), "created": handle.created})
                return 0
            return await _follow(handle, output, out, zkey)

    return asyncio.run(work())


def _wish(chain: str) -> Assemble:
    from hybrid_prover.assembly import parse_chain

    link = parse_chain(chain) if chain else None
    return Assemble((link.out, link.into) if link is not None else None)


async def _follow(handle: JobHandle, output: Output, out: Path | None, zkey: Path | None) -> int:
    with output.step("proving") as advance:
        async for job in handle.watch():
            finished = job.count(SegmentState.VERIFIED, SegmentState.FAILED, SegmentState.CANCELLED)
            done, all_of = (job.assembly.nodes_proved, job.assembly.nodes) if job.assembly is not None else (0, 0)
            advance(finished + done, len(job.segments) + all_of)
    result = await handle.result()
    folders = []
    if out is not None:
        for index, leaf in enumerate(result.leaves):
            folder = out if len(result.leaves) == 1 else out / f"{index:04d}"
            write_leaf(folder, leaf)
            folders.append(str(folder))
    assembled: dict[str, object] = {}
    if result.assembly is not None:
        from prover_core.formats.zkey import read_zkey_verification_key

        from .assembling import tell_assembly

        leaves = {(0, i): leaf for i, leaf in enumerate(result.leaves)}
        keys = [read_zkey_verification_key(zkey)] if zkey is not None else []
        assembled = tell_assembly(result.assembly, leaves, out / "assembly" if out is not None else None, output, keys)
    output.say(progress_line(job) + (f"; proofs in {out}" if out is not None else ""))
    output.result(describe(job) | {"folders": folders} | assembled)
    return 0


def _read_inputs(path: Path) -> list[dict[str, object]]:
    try:
        content = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as e:
        raise InvalidInputError(f"{path} is not JSON: {e}", field="input") from None
    given = content if isinstance(content, list) else [content]
    if not given or not all(isinstance(one, dict) for one in given):
        raise InvalidInputError(f"{path} is neither an object of inputs nor a list of those", field="input")
    return given
