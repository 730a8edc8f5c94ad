"""What must not be written: tokens, keys and witness inputs in logs, tokens and keys in the daemons' folders."""

from __future__ import annotations

import asyncio
import base64
import secrets
from pathlib import Path

import grpc.aio
import pytest
from edge_support import factors, make
from security_support import Pki, bearer, hello

from hybrid_prover import ClientError, Credentials, Placement, ProverClient, RetryPolicy, Segment
from hybrid_prover.demo.processes import Fleet, free_port
from hybrid_prover.provenance import BlindingSeeds
from hybrid_prover.security.identity import Role
from hybrid_prover.security.principal import Right
from hybrid_prover.security.tokens import split_token
from hybrid_prover.v1 import job_pb2, job_pb2_grpc, uplink_pb2_grpc
from prover_core.backend import Backend
from prover_core.types import Digest

ONCE = RetryPolicy(attempts=1)


def spellings(value: int) -> set[bytes]:
    """An input as somebody may write it: decimal, hexadecimal, and its 32 bytes in both orders, raw and printed."""
    found = {str(value).encode(), f"{value:x}".encode()}
    for order in ("little", "big"):
        raw = value.to_bytes(32, order)  # type: ignore[arg-type]
        found |= {raw.rstrip(b"\0").lstrip(b"\0"), raw.hex().strip("0").encode(), base64.b64encode(raw)[:40]}
        found.add(repr(raw)[2:-1].encode())
    return found


def token_spellings(token: str) -> set[bytes]:
    _, secret = split_token(token)
    return {
        token.encode(),
        token.rsplit("_", 1)[-1].encode(),
        secret,
        secret.hex().encode(),
        repr(secret)[2:-1].encode(),
    }


def key_spellings(pem: bytes) -> set[bytes]:
    lines = [line for line in pem.splitlines() if line and not line.startswith(b"-----")]
    return {b"PRIVATE KEY", *lines, base64.b64decode(b"".join(lines))[36:68]}


async def test_no_secret_is_in_a_log_or_left_in_a_folder(tmp_path: Path, backend: Backend) -> None:
    """A session with all that can go wrong, both daemons at their most talkative."""
    pki = Pki(tmp_path)
    alice = pki.credentials("alice", Right.SUBMIT, Right.READ)
    assert alice.token_file is not None
    good, unknown = alice.token_file.read_text(), "hp_0123456789abcdef_" + secrets.token_urlsafe(32)
    expired = pki.token("late", Right.READ, lasts=-1)
    product = make(tmp_path, backend, "factors", factors)
    p, q = (int.from_bytes(secrets.token_bytes(15), "big") | 1 << 119 for _ in range(2))
    port, client_port, listen = free_port(), free_port(), f"127.0.0.1:{free_port()}"
    pki.issue(Role.CLOUD, "cloud")
    pki.issue(Role.EDGE, "edge")
    common = ["--tokens", str(pki.tokens.path), "--log-level", "debug"]
    logs = tmp_path / "logs"
    with Fleet() as fleet:
        await fleet.add(
            "cloud",
            ["cloud", "--port", str(port), "--client-port", str(client_port), "--data-dir", str(tmp_path / "c"),
             "--tls", str(pki.folder / "cloud"), "--batch-age-ms", "20", *common],
            f"127.0.0.1:{client_port}", logs / "cloud", credentials=alice,
        )  # fmt: skip
        await fleet.add(
            "edge",
            ["edge", "--listen", listen, "--cloud", f"127.0.0.1:{port}", "--state-dir", str(tmp_path / "e"),
             "--tls", str(pki.folder / "edge"), "--workers", "1", *common],
            listen, logs / "edge", credentials=alice,
        )  # fmt: skip
        async with ProverClient(listen, credentials=alice, retry=ONCE) as client:
            circuit = await client.register_circuit(
                name="factors", zkey=product.zkey, r1cs=product.r1cs, program=product.tape
            )
            good_segment = Segment(circuit.digest, {"n": p * q, "pq": [p, q]})
            for placement in (Placement.CLOUD, Placement.PRIVATE):
                job = await client.submit(good_segment, placement=placement)
                assert (await job.result(60)).leaves
            wrong = await client.submit(Segment(circuit.digest, {"n": p + q, "pq": [p, q]}), placement=Placement.CLOUD)
            with pytest.raises(ClientError, match="factors"):
                await wrong.result(60)
            for inputs in ({"n": p}, {"n": [p, q], "pq": [p, q]}, {"n": 1, "pq": [p, q], "other": p}):
                with pytest.raises(ClientError):
                    await client.submit(Segment(circuit.digest, inputs), placement=Placement.CLOUD)
            with pytest.raises(ClientError):
                await client.submit(Segment(Digest(bytes(32)), {"n": p}), placement=Placement.CLOUD)
        for target in (listen, f"127.0.0.1:{client_port}"):
            async with pki.as_client(target) as channel:
                for token in (unknown, expired, good + "x", good):
                    call = job_pb2_grpc.JobQueryServiceStub(channel).GetJob(
                        job_pb2.GetJobRequest(job_id=bytes(32)), metadata=bearer(token)
                    )
                    with pytest.raises(grpc.aio.AioRpcError):
                        await call
                stream = uplink_pb2_grpc.UplinkServiceStub(channel).Uplink(metadata=bearer(good))
                with pytest.raises(grpc.aio.AioRpcError):
                    await _first(stream)
    written = b"".join(file.read_bytes() for file in logs.iterdir())
    assert written.count(b"call_refused") == 7
    assert b"witness failed" in written
    blindings = [(tmp_path / folder / "blinding.key").read_bytes() for folder in ("c", "e")]
    pems = {key: key.read_bytes() for key in pki.folder.rglob("*.key") if key.name != "blinding.key"}
    assert {tmp_path / "c" / "node.key", tmp_path / "e" / "node.key"} <= set(pems)
    seed = BlindingSeeds(blindings[1]).seed(job.id.raw, 0)  # of the private job, the last of the two
    hidden = set().union(
        *(token_spellings(token) for token in (good, unknown, expired)),
        *map(key_spellings, pems.values()),
        *({raw, raw.hex().encode(), repr(raw)[2:-1].encode()} for raw in (*blindings, seed)),
        *(spellings(value) for value in (p, q)),
    )
    assert [secret for secret in hidden if secret in written] == []
    # Each node's own two keys lie in its folder: what signs and what blinds. No other has any business there.
    own = {tmp_path / folder / name for folder in ("c", "e") for name in ("node.key", "blinding.key")}
    kept = b"".join(
        file.read_bytes()
        for folder in ("c", "e")
        for file in (tmp_path / folder).rglob("*")
        if file.is_file() and file not in own
    )
    assert len(kept) > 10_000
    lasting = {*blindings, seed, seed.hex().encode()}.union(token_spellings(good), *map(key_spellings, pems.values()))
    assert [secret for secret in lasting if secret in kept] == []
    assert str(Credentials(token_file=alice.token_file)).count("hp_") == 0


async def _first(stream: grpc.aio.StreamStreamCall) -> None:
    async with asyncio.timeout(10):
        await stream.write(hello(b"s" * 16))
        async for _ in stream:
            return
