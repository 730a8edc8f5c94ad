"""Calls of the services are counted by method and code, whoever refuses them."""

from __future__ import annotations

from pathlib import Path

import grpc
import grpc.aio
import pytest
from edge_support import edge_config, running_edge

from hybrid_prover.security.principal import Right
from hybrid_prover.security.tokens import TokenFile, make_token
from hybrid_prover.v1 import job_pb2, job_pb2_grpc, status_pb2, status_pb2_grpc


async def test_calls_are_counted_by_method_and_code(tmp_path: Path) -> None:
    async with running_edge(edge_config(tmp_path)) as (edge, stubs):
        counted = edge.core.observer.metrics.registry.get_sample_value
        status = status_pb2_grpc.StatusServiceStub(stubs.channel)
        for _ in range(3):
            await status.GetStatus(status_pb2.GetStatusRequest())
        with pytest.raises(grpc.aio.AioRpcError):
            await stubs.get(bytes(32))
        with pytest.raises(grpc.aio.AioRpcError):
            await stubs.queries.WatchJob(job_pb2.WatchJobRequest(job_id=bytes(32))).read()
        unknown = stubs.channel.unary_unary("/hybrid_prover.v1.JobService/Nothing")
        with pytest.raises(grpc.aio.AioRpcError):
            await unknown(b"")

        def calls(method: str, code: str) -> float | None:
            return counted("hybrid_prover_edge_calls_total", {"method": method, "code": code})

        assert calls("StatusService/GetStatus", "OK") == 3
        assert calls("JobQueryService/GetJob", "NOT_FOUND") == 1
        assert calls("JobQueryService/WatchJob", "NOT_FOUND") == 1
        assert counted("hybrid_prover_edge_call_seconds_count", {"method": "StatusService/GetStatus"}) == 3
        assert counted("hybrid_prover_edge_call_seconds_count", {"method": "JobQueryService/WatchJob"}) is None
        exposed = [s.labels for f in edge.core.observer.metrics.registry.collect() for s in f.samples]
        assert not any("Nothing" in labels.get("method", "") for labels in exposed)


async def test_calls_without_a_token_are_counted_too(tmp_path: Path) -> None:
    _, record = make_token("somebody", [Right.READ], now=0)
    with TokenFile(tmp_path / "tokens").changed() as records:
        records[record.id] = record
    config = edge_config(tmp_path / "edge", tokens=tmp_path / "tokens")
    async with running_edge(config) as (edge, stubs):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await job_pb2_grpc.JobQueryServiceStub(stubs.channel).ListJobs(job_pb2.ListJobsRequest())
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        labels = {"method": "JobQueryService/ListJobs", "code": "UNAUTHENTICATED"}
        assert edge.core.observer.metrics.registry.get_sample_value("hybrid_prover_edge_calls_total", labels) == 1
