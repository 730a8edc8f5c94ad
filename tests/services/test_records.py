"""Records over a real cloud: who signed them, what they say and hide; and proofs made again, byte for byte."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from cloud_edge import Edge, Sample, make_sample, register
from worker_rig import worker_process

from cloud.config import CloudConfig
from cloud.service import CloudServer
from hybrid_prover import JobRecords, ProverClient
from hybrid_prover.cli.main import run
from hybrid_prover.provenance import BlindingSeeds, NodeKey, commitment, proof_digest
from hybrid_prover.provenance.node import open_envelope
from hybrid_prover.provenance.records import read_leaf
from hybrid_prover.replay import Recorded, replay
from hybrid_prover.v1 import common_pb2, job_pb2, job_pb2_grpc, uplink_pb2
from prover_core.backend import Backend
from prover_core.errors import FormatError, InvalidInputError, VerificationError
from prover_core.formats.wtns import write_wtns
from prover_core.types import FrVector


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make_sample(tmp_path_factory.mktemp("key"), backend)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[CloudServer]:
    config = CloudConfig(port=0, data_dir=tmp_path / "cloud", plaintext=True, batch_age_ms=20, drain_grace_seconds=1)
    server = CloudServer(config)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def channel(server: CloudServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(server.target) as channel:
        yield channel


async def proved(channel: grpc.aio.Channel, sample: Sample, starts: list[int]) -> bytes:
    """A finished job of one segment for each start."""
    await register(channel, sample)
    edge, job = Edge(channel), os.urandom(32)
    await edge.hello()
    await edge.open(job, [sample.digest] * len(starts))
    for segment, start in enumerate(starts):
        await edge.witness(job, segment, sample.wires(start))
    assert (await edge.ended(job)).HasField("done")
    return job


async def records(server: CloudServer, job: bytes, *, seeds: bool = False) -> JobRecords:
    async with ProverClient(server.target) as client:
        return await client.records(job.hex(), seeds=seeds)


async def result(channel: grpc.aio.Channel, job: bytes) -> list[common_pb2.LeafProof]:
    stub = job_pb2_grpc.JobQueryServiceStub(channel)
    return list((await stub.GetResult(job_pb2.GetResultRequest(job_id=job))).proofs)


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """The JSON that a command printed, among the log of the cloud beside it."""
    text = capsys.readouterr().out
    start = re.search(r"^\{$", text, re.MULTILINE)
    assert start is not None, text
    found, _ = json.JSONDecoder().raw_decode(text, start.start())
    assert isinstance(found, dict)
    return found


def files(folder: Path, sample: Sample, start: int) -> Recorded:
    (folder / "k.zkey").write_bytes(sample.zkey)
    write_wtns(folder / "w.wtns", FrVector.from_ints(sample.wires(start)))
    return Recorded(folder / "k.zkey", witness=folder / "w.wtns")


async def test_a_record_says_what_was_proved_where_and_in_which_batch(
    server: CloudServer, channel: grpc.aio.Channel, sample: Sample
) -> None:
    job = await proved(channel, sample, [3, 4])
    found = await records(server, job)
    leaves = await result(channel, job)
    assert [leaf.segment for leaf in found.leaves] == [0, 1]
    batches = [open_envelope(raw, found.public_key_pem) for raw in found.batches]
    for leaf, record in zip(leaves, found.leaves, strict=True):
        assert record.seed == b""
        statement = open_envelope(record.envelope, found.public_key_pem)
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        raw = leaf.proof.a + leaf.proof.b + leaf.proof.c
        digests = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
        assert digests["proof"] == proof_digest(raw)
        assert digests["public-signals"] == hashlib.sha256(b"".join(leaf.public_signals)).hexdigest()
        said = statement["predicate"]
        assert (said["job"], said["segment"], said["placement"]) == (job.hex(), record.segment, "cloud")
        assert said["circuit"]["zkey"]["sha256"] == sample.digest.hex()
        assert said["maker"]["device"].startswith("cpu: ")
        assert {t["phase"] for t in said["timings"]} >= {"accumulate", "finish", "verify"}
        batch = next(b for b in batches if b["predicate"]["batch"] == said["batch"])
        name = f"{job.hex()}/{record.segment}"
        assert {"name": name, "digest": {"sha256": digests["proof"]}} in batch["subject"]
        assert batch["predicate"]["failed"] == []


async def test_a_proof_is_made_again_byte_for_byte(
    server: CloudServer, channel: grpc.aio.Channel, sample: Sample, backend: Backend, tmp_path: Path
) -> None:
    job = await proved(channel, sample, [5])
    found = await records(server, job, seeds=True)
    record = read_leaf(open_envelope(found.leaves[0].envelope, found.public_key_pem))
    proof, _ = await asyncio.to_thread(replay, record, files(tmp_path, sample, 5), found.leaves[0].seed, backend)
    (leaf,) = await result(channel, job)
    assert proof.to_bytes() == leaf.proof.a + leaf.proof.b + leaf.proof.c
    with pytest.raises(VerificationError, match="public signals"):
        await asyncio.to_thread(replay, record, files(tmp_path, sample, 6), found.leaves[0].seed, backend)
    with pytest.raises(VerificationError, match="commits"):
        await asyncio.to_thread(replay, record, files(tmp_path, sample, 5), os.urandom(32), backend)
    (tmp_path / "k.zkey").write_bytes(sample.zkey + b"\0")
    with pytest.raises(VerificationError, match="not the key"):
        replay(record, Recorded(tmp_path / "k.zkey", witness=tmp_path / "w.wtns"), found.leaves[0].seed, backend)


async def test_a_remote_worker_makes_the_proof_that_the_cloud_would(
    tmp_path: Path, sample: Sample, backend: Backend
) -> None:
    config = CloudConfig(
        port=0, data_dir=tmp_path / "cloud", plaintext=True, batch_age_ms=20, drain_grace_seconds=1,
        remote_workers_only=True,
    )  # fmt: skip
    server = CloudServer(config)
    await server.start()
    try:
        async with (
            worker_process(server.target, tmp_path / "keys", "--name", "far"),
            grpc.aio.insecure_channel(server.target) as channel,
        ):
            job = await proved(channel, sample, [7])
            found = await records(server, job, seeds=True)
    finally:
        await server.stop()
    statement = open_envelope(found.leaves[0].envelope, found.public_key_pem)
    assert statement["predicate"]["maker"]["name"] == "far"
    await asyncio.to_thread(replay, read_leaf(statement), files(tmp_path, sample, 7), found.leaves[0].seed, backend)


async def test_records_outlive_the_process_and_its_seeds_too(tmp_path: Path, sample: Sample, backend: Backend) -> None:
    config = CloudConfig(port=0, data_dir=tmp_path / "cloud", plaintext=True, batch_age_ms=20, drain_grace_seconds=1)
    server = CloudServer(config)
    await server.start()
    async with grpc.aio.insecure_channel(server.target) as channel:
        job = await proved(channel, sample, [9])
        before = await records(server, job, seeds=True)
    await server.stop()
    server = CloudServer(config)
    await server.start()
    try:
        assert await records(server, job, seeds=True) == before
    finally:
        await server.stop()
    for name in ("node.key", "blinding.key"):
        assert (tmp_path / "cloud" / name).stat().st_mode & 0o077 == 0


async def test_a_private_proof_is_recorded_without_a_seed(
    server: CloudServer, channel: grpc.aio.Channel, sample: Sample, backend: Backend, tmp_path: Path
) -> None:
    await register(channel, sample)
    edge, job = Edge(channel), os.urandom(32)
    await edge.hello()
    await edge.open(job, [sample.digest], placement=common_pb2.PLACEMENT_PRIVATE)
    await edge.send(segment_proof=uplink_pb2.SegmentProof(job_id=job, leaf=sample.leaf(3, backend)))
    assert (await edge.ended(job)).HasField("done")
    found = await records(server, job, seeds=True)
    assert found.leaves[0].seed == b""
    record = read_leaf(open_envelope(found.leaves[0].envelope, found.public_key_pem))
    with pytest.raises(InvalidInputError, match="privately"):
        replay(record, files(tmp_path, sample, 3), os.urandom(32), backend)


async def test_the_commands_fetch_records_and_replay_them(
    server: CloudServer, channel: grpc.aio.Channel, sample: Sample, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = await proved(channel, sample, [11])
    made = files(tmp_path, sample, 11)
    out = tmp_path / "records"
    fetch = ["record", job.hex(), "--out", str(out), "--seeds", "--target", server.target, "--json"]
    assert await asyncio.to_thread(run, fetch) == 0
    assert {Path(name).name for name in printed(capsys)["files"]} == {
        "segment-0.record.json", "segment-0.seed", "batch-0.record.json", "node.pub",
    }  # fmt: skip
    again = [
        "replay", str(out / "segment-0.record.json"), "--zkey", str(made.zkey), "--witness", str(made.witness),
        "--seed", str(out / "segment-0.seed"), "--json",
    ]  # fmt: skip
    assert await asyncio.to_thread(run, again) == 0
    assert printed(capsys)["same"] is True
    (out / "node.pub").write_bytes(NodeKey.open(tmp_path).public_pem)
    assert await asyncio.to_thread(run, again) == 1
    assert "not signed by this node" in capsys.readouterr().err
    (out / "segment-0.seed").write_text("zz")
    assert await asyncio.to_thread(run, again) == 1
    assert await asyncio.to_thread(run, ["record", "00" * 32, "--target", server.target]) == 1
    assert "not known" in capsys.readouterr().err


def test_envelopes_and_statements_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    key = NodeKey.open(tmp_path)
    assert NodeKey.open(tmp_path).public_pem == key.public_pem
    good = key.sign({"predicateType": "urn:other", "subject": []})
    statement = open_envelope(good, key.public_pem)
    with pytest.raises(FormatError, match="not a leaf's"):
        read_leaf(statement)
    with pytest.raises(FormatError, match="lacks"):
        read_leaf({"predicateType": "urn:hybrid-prover:leaf-proof:v1"})
    changed = json.loads(good)
    changed["payload"] = changed["payload"][:-4] + "fQ=="
    for raw in (b"", b"{}", b"[]", b'{"payload":1}', json.dumps({**json.loads(good), "signatures": [1]}).encode()):
        with pytest.raises(FormatError):
            open_envelope(raw, key.public_pem)
    with pytest.raises((VerificationError, FormatError)):
        open_envelope(json.dumps(changed).encode(), key.public_pem)
    other = json.loads(key.sign({"a": 1}))
    mixed = json.dumps({**json.loads(good), "payload": other["payload"]}).encode()
    with pytest.raises(VerificationError):
        open_envelope(mixed, key.public_pem)
    with pytest.raises(FormatError, match="public key"):
        open_envelope(good, b"nonsense")
    (tmp_path / "node.key").write_bytes(b"nonsense")
    with pytest.raises(FormatError, match=r"node\.key"):
        NodeKey.open(tmp_path)


def test_seeds_differ_by_place_and_are_hidden_by_their_commitment(tmp_path: Path) -> None:
    seeds = BlindingSeeds.open(tmp_path)
    assert BlindingSeeds.open(tmp_path).seed(b"j" * 32, 1) == seeds.seed(b"j" * 32, 1)
    found = {seeds.seed(job, segment) for job in (b"j" * 32, b"k" * 32) for segment in range(3)}
    assert len(found) == 6
    assert len({commitment(s) for s in found}) == 6
    (tmp_path / "blinding.key").write_bytes(b"short")
    with pytest.raises(FormatError, match="5 bytes"):
        BlindingSeeds.open(tmp_path)
