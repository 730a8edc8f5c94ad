"""The demo as a person runs it: separate processes, real proofs that snarkjs accepts, and no process left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from toolchain import CACHE

from examples.rollup.chain import Leaf, check_chain
from examples.rollup.encoding import claim_from_json
from hybrid_prover.statement import read_statement
from prover_core.assembly import assembly_publics, verify_assembly
from prover_core.backend import Backend
from prover_core.errors import VerificationError
from prover_core.formats.snarkjs_json import read_proof, read_public, read_verification_key
from prover_core.groth16 import verify

KEYS = CACHE.parent / "wrap-keys"
"""Shared with other tests: half a minute the first time."""
SEGMENTS = {"transfer": 3, "token_transfer": 3, "swap": 5, "multi_step": 8}


def start(work: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """The demo as a process of its own."""
    command = [sys.executable, "-m", "hybrid_prover", "demo", "--repetitions", "1", "--wrap-keys", str(KEYS)]
    return subprocess.Popen(
        [*command, "--work-dir", str(work), "--out", str(out), *more],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def daemons(work: Path, kind: bytes = b"") -> list[int]:
    """Daemons that keep their state below `work`: `cloud`, `edge`, or both."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            # python -m hybrid_prover.demo.child PARENT KIND …
            ours = len(command) > 4 and command[4] in (b"cloud", b"edge") and kind in (b"", command[4])
            if ours and any(str(work).encode() in part for part in command):
                found.append(int(entry.name))
    return found


def wait_for_daemons(demo: subprocess.Popen[str], work: Path, count: int = 3) -> list[int]:
    """Until all daemons run."""
    end = time.monotonic() + 120
    while time.monotonic() < end and demo.poll() is None:
        if len(found := daemons(work)) >= count:
            return found
        time.sleep(0.05)
    demo.terminate()
    pytest.fail(f"the daemons did not start: {demo.communicate()}")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by all tests here, so that keys are made once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def result(work: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished demo: its folder and what it said."""
    out = tmp_path_factory.mktemp("out") / "demo-result"
    demo = start(work, out, "--json")
    stdout, stderr = demo.communicate(timeout=300)
    assert demo.returncode == 0, stderr
    assert daemons(work) == []
    return out, json.loads(stdout)


def test_it_tells_times_of_all_kinds(result: tuple[Path, dict[str, Any]]) -> None:
    _, told = result
    rows = {row["operation"]: row for row in told["operations"]}
    assert set(rows) == {*SEGMENTS, "block"}
    for name, row in rows.items():
        assert row["segments"] == SEGMENTS.get(name, sum(SEGMENTS.values()))
        assert row["constraints"] > 1000 * row["segments"]
        for kind in ("sequential_one_thread", "sequential_all_cores", "pipelined"):
            (seconds,) = row[f"{kind}_seconds"]
            assert 0 < seconds < 120
        ratio = row["pipelined_seconds"][0] / row["sequential_one_thread_seconds"][0]
        assert row["reduction_to_one_thread"] == pytest.approx(1 - ratio)
    assert told["proofs_verified"] == 4 * sum(SEGMENTS.values())


def leaves_of(out: Path, backend: Backend) -> list[list[Leaf]]:
    """Every proof in the folder, verified with the key beside it."""
    chains = []
    for operation in sorted(out.glob("[0-9]*-*")):
        chain = []
        for segment in sorted(operation.iterdir()):
            circuit = segment.name.split("-", 1)[1]
            publics = read_public(segment / "public.json")
            key = read_verification_key(out / "keys" / f"{circuit}.json")
            verify(key, read_proof(segment / "proof.json"), publics, backend)
            chain.append(Leaf(circuit, publics))
        chains.append(chain)
    return chains


def test_its_folder_proves_the_block_to_anyone(result: tuple[Path, dict[str, Any]], backend: Backend) -> None:
    out, _ = result
    claim = claim_from_json(json.loads((out / "block.json").read_text()))
    chains = leaves_of(out, backend)
    assert sorted(map(len, chains)) == sorted(SEGMENTS.values())
    check_chain(claim, chains)
    with pytest.raises(VerificationError):
        check_chain(claim, chains[::-1])


def test_one_proof_stands_for_all_leaves(result: tuple[Path, dict[str, Any]], backend: Backend) -> None:
    """From the leaves' public signals alone to the one proof: nothing else of the folder is believed but the keys."""
    out, told = result
    folder = out / "assembly"
    wrap = read_verification_key(folder / "verification_key.json")
    whole = read_statement(folder / "publics.json")
    names: list[str] = []
    rows = []
    for circuit in whole.names:
        lower = read_statement(folder / circuit / "publics.json")
        names += lower.names
        publics = [read_public(out / name / "public.json") for name in lower.names]
        assert {name.split("-")[-1] for name in lower.names} == {circuit}
        key = read_verification_key(out / "keys" / f"{circuit}.json")
        rows.append(assembly_publics(lower.shape, key, publics))
        verify(wrap, read_proof(folder / circuit / "proof.json"), rows[-1], backend)
    assert sorted(names) == sorted(str(p.parent.relative_to(out)) for p in out.glob("[0-9]*-*/*/proof.json"))
    proof = read_proof(folder / "proof.json")
    verify_assembly(wrap, wrap, rows, proof, whole.shape, backend)
    with pytest.raises(VerificationError):
        verify_assembly(wrap, wrap, rows[::-1], proof, whole.shape, backend)
    said = told["assembly"]
    assert (said["leaves"], said["assemblies"], said["proof_bytes"]) == (sum(SEGMENTS.values()), 5, 256)
    assert said["constraints"] > 300_000
    assert 0 < said["seconds"] < 120


@pytest.mark.node
def test_snarkjs_accepts_its_proofs_as_its_readme_says(result: tuple[Path, dict[str, Any]]) -> None:
    from toolchain import toolchain

    out, _ = result
    readme = (out / "README.md").read_text()
    lines = [x.split() for x in readme.splitlines() if x.startswith("    npx snarkjs groth16 verify ")]
    assert [line[4].split("/")[0] for line in lines] == ["keys", "assembly"]
    for line in lines:
        assert "OK!" in toolchain().snarkjs(*line[2:], cwd=out)


def test_its_readme_says_how_the_assemblies_are_checked(result: tuple[Path, dict[str, Any]]) -> None:
    out, _ = result
    text = (out / "README.md").read_text()
    start = text.index("    w=assembly/")
    script = text[start : text.index("## Times")].replace("hybrid-prover ", f"{sys.executable} -m hybrid_prover ")
    done = subprocess.run(["sh", "-ec", script], cwd=out, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.count("verifies") == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process(number: signal.Signals, work: Path, tmp_path: Path) -> None:
    demo = start(work, tmp_path / "out")
    wait_for_daemons(demo, work)
    demo.send_signal(number)
    _, stderr = demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert stderr.endswith("hybrid-prover: interrupted\n")
    assert daemons(work) == []
    assert [p.name for p in work.iterdir()] == ["keys"]


def test_a_daemon_that_dies_is_named_with_its_log(work: Path, tmp_path: Path) -> None:
    demo = start(work, tmp_path / "out")
    wait_for_daemons(demo, work)
    (cloud,) = daemons(work, b"cloud")
    os.kill(cloud, signal.SIGKILL)
    _, stderr = demo.communicate(timeout=120)
    assert demo.returncode == 1
    assert "hybrid-prover: the cloud ended by itself with status -9" in stderr
    assert "cloud.log" in stderr
    assert "Traceback" not in stderr
    assert daemons(work) == []


def test_even_a_killed_demo_leaves_no_process(work: Path, tmp_path: Path) -> None:
    demo = start(work, tmp_path / "out")
    wait_for_daemons(demo, work)
    demo.kill()
    demo.communicate()
    end = time.monotonic() + 60
    while daemons(work) and time.monotonic() < end:
        time.sleep(0.1)
    assert daemons(work) == []


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    demo = start(tmp_path / "work", tmp_path)
    _, stderr = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "not a result of the demo" in stderr
    assert (tmp_path / "mine.txt").read_text() == "precious"
