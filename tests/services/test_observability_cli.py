"""`status` and `top` against running daemons and against one that is away, and how they show numbers."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from edge_support import EdgeStubs, Sample, edge_config, make, running_edge, squares
from rich.console import Console, RenderableType
from sdk_fake import Fake, serving

from cloud.config import CloudConfig
from cloud.service import CloudServer
from hybrid_prover import JobState, Placement, ProverClient, ServiceStatus
from hybrid_prover import SegmentState as State
from hybrid_prover.cli import service_view
from hybrid_prover.servicestatus import EdgeSession, RunningJob, Stage, Totals, Uplink, Worker
from hybrid_prover.v1 import job_pb2
from prover_core.backend import Backend
from prover_core.types import Digest

STATUS = ServiceStatus(
    tier="cloud",
    name="",
    version="1.2.3",
    draining=False,
    uptime=7_384.0,
    now=1_000.0,
    backend="cpu",
    device="a processor [8 cores]",
    backend_reason="",
    jobs={JobState.RUNNING: 2, JobState.DONE: 40},
    segments={State.QUEUED: 3, State.PROVING: 2, State.VERIFIED: 7},
    stages=(
        Stage("queue", "wait", 10, 0.5, 28.0, 60.0, 12, 90.0),
        Stage("finish", "compute", 10, 1.25, 2.5, 3.0, 12, 10.0),
        Stage("upload", "transfer", 0, 0.0, 0.0, 0.0, 3, 0.0),
    ),
    totals=Totals(40, 1, 2, 600, 1 << 20, 1 << 10, 5000, 3, 1, 2, 0, 1),
    verified_last_minute=33,
    workers=(Worker("local", 3, 2, False, True, 0.0), Worker("far", 2, 2, True, True, 81_234.0)),
    waiting=4,
    sessions=(EdgeSession("lab [1]", "0badcafe", True, 16 << 20, 0), EdgeSession("hall", "11112222", False, 0, 512)),
    uplink=None,
    backlog_bytes=3 << 30,
    backlog_limit_bytes=64 << 30,
    running=(
        RunningJob(Digest(b"j" * 32), "pay [roll]", Placement.CLOUD, 75.0, {State.PROVING: 1, State.VERIFIED: 3}),
        RunningJob(Digest(b"k" * 32), "", Placement.PRIVATE, 5.0, {State.QUEUED: 2}),
    ),
    loop_lag=0.0,
)  # fmt: skip


def shown(what: RenderableType, width: int = 100) -> str:
    console = Console(width=width, record=True, color_system=None, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(what)
    return console.export_text()


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory, backend: Backend) -> Sample:
    return make(tmp_path_factory.mktemp("circuit"), backend, "squares", squares)


@asynccontextmanager
async def pair(folder: Path) -> AsyncIterator[tuple[str, str, EdgeStubs]]:
    server = CloudServer(CloudConfig(port=0, data_dir=folder / "cloud", plaintext=True, batch_age_ms=20))
    await server.start()
    try:
        async with running_edge(edge_config(folder / "edge", server.target, name="lab")) as (edge, stubs):
            yield edge.target, server.target, stubs
    finally:
        await server.stop()


async def command(*arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hybrid_prover", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_top_and_status_show_a_running_pair(tmp_path: Path, sample: Sample) -> None:
    async with pair(tmp_path) as (edge, cloud, stubs):
        await stubs.register(sample)
        job = await stubs.submit(sample.segment(a=1, x=2), sample.segment(a=2, x=2), name="payroll")
        assert (await stubs.ended(job.job_id)).state == job_pb2.JOB_STATE_DONE

        code, out, _ = await command("top", edge, cloud, "127.0.0.1:1")
        assert code == 1, "one of the three does not answer"
        for text in ("edge lab", "1 done", "queue", "wait", "batch", "2 segments verified", "nobody answers"):
            assert text in out

        code, out, _ = await command("top", edge, cloud, "--json")
        services = json.loads(out)["services"]
        assert code == 0
        assert [s["tier"] for s in services] == ["edge", "cloud"]
        assert all(s["healthy"] and s["totals"]["segments_verified"] == 2 for s in services)
        stages = {s["name"]: s for s in services[1]["stages"]}
        assert stages["queue"]["kind"] == "wait"
        assert stages["queue"]["count"] == 2

        code, out, _ = await command("status", "--target", cloud)
        assert code == 0
        assert "serving" in out
        assert "waiting (median / 95 %): queue" in out
        assert "1 edges connected" in out
        assert job.job_id.hex() in out

        code, out, _ = await command("status", "--target", edge, "--json")
        told = json.loads(out)
        uplink = told["service"]["uplink"]
        assert (uplink["cloud"], uplink["connected"]) == (cloud, True)
        assert 0 < uplink["credit_bytes"] <= 16 << 20
        assert [j["job"] for j in told["jobs"]] == [job.job_id.hex()]


async def test_top_is_live_on_a_terminal_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    async with pair(tmp_path) as (edge, _, _):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "hybrid_prover", "top", edge, "--interval", "0.2",
            stdin=theirs, stdout=theirs, stderr=theirs, env=os.environ | {"TERM": "xterm"},
        )  # fmt: skip
        os.close(theirs)
        seen = b""
        async with asyncio.timeout(60):
            while seen.count(b"edge lab") < 3:
                seen += await asyncio.to_thread(os.read, ours, 65536)
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(OSError):  # how a terminal ends
                while part := await asyncio.to_thread(os.read, ours, 65536):
                    seen += part
            assert await process.wait() == 0
        os.close(ours)
        assert b"\x1b[?1049h" in seen
        assert b"\x1b[?1049l" in seen, "the terminal is given back as it was"
        assert b"Traceback" not in seen


async def test_a_daemon_that_knows_no_status_is_still_asked_for_its_jobs() -> None:
    async with serving(Fake()) as target:
        code, out, _ = await command("status", "--target", target, "--limit", "1", "--json")
        assert code == 0
        assert json.loads(out)["service"] is None
        code, out, _ = await command("top", target, "--json")
        assert code == 1
        assert json.loads(out)["services"][0]["problem"]["code"] == "UNIMPLEMENTED"


async def test_the_client_gives_the_status_typed(tmp_path: Path) -> None:
    async with pair(tmp_path) as (edge, cloud, _):
        async with ProverClient(cloud) as client:
            status = await client.service()
        assert isinstance(status, ServiceStatus)
        assert (status.tier, status.busy, status.waiting, status.running) == ("cloud", 0, 0, ())
        assert status.slots >= 3
        assert status.uplink is None
        async with ProverClient(edge) as client:
            status = await client.service()
        assert (status.tier, status.name, status.slots) == ("edge", "lab", 2)


def test_the_screen_has_everything_where_there_is_room() -> None:
    text = shown(service_view.screen("10.0.0.1:7600", STATUS, None))
    for part in (
        "cloud  10.0.0.1:7600  1.2.3", "a processor [8 cores]", "2 running   40 done, 1 failed, 2 cancelled",
        "3 queued, 2 proving, 7 verified", "33 segments verified in the last minute", "4 of 5 busy   4 waiting",
        "3.0 GiB of 64.0 GiB", "1 segments quarantined, 2 workers lost, 3 messages refused, 1 reconnects",
        "500 ms", "28 s", "wait 90%", "compute 10%", "far", "81,234", "lab [1]", "0badcafe", "away",
        "pay [roll]", "6a6a6a6a6a6a", "1 min 15 s", "1 proving, 3 verified", "● serving  up 2 h 3 min",
    ):  # fmt: skip
        assert part in text
    assert "█" * 12 + "█" * 4 in text, "three of four verified and one proving fill the job's bar"


@pytest.mark.parametrize("room", [8, 16, 24, 30, 40])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_screen_fits_its_room(room: int, width: int) -> None:
    rows = shown(service_view.screen("10.0.0.1:7600", STATUS, None, room), width).splitlines()
    assert len(rows) <= max(room, 11)
    assert max(map(len, rows)) <= width


def test_rates_need_two_looks() -> None:
    later = replace(STATUS, now=1_002.0, totals=replace(STATUS.totals, received_bytes=(1 << 20) + (6 << 20)))
    assert "in 3.0 MiB/s   out 0 B/s" in shown(service_view.screen("t:1", later, STATUS))
    assert "/s" not in shown(service_view.screen("t:1", STATUS, None)).replace("wires/s", "")


def test_what_is_wrong_is_seen() -> None:
    cut = replace(STATUS, tier="edge", name="lab", sessions=(), uplink=Uplink("10.0.0.9:7600", False, 0))
    assert not cut.healthy
    text = shown(service_view.screen("t:1", cut, None))
    assert "NOT connected to 10.0.0.9:7600" in text
    assert "cut off from its cloud" in text
    assert "draining" in shown(service_view.screen("t:1", replace(STATUS, draining=True), None))
    assert "late by 250 ms" in shown(service_view.screen("t:1", replace(STATUS, loop_lag=0.25), None))
    empty = replace(STATUS, stages=(), running=(), sessions=(), workers=(), segments={}, jobs={})
    assert "no segment has been measured yet" in shown(service_view.screen("t:1", empty, None))
    assert "no answer [really]" in shown(service_view.unreachable("t:1", "no answer [really]"))


def test_json_is_json() -> None:
    told = json.loads(json.dumps(service_view.describe(STATUS)))
    assert told["segments"] == {"queued": 3, "proving": 2, "verified": 7}
    assert told["running"][0]["segments"] == {"proving": 1, "verified": 3}
    assert told["workers"][1]["wires_per_second"] == 81_234.0


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 ms"), (0.0013, "1.3 ms"), (0.25, "250 ms"), (0.9996, "1.00 s"), (9.99, "9.99 s"), (59.6, "60 s"),
     (700.0, "11 min 40 s"), (90_000.0, "1 d 1 h")],
)  # fmt: skip
def test_seconds_have_the_unit_that_fits(value: float, text: str) -> None:
    assert service_view.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (150 << 20, "150 MiB"), (3 << 40, "3.0 TiB")]
)
def test_sizes_have_the_unit_that_fits(value: int, text: str) -> None:
    assert service_view.size(value) == text


@pytest.mark.parametrize(
    ("value", "whole", "text"), [(0, 10, "░░░░"), (10, 10, "████"), (5, 10, "██░░"), (99, 10, "████"), (1, 0, "░░░░"),
                                 (3, 8, "█▌░░")],
)  # fmt: skip
def test_bars(value: float, whole: float, text: str) -> None:
    assert service_view.bar(value, whole, 4, "").plain == text
