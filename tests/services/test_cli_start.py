"""The command line's short way: what it takes over, that it means the same, and what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_prover.cli.main import build, run
from hybrid_prover.cli.start import plain_prove
from prover_core.circuit import Circuit, compile_circuit
from prover_core.formats.r1cs import write_r1cs
from prover_core.formats.snarkjs_json import read_proof, read_public, read_verification_key
from prover_core.formats.wtns import write_wtns
from prover_core.formats.zkey import read_zkey_verification_key
from prover_core.groth16 import verify
from prover_core.native import CpuBackend
from prover_core.types import FrVector


def define(c: Circuit) -> None:
    """product = a * b; a public, b private."""
    c.output("product", c.public("a") * c.private("b"))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """k.zkey, good.wtns and bad.wtns."""
    folder = tmp_path_factory.mktemp("files")
    compiled = compile_circuit(define, name="product")
    write_r1cs(folder / "c.r1cs", compiled.r1cs)
    assert run(["setup", "--r1cs", str(folder / "c.r1cs"), "--out", str(folder / "k.zkey")]) == 0
    witness = compiled.evaluate({"a": 3, "b": 11})
    write_wtns(folder / "good.wtns", FrVector.from_ints(witness))
    witness[1] += 1
    write_wtns(folder / "bad.wtns", FrVector.from_ints(witness))
    return folder


def called(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """One process of the command line, told to say on the way out which of the slow libraries it loaded."""
    code = (
        "import atexit, os, sys; real = os._exit\n"
        "def tell(code=0): print('loaded:', *sorted({'numpy', 'cyclopts'} & set(sys.modules)), file=sys.stderr)\n"
        "def leave(code): tell(); sys.stderr.flush(); real(code)\n"
        "os._exit = leave; atexit.register(tell)\n"
        "from hybrid_prover.cli.start import main; main()"
    )
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HYBRID_PROVER_")}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=clean | environment)


TAKEN = [
    ["--zkey", "k", "--wtns", "w"],
    ["--wtns", "w", "--zkey=k"],
    ["--zkey", "k", "--witness", "w", "--out", "o"],
    ["--zkey", "k", "--wtns=w", "--out=o/p/../q", "--threads", "2", "--json"],
    ["--json", "--threads=16", "--zkey", "k", "--witness=w"],
]


@pytest.mark.parametrize("flags", TAKEN)
def test_what_it_takes_means_the_same_to_the_ordinary_command(flags: list[str]) -> None:
    plain = plain_prove(["prove", *flags], {})
    assert plain is not None
    _, bound, _ = build().parse_args(["prove", *flags], exit_on_error=False, print_error=False)
    bound.apply_defaults()
    meant = bound.arguments
    for name, default in (("zkey", None), ("witness", None), ("out", "."), ("threads", None), ("json", False)):
        expected = meant[name]
        given = plain.get(name, default)
        assert (Path(str(given)) if isinstance(expected, Path) else given) == expected, name
    assert all(meant[name] is None for name in ("program", "inputs", "r1cs", "backend"))


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["verify", "--zkey", "k", "--wtns", "w"],
        ["--config", "c.toml", "prove", "--zkey", "k", "--wtns", "w"],
        ["prove", "--zkey", "k"],
        ["prove", "--wtns", "w"],
        ["prove", "--zkey", "k", "--wtns"],
        ["prove", "--zkey", "k", "--wtns="],
        ["prove", "--zkey", "--wtns", "w"],
        ["prove", "--zkey", "k", "--wtns", "w", "--witness", "v"],
        ["prove", "--zkey", "k", "--wtns", "w", "--zkey", "l"],
        ["prove", "--zkey", "k", "--wtns", "w", "extra"],
        ["prove", "--zkey", "k", "--wtns", "w", "--r1cs", "r"],
        ["prove", "--zkey", "k", "--wtns", "w", "--backend", "cpu"],
        ["prove", "--zkey", "k", "--wtns", "w", "--help"],
        ["prove", "--zkey", "k", "--wtns", "w", "--json=false"],
        ["prove", "--zkey", "k", "--wtns", "w", "--json", "--json"],
        *(["prove", "--zkey", "k", "--wtns", "w", "--threads", n] for n in ("0", "-1", "two", "1_0", "²", "٢", "9999")),
    ],
)
def test_what_it_leaves_alone(argv: list[str]) -> None:
    assert plain_prove(argv, {}) is None


@pytest.mark.parametrize("name", ["HYBRID_PROVER_PROVE_OUT", "HYBRID_PROVER_CONFIG", "HYBRID_PROVER_BACKEND"])
def test_settings_from_elsewhere_are_the_ordinary_commands(name: str) -> None:
    assert plain_prove(["prove", *TAKEN[0]], {"HOME": "/", name: "x"}) is None
    assert plain_prove(["prove", *TAKEN[0]], {"HOME": "/", "HYBRID_PROVER_THREADS": "1"}) is not None


def test_where_cupy_is_installed_the_ordinary_command_chooses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert plain_prove(["prove", *TAKEN[0]], {}) is None


@pytest.mark.parametrize("as_json", [False, True])
def test_the_short_way_writes_what_the_ordinary_one_does(files: Path, tmp_path: Path, as_json: bool) -> None:
    flags = ["prove", "--zkey", str(files / "k.zkey"), "--wtns", str(files / "good.wtns"), "--threads", "1"]
    said = {}
    for name, environment in (("short", {}), ("ordinary", {"HYBRID_PROVER_PROVE_BACKEND": "cpu"})):
        done = called(*flags, "--out", str(tmp_path / name / "out"), *(["--json"] if as_json else []), **environment)
        assert done.returncode == 0, done.stderr
        loaded = "loaded:" if name == "short" else "loaded: cyclopts numpy"
        assert loaded in done.stderr.splitlines()
        said[name] = done
    short, ordinary = tmp_path / "short" / "out", tmp_path / "ordinary" / "out"
    for file in ("public.json", "verification_key.json"):
        assert (short / file).read_bytes() == (ordinary / file).read_bytes()
    key = read_verification_key(short / "verification_key.json")
    assert key == read_zkey_verification_key(files / "k.zkey")
    for folder in (short, ordinary):
        verify(key, read_proof(folder / "proof.json"), read_public(folder / "public.json"), CpuBackend(1))

    def shape(text: str) -> str:
        return "".join(c for c in text if not c.isdigit()).replace("short", "ordinary").replace(" cyclopts numpy", "")

    assert shape(said["short"].stderr) == shape(said["ordinary"].stderr)
    if as_json:
        told = {name: json.loads(done.stdout) for name, done in said.items()}
        assert told["short"].keys() == told["ordinary"].keys()
        for name in ("wires", "backend", "insecure_setup"):
            assert told["short"][name] == told["ordinary"][name]
        assert all(Path(told["short"][name]).is_file() for name in ("proof", "public", "verification_key"))
    else:
        assert shape(said["short"].stdout) == shape(said["ordinary"].stdout)


@pytest.mark.parametrize(
    ("zkey", "witness", "complaint"),
    [
        ("k.zkey", "bad.wtns", "constraint"),
        ("no.zkey", "good.wtns", "no.zkey"),
        ("c.r1cs", "good.wtns", "zkey"),
        ("k.zkey", "c.r1cs", "wtns"),
    ],
)
def test_what_goes_wrong_is_told_by_the_ordinary_command(
    zkey: str, witness: str, complaint: str, files: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = called("prove", "--zkey", str(files / zkey), "--wtns", str(files / witness), "--out", str(out))
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if line.startswith("hybrid-prover: ")]
    assert len(told) == 1
    assert complaint in told[0]
    assert not out.exists()
