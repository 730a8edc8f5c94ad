"""Jobs that end with one proof, and blocks of jobs that become one: over gRPC, with real proofs and a small wrap."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import assembly_rig as rig
import grpc
import pytest
from assembly_rig import CHAIN, KEYS, bring, chained, checked, config, ended, job_name, running, wrap_key
from cloud_edge import Edge, Sample
from edge_support import edge_config, running_edge
from edge_support import make as make_edge_sample
from grpc_status import rpc_status

from cloud import assembler
from cloud.assembly import assembly_id
from cloud.errors import WireError, reason_of, violated_field
from cloud.rpc.assemblies import AssemblyRpc
from hybrid_prover import ProverClient
from hybrid_prover.cli.main import FAILED, OK, run
from hybrid_prover.provenance import proof_digest
from hybrid_prover.provenance.node import open_envelope
from hybrid_prover.security.principal import Principal, Right, serve_as
from hybrid_prover.telemetry.statusmessage import total
from hybrid_prover.v1 import assembly_pb2, assembly_pb2_grpc, job_pb2, job_pb2_grpc
from prover_core.assembly import AssemblyProof
from prover_core.backend import Backend
from prover_core.circuit import Circuit
from prover_core.errors import BackendError
from prover_core.formats.snarkjs_json import write_verification_key

PLAIN = assembly_pb2.AssemblyOptions()
DONE, JOB_FAILED = job_pb2.JOB_STATE_DONE, job_pb2.JOB_STATE_FAILED
Finish = Callable[..., AssemblyProof]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> tuple[Sample, Sample]:
    return rig.samples(tmp_path_factory.mktemp("circuits"), backend)


def asks(*jobs: bytes, **more: object) -> assembly_pb2.AssembleJobsRequest:
    return assembly_pb2.AssembleJobsRequest(job_ids=jobs, **more)


async def why(call: Awaitable[object]) -> tuple[grpc.StatusCode, str, str]:
    """Code, reason and field of a refused call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    status = rpc_status.from_call(caught.value)
    assert status is not None
    return caught.value.code(), reason_of(status), violated_field(status)


async def done(edge: Edge, job: bytes) -> job_pb2.Job:
    """Waits for the job's end as the edge hears of it."""
    update = await edge.until(lambda r: r.HasField("job_update") and not r.job_update.HasField("assembling"))
    assert update.job_update.job_id == job
    return update.job_update


async def recorded(target: str, job: bytes, made: assembly_pb2.AssemblyResult) -> None:
    """The assembly's record is signed by the cloud, and about these bytes."""
    async with ProverClient(target) as client:
        found = await client.records(job.hex())
    assert found.assembly == made.record
    statement = open_envelope(found.assembly, found.public_key_pem)
    subjects = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    proof = made.proof.proof
    assert subjects == {
        "proof": proof_digest(proof.a + proof.b + proof.c),
        "public-signals": hashlib.sha256(b"".join(made.proof.public_signals)).hexdigest(),
        "contents": hashlib.sha256(made.contents.SerializeToString(deterministic=True)).hexdigest(),
    }
    assert statement["predicate"]["assembly"] == made.assembly_id.hex()
    assert {t["phase"] for t in statement["predicate"]["timings"]} >= {"stage1", "wrap"}


async def test_a_job_of_two_circuits_ends_with_one_proof(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two assemblies and one of both; the device fails once on the way."""
    real, calls = assembler.finish_assembly, []

    def unreliable(*given: object, **more: object) -> AssemblyProof:
        calls.append(1)
        if len(calls) == 1:
            raise BackendError("the device was out of sorts")
        return real(*given, **more)

    monkeypatch.setattr(assembler, "finish_assembly", unreliable)
    a, b = samples
    wrap = wrap_key(backend)
    async with running(config(tmp_path), wrap) as (server, channel):
        job = job_name("two circuits")
        edge = await bring(channel, job, [(a, 3), (b, 4), (a, 5)], backend, PLAIN)
        told = await done(edge, job)
        assert told.HasField("done"), told
        assert len(calls) == 4
        view = await rig.job_of(channel, job)
        assert view.state == DONE
        assert (view.assembly.state, view.assembly.leaves, view.assembly.committed) == (2, 3, 3)
        assert (view.assembly.nodes, view.assembly.nodes_proved) == (3, 3)
        assert [t.phase for t in view.assembly.timings] == ["assembly_queue", "commit", "stage1", "wrap"]
        (result,) = await rig.results(channel, [job])
        assert result.assembly == told.done.assembly
        await recorded(server.target, job, result.assembly)
        statement = checked(result.assembly, [result.proofs], samples, backend, wrap.verification_key)
        assert [list(inner.bottom()) for inner in statement.inner.values()] == [["0/0", "0/2"], ["0/1"]]
        stub = assembly_pb2_grpc.AssemblyServiceStub(channel)
        known = await stub.AssembleJobs(asks(job))
        assert (known.assembly_id, known.created) == (view.assembly.assembly_id, False)
        heard = [r.job_update.assembling for r in edge.heard if r.job_update.HasField("assembling")]
        assert [x.leaves for x in heard] == [3]
        metrics = server.aggregator.observer.metrics
        assert total(metrics.assemblies_ended, state="done", code="OK") == 1
        assert total(metrics.assembled_leaves) == 3
        assert {"commit", "stage1", "wrap"} <= {s.stage for s in metrics.summaries()}
    # What is kept is what was told, whoever asks later.
    async with running(config(tmp_path)) as (_, channel):
        (again,) = await rig.results(channel, [job])
        assert again == result


async def test_a_block_is_assembled_once_without_what_is_not_proved(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend
) -> None:
    sample = samples[0]
    good, bad = job_name("good"), job_name("bad")
    async with running(config(tmp_path), wrap_key(backend)) as (_, channel):
        stub = assembly_pb2_grpc.AssemblyServiceStub(channel)
        assert (await done(await bring(channel, good, [(sample, 3)], backend), good)).HasField("done")
        edge = await bring(channel, bad, [(sample, 4), (sample, 5)], backend, bad=[1])
        assert (await done(edge, bad)).HasField("failed")
        precondition = grpc.StatusCode.FAILED_PRECONDITION
        assert await why(stub.AssembleJobs(asks(good, bad))) == (precondition, "JOB_NOT_DONE", "job_ids[1]")
        taken = [s.state for s in (await rig.job_of(channel, bad)).segments]
        first = await stub.AssembleJobs(asks(good, bad, skip_unproved=True))
        again = await stub.AssembleJobs(asks(good, bad, skip_unproved=True))
        assert (again.assembly_id, first.created, again.created) == (first.assembly_id, True, False)
        answer = await ended(channel, first.assembly_id)
        assert answer.assembly.state == assembly_pb2.ASSEMBLY_STATE_DONE
        left = [(s.job, s.segment) for s in answer.assembly.left_out]
        assert left == [(1, i) for i, state in enumerate(taken) if state != job_pb2.SEGMENT_STATE_VERIFIED]
        leaves = [
            x
            async for x in stub.GetAssemblyLeaves(assembly_pb2.GetAssemblyLeavesRequest(assembly_id=first.assembly_id))
        ]
        assert len(leaves) == answer.assembly.leaves == 3 - len(left)
        by_job: dict[int, dict[int, object]] = {0: {}, 1: {}}
        for leaf in leaves:
            by_job[leaf.segment.job][leaf.segment.segment] = leaf.leaf
        checked(answer.result, [by_job[0], by_job[1]], [sample], backend, wrap_key(backend).verification_key)


async def test_a_killed_cloud_goes_on_with_its_block_and_its_job(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend
) -> None:
    sample, wrap = samples[0], wrap_key(backend, CHAIN)
    starts = chained(4, sample)
    jobs = [job_name("first half"), job_name("second half")]
    own, options = job_name("own"), assembly_pb2.AssemblyOptions()
    options.chain.CopyFrom(assembly_pb2.AssemblyChain(out=CHAIN.out, into=CHAIN.into))
    process, target = await cloud_process(tmp_path)
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            for k, job in enumerate(jobs):
                leaves = [(sample, start) for start in starts[2 * k : 2 * k + 2]]
                assert (await done(await bring(channel, job, leaves, backend), job)).HasField("done")
            stub = assembly_pb2_grpc.AssemblyServiceStub(channel)
            block = (await stub.AssembleJobs(asks(*jobs, options=options))).assembly_id
            edge = await bring(channel, own, [(sample, start) for start in starts[:2]], backend, options)
            await edge.until(lambda r: r.job_update.HasField("assembling"))
            process.send_signal(signal.SIGKILL)
            await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    async with running(config(tmp_path), wrap) as (server, channel):
        assert set(server.aggregator.machine.assemblies) == {block, assembly_id([own], CHAIN)}
        answer = await ended(channel, block)
        assert answer.assembly.state == assembly_pb2.ASSEMBLY_STATE_DONE, answer.assembly.error
        got = await rig.results(channel, jobs)
        statement = checked(answer.result, [r.proofs for r in got], [sample], backend, wrap.verification_key)
        assert statement.chain == CHAIN
        ends = [int.from_bytes(raw, "big") for raw in answer.result.proof.public_signals[3:]]
        assert ends == [starts[0], sample.wires(starts[-1])[1]]
        await ended(channel, assembly_id([own], CHAIN))
        view = await rig.job_of(channel, own)
        assert view.state == DONE
        stored = await server.aggregator.in_store(lambda store: store.load_assembly(block))
        assert stored is not None
        assert stored.starts == 2, "once before the end and once after it"


async def cloud_process(folder: Path) -> tuple[asyncio.subprocess.Process, str]:
    """`hybrid-prover cloud` with the shared wrap keys; and where it listens."""
    options = (
        "--plaintext",
        "--port",
        "0",
        "--data-dir",
        str(folder),
        "--wrap-keys",
        str(KEYS),
        "--batch-age-ms",
        "20",
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hybrid_prover", "cloud", *options, stderr=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while True:
            line = json.loads(await process.stderr.readline())
            if line.get("event") == "listening":
                break
    asyncio.get_running_loop().create_task(drained(process.stderr))
    return process, str(line["address"])


async def drained(stream: asyncio.StreamReader) -> None:
    while await stream.read(1 << 16):
        pass


async def test_what_cannot_be_assembled_is_refused_by_name(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend
) -> None:
    a, b = samples
    one, two = job_name("one of a"), job_name("one of b")
    async with running(config(tmp_path / "cloud", wrap_keys=tmp_path / "none")) as (_, channel):
        stub = assembly_pb2_grpc.AssemblyServiceStub(channel)
        for job, sample in ((one, a), (two, b)):
            assert (await done(await bring(channel, job, [(sample, 7)], backend), job)).HasField("done")

        precondition, argument = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.INVALID_ARGUMENT
        chain = assembly_pb2.AssemblyChain(out=0, into=1)
        options = assembly_pb2.AssemblyOptions(chain=chain)
        assert await why(stub.AssembleJobs(asks(one))) == (precondition, "WRAP_KEY_MISSING", "options")
        assert await why(stub.AssembleJobs(asks(one, two, options=options))) == (
            argument,
            "ASSEMBLY_SHAPE",
            "options.chain",
        )
        chain.into = 2
        assert await why(stub.AssembleJobs(asks(one, options=assembly_pb2.AssemblyOptions(chain=chain)))) == (
            argument, "ASSEMBLY_SHAPE", "options.chain",
        )  # fmt: skip
        assert await why(stub.AssembleJobs(asks())) == (argument, "JOB_COUNT", "job_ids")
        assert await why(stub.AssembleJobs(asks(one, one))) == (argument, "JOB_TWICE", "job_ids")
        assert await why(stub.AssembleJobs(asks(one, b"short"))) == (argument, "BAD_LENGTH", "job_ids[1]")
        unknown = job_name("nobody's")
        assert await why(stub.AssembleJobs(asks(one, unknown))) == (
            grpc.StatusCode.NOT_FOUND,
            "JOB_UNKNOWN",
            "job_ids[1]",
        )
        for method, request in (
            (stub.GetAssembly, assembly_pb2.GetAssemblyRequest(assembly_id=unknown)),
            (stub.CancelAssembly, assembly_pb2.CancelAssemblyRequest(assembly_id=unknown)),
        ):
            assert await why(method(request)) == (grpc.StatusCode.NOT_FOUND, "ASSEMBLY_UNKNOWN", "assembly_id")
        edge = Edge(channel)
        await edge.hello()
        for options, reason, field in (
            (PLAIN, "WRAP_KEY_MISSING", "assembly"),
            (assembly_pb2.AssemblyOptions(chain=assembly_pb2.AssemblyChain(out=2)), "ASSEMBLY_SHAPE", "assembly.chain"),
        ):
            await edge.send(open_job=rig.open_job(job_name("refused"), [(a, 1), (a, 2)], options))
            answer = await edge.until_kind("refused")
            assert (reason_of(answer.error), violated_field(answer.error)) == (reason, field)
            assert "8 leaves of 4" in answer.error.message or reason != "WRAP_KEY_MISSING"


async def test_a_broken_chain_fails_the_job_and_a_block_is_refused(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend
) -> None:
    sample = samples[0]
    wrap_key(backend, CHAIN)
    options = assembly_pb2.AssemblyOptions(chain=assembly_pb2.AssemblyChain(out=0, into=1))
    async with running(config(tmp_path)) as (_, channel):
        job, plain = job_name("broken"), job_name("plain")
        told = await done(await bring(channel, job, [(sample, 3), (sample, 4)], backend, options), job)
        assert reason_of(told.failed) == "CHAIN_BROKEN"
        assert violated_field(told.failed) == "jobs[0].segments[1]"
        assert (await rig.job_of(channel, job)).assembly.state == assembly_pb2.ASSEMBLY_STATE_FAILED
        assert (await done(await bring(channel, plain, [(sample, 3), (sample, 4)], backend), plain)).HasField("done")
        stub = assembly_pb2_grpc.AssemblyServiceStub(channel)
        precondition, field = grpc.StatusCode.FAILED_PRECONDITION, "jobs[0].segments[1]"
        assert await why(stub.AssembleJobs(asks(plain, options=options))) == (precondition, "CHAIN_BROKEN", field)


async def test_cancelled_and_failed_ones_stop_and_go_again(
    tmp_path: Path, samples: tuple[Sample, Sample], backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that hangs until the work is stopped, then one that always fails, then the real one."""
    sample, real = samples[0], assembler.finish_assembly
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hanging(*_: object, goes_on: Callable[[], None], **more: object) -> AssemblyProof:
        loop.call_soon_threadsafe(begun.set)
        while True:
            goes_on()

    def failing(*_: object, **more: object) -> AssemblyProof:
        raise BackendError("no such luck")

    monkeypatch.setattr(assembler, "finish_assembly", hanging)
    async with running(config(tmp_path), wrap_key(backend)) as (server, channel):
        control = job_pb2_grpc.JobServiceStub(channel)
        stub = assembly_pb2_grpc.AssemblyServiceStub(channel)
        own, plain = job_name("cancelled"), job_name("done without")
        edge = await bring(channel, own, [(sample, 3)], backend, PLAIN)
        async with asyncio.timeout(30):
            await begun.wait()
        known = (await rig.job_of(channel, own)).assembly.assembly_id
        request = assembly_pb2.CancelAssemblyRequest(assembly_id=known)
        assert (await why(stub.CancelAssembly(request)))[1] == "ASSEMBLY_OF_JOB"
        cancelled = (await control.CancelJob(job_pb2.CancelJobRequest(job_id=own))).job
        assert cancelled.state == job_pb2.JOB_STATE_CANCELLED
        assert cancelled.assembly.state == assembly_pb2.ASSEMBLY_STATE_CANCELLED
        await done(edge, own)

        assert (await done(await bring(channel, plain, [(sample, 3)], backend), plain)).HasField("done")
        begun.clear()
        block = (await stub.AssembleJobs(asks(plain))).assembly_id
        async with asyncio.timeout(30):
            await begun.wait()
        request = assembly_pb2.CancelAssemblyRequest(assembly_id=block)
        assert (await stub.CancelAssembly(request)).assembly.state == assembly_pb2.ASSEMBLY_STATE_CANCELLED

        rpc = AssemblyRpc(server.aggregator)
        # Nobody submitted these jobs by name; the block was asked for by `local`.
        for who, sees in (
            (Principal(client="local"), {block}),
            (Principal(client="another"), set()),
            (Principal(rights=frozenset({Right.OPERATE})), {block, known}),
            (Principal(edge="spiffe://an/edge"), set()),
        ):
            for one in (block, known):
                serve_as(who)
                if one in sees:
                    assert (await rpc._known(one)).assembly_id == one
                else:
                    with pytest.raises(WireError, match="not known here"):
                        await rpc._known(one)

        monkeypatch.setattr(assembler, "finish_assembly", failing)
        assert (await stub.AssembleJobs(asks(plain))).created, "one that was cancelled goes again"
        answer = await ended(channel, block)
        assert answer.assembly.state == assembly_pb2.ASSEMBLY_STATE_FAILED
        assert answer.assembly.error.code == grpc.StatusCode.INTERNAL.value[0]
        assert not answer.HasField("result")

        monkeypatch.setattr(assembler, "finish_assembly", real)
        again = (await control.RequeueJob(job_pb2.RequeueJobRequest(job_id=own))).job
        assert again.state == job_pb2.JOB_STATE_RUNNING
        await ended(channel, known)
        assert (await rig.job_of(channel, own)).state == DONE
        assert server.aggregator.assemblies_waiting == 0


def step(c: Circuit) -> None:
    """out = a² + x: a chain of such steps, when x makes it so."""
    a, x = c.public("a"), c.private("x")
    c.output("out", a * a + x)


@dataclass(frozen=True)
class Submitted:
    """What `submit --assemble` said and wrote."""

    folder: Path
    vkey: Path
    told: dict[str, Any]
    wrong: tuple[int, str]
    """Exit code and complaint about a chain over signals that are not there."""


@pytest.fixture(scope="module")
def submitted(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Submitted:
    """A chained job of three segments through an edge, from the command line."""
    folder = tmp_path_factory.mktemp("submitted")
    sample = make_edge_sample(folder, backend, "step", step)
    for name, content in (("step.zkey", sample.zkey), ("step.r1cs", sample.r1cs), ("step.tape", sample.tape)):
        (folder / name).write_bytes(content)
    (folder / "inputs.json").write_text(json.dumps([{"a": 2, "x": 1}, {"a": 5, "x": 2}, {"a": 27, "x": 0}]))
    write_verification_key(folder / "vkey.json", sample.key.verification_key)
    files = [x for name in ("zkey", "r1cs") for x in (f"--{name}", str(folder / f"step.{name}"))]
    files += ["--program", str(folder / "step.tape"), "--input", str(folder / "inputs.json")]

    async def work() -> tuple[tuple[int, str, str], tuple[int, str, str]]:
        async with (
            running(config(folder / "cloud"), wrap_key(backend, CHAIN)) as (server, _),
            running_edge(edge_config(folder / "edge", server.target)) as (daemon, _),
        ):
            where = ["--target", daemon.target, "--plaintext", "--out", str(folder / "out"), "--json"]
            argv = ["submit", *files, *where, "--assemble", "--chain"]
            return await said(*argv, "0:1"), await said(*argv, "0:2")

    first, second = asyncio.run(work())
    assert first[0] == OK, first
    return Submitted(folder / "out" / "assembly", folder / "vkey.json", json.loads(first[1]), (second[0], second[2]))


async def said(*argv: str) -> tuple[int, str, str]:
    """Exit code and output of a command in a process of its own."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hybrid_prover", *argv, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def verifying(submitted: Submitted, folder: Path) -> list[str]:
    given = ["verify-assembly", "--vkey", str(submitted.vkey), "--proof", str(folder / "proof.json")]
    return [*given, "--wrap-vkey", str(folder / "verification_key.json"), "--publics", str(folder / "publics.json")]


def test_submit_assemble_writes_what_verify_assembly_reads(
    tmp_path: Path, submitted: Submitted, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submitted.told["assembly"]["leaves"] == 3
    assert submitted.told["assembly_publics"][3:] == ["2", str(27 * 27)]
    assert submitted.wrong[0] == FAILED
    assert "assembly.chain.into" in submitted.wrong[1]
    shutil.copytree(submitted.folder, tmp_path / "copy")
    folder = tmp_path / "copy"
    assert run([*verifying(submitted, folder), "--public", str(folder / "public.json")]) == OK
    changed = json.loads((folder / "publics.json").read_text())
    changed["leaves"][1]["publics"][0] = "6"
    (folder / "publics.json").write_text(json.dumps(changed))
    assert run(verifying(submitted, folder)) == FAILED
    assert "does not begin" in capsys.readouterr().err


@pytest.mark.node
def test_snarkjs_verifies_what_the_services_assembled(submitted: Submitted) -> None:
    from toolchain import toolchain

    names = ("verification_key", "public", "proof")
    assert "OK!" in toolchain().snarkjs("groth16", "verify", *(submitted.folder / f"{name}.json" for name in names))
