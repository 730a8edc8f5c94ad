"""What the demo leaves: a table on the screen, and a folder that anybody with snarkjs can check."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from examples.rollup.decompose import OperationJob
from examples.rollup.encoding import claim_to_json
from examples.rollup.generator import Block
from hybrid_prover import __version__
from hybrid_prover.assembly import STATEMENT
from hybrid_prover.model import JobResult
from hybrid_prover.names import PROOF, PUBLICS, VKEY
from hybrid_prover.results import write_leaf
from prover_core.errors import InvalidInputError
from prover_core.formats.snarkjs_json import write_verification_key

from .circuits import DemoCircuit
from .measure import Row, Spread

MARKER = "block.json"
"""A folder that holds this is an earlier result of ours and may be replaced."""


def table(rows: Sequence[Row], cores: int) -> Table:
    """The comparison, one line per kind of operation and one for the block."""
    shown = _table("Segments one after another, and pipelined: median, lowest and highest")
    shown.add_column("operation", no_wrap=True)
    for head in (
        "segments\nconstraints",
        "sequential\n1 thread",
        f"sequential\n{cores} cores",
        "\npipelined",
        "less than\n1 thread",
        f"less than\n{cores} cores",
    ):
        shown.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.name.replace("_", " "),
            f"{row.segments}\n{row.constraints:,}",
            *(Spread(tuple(values)).seconds() for values in (row.one_thread, row.all_cores, row.pipelined)),
            row.reduction(row.one_thread).percent(),
            row.reduction(row.all_cores).percent(),
        )
    return shown


def bare_table(rows: Sequence[Row], cores: int) -> Table:
    """The pipeline against the same steps in one process, where nothing is sent and no service keeps anything."""
    shown = _table("Against one process, without edge, cloud or wire")
    shown.add_column("operation", no_wrap=True)
    for head in ("1 thread", f"{cores} cores", "pipelined", "less than\n1 thread", f"less than\n{cores} cores"):
        shown.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.name.replace("_", " "),
            *(Spread(tuple(values)).seconds() for values in (row.bare_one_thread, row.bare_all_cores, row.pipelined)),
            row.reduction(row.bare_one_thread).percent(),
            row.reduction(row.bare_all_cores).percent(),
        )
    return shown


def assembly_line(facts: Mapping[str, object]) -> str:
    """What `BlockProof.facts` says, in a sentence."""
    return (
        f"one proof for the block: {facts['leaves']} leaves in {facts['assemblies']} assemblies on two levels, "
        f"{facts['constraints']:,} constraints each, {facts['seconds']:.2f} s in all, {facts['proof_bytes']} bytes and "
        f"{facts['public_inputs']} public inputs"
    )


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        padding=0,
        show_edge=False,
        show_lines=True,
    )


def prepare_folder(out: Path) -> None:
    """Empties an earlier result; `InvalidInputError` if the folder holds something else."""
    if out.exists() and any(out.iterdir()):
        if not (out / MARKER).exists():
            raise InvalidInputError(f"{out} is not empty and not a result of the demo", field="out")
        shutil.rmtree(out)
    out.mkdir(parents=True, exist_ok=True)


def operation_folder(number: int, job: OperationJob) -> str:
    """`0-multi_step`."""
    return f"{number}-{job.kind.name.lower()}"


def write_folder(
    out: Path,
    block: Block,
    jobs: Sequence[OperationJob],
    results: Sequence[JobResult],
    circuits: Mapping[str, DemoCircuit],
    rows: Sequence[Row],
    facts: Mapping[str, object],
) -> None:
    """Proofs, public signals, verification keys, the block's claim, the measurements and a README."""
    (out / "keys").mkdir()
    for circuit in circuits.values():
        write_verification_key(out / "keys" / f"{circuit.name}.json", circuit.key.verification_key)
    for number, (job, result) in enumerate(zip(jobs, results, strict=True)):
        for index, (segment, leaf) in enumerate(zip(job.segments, result.leaves, strict=True)):
            write_leaf(out / operation_folder(number, job) / f"{index}-{segment.circuit_name}", leaf)
    _dump(out / MARKER, claim_to_json(block.claim))
    _dump(out / "timings.json", {**facts, "operations": [row.to_json() for row in rows]})
    (out / "README.md").write_text(_readme(jobs, rows, facts))


def _dump(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def _readme(jobs: Sequence[OperationJob], rows: Sequence[Row], facts: Mapping[str, object]) -> str:
    first = jobs[0].segments[0].circuit_name
    folder = f"{operation_folder(0, jobs[0])}/0-{first}"
    plain = Console(width=100, file=io.StringIO(), record=True, color_system=None)
    cores = facts["cores"]
    assert isinstance(cores, int)
    plain.print(table(rows, cores))
    plain.print()
    plain.print(bare_table(rows, cores))
    text = "\n".join(line.rstrip() for line in plain.export_text().splitlines())
    segments = sum(len(job.segments) for job in jobs)
    assembly = facts["assembly"]
    assert isinstance(assembly, Mapping)
    return f"""# A proved block

Made by hybrid-prover {__version__}: {len(jobs)} operations of a small rollup in {segments} segments, each with a
Groth16 proof over BN254 that was verified three times: by the prover before it was released, by the cloud in a batch,
and by the demo on its own with the keys in `keys/`. The proofs were then checked as a chain: each state root follows
from the one before.

| path | what it is |
|---|---|
| `N-OPERATION/I-CIRCUIT/{PROOF}` | proof of segment I of operation N |
| `N-OPERATION/I-CIRCUIT/{PUBLICS}` | its public signals: state after, context after, state before, context before |
| `keys/CIRCUIT.json` | the circuit's verification key |
| `block.json` | what the block claims: the signed operations, the state root before and after |
| `assembly/` | one proof for the whole block; in it a folder for each circuit |
| `timings.json` | every measurement behind the table below |

The keys are from a single-party development setup: their maker could forge proofs. Do not use them for anything else.

## Check it with snarkjs

One proof:

    npx snarkjs groth16 verify keys/{first}.json {folder}/{PUBLICS} {folder}/{PROOF}

All of them:

    for d in [0-9]*-*/*-*/; do c=$(basename "$d"); \\
      npx snarkjs groth16 verify "keys/${{c#*-}}.json" "${{d}}{PUBLICS}" "${{d}}{PROOF}" || break; done

## One proof for the block

{assembly_line(assembly).capitalize()}.

Each circuit's proofs are assembled to one, and these to the block's:

    npx snarkjs groth16 verify assembly/{VKEY} assembly/{PUBLICS} assembly/{PROOF}

Which leaves it stands for follows on both levels: its own leaves are the circuits' assemblies, with the public inputs
in `assembly/CIRCUIT/{PUBLICS}`, and those are computed from the public signals of the circuit's segments:

    w=assembly/{VKEY}
    hybrid-prover verify-assembly --vkey $w --wrap-vkey $w --proof assembly/{PROOF} --publics assembly/{STATEMENT}
    for d in assembly/*/; do hybrid-prover verify-assembly --vkey "keys/$(basename "$d").json" --wrap-vkey $w \\
      --proof "${{d}}{PROOF}" --publics "${{d}}{STATEMENT}" --public "${{d}}{PUBLICS}" || break; done

## Times

```
{text}
```

Measured on {facts["cpu"]}, {cores} cores ({facts["device"]}); keys warm, nothing set up within the time measured.

* *sequential* is the same code, store and forward: an edge computes a segment's witness to its end, sends it whole, the
  cloud makes it durable and proves it, and the next segment is submitted when the proof is verified. Once with a cloud
  that proves on one thread, and once with one that uses all cores.
* *one process* is the least that can be done: the same steps without edge, cloud or wire. Each segment's witness is
  computed, its rows checked, all of it made durable on disk, read back and proved before the next segment begins; then
  the operation's proofs are verified in batches.
* *pipelined* is the wall time from submitting the operation to an edge until the cloud has verified all of its proofs,
  over gRPC between separate processes; one operation at a time, and for `block` all of them at once over two edges.
* The reductions compare repetition by repetition; `block` is compared with the sum of the operations' sequential times.
"""
