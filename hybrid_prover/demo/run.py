"""The demo from start to end: circuits, keys, one cloud and two edges; blocks proved, timed and verified."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from examples.rollup.chain import Leaf, check_chain
from examples.rollup.decompose import OperationJob, decompose_block
from examples.rollup.generator import Block, block
from hybrid_prover.cli.assembly import wrap_key
from hybrid_prover.cli.doctor import cpu_model, usable_cores
from hybrid_prover.cli.output import Output
from hybrid_prover.model import JobResult, Placement
from prover_core.backend import Backend, select
from prover_core.errors import InvalidInputError, VerificationError
from prover_core.groth16 import verify

from .assembly import BlockProof, assemble_block, block_shape, leaves_by_circuit
from .baseline import Sequential
from .circuits import DemoCircuit, load_circuits
from .measure import Row
from .pipeline import prove_in_turn, prove_pipelined
from .processes import Fleet
from .progress import Board
from .report import assembly_line, bare_table, prepare_folder, table, write_folder
from .rig import Rig

EDGES = 2
WHOLE_WITNESS = 1 << 15
"""Wires a chunk with which every segment of the rollup is one chunk: store and forward."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """Settings of the demo."""

    out: Path = Path("demo-result")
    """Folder for proofs, public signals, keys and measurements; an earlier result there is replaced."""

    work_dir: Path = Path(".demo")
    """Folder for development keys, kept for the next time, and for the state of the daemons, removed at the end."""

    seed: int = 2024
    """Seed of the blocks; the same seed gives the same operations."""

    repetitions: int = 3
    """How often everything is measured."""

    wrap_keys: Path | None = None
    """Folder for the development key of the block's one proof, kept likewise; below --work-dir if not given."""

    placement: Literal["cloud", "private"] = "cloud"
    """Where proofs are made: `cloud` streams witnesses to the cloud, `private` proves at the edges."""

    def __post_init__(self) -> None:
        if self.repetitions < 1:
            raise InvalidInputError("at least one repetition is needed", field="repetitions")


@dataclass(frozen=True, slots=True)
class Work:
    """A block with the jobs of its operations, in order."""

    block: Block
    jobs: list[OperationJob]

    @classmethod
    def make(cls, seed: int) -> Work:
        """A signed block with one operation of each kind."""
        made = block(seed)
        return cls(made, decompose_block(made))


class Demo:
    """One run: the loaded circuits, the clients of the running daemons, and what has been proved and measured."""

    def __init__(self, config: DemoConfig, output: Output, circuits: dict[str, DemoCircuit], scratch: Path) -> None:
        self.config, self.output, self.circuits, self.scratch = config, output, circuits, scratch
        self.placement = Placement[config.placement.upper()]
        self.backend: Backend = select().backend
        self.bare_one_thread = Sequential(circuits, select(threads=1).backend, scratch)
        self.bare_all_cores = Sequential(circuits, self.backend, scratch)
        self.fleet = Fleet()
        self.rows: dict[str, Row] = {}
        self.proved: list[tuple[Work, list[JobResult]]] = []

    async def start(self, stack: AsyncExitStack) -> None:
        """The pipeline, one cloud and two edges; and the two sequential pairs that it is compared with."""
        stack.enter_context(self.fleet)

        async def rig(name: str, edges: int, cloud: Sequence[str] = (), edge: Sequence[str] = ()) -> Rig:
            return await Rig.start(
                self.fleet, stack, self.circuits, self.scratch, name=name, edges=edges, cloud=cloud, edge=edge
            )

        self.rig = await rig("", EDGES)
        whole = ("--workers", "1", "--chunk-wires", str(WHOLE_WITNESS))
        self.one_thread = await rig("one-thread-", 1, ("--workers", "1", "--threads", "1"), whole)
        self.all_cores = await rig("all-cores-", 1, ("--workers", "1"), whole)

    async def pipelined(self, job: OperationJob, edge: int, board: Board) -> tuple[float, JobResult]:
        """Proves one operation through one of the edges; seconds from submission to the verified job."""
        watcher = board.watcher(job)
        done = await prove_pipelined(self.rig.edges[edge % EDGES], job, self.rig.digests, self.placement, watcher)
        board.finished(job, done.seconds)
        return done.seconds, done.result

    async def at_once(self, work: Work, board: Board, turn: int = 0) -> float:
        """Proves all operations of a block at once, spread over the edges; seconds until the last is verified."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        done = await asyncio.gather(*(self.pipelined(job, turn + i, board) for i, job in enumerate(work.jobs)))
        seconds = loop.time() - start
        self.proved.append((work, [result for _, result in done]))
        return seconds

    async def one_by_one(self, number: int, work: Work, board: Board) -> None:
        """Each operation in every sequential way, then pipelined, with nothing else going on."""
        results = []
        for at, job in enumerate(work.jobs):
            row = self.row(job)
            for name, rig, times in (
                ("1 thread", self.one_thread, row.one_thread),
                ("all cores", self.all_cores, row.all_cores),
            ):
                board.title(f"repetition {number}, {job.name}, sequentially on {name}")
                times.append(await prove_in_turn(rig.edges[0], job, rig.digests, self.placement))
            for name, bare, times in (
                ("1 thread", self.bare_one_thread, row.bare_one_thread),
                ("all cores", self.bare_all_cores, row.bare_all_cores),
            ):
                board.title(f"repetition {number}, {job.name}, in one process on {name}")
                times.append(await asyncio.to_thread(bare.prove, job))
            board.title(f"repetition {number}, {job.name}, pipelined")
            seconds, result = await self.pipelined(job, number + at, board)
            row.pipelined.append(seconds)
            results.append(result)
        self.proved.append((work, results))

    async def repeat(self, number: int, single: Work, whole: Work, board: Board) -> None:
        """One repetition: a block operation by operation, then another of the same shape all at once."""
        await self.one_by_one(number, single, board)
        kinds = [self.row(job) for job in single.jobs]
        board.title(f"repetition {number}, the whole block at once")
        seconds = await self.at_once(whole, board)
        total = self.rows.setdefault("block", Row("block", 0, 0))
        total.segments = sum(row.segments for row in kinds)
        total.constraints = sum(row.constraints for row in kinds)
        total.one_thread.append(sum(row.one_thread[-1] for row in kinds))
        total.all_cores.append(sum(row.all_cores[-1] for row in kinds))
        total.bare_one_thread.append(sum(row.bare_one_thread[-1] for row in kinds))
        total.bare_all_cores.append(sum(row.bare_all_cores[-1] for row in kinds))
        total.pipelined.append(seconds)

    def constraints(self, job: OperationJob) -> int:
        """Constraints of all segments."""
        return sum(self.circuits[s.circuit_name].r1cs.n_constraints for s in job.segments)

    def row(self, job: OperationJob) -> Row:
        """The measurements of this kind of operation."""
        name = job.kind.name.lower()
        return self.rows.setdefault(name, Row(name, len(job.segments), self.constraints(job)))

    def verify_everything(self) -> int:
        """Every proof against its key, its signals against the executor's, every block as a chain; proofs checked."""
        checked = 0
        for work, results in self.proved:
            chains = []
            for job, result in zip(work.jobs, results, strict=True):
                leaves = []
                for segment, expected, leaf in zip(job.segments, job.publics, result.leaves, strict=True):
                    key = self.circuits[segment.circuit_name].key.verification_key
                    verify(key, leaf.proof, leaf.public_signals, self.backend)
                    if leaf.public_signals != tuple(expected):
                        raise VerificationError(f"{job.name}: a segment's public signals are not those executed")
                    leaves.append(Leaf(segment.circuit_name, leaf.public_signals))
                    checked += 1
                chains.append(leaves)
            check_chain(work.block.claim, chains)
        return checked


async def run_demo(config: DemoConfig, output: Output) -> int:
    """Runs the demo; errors are typed, and whatever was started is stopped before they leave."""
    prepare_folder(config.out)
    load = os.getloadavg()[0]
    if load > usable_cores() / 2:
        output.note(f"this machine is busy (load {load:.1f} on {usable_cores()} cores): the times will be spread")
    config.work_dir.mkdir(parents=True, exist_ok=True)
    with output.step("circuits and keys"):
        circuits = await asyncio.to_thread(load_circuits, config.work_dir / "keys", select().backend, output.note)
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=config.work_dir)).resolve()
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async with AsyncExitStack() as stack:
            demo = Demo(config, output, circuits, scratch)
            try:
                with output.step("signed blocks"):
                    made = await _make_works(config)
                with output.step(f"one cloud and {EDGES} edges, and two sequential pairs to compare with"):
                    await demo.start(stack)
                checked = await _measure(demo, made)
            except Exception:
                demo.fleet.check()  # if a daemon died, that is the cause
                raise
    except Exception:
        output.note(f"the logs of the daemons are in {scratch / 'logs'}")
        raise
    except BaseException:
        shutil.rmtree(scratch)
        raise
    shutil.rmtree(scratch)
    _tell(demo, made[0], await _assemble(demo, made[0]), checked)
    return 0


async def _make_works(config: DemoConfig) -> list[Work]:
    """For single operations, for whole blocks, and to warm up with."""
    count = EDGES + 2 * config.repetitions
    return [await asyncio.to_thread(Work.make, config.seed + i) for i in range(count)]


async def _measure(demo: Demo, works: Sequence[Work]) -> int:
    repetitions = demo.config.repetitions
    singles, wholes = works[:repetitions], works[repetitions : 2 * repetitions]
    with Board(demo.output) as board:
        board.title("warming up")
        for bare in (demo.bare_one_thread, demo.bare_all_cores):
            await asyncio.to_thread(bare.warm, singles[0].jobs)
        for turn, work in enumerate(works[2 * repetitions :]):
            await demo.at_once(work, board, turn)  # so that each edge meets every kind
        longest = max(works[-1].jobs, key=lambda job: len({s.circuit_name for s in job.segments}))
        for rig in (demo.one_thread, demo.all_cores):
            await prove_in_turn(rig.edges[0], longest, rig.digests, demo.placement)
        for number, (single, whole) in enumerate(zip(singles, wholes, strict=True), 1):
            await demo.repeat(number, single, whole, board)
    with demo.output.step("verifying everything once more, here"):
        return await asyncio.to_thread(demo.verify_everything)


async def _assemble(demo: Demo, work: Work) -> BlockProof:
    config, output = demo.config, demo.output
    leaves = leaves_by_circuit(work.jobs, _results_of(demo, work))
    keys = {name: demo.circuits[name].key.verification_key for name in leaves}
    folder = config.wrap_keys or config.work_dir / "keys" / "wrap"
    key = await asyncio.to_thread(wrap_key, folder, block_shape(leaves), None, demo.backend, output)
    with output.step(f"one proof for the {sum(map(len, leaves.values()))} of the block") as advance:
        return await assemble_block(leaves, keys, key, demo.backend, advance)


def _results_of(demo: Demo, work: Work) -> list[JobResult]:
    return next(results for proved, results in demo.proved if proved is work)


def _tell(demo: Demo, work: Work, proof: BlockProof, checked: int) -> None:
    kinds = ("transfer", "token_transfer", "swap", "multi_step", "block")
    rows = [demo.rows[kind] for kind in kinds]
    facts: dict[str, object] = {
        "cores": usable_cores(),
        "cpu": cpu_model(),
        "device": demo.backend.device,
        "placement": demo.config.placement,
        "repetitions": demo.config.repetitions,
        "proofs_verified": checked,
        "assembly": proof.facts(),
    }
    write_folder(demo.config.out, work.block, work.jobs, _results_of(demo, work), demo.circuits, rows, facts)
    proof.write(demo.config.out)
    output = demo.output
    if not output.as_json:
        output.out.print(table(rows, usable_cores()))
        output.out.print(bare_table(rows, usable_cores()))
    output.say(
        f"{checked} proofs of {len(demo.proved)} blocks: all verified at the cloud and again here, all chains hold"
    )
    output.say(assembly_line(proof.facts()))
    output.say(f"proofs, public signals and keys: {demo.config.out}; its README.md says how snarkjs verifies them")
    output.result({**facts, "out": str(demo.config.out), "operations": [row.to_json() for row in rows]})
