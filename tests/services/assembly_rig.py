"""A cloud that assembles, and the leaf proofs of two circuits to assemble, brought by a hand-driven edge."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

import grpc
from cloud_edge import Edge, Sample, make_sample, register
from toolchain import CACHE

from cloud.config import CloudConfig
from cloud.service import CloudServer
from hybrid_prover.assembly import AssembledLeaves
from hybrid_prover.assemblymodel import AssemblySegment
from hybrid_prover.assemblywire import assembly_result_from_wire
from hybrid_prover.statement import check_statement, statement_of
from hybrid_prover.v1 import assembly_pb2, assembly_pb2_grpc, common_pb2, job_pb2, job_pb2_grpc, uplink_pb2
from prover_core.assembly import Chain, Wrap, WrapKey, WrapKeys, standard_shape
from prover_core.backend import Backend
from prover_core.groth16 import VerificationKey

KEYS = CACHE.parent / "wrap-keys"
"""Shared with the tests of the assembly itself; made once."""
SMALL = standard_shape(8, 4)
CHAIN = Chain(out=0, into=1)
"""The output of one segment is the input of the next: outputs come first among the public signals."""
SECONDS = 60.0


@cache
def wrap_key(backend: Backend, chain: Chain | None = None) -> WrapKey:
    """The small wrap key; made the first time, which takes half a minute."""
    return WrapKeys(KEYS).get(SMALL, backend, chain)


def samples(folder: Path, backend: Backend) -> tuple[Sample, Sample]:
    """Two circuits with two public signals each."""
    made = []
    for steps in (20, 50):
        (folder / str(steps)).mkdir()
        made.append(make_sample(folder / str(steps), backend, steps))
    return made[0], made[1]


def config(folder: Path, **changes: object) -> CloudConfig:
    settings = {"wrap_keys": KEYS, "batch_age_ms": 20, "drain_grace_seconds": 2} | changes
    return CloudConfig(port=0, plaintext=True, data_dir=folder, **settings)


@asynccontextmanager
async def running(settings: CloudConfig, *keys: WrapKey) -> AsyncIterator[tuple[CloudServer, grpc.aio.Channel]]:
    """A cloud in this process that has these wrap keys in memory already."""
    server = CloudServer(settings)
    server.aggregator.wraps._loaded.update({Wrap(key.shape, key.chain): key for key in keys})
    await server.start()
    try:
        async with grpc.aio.insecure_channel(server.target) as channel:
            yield server, channel
    finally:
        await server.stop()


def job_name(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def chained(count: int, sample: Sample, start: int = 1) -> list[int]:
    """Inputs of segments of which each begins where the one before ends."""
    starts = [start]
    while len(starts) < count:
        starts.append(sample.wires(starts[-1])[1])
    return starts


async def bring(
    channel: grpc.aio.Channel,
    job: bytes,
    leaves: Sequence[tuple[Sample, int]],
    backend: Backend,
    options: assembly_pb2.AssemblyOptions | None = None,
    *,
    bad: Sequence[int] = (),
) -> Edge:
    """Opens a private job and brings its leaf proofs, in reverse order; those at `bad` are for other public signals."""
    for sample in {id(s): s for s, _ in leaves}.values():
        await register(channel, sample)
    edge = Edge(channel)
    await edge.hello()
    await edge.send(open_job=open_job(job, leaves, options))
    await edge.until(lambda r: r.HasField("job_opened") or r.HasField("refused"))
    for i in reversed(range(len(leaves))):
        sample, start = leaves[i]
        leaf = sample.leaf(start, backend)
        if i in bad:
            leaf.public_signals[0] = bytes(31) + b"\7"
        await edge.send(segment_proof=uplink_pb2.SegmentProof(job_id=job, segment=i, leaf=leaf))
    return edge


def open_job(
    job: bytes, leaves: Sequence[tuple[Sample, int]], options: assembly_pb2.AssemblyOptions | None
) -> uplink_pb2.OpenJob:
    return uplink_pb2.OpenJob(
        job_id=job,
        name="assembled",
        placement=common_pb2.PLACEMENT_PRIVATE,
        circuits=[sample.digest for sample, _ in leaves],
        assembly=options,
    )


async def job_of(channel: grpc.aio.Channel, job: bytes) -> job_pb2.Job:
    stub = job_pb2_grpc.JobQueryServiceStub(channel)
    return (await stub.GetJob(job_pb2.GetJobRequest(job_id=job))).job


async def ended(channel: grpc.aio.Channel, assembly: bytes) -> assembly_pb2.GetAssemblyResponse:
    """Watches an assembly to its end."""
    stub = assembly_pb2_grpc.AssemblyServiceStub(channel)
    revision = 0
    async with asyncio.timeout(SECONDS):
        async for answer in stub.WatchAssembly(assembly_pb2.WatchAssemblyRequest(assembly_id=assembly)):
            assert answer.assembly.revision >= revision
            revision = answer.assembly.revision
    return await stub.GetAssembly(assembly_pb2.GetAssemblyRequest(assembly_id=assembly))


async def results(channel: grpc.aio.Channel, jobs: Sequence[bytes]) -> list[job_pb2.GetResultResponse]:
    stub = job_pb2_grpc.JobQueryServiceStub(channel)
    return [await stub.GetResult(job_pb2.GetResultRequest(job_id=job)) for job in jobs]


def checked(
    message: assembly_pb2.AssemblyResult,
    leaves: Sequence[Sequence[common_pb2.LeafProof]],
    samples: Sequence[Sample],
    backend: Backend,
    wrap: VerificationKey,
    *inner: VerificationKey,
) -> AssembledLeaves:
    """The statement of a result, verified against keys that the test expects; `leaves` by job and segment."""

    def publics(s: AssemblySegment) -> tuple[int, ...]:
        return tuple(int.from_bytes(raw, "big") for raw in leaves[s.job][s.segment].public_signals)

    result = assembly_result_from_wire(message)
    statement = statement_of(result.contents, publics, lambda s: f"{s.job}/{s.segment}")
    keys = [sample.key.verification_key for sample in samples]
    found = check_statement(statement, result.proof, wrap, backend, keys=keys, inner=inner, publics=result.publics)
    assert found == result.publics
    return statement
