"""The command line as a person meets it: exit codes, one-line errors, settings, proofs in and out."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from sdk_fake import JOB, Fake, job_at, serving_in_a_thread

from hybrid_prover import JobState, SegmentState
from hybrid_prover.cli.jobs import EDGE
from hybrid_prover.cli.main import COMMANDS, FAILED, OK, USAGE, build, run
from prover_core.circuit import Circuit, compile_circuit
from prover_core.formats.r1cs import write_r1cs
from prover_core.formats.tape import write_tape
from prover_core.formats.wtns import write_wtns
from prover_core.types import FrVector


def said(capsys: pytest.CaptureFixture[str], *argv: str, code: int = OK) -> str:
    """Runs a command, checks its exit code and that an error is one line; gives what it wrote on standard output."""
    assert run(argv) == code
    caught = capsys.readouterr()
    if code != OK:
        complaints = [line for line in caught.err.splitlines() if line.startswith("hybrid-prover: ")]
        assert len(complaints) == 1
        assert "Traceback" not in caught.err
        return complaints[0]
    return caught.out


def test_help_is_quick_because_it_loads_nothing() -> None:
    code = (
        "import sys; from hybrid_prover.cli.main import run; run(['--help']);"
        "sys.exit(bool({'numpy', 'grpc', 'sqlalchemy', 'wasmtime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert all(name in done.stdout for name, _, _ in COMMANDS)


@pytest.mark.parametrize("command", [name for name, _, _ in COMMANDS])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, command, "--help")
    assert f"Usage: hybrid-prover {command}" in text


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["proof"], "proof"),
        (["verify", "--vkey", "a"], "proof"),
        (["verify", "--vkey", "a", "--proof", "b", "--public", "c", "--colour", "red"], "colour"),
        (["cloud", "--port", "ninety"], "ninety"),
        (["cloud", "--port", "70000"], "port 70000 is not a TCP port"),
        (["cloud", "--host", "10.0.0.1"], "loopback"),
        (["edge", "--listen", "10.0.0.1:1"], "loopback"),
        (["--config", "/nowhere.toml", "doctor"], "/nowhere.toml"),
        (["doctor", "--config"], "--config needs a file"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert message in said(capsys, *argv, code=USAGE)


def test_settings_come_from_flag_then_environment_then_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "prover.toml"
    file.write_text("[cloud]\nport = 1\nworkers = 3\nbatch_size = 5\n")
    monkeypatch.setenv("HYBRID_PROVER_CLOUD_PORT", "2")
    monkeypatch.setenv("HYBRID_PROVER_CLOUD_WORKERS", "4")
    _, bound, _ = build(file).parse_args(["cloud", "--port", "7"])
    config = bound.kwargs["config"]
    assert (config.port, config.workers, config.batch_size) == (7, 4, 5)


def test_an_unknown_setting_in_the_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "prover.toml"
    file.write_text("[cloud]\nprot = 1\n")
    assert "prot" in said(capsys, "--config", str(file), "cloud", code=USAGE)


def test_the_default_edge_is_where_an_edge_listens_and_the_edge_finds_the_cloud() -> None:
    from cloud.config import CloudConfig
    from edge.config import EdgeConfig

    assert EdgeConfig().listen == EDGE
    assert EdgeConfig().cloud == CloudConfig().address


def test_doctor_says_which_backend_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    facts = json.loads(said(capsys, "doctor", "--json"))
    assert facts["backend"] in ("cpu", "cuda")
    assert facts["backend"] in facts["reason"]
    assert facts["cores"] >= 1
    assert "backend" in said(capsys, "doctor")


def define(c: Circuit) -> None:
    """product = a * b and b is not zero; a public, b private."""
    a, b = c.public("a"), c.private("b")
    product = a * b
    c.assert_equal(product * product, a * a * b * b, "squares agree")
    c.output("product", product)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A circuit on disk: constraints, witness program, key, input."""
    folder = tmp_path_factory.mktemp("circuit")
    compiled = compile_circuit(define, name="product")
    write_r1cs(folder / "c.r1cs", compiled.r1cs)
    write_tape(folder / "c.tape", compiled.tape)
    witness = compiled.evaluate({"a": 3, "b": 11})
    write_wtns(folder / "good.wtns", FrVector.from_ints(witness))
    witness[-1] += 1
    write_wtns(folder / "bad.wtns", FrVector.from_ints(witness))
    (folder / "input.json").write_text('{"a": "3", "b": 11}')
    assert run(["setup", "--r1cs", str(folder / "c.r1cs"), "--out", str(folder / "c.zkey")]) == OK
    return folder


def prove(files: Path, out: Path, *more: str) -> list[str]:
    """Arguments of a proof."""
    return ["prove", "--zkey", str(files / "c.zkey"), "--out", str(out), *more]


def verify(out: Path) -> list[str]:
    """Arguments of its verification."""
    parts = (("vkey", "verification_key"), ("proof", "proof"), ("public", "public"))
    return ["verify", *(x for flag, name in parts for x in (f"--{flag}", str(out / f"{name}.json")))]


def test_setup_says_that_the_key_is_insecure(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, vkey = tmp_path / "k.zkey", tmp_path / "v.json"
    assert run(["setup", "--r1cs", str(files / "c.r1cs"), "--out", str(out), "--vkey", str(vkey)]) == OK
    assert "not for production" in capsys.readouterr().err
    assert out.stat().st_size > 0
    assert json.loads(vkey.read_text())["nPublic"] == 2


def test_inputs_to_verified_proof(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inputs = ("--program", str(files / "c.tape"), "--input", str(files / "input.json"))
    told = json.loads(said(capsys, *prove(files, tmp_path, *inputs, "--r1cs", str(files / "c.r1cs"), "--json")))
    assert told["insecure_setup"] is True
    assert json.loads((tmp_path / "public.json").read_text()) == ["33", "3"]
    assert json.loads(said(capsys, *verify(tmp_path), "--json")) == {"verified": True, "reason": ""}


def test_witness_to_verified_proof(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, *prove(files, tmp_path, "--wtns", str(files / "good.wtns")))
    assert "verifies" in said(capsys, *verify(tmp_path))


def test_other_public_signals_do_not_verify(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, *prove(files, tmp_path, "--wtns", str(files / "good.wtns")))
    (tmp_path / "public.json").write_text('["34", "3"]')
    assert "verif" in said(capsys, *verify(tmp_path), code=FAILED)


@pytest.mark.parametrize("with_rows", [True, False])
def test_a_wrong_witness_is_refused_and_nothing_is_written(
    files: Path, tmp_path: Path, with_rows: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    rows = ("--r1cs", str(files / "c.r1cs")) if with_rows else ()
    complaint = said(capsys, *prove(files, out, "--wtns", str(files / "bad.wtns"), *rows), code=FAILED)
    assert "constraint" in complaint
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 3}', "b"),
        ('{"a": 3, "b": 1, "c": 1}', "c"),
        ('{"a": 3, "b": "x"}', "b"),
        ("[1]", "object"),
        ("{", "not JSON"),
    ],
)
def test_wrong_inputs_are_named(
    text: str, message: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = tmp_path / "input.json"
    given.write_text(text)
    argv = prove(files, tmp_path / "out", "--program", str(files / "c.tape"), "--input", str(given))
    assert message in said(capsys, *argv, code=FAILED)


def test_files_that_are_missing_or_something_else_are_named(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["prove", "--zkey", str(files / "no.zkey"), "--wtns", str(files / "good.wtns"), "--out", str(tmp_path)]
    assert "no.zkey" in said(capsys, *argv, code=FAILED)
    argv[2] = str(files / "c.r1cs")
    assert "zkey" in said(capsys, *argv, code=FAILED)
    assert "wtns" in said(capsys, *prove(files, tmp_path), code=FAILED)


def test_submit_registers_follows_and_keeps_the_proof(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = Fake()
    fake.watches = [[job_at(n, JobState.DONE, SegmentState.VERIFIED)] for n in (1, 1)]
    files_given = ("--zkey", str(files / "c.zkey"), "--program", str(files / "c.tape"))
    inputs = ("--input", str(files / "input.json"), "--out", str(tmp_path))
    with serving_in_a_thread(fake) as target:
        told = json.loads(said(capsys, "submit", "--target", target, *files_given, *inputs, "--json"))
        assert (told["job"], told["state"]) == (str(JOB), "done")
        assert (tmp_path / "proof.json").exists()
        assert str(JOB) in said(capsys, "status", "--target", target, "--limit", "2")
        shown = json.loads(said(capsys, "status", str(JOB), "--target", target, "--json"))
        assert shown["segments"][0]["state"] == "proving"


def test_submit_without_anybody_there_fails_in_one_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ("submit", "--target", "127.0.0.1:1", "--circuit", "00" * 32, "--input", str(files / "input.json"))
    assert "nobody answers at 127.0.0.1:1" in said(capsys, *argv, code=FAILED)
