"""Records of private proofs: the edge that makes them signs them, and they are made again byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest
from edge_support import PRIVATE, Sample, edge_config, factors, make, running_cloud, running_edge
from security_support import Pki, secure_edge

from hybrid_prover import JobRecords, NotFoundError, PermissionDeniedError, Placement, ProverClient, Segment
from hybrid_prover.cli.main import run
from hybrid_prover.provenance import commitment, proof_digest
from hybrid_prover.provenance.node import open_envelope
from hybrid_prover.security.principal import Right
from hybrid_prover.v1 import common_pb2, job_pb2, records_pb2, records_pb2_grpc
from prover_core.backend import Backend

PAIRS = ((3, 5), (7, 11))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("key"), backend, "factors", factors)


async def records(target: str, job: bytes, *, seeds: bool = False) -> JobRecords:
    async with ProverClient(target) as client:
        return await client.records(job.hex(), seeds=seeds)


def raw(leaf: common_pb2.LeafProof) -> bytes:
    return leaf.proof.a + leaf.proof.b + leaf.proof.c


def check(found: JobRecords, leaves: list[common_pb2.LeafProof], job: bytes, sample: Sample) -> None:
    """Every record says what is true of its proof."""
    assert [leaf.segment for leaf in found.leaves] == list(range(len(leaves)))
    for leaf, record in zip(leaves, found.leaves, strict=True):
        statement = open_envelope(record.envelope, found.public_key_pem)
        digests = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
        assert digests["proof"] == proof_digest(raw(leaf))
        assert digests["public-signals"] == hashlib.sha256(b"".join(leaf.public_signals)).hexdigest()
        said = statement["predicate"]
        assert (said["job"], said["segment"], said["placement"]) == (job.hex(), record.segment, "private")
        parts = {"zkey": sample.zkey, "r1cs": sample.r1cs, "witnessProgram": sample.tape}
        assert said["circuit"] == {k: {"sha256": hashlib.sha256(v).hexdigest()} for k, v in parts.items()}
        assert said["maker"]["name"] == "the-edge"
        assert said["maker"]["device"].startswith("cpu: ")
        assert said["maker"]["software"].startswith("hybrid-prover ")
        assert said["batch"] is None
        assert {t["phase"] for t in said["timings"]} == {"edge_queue", "witness", "prove"}
        assert said["blindingSeedCommitment"] == commitment(record.seed).hex()


async def test_a_private_proof_is_made_again_from_the_record_of_its_edge(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    async with running_cloud(tmp_path / "cloud") as cloud:
        config = edge_config(tmp_path / "edge", cloud.target, workers=1, name="the-edge")
        async with running_edge(config) as (edge, stubs):
            await stubs.register(sample)
            specs = [sample.segment(n=p * q, pq=[p, q]) for p, q in PAIRS]
            job = (await stubs.submit(*specs, placement=PRIVATE)).job_id
            await stubs.proved(job, backend, [sample.key] * 2)
            leaves = list((await stubs.queries.GetResult(job_pb2.GetResultRequest(job_id=job))).proofs)
            before = await records(edge.target, job, seeds=True)
            check(before, leaves, job, sample)
            assert not before.batches
            assert {leaf.seed for leaf in (await records(edge.target, job)).leaves} == {b""}

            # The cloud's record is of the same proof: in which batch, and without a seed.
            at_cloud = await records(cloud.target, job, seeds=True)
            for ours, theirs in zip(before.leaves, at_cloud.leaves, strict=True):
                said = open_envelope(theirs.envelope, at_cloud.public_key_pem)
                assert said["subject"] == open_envelope(ours.envelope, before.public_key_pem)["subject"]
                assert said["predicate"]["batch"]
                assert not theirs.seed
                assert not said["predicate"]["blindingSeedCommitment"]

            other = (await stubs.submit(specs[0])).job_id
            await stubs.proved(other, backend, [sample.key])
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await only(edge.target, other)
            assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION
            assert "at the cloud" in (caught.value.details() or "")
            with pytest.raises(NotFoundError):
                await records(edge.target, bytes(32))

        async with running_edge(config) as (edge, _):
            assert await records(edge.target, job, seeds=True) == before
            await replayed(tmp_path, edge.target, job, sample, leaves)
    for name in ("node.key", "blinding.key"):
        assert (tmp_path / "edge" / name).stat().st_mode & 0o077 == 0


async def only(target: str, job: bytes) -> None:
    """The call itself, whose status a client would turn into an error of its own."""
    async with grpc.aio.insecure_channel(target) as channel:
        request = records_pb2.GetRecordsRequest(job_id=job)
        async for _ in records_pb2_grpc.RecordServiceStub(channel).GetRecords(request):
            raise AssertionError("an answer")


async def replayed(folder: Path, target: str, job: bytes, sample: Sample, leaves: list[common_pb2.LeafProof]) -> None:
    """Both commands, from the program and its inputs."""
    out = folder / "records"
    fetch = ["record", job.hex(), "--out", str(out), "--seeds", "--target", target]
    assert await asyncio.to_thread(run, fetch) == 0
    (folder / "k.zkey").write_bytes(sample.zkey)
    (folder / "p.tape").write_bytes(sample.tape)
    for segment, (p, q) in enumerate(PAIRS):
        (folder / "input.json").write_text(json.dumps({"n": p * q, "pq": [p, q]}))
        again = [
            "replay", str(out / f"segment-{segment}.record.json"), "--zkey", str(folder / "k.zkey"),
            "--seed", str(out / f"segment-{segment}.seed"), "--program", str(folder / "p.tape"),
            "--inputs", str(folder / "input.json"), "--out", str(folder / str(segment)),
        ]  # fmt: skip
        assert await asyncio.to_thread(run, again) == 0
        proof = json.loads((folder / str(segment) / "proof.json").read_text())
        assert [int(v) for v in proof["pi_a"][:2]] == [
            int.from_bytes(leaves[segment].proof.a[at : at + 32], "big") for at in (0, 32)
        ]
        again[5] = str(out / f"segment-{1 - segment}.seed")
        assert await asyncio.to_thread(run, again) == 1


@asynccontextmanager
async def as_client(pki: Pki, target: str, client: str, *rights: Right) -> AsyncIterator[ProverClient]:
    async with ProverClient(target, credentials=pki.credentials(client, *rights)) as made:
        yield made


async def test_records_are_for_those_whose_job_it_is_and_seeds_for_operators(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    pki = Pki(tmp_path)
    async with (
        secure_edge(pki, tmp_path / "edge", "127.0.0.1:1", "the-edge") as edge,
        as_client(pki, edge.target, "alice", Right.READ, Right.SUBMIT) as alice,
        as_client(pki, edge.target, "bob", Right.READ, Right.SUBMIT) as bob,
        as_client(pki, edge.target, "ops", Right.OPERATE) as operator,
    ):
        job = await submitted(alice, sample)
        async with asyncio.timeout(30):
            while not (s := edge.core.machine.jobs[job].segments[0]).leaf:
                await asyncio.sleep(0.01)
        leaf = common_pb2.LeafProof.FromString(s.leaf)
        check(await operator.records(job.hex(), seeds=True), [leaf], job, sample)
        (record,) = (await alice.records(job.hex())).leaves
        assert record.seed == b""
        with pytest.raises(PermissionDeniedError, match="operate"):
            await alice.records(job.hex(), seeds=True)
        for seeds in (False, True):
            with pytest.raises(NotFoundError):
                await bob.records(job.hex(), seeds=seeds)


async def submitted(client: ProverClient, sample: Sample) -> bytes:
    circuit = await client.register_circuit(name="f", zkey=sample.zkey, r1cs=sample.r1cs, program=sample.tape)
    sent = await client.submit(Segment(circuit.digest, {"n": 15, "pq": [3, 5]}), placement=Placement.PRIVATE)
    return sent.id.raw
